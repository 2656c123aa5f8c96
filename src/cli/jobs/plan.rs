//! From a job of the file to the command that carries it out.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use archives::Place;
use archives::retention::Policy;
use clap::Parser as _;
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Error, Result};

use super::config::{Job, Keep};
use crate::cli::args::{Cli, KeepArgs};
use crate::cli::endpoint::{From, To};
use crate::cli::prune;

/// Looks for what can be seen to be wrong before anything begins.
pub(super) fn check(name: &str, job: &Job) -> Result<()> {
    let named = |error: Error| error.with("job", name);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 60 || !name.chars().all(plain) {
        return Err(named(
            Error::usage("a job's name is letters, digits, `-` and `_`, at most 60")
                .hint("[jobs.system-database]"),
        ));
    }
    let Some(from) = &job.from else {
        return Err(named(Error::usage("the job has no source").hint("from = \"mysql://user@host/db\"")));
    };
    let to = job.to.as_ref().map(super::config::OneOrMany::all).unwrap_or_default();
    if to.is_empty() {
        return Err(named(Error::usage("the job has no destination").hint("to = \"/backups/{job}/\"")));
    }
    for endpoint in to.iter().chain([from]).filter(|text| DatabaseUrl::recognizes(text)) {
        if DatabaseUrl::parse(endpoint).map_err(named)?.password.is_some() {
            return Err(named(Error::usage("a password stands in the job file")).hint(
                "password = \"env:NAME\" or \"file:PATH\"; or the whole address as from = \"env:NAME\"",
            ));
        }
    }
    if let Some(keep) = &job.keep {
        policy(keep).map_err(named)?;
    }
    for (what, text) in
        [("timeout", &job.timeout), ("hooks.timeout", &job.hooks.as_ref().and_then(|h| h.timeout.clone()))]
    {
        text.as_deref().map(|text| crate::cli::time::parse(what, text)).transpose().map_err(named)?;
    }
    // The flags are judged by the command that will get them.
    let argv = argv(name, job, 256 << 20);
    Cli::try_parse_from(std::iter::once("dbferry".to_owned()).chain(argv)).map_err(|error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        named(Error::usage(line).hint("`options` takes the flags of `dbferry copy`, each word by itself"))
    })?;
    Ok(())
}

/// The arguments of the process that carries the job out.
pub(super) fn argv(name: &str, job: &Job, memory: usize) -> Vec<String> {
    let mut argv = vec!["copy".to_owned(), "--json".to_owned(), "--progress=none".to_owned()];
    argv.push(format!("--memory={memory}"));
    argv.extend(job.profile.iter().map(|profile| format!("--for={profile}")));
    for recipient in job.encrypt_to.iter().flat_map(super::config::OneOrMany::all) {
        argv.push(format!("--encrypt-to={recipient}"));
    }
    argv.extend(job.options.iter().flatten().cloned());
    argv.extend(job.from.iter().cloned());
    argv.extend(destinations(name, job));
    argv
}

/// Where the job writes, with the job's name filled in, also where the address is in the environment.
pub(super) fn destinations(name: &str, job: &Job) -> Vec<String> {
    let all = job.to.as_ref().map(super::config::OneOrMany::all).unwrap_or_default();
    let told = |to: String| match to.strip_prefix("env:") {
        // One that is not set is an error of whoever reads the address.
        Some(variable) => std::env::var(variable).unwrap_or(to),
        None => to,
    };
    all.into_iter().map(|to| told(to).replace("{job}", name)).collect()
}

/// The host that is read from, and the variable in which the client looks for the password.
pub(super) fn source(job: &Job) -> Result<(String, Option<&'static str>)> {
    let typed = job.from.as_deref().unwrap_or_default();
    Ok(match From::parse(typed)? {
        From::Database(url) => {
            let variable = match url.engine {
                Engine::Mysql => "MYSQL_PWD",
                Engine::Postgres => "PGPASSWORD",
                Engine::Redis => "REDISCLI_AUTH",
            };
            (url.place(), Some(variable))
        }
        From::S3(url) => (url.bucket.clone(), None),
        // Each by itself: nothing is known of what it reads.
        _ => (format!("\0{typed}"), None),
    })
}

/// The folder or prefix of a destination: what stands before its first placeholder. The last folder of a path is made, so that each job can have its own.
pub(super) async fn place(destination: &str) -> Result<Option<Place>> {
    match To::parse(destination)? {
        To::S3(url) => {
            let fixed = url.key.split('{').next().unwrap_or_default();
            let folder = fixed.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            Place::of_address(&url.at(folder)).await.map(Some)
        }
        To::Path(path) => folder(&path).map(|folder| Some(Place::Folder(folder))),
        To::Volume(path) => {
            let folder = folder(&path)?;
            sinks::pvc::require_volume(&folder)?;
            Ok(Some(Place::Folder(folder)))
        }
        To::Stdout | To::Database(_) => Ok(None),
    }
}

fn folder(path: &str) -> Result<PathBuf> {
    let fixed = path.split('{').next().unwrap_or_default();
    let is_folder = fixed.ends_with('/') || (fixed.len() == path.len() && Path::new(fixed).is_dir());
    let folder =
        if is_folder { Path::new(fixed) } else { Path::new(fixed).parent().unwrap_or(Path::new("")) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(Error::sink("cannot make the folder of the archives")
                .with("folder", folder.display())
                .hint("only the last folder is made: is the volume mounted, and the path right?")
                .caused_by(error))
        }
        _ => Ok(folder.to_owned()),
    }
}

/// The policy of `keep`.
pub(super) fn policy(keep: &Keep) -> Result<Policy> {
    prune::policy(&KeepArgs {
        keep_last: keep.last,
        keep_hourly: keep.hourly,
        keep_daily: keep.daily,
        keep_weekly: keep.weekly,
        keep_monthly: keep.monthly,
        keep_yearly: keep.yearly,
        keep_within: keep.within.clone(),
        group_by: Vec::new(),
        max_shrink: keep.max_shrink.clone().unwrap_or_else(|| "50%".to_owned()),
        min_size: keep.min_size.clone(),
    })
}

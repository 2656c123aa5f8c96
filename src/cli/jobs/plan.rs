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
use regex::Regex;

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
            let folder = split(&url.key).0.trim_end_matches('/').to_owned();
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

/// What the archives of a destination are called in its place. Endings of compression and encryption may change over the years.
pub(super) fn names(destination: &str) -> Result<Regex> {
    const DRESS: &str = r"(\.(gz|zst|lz4))?(\.age)?$";
    let template = match To::parse(destination)? {
        To::S3(url) => split(&url.key).1.to_owned(),
        To::Path(path) | To::Volume(path) if is_folder(&path) => split(&format!("{path}/")).1.to_owned(),
        To::Path(path) | To::Volume(path) => split(&path).1.to_owned(),
        To::Stdout | To::Database(_) => String::new(),
    };
    let dress = Regex::new(DRESS).map_err(|e| Error::bug("a pattern is wrong").caused_by(e))?;
    let bare = dress.replace(&template, "");
    let mut pattern = "^".to_owned();
    let mut rest = bare.as_ref();
    while let Some((before, (name, after))) =
        rest.split_once('{').and_then(|(before, more)| Some((before, more.split_once('}')?)))
    {
        pattern.push_str(&regex::escape(before));
        pattern.push_str(match name {
            "date" => r"\d{4}-\d{2}-\d{2}",
            "time" => r"\d{6}",
            "id" => r"\d{8}t\d{6}z-[0-9a-f]{8}",
            "shard" => r"\d+",
            _ => "[^/]+",
        });
        rest = after;
    }
    pattern.push_str(&regex::escape(rest));
    if bare.is_empty() || bare.ends_with('/') {
        pattern.push_str("[^/]+?");
    }
    pattern.push_str(DRESS);
    Regex::new(&pattern).map_err(|e| Error::bug("a pattern is wrong").with("pattern", &pattern).caused_by(e))
}

/// The folder of a path or key with its `/`, and the rest, which has the placeholders.
fn split(path: &str) -> (&str, &str) {
    let fixed = path.split('{').next().unwrap_or_default();
    path.split_at(fixed.rfind('/').map_or(0, |at| at + 1))
}

fn is_folder(path: &str) -> bool {
    !path.ends_with('/') && !path.contains('{') && Path::new(path).is_dir()
}

fn folder(path: &str) -> Result<PathBuf> {
    let folder = if is_folder(path) { path } else { split(path).0 };
    let folder = Path::new(if folder.is_empty() { "." } else { folder });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_job_itself_calls_so_is_its_own() {
        let own = |to: &str, name: &str| names(to).unwrap().is_match(name);
        let to = "/backups/sys-{date}-{id}.sql.zst.age";
        for name in [
            "sys-2026-11-20-20261120t013000z-0badcafe.sql.zst.age",
            "sys-2024-01-01-20240101t013000z-00000000.sql.gz",
        ] {
            assert!(own(to, name), "{name}");
        }
        for name in [
            "sys-full-2026-11-20-20261120t013000z-0badcafe.sql.zst.age",
            "sys-2026-11-20-20261120t013000z-0badcafe.rdb",
            "other/sys-2026-11-20-20261120t013000z-0badcafe.sql.zst.age",
            "sys-2026-11-20-20261120t013000z-0badcafe.sql.zst.age.sql",
        ] {
            assert!(!own(to, name), "{name}");
        }
        let folder = "s3://b/3scale/system/";
        assert!(
            own(folder, "system-2026-11-20-013000.sql.zst")
                && !own(folder, "old/system-2026-11-20-013000.sql.zst")
        );
        let nested = "s3://b/{host}/{date}/";
        assert!(
            own(nested, "db/2026-11-20/x.sql")
                && !own(nested, "db/x.sql")
                && !own(nested, "db/2026-11-20/y/x.sql")
        );
        assert!(own("s3://b/a/one.sql", "one.sql") && !own("s3://b/a/one.sql", "two.sql"));
        assert!(own("/no/such/folder/x.tar.zst", "x.tar") && !own("/no/such/folder/x.tar.zst", "xx.tar"));
        assert!(own("/tmp", "anything.sql"), "a folder that is there");
        for (path, parts) in [
            ("a/b-{id}", ("a/", "b-{id}")),
            ("{id}", ("", "{id}")),
            ("/a/", ("/a/", "")),
            ("a/{d}/x", ("a/", "{d}/x")),
        ] {
            assert_eq!(split(path), parts);
        }
    }
}

//! `dbferry run` and `dbferry config`: many copies from one file.
//!
//! Each copy is a process of its own, this program with the arguments of `dbferry copy`: what takes one down does not touch the others, each
//! has its share of the memory, and a password is in the environment of its own process alone. Scheduling is not done here: a CronJob or a timer starts a run.

pub(crate) mod child;
mod config;
mod hooks;
mod metrics;
mod notify;
mod outcome;
mod plan;
mod secret;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use archives::{Catalogue, Lease, Place, lease};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use pipeline::{Context, Error, Kind, Result, Stage};
use regex::Regex;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::args::{ConfigArgs, ConfigCommand, GroupArg, RunArgs};
use super::endpoint::To;
use super::names::Names;
use super::{prune, render, size, time};
use child::{Ended, Stop};
use config::{Config, Job};
use outcome::Outcome;

/// What the process that starts the others takes itself.
const OVERHEAD: usize = 32 << 20;

/// What a job gets of the memory when nothing is said.
const SHARE: usize = 256 << 20;

/// `dbferry config`.
pub(crate) fn config(args: &ConfigArgs) -> Result<()> {
    let document = match &args.command {
        ConfigCommand::Show { file } => serde_json::to_value(Config::load(file)?),
        ConfigCommand::Schema => Ok(schemars::schema_for!(Config).to_value()),
    };
    let text = document.and_then(|document| serde_json::to_string_pretty(&document));
    let text = text.map_err(|e| Error::bug("the configuration has no JSON form").caused_by(e))?;
    render::print(&format!("{text}\n"))
}

/// What holds for all jobs of a run.
struct Run {
    config: Config,
    memory: usize,
    quiet: bool,
    at_once: Semaphore,
    hosts: BTreeMap<String, Arc<Semaphore>>,
    cancel: CancellationToken,
    cx: Context,
}

/// `dbferry run`. Answers its exit code; what failed was told.
pub(crate) async fn run(args: RunArgs, cx: &Context) -> Result<u8> {
    let mut config = Config::load(&args.file)?;
    choose(&mut config, &args.jobs)?;
    let parallel = config.parallel.unwrap_or(1).max(1);
    let memory = match &config.memory {
        Some(text) => size::parse("memory", text)?.saturating_sub(OVERHEAD) / parallel,
        None => SHARE,
    };
    let length =
        |text: &Option<String>, what: &str| text.as_deref().map(|text| time::parse(what, text)).transpose();
    let (deadline, jitter) = (length(&config.deadline, "deadline")?, length(&config.jitter, "jitter")?);
    // Every reference is looked at before anything begins: at two in the morning nobody corrects a name.
    let mut hosts = BTreeMap::new();
    for (name, job) in &config.jobs {
        let named = |error: Error| error.with("job", name);
        if let Some(password) = &job.password {
            password.resolve().map_err(named)?;
        }
        let (host, variable) = plan::source(job).map_err(named)?;
        if job.password.is_some() && variable.is_none() {
            return Err(named(Error::usage("`password` belongs to a database, and the source is none")));
        }
        for destination in plan::destinations(name, job) {
            To::parse(&destination).map_err(named)?;
        }
        hosts.entry(host).or_insert_with(|| Arc::new(Semaphore::new(config.per_host.unwrap_or(1).max(1))));
    }
    let (began, clock) = (Timestamp::now(), Instant::now());
    let cancel = cx.cancellation().child_token();
    let report = config.report.clone();
    if let Some(jitter) = jitter.filter(|_| !args.now) {
        let random = RandomState::new().hash_one(began.as_nanosecond());
        let wait = jitter.mul_f64((random % 10_000) as f64 / 10_000.0);
        cx.info(format!("begins in {} s", wait.as_secs()));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = cx.cancellation().cancelled() => return Err(Error::cancelled()),
        }
    }
    notify::began(&report, cx).await;
    if let Some(deadline) = deadline {
        let cancel = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(deadline).await;
            cancel.cancel();
        });
    }
    let names: Vec<String> = config.jobs.keys().cloned().collect();
    let quiet = !args.output.talks();
    let at_once = Semaphore::new(parallel);
    let run = Run { config, memory, quiet, at_once, hosts, cancel, cx: cx.clone() };
    let mut tasks: FuturesUnordered<_> = names.iter().map(|name| run.job(name)).collect();
    let mut outcomes = Vec::new();
    while let Some(outcome) = tasks.next().await {
        if args.output.talks() {
            render::say(&outcome.line());
        }
        outcomes.push(outcome);
    }
    outcomes.sort_by(|a, b| a.job.cmp(&b.job));
    let document = outcome::document(&outcomes, began, clock.elapsed().as_secs_f64());
    notify::ended(&report, &outcomes, &document, cx).await;
    if cx.cancellation().is_cancelled() {
        let done = outcomes.iter().filter(|outcome| outcome.code == 0);
        return Err(done.fold(Error::cancelled(), |error, outcome| error.also(outcome.line())));
    }
    if args.output.json {
        render::print(&format!("{document}\n"))?;
    }
    Ok(outcome::exit_code(&outcomes))
}

/// Leaves the jobs that were named.
fn choose(config: &mut Config, names: &[String]) -> Result<()> {
    for name in names {
        if !config.jobs.contains_key(name) {
            let all: Vec<&str> = config.jobs.keys().map(String::as_str).collect();
            return Err(Error::usage(format!("there is no job `{name}`"))
                .hint(format!("the file has: {}", all.join(", "))));
        }
    }
    if !names.is_empty() {
        config.jobs.retain(|name, _| names.contains(name));
    }
    if config.jobs.is_empty() {
        return Err(Error::usage("the file has no job").hint("[jobs.NAME]"));
    }
    Ok(())
}

impl Run {
    async fn job(&self, name: &str) -> Outcome {
        let job = &self.config.jobs[name];
        let host = plan::source(job).ok().and_then(|(host, _)| self.hosts.get(&host).cloned());
        // The host first: a job that waits for it must not keep another from running.
        let _host = match host {
            Some(host) => host.acquire_owned().await.ok(),
            None => None,
        };
        let _turn = self.at_once.acquire().await.ok();
        let began = Instant::now();
        let mut outcome = if self.cancel.is_cancelled() {
            Outcome::failed(name, self.stopped("it was not begun"))
        } else {
            Box::pin(self.leased(name, job)).await
        };
        outcome.seconds = began.elapsed().as_secs_f64();
        let hooks = job.hooks.clone().unwrap_or_default();
        if outcome.code != 0 {
            let facts = [
                ("DBFERRY_EXIT_CODE", outcome.code.to_string()),
                ("DBFERRY_ERROR", outcome.error.as_ref().map(ToString::to_string).unwrap_or_default()),
            ];
            // Also after a signal: it says what happened. It has its own time.
            let cancel = CancellationToken::new();
            let hook = hooks.on_failure.as_ref();
            if let Err(error) =
                hooks::run(hook, &hooks, "on_failure", name, &facts, self.quiet, &cancel).await
            {
                self.cx.warn(error.to_string());
            }
        }
        outcome
    }

    fn stopped(&self, what: &str) -> Error {
        if self.cx.cancellation().is_cancelled() {
            return Error::cancelled();
        }
        Error::new(Stage::Setup, Kind::Temporary, format!("the deadline of the run was over: {what}"))
            .hint("a later `deadline`, more `parallel`, or fewer jobs in one file")
    }

    /// The job under its lease.
    async fn leased(&self, name: &str, job: &Job) -> Outcome {
        let place = match self.place(name, job).await {
            Ok(place) => place,
            Err(error) => return Outcome::failed(name, error),
        };
        let Some((place, names)) = place else { return self.carry(name, job, None, &self.cancel).await };
        let id = Names::new(Timestamp::now(), None, None).id().to_owned();
        let lease = match Lease::take(&place, name, &id).await {
            Ok(lease) => lease,
            Err(error) => return Outcome::failed(name, error),
        };
        let cancel = self.cancel.child_token();
        let mut outcome = {
            let work = self.carry(name, job, Some((&place, &names)), &cancel);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    outcome = &mut work => break outcome,
                    () = tokio::time::sleep(lease::RENEW) => match lease.renew().await {
                        Ok(true) => {}
                        Ok(false) => {
                            self.cx.warn(format!("{name}: another run has taken the lease: this one ends"));
                            cancel.cancel();
                        }
                        Err(error) => self.cx.warn(format!("{name}: {error}")),
                    },
                }
            }
        };
        if let Err(error) = lease.release().await {
            self.cx.warn(format!("{name}: {error}"));
        }
        if cancel.is_cancelled() && !self.cancel.is_cancelled() && outcome.code != 0 {
            outcome.code = 75;
        }
        outcome
    }

    /// Where the first destination that keeps archives has them, and what they are called there.
    async fn place(&self, name: &str, job: &Job) -> Result<Option<(Place, Regex)>> {
        for destination in plan::destinations(name, job) {
            if let Some(place) = plan::place(&destination).await? {
                return Ok(Some((place, plan::names(&destination)?)));
            }
        }
        Ok(None)
    }

    /// Hooks, copy, retention.
    async fn carry(
        &self,
        name: &str,
        job: &Job,
        place: Option<(&Place, &Regex)>,
        cancel: &CancellationToken,
    ) -> Outcome {
        let hooks = job.hooks.clone().unwrap_or_default();
        let hook = hooks.before.as_ref();
        if let Err(error) = hooks::run(hook, &hooks, "before", name, &[], self.quiet, cancel).await {
            let error = if error.is_consequence() { self.stopped("in a hook") } else { error };
            return Outcome::failed(name, error);
        }
        let mut outcome = match self.copy(name, job, cancel).await {
            Ok(outcome) => outcome,
            Err(error) => return Outcome::failed(name, error),
        };
        if outcome.code != 0 {
            return outcome;
        }
        // Before anything older goes: a drill in the hook may find that the new one does not restore.
        let facts = [("DBFERRY_ARCHIVE", outcome.archive().to_owned())];
        let hook = hooks.after.as_ref();
        if let Err(error) = hooks::run(hook, &hooks, "after", name, &facts, self.quiet, cancel).await {
            outcome.note(if error.is_consequence() { self.stopped("in a hook") } else { error });
            return outcome;
        }
        if let (Some(keep), Some(place)) = (&job.keep, place) {
            let id = outcome.id().unwrap_or_default().to_owned();
            match self.retain(keep, place.0, place.1, &id).await {
                Ok((document, verdict)) => {
                    outcome.pruned = Some(document);
                    if let Err(error) = verdict {
                        outcome.note(error);
                    }
                }
                Err(error) => outcome.note(error),
            }
        }
        outcome
    }

    async fn copy(&self, name: &str, job: &Job, cancel: &CancellationToken) -> Result<Outcome> {
        let myself =
            std::env::current_exe().map_err(|e| Error::bug("this program has no path").caused_by(e))?;
        let mut command = tokio::process::Command::new(myself);
        command.args(plan::argv(name, job, self.memory));
        if let (Some(password), (_, Some(variable))) = (&job.password, plan::source(job)?) {
            command.env(variable, password.resolve()?.expose());
        }
        let timeout = job.timeout.as_deref().map(|text| time::parse("timeout", text)).transpose()?;
        let (ended, stop) = child::run(command, name, self.quiet, timeout, cancel).await?;
        let Ended { mut code, output, tail } = ended;
        let said: Option<Value> = serde_json::from_slice(&output).ok();
        let summary = said.clone().filter(|said| said["type"] == "summary");
        let mut error = None;
        // What was published before the signal came is whole, and the process then says so with 0.
        if code != 0 || summary.is_none() {
            error = Some(match stop {
                Some(Stop::Timeout) => {
                    Error::new(Stage::Setup, Kind::Temporary, "the copy took longer than it may")
                        .hint("`timeout` of the job allows for more")
                }
                Some(Stop::Cancelled) => self.stopped("the copy was stopped"),
                None => {
                    let message = said.as_ref().and_then(|said| said["message"].as_str());
                    Error::source(message.map_or_else(
                        || format!("the copy ended with {code}, and said nothing that could be understood"),
                        str::to_owned,
                    ))
                }
            });
            match (&error, stop) {
                (Some(error), Some(_)) if !error.is_consequence() => code = error.exit_code(),
                _ if code == 0 => code = 1,
                _ => {}
            }
        }
        let summary = summary.filter(|_| error.is_none());
        Ok(Outcome { job: name.to_owned(), seconds: 0.0, summary, pruned: None, error, code, tail })
    }

    /// Prunes the archives that the new one replaces, and no others: a place may hold those of other jobs, and of other clusters whose servers are called the
    /// same. So they must be called as this job calls its own, and hold the same.
    async fn retain(
        &self,
        keep: &config::Keep,
        place: &Place,
        names: &Regex,
        id: &str,
    ) -> Result<(Value, Result<()>)> {
        let policy = plan::policy(keep)?;
        let by = [GroupArg::Source, GroupArg::Db];
        let mut catalogue = Catalogue::read(place.clone()).await?;
        let new = catalogue.archives.iter().filter(|archive| archive.id == id);
        let groups: BTreeSet<String> = new.map(|archive| prune::group(archive, &by)).collect();
        if groups.is_empty() {
            return Err(
                Error::mismatch("the archive that was just made is not in the catalogue").with("id", id)
            );
        }
        catalogue.archives.retain(|archive| {
            archive.id == id
                || (names.is_match(&archive.name) && groups.contains(&prune::group(archive, &by)))
        });
        let pruned = prune::prune(catalogue, &policy, &by, Some(id), true, &self.cx).await?;
        Ok((pruned.json(true), pruned.verdict()))
    }
}

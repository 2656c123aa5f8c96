//! The job file: its types, from which its JSON Schema is made, and what is wrong with one.

use std::collections::BTreeMap;
use std::path::Path;

use pipeline::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Reference;

/// Jobs that run from one file.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Memory for all jobs together, such as `512MiB`. Default: 256MiB for each of `parallel`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<String>,
    /// Jobs that run at once. Default: 1
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parallel: Option<usize>,
    /// Jobs that read from one host at once. Default: 1
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) per_host: Option<usize>,
    /// When the whole run must be over, counted from its beginning, such as `6h`. What is not done by then is stopped
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<String>,
    /// The run begins at a random moment within this time, such as `10m`, so that a hundred clusters do not begin at once
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jitter: Option<String>,
    /// Who is told
    pub(crate) report: Report,
    /// What holds for every job that does not say otherwise
    pub(crate) defaults: Job,
    /// The jobs by their names
    pub(crate) jobs: BTreeMap<String, Job>,
}

/// One copy, with what comes before and after.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Job {
    /// The source, as `dbferry copy` takes it. `env:NAME` takes it from the environment, also with its password
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// Where to. `{job}` is the job's name; `{db} {host} {date} {time} {id}` as in `dbferry copy`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<OneOrMany>,
    /// The source's password: `env:NAME` or `file:PATH`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<Reference>,
    /// A profile such as `rds-mysql`, as `--for`
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// Public keys, or files of them, as `--encrypt-to`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encrypt_to: Option<OneOrMany>,
    /// Any other flags of `dbferry copy`, such as `["--redis-db", "0"]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<Vec<String>>,
    /// Which archives of the same source stay once the new one is whole; without it, all do
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keep: Option<Keep>,
    /// Commands around the copy
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hooks: Option<Hooks>,
    /// How long the copy may take, such as `2h`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<String>,
}

/// Retention, as the flags of `dbferry prune`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Keep {
    /// The newest
    pub(crate) last: u32,
    /// The newest of each of the last hours that have one
    pub(crate) hourly: u32,
    /// Days
    pub(crate) daily: u32,
    /// Weeks
    pub(crate) weekly: u32,
    /// Months
    pub(crate) monthly: u32,
    /// Years
    pub(crate) yearly: u32,
    /// All within this time before the newest, such as `14d`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) within: Option<String>,
    /// How much smaller the newest may be, such as `50%`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_shrink: Option<String>,
    /// How large the newest must be, such as `1MiB`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_size: Option<String>,
}

/// Commands around a copy.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Hooks {
    /// Before the copy; when it fails, the job has failed
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Command>,
    /// After a copy that succeeded
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<Command>,
    /// After a job that failed
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_failure: Option<Command>,
    /// How long each may take. Default: 5m
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<String>,
}

/// Who is told how a run ended.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Report {
    /// The JSON summary, written to this file
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// Metrics for the textfile collector of Prometheus' node exporter
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics_file: Option<String>,
    /// The address of a Pushgateway
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pushgateway: Option<Reference>,
    /// A health check: asked as URL/start, URL and URL/fail
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ping: Option<Reference>,
    /// An address that gets the JSON summary
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook: Option<Reference>,
    /// When the webhook is told: `failure` (the default) or `always`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook_on: Option<On>,
}

/// When somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum On {
    /// When a job failed
    Failure,
    /// After every run
    Always,
}

/// One text or several.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    /// One
    One(String),
    /// Several
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn all(&self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text.clone()],
            Self::Many(texts) => texts.clone(),
        }
    }
}

/// A line for the shell, or a program with its arguments.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Command {
    /// For `sh -c`
    Line(String),
    /// Without a shell
    Argv(Vec<String>),
}

impl Job {
    /// The job with the defaults filled in.
    fn or(self, defaults: &Self) -> Self {
        Self {
            from: self.from.or_else(|| defaults.from.clone()),
            to: self.to.or_else(|| defaults.to.clone()),
            password: self.password.or_else(|| defaults.password.clone()),
            profile: self.profile.or_else(|| defaults.profile.clone()),
            encrypt_to: self.encrypt_to.or_else(|| defaults.encrypt_to.clone()),
            options: self.options.or_else(|| defaults.options.clone()),
            keep: self.keep.or_else(|| defaults.keep.clone()),
            hooks: self.hooks.or_else(|| defaults.hooks.clone()),
            timeout: self.timeout.or_else(|| defaults.timeout.clone()),
        }
    }
}

impl Config {
    /// Reads a file, fills the defaults in, and looks for what can be seen to be wrong without asking anybody.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::usage("cannot read the job file").with("file", path.display()).caused_by(error)
        })?;
        let mut config = Self::parse(&text).map_err(|error| error.with("file", path.display()))?;
        let defaults = std::mem::take(&mut config.defaults);
        config.jobs = config.jobs.into_iter().map(|(name, job)| (name, job.or(&defaults))).collect();
        for (name, job) in &config.jobs {
            super::plan::check(name, job).map_err(|error| error.with("file", path.display()))?;
        }
        Ok(config)
    }

    fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let message = error.message().to_owned();
            let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
            // Not the error itself: it repeats the line, which may hold what should be secret.
            let mut refusal = Error::usage(format!("the job file is wrong: {message}"));
            if let Some(line) = line {
                refusal = refusal.with("line", line);
            }
            match suggestion(&message) {
                Some(name) => refusal.hint(format!("did you mean `{name}`?")),
                None => refusal.hint("`dbferry config schema` prints what a job file may hold"),
            }
        })
    }
}

/// Of "unknown field `x`, expected one of `a`, `b`", the name that is most like `x`.
fn suggestion(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut names = rest.split('`').skip(1).step_by(2);
    let wrong = names.next()?;
    // Slips of the hand: a letter too many or too few, or two that changed places, which keeps the length.
    let slips = |name: &str| (strsim::osa_distance(wrong, name), wrong.len().abs_diff(name.len()));
    let name = names.min_by_key(|name| slips(name))?;
    (slips(name).0 <= 1 + wrong.len() / 4).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_errors_with_a_suggestion() {
        for (text, name) in [
            ("paralel = 2\n", "parallel"),
            ("[jobs.a]\nform = 'x'\n", "from"),
            ("[jobs.a.keep]\nmontly = 3\n", "monthly"),
            ("[report]\nweb_hook = 'env:X'\n", "webhook"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert_eq!(error.hints(), [format!("did you mean `{name}`?")], "{error}");
        }
        let twice = Config::parse("[jobs.a]\nfrom = 'x'\n[jobs.a]\nfrom = 'secret'\n").unwrap_err();
        assert!(twice.to_string().contains("duplicate") && twice.to_string().contains("line"), "{twice}");
        assert!(!format!("{twice:?}").contains("secret"));
    }

    #[test]
    fn defaults_hold_for_jobs_that_do_not_say_otherwise() {
        let text = "[defaults]\nto = '/b/'\nkeep = { daily = 7 }\n[jobs.a]\nfrom = 'x'\n[jobs.b]\nfrom = 'y'\nto = ['/c/', '/d/']\n";
        let config = Config::parse(text).unwrap();
        let a = config.jobs["a"].clone().or(&config.defaults);
        let b = config.jobs["b"].clone().or(&config.defaults);
        assert_eq!(a.to.unwrap().all(), ["/b/"]);
        assert_eq!(b.to.unwrap().all(), ["/c/", "/d/"]);
        assert_eq!(b.keep.unwrap().daily, 7);
    }
}

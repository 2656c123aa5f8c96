//! What will become of a copy, before it begins: what fits, what is rewritten on the way, what deserves a look, and what would end it half-way.
//!
//! Everything here reads. A question that an account may not ask is no finding: it is left out, or said to be unknown.

use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Context, Error, Result};
use serde::Serialize;

use crate::report::SideInfo;

mod mysql;
mod postgres;
mod redis;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// It fits.
    Ok,
    /// It does not fit, and is made to on the way.
    Rewritten,
    /// It arrives, and deserves a look.
    Warning,
    /// The copy would fail.
    Blocker,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// How grave.
    pub level: Level,
    /// What was looked at, in two or three words.
    pub subject: &'static str,
    /// What was found.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What is meant to be done.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// The dump is rewritten for a managed target (`--for`).
    pub rewrites: bool,
    /// DEFINER clauses are rewritten (`--definer`).
    pub definers: bool,
    /// The target may hold something (`--overwrite`, `--into-existing`).
    pub may_hold: bool,
    /// Memory of a node of the target in bytes, where it is not asked of the server.
    pub node_memory: Option<u64>,
    /// Logical databases of Redis, by their numbers at the source and at the target; none means all.
    pub databases: Vec<(u64, u64)>,
    /// Redis is read key by key, not as a replica (`--redis-scan`).
    pub scans: bool,
    /// Only some of the keys of Redis are carried.
    pub some_keys: bool,
    /// Only what a moment is enough for: neither rows nor keys are read.
    pub brief: bool,
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// The one side.
    pub source: SideInfo,
    /// The other.
    pub dest: SideInfo,
    /// In the order in which they were looked at.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// The gravest finding.
    pub fn worst(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}

/// Gathers findings.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, subject: &'static str, text: impl Into<String>, fix: Option<&str>) {
        self.0.push(Finding { level, subject, text: text.into(), fix: fix.map(str::to_owned) });
    }

    fn ok(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(Level::Ok, subject, text, None);
    }

    fn warn(&mut self, subject: &'static str, text: impl Into<String>, fix: &str) {
        self.add(Level::Warning, subject, text, Some(fix));
    }

    fn block(&mut self, subject: &'static str, text: impl Into<String>, fix: &str) {
        self.add(Level::Blocker, subject, text, Some(fix));
    }

    /// What is rewritten where rewriting was asked for, and in the way where not.
    fn rewritten(&mut self, rewrites: bool, subject: &'static str, text: impl Into<String>, fix: &str) {
        if rewrites {
            self.add(Level::Rewritten, subject, text, None);
        } else {
            self.block(subject, text, fix);
        }
    }

    /// What the target holds already.
    fn contents(&mut self, holds: &[String], wishes: &Wishes) {
        const FIX: &str = "`--overwrite` removes it, `--into-existing` loads beside it";
        if holds.is_empty() {
            return self.ok("contents", "the target is empty");
        }
        let level = if wishes.may_hold { Level::Warning } else { Level::Blocker };
        self.add(level, "contents", format!("the target holds {}", some(holds)), Some(FIX));
    }

    /// Two clocks, in seconds.
    fn clocks(&mut self, apart: f64) {
        if apart.abs() > 2.0 {
            self.warn(
                "clocks",
                format!("the two servers' clocks are {apart:.1} s apart"),
                "set them by NTP: what expires or is stamped by a server's clock is off by that much",
            );
        } else {
            self.ok("clocks", "the two servers' clocks agree");
        }
    }
}

/// The first few of many names.
fn some(names: &[String]) -> String {
    let text = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{text} and {} more", names.len() - 5) } else { text }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// Looks at both servers, without changing anything.
pub async fn check(
    source: &DatabaseUrl,
    dest: &DatabaseUrl,
    wishes: &Wishes,
    cx: &Context,
) -> Result<Checked> {
    crate::one_of_a_family(source, dest)?;
    let work = async {
        match source.engine {
            Engine::Mysql => mysql::check(source, dest, wishes).await,
            Engine::Postgres => postgres::check(source, dest, wishes).await,
            Engine::Redis => redis::check(source, dest, wishes, cx).await,
        }
    };
    tokio::select! {
        result = work => result,
        () = cx.cancellation().cancelled() => Err(Error::cancelled()),
    }
}

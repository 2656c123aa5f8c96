//! `{db} {host} {date} {time} {id}` in the names of destinations.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pipeline::{Error, Result};

/// The values of one run's placeholders.
#[derive(Debug, Clone)]
pub(crate) struct Names(BTreeMap<&'static str, String>);

impl Names {
    /// Date, time (both UTC) and a unique id, and what the source is called.
    pub(crate) fn new(now: Timestamp, db: Option<String>, host: Option<String>) -> Self {
        let at = now.to_zoned(TimeZone::UTC);
        // A fresh RandomState is keyed by the operating system's randomness.
        let random = RandomState::new().hash_one(now.as_nanosecond());
        let date = at.strftime("%Y-%m-%d").to_string();
        let time = at.strftime("%H%M%S").to_string();
        let id = format!("{}t{time}z-{:08x}", at.strftime("%Y%m%d"), random & 0xffff_ffff);
        let mut values = BTreeMap::from([("date", date), ("time", time), ("id", id)]);
        values.extend(db.map(|db| ("db", db)));
        values.extend(host.map(|host| ("host", host)));
        Self(values)
    }

    /// The run's unique id.
    pub(crate) fn id(&self) -> &str {
        &self.0["id"]
    }

    /// The same for one of `of` archives that share a stream: `{shard}` is its number from 1, as wide as the last one's.
    #[must_use]
    pub(crate) fn of_shard(&self, number: u16, of: u16) -> Self {
        let mut names = self.clone();
        names.0.insert("shard", format!("{number:0width$}", width = of.to_string().len()));
        names
    }

    /// What the archive is called when the user named only its folder.
    pub(crate) fn default_stem(&self) -> String {
        let name = self.0.get("db").or_else(|| self.0.get("host")).map_or("dump", String::as_str);
        let shard = self.0.get("shard").map_or_else(String::new, |number| format!("-{number}"));
        format!("{name}-{}-{}{shard}", self.0["date"], self.0["time"])
    }

    /// Fills the placeholders in. A value never adds a `/`.
    pub(crate) fn fill(&self, template: &str) -> Result<String> {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}').map(|at| open + at) else { break };
            out.push_str(&rest[..open]);
            let name = &rest[open + 1..close];
            let value = self.0.get(name).ok_or_else(|| self.refuse(template, name))?;
            out.push_str(&value.replace(['/', '\0'], "_"));
            rest = &rest[close + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn refuse(&self, template: &str, name: &str) -> Error {
        let known = self.0.keys().map(|key| format!("{{{key}}}")).collect::<Vec<_>>().join(" ");
        Error::usage(format!("`{{{name}}}` in `{template}` has no value for this source"))
            .hint(format!("placeholders of this run: {known}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        let at: Timestamp = "2026-11-20T01:02:03Z".parse().unwrap();
        let names = Names::new(at, Some("sys/tem".into()), None);
        assert_eq!(names.fill("a/{db}-{date}T{time}.sql").unwrap(), "a/sys_tem-2026-11-20T010203.sql");
        assert_eq!(names.fill("plain").unwrap(), "plain");
        assert_eq!(names.fill("odd{").unwrap(), "odd{");
        let error = names.fill("{host}").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.hints()[0].contains("{db}"));
        assert_eq!(names.of_shard(2, 12).fill("{shard}.rdb").unwrap(), "02.rdb");
        assert_ne!(names.id(), Names::new(at, None, None).id(), "two runs in the same second differ");
    }
}

//! Looks at what a stream carries and puts the step behind it that understands it.
//!
//! A live source knows what it sends; a file, a pipe or a command does not, and a file's ending is only a name. So the first bytes decide, and
//! what was asked for is held against what is there.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use pipeline::{Chain, Error, Format, Output, Result, Transform, TransformReport};

use crate::{mysql, postgres, rdb, tar};

/// Enough to get past the comments that dump tools and people put in front.
const LOOK: usize = 16 << 10;

/// What the user wants done with a stream, before anybody knows what it is.
#[derive(Debug, Clone, Default)]
pub struct Interpretation {
    /// What it is, when the source or the user says so.
    pub format: Option<Format>,
    /// Options for MySQL dumps.
    pub mysql: mysql::Options,
    /// Options for PostgreSQL dumps.
    pub postgres: postgres::RewriteOptions,
    /// The `pg_restore` that makes a plain dump of a custom-format one, where that is wanted.
    pub pg_restore: Option<PathBuf>,
    /// Options for Redis and Valkey snapshots.
    pub rdb: rdb::Options,
    /// The formats that the user's flags speak of, with the flag: another format is then a usage error.
    pub only: Option<(&'static [Format], String)>,
    /// Where to put what is found inside; `None` does not look.
    pub inspection: Option<Inspection>,
}

/// What was found inside a stream; shared with whoever asked.
pub type Inspection = Arc<Mutex<Contents>>;

/// The contents of a stream.
#[derive(Debug, Default, Clone, serde::Serialize)]
#[serde(tag = "format", rename_all = "kebab-case")]
pub enum Contents {
    /// Nothing was looked at yet, or there is nothing to look at.
    #[default]
    Unknown,
    /// A MySQL dump.
    Mysql(mysql::Summary),
    /// A PostgreSQL dump, plain or custom.
    Postgres(postgres::PostgresSummary),
    /// A Redis or Valkey snapshot.
    Rdb(rdb::Summary),
}

/// The transform.
pub struct Interpret {
    wanted: Interpretation,
    head: BytesMut,
    chosen: Option<Chosen>,
}

struct Chosen {
    format: Format,
    chain: Chain,
    /// The plain dump of an archive in custom format comes out.
    restored: bool,
    contents: Option<Found>,
}

impl std::fmt::Debug for Interpret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interpret")
            .field("format", &self.chosen.as_ref().map(|c| c.format))
            .finish_non_exhaustive()
    }
}

impl Interpret {
    /// Decides when the first bytes are there.
    pub fn new(wanted: Interpretation) -> Self {
        Self { wanted, head: BytesMut::new(), chosen: None }
    }

    fn choose(&mut self, out: &mut dyn Output) -> Result<Chosen> {
        let mut format = self.wanted.format.unwrap_or_else(|| sniff(&self.head));
        if let Some((fits, flag)) = &self.wanted.only
            && !fits.contains(&format)
        {
            return Err(Error::usage(format!(
                "`{flag}` does not fit: the source carries {}",
                describe(format)
            ))
            .hint("give the flag that fits, or `--format` when the content does not tell what it is"));
        }
        let look = self.wanted.inspection.is_some();
        let mut steps: Vec<Box<dyn Transform>> = Vec::new();
        let mut contents: Option<Found> = None;
        match format {
            Format::Mysql => {
                steps.push(Box::new(mysql::MysqlRewrite::new(self.wanted.mysql.clone())));
                if look {
                    let (inspect, summary) = mysql::MysqlInspect::new(true);
                    steps.push(Box::new(inspect));
                    contents = Some(Box::new(move || Contents::Mysql(taken(&summary))));
                }
            }
            Format::Postgres => {
                steps.push(Box::new(postgres::PostgresRewrite::new(self.wanted.postgres.clone())));
                look_into_postgres(look, &mut steps, &mut contents);
            }
            Format::PostgresCustom => {
                steps.push(Box::new(postgres::PostgresCustomCheck::new()));
                if let Some(program) = &self.wanted.pg_restore {
                    steps.push(Box::new(postgres::PostgresRestore::start(program)?));
                    steps.push(Box::new(postgres::PostgresRewrite::new(self.wanted.postgres.clone())));
                }
                look_into_postgres(look, &mut steps, &mut contents);
            }
            Format::Tar => steps.push(Box::<tar::TarCheck>::default()),
            Format::Rdb => {
                let mut step = rdb::RdbStep::new(self.wanted.rdb.clone());
                if look {
                    let summary;
                    (step, summary) = step.inspecting();
                    contents = Some(Box::new(move || Contents::Rdb(taken(&summary))));
                }
                steps.push(Box::new(step));
            }
            _ => {}
        }
        let mut chain = Chain::new(steps);
        let restored = format == Format::PostgresCustom && self.wanted.pg_restore.is_some();
        if restored {
            format = Format::Postgres;
        }
        chain.push(self.head.split().freeze(), out)?;
        Ok(Chosen { format, chain, restored, contents })
    }
}

type Found = Box<dyn FnOnce() -> Contents + Send>;

fn look_into_postgres(look: bool, steps: &mut Vec<Box<dyn Transform>>, contents: &mut Option<Found>) {
    if look {
        let (inspect, summary) = postgres::PostgresInspect::new();
        steps.push(Box::new(inspect));
        *contents = Some(Box::new(move || Contents::Postgres(taken(&summary))));
    }
}

fn taken<T: Default>(shared: &Mutex<T>) -> T {
    std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Transform for Interpret {
    fn name(&self) -> &'static str {
        "interpret"
    }

    fn memory(&self) -> usize {
        let rdb = || {
            let step = rdb::RdbStep::new(self.wanted.rdb.clone());
            if self.wanted.inspection.is_some() { step.inspecting().0.memory() } else { step.memory() }
        };
        if self.wanted.format == Some(Format::Rdb) {
            return rdb();
        }
        // What is chosen is not known yet: room for the largest one.
        let mysql = mysql::MysqlRewrite::new(self.wanted.mysql.clone()).memory();
        let mut postgres = postgres::PostgresRewrite::new(self.wanted.postgres.clone()).memory();
        if self.wanted.pg_restore.is_some() {
            postgres += postgres::PostgresCustomCheck::new().memory() + postgres::PostgresRestore::MEMORY;
        }
        mysql.max(postgres).max(rdb())
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        if let Some(chosen) = &mut self.chosen {
            return chosen.chain.push(input, out);
        }
        self.head.extend_from_slice(&input);
        if self.wanted.format.is_some() || self.head.len() >= LOOK {
            self.chosen = Some(self.choose(out)?);
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        let Chosen { format, chain, restored, contents } = match self.chosen.take() {
            Some(chosen) => chosen,
            None => self.choose(out)?,
        };
        // The first step is the format's own, or the last where it becomes another; the one that inspects has nothing to say here.
        let mut reports = chain.finish(out)?.into_iter();
        let report = if restored { reports.next_back() } else { reports.next() };
        let mut report = report.unwrap_or_else(|| TransformReport::new("interpret"));
        report.format = Some(match self.wanted.rdb.text {
            Some(form) if format == Format::Rdb => form.format(),
            _ => format,
        });
        let trailer = match format {
            Format::Mysql => Some(self.wanted.mysql.require_trailer),
            Format::Postgres => Some(self.wanted.postgres.require_trailer),
            _ => None,
        };
        if let Some(required) = trailer {
            // `verify` asks for no more than was asked for then.
            let rule = if required { "required" } else { "waived" };
            report.settings.insert("trailer".to_owned(), rule.to_owned());
        }
        if let (Some(inspection), Some(contents)) = (&self.wanted.inspection, contents) {
            *inspection.lock().unwrap_or_else(PoisonError::into_inner) = contents();
        }
        Ok(report)
    }
}

fn describe(format: Format) -> &'static str {
    match format {
        Format::Mysql => "a MySQL dump",
        Format::Postgres => "a PostgreSQL dump",
        Format::PostgresCustom => "a PostgreSQL dump in custom format",
        Format::Tar => "a tar stream",
        Format::Rdb => "a Redis snapshot",
        Format::Resp => "commands for a Redis server",
        Format::JsonLines => "lines of JSON",
        _ => "something that is no known dump",
    }
}

/// What the first bytes of a stream say that it is.
pub fn sniff(head: &[u8]) -> Format {
    if head.starts_with(b"PGDMP") {
        return Format::PostgresCustom;
    }
    if head.starts_with(b"REDIS0") || head.starts_with(b"VALKEY0") {
        return Format::Rdb;
    }
    // ustar's magic is "ustar\0", old GNU's is "ustar ".
    if head.get(257..262) == Some(b"ustar".as_slice()) {
        return Format::Tar;
    }
    let head = &head[..head.len().min(LOOK)];
    // What stands earliest decides: a dump's own header comes before any text that it may carry.
    const MYSQL: [&[u8]; 9] = [
        b"-- MySQL dump",
        b"-- MariaDB dump",
        b"-- mysqldump",
        b"/*!40",
        b"/*!50",
        b"/*!80",
        b"999999\\-",
        b"CREATE TABLE `",
        b"INSERT INTO `",
    ];
    const POSTGRES: [&[u8]; 7] = [
        b"-- PostgreSQL database",
        b"\\restrict ",
        b"SET standard_conforming_strings",
        b"SET client_encoding",
        b"pg_catalog.",
        b" FROM stdin;\n",
        b"SET search_path",
    ];
    let first = |marks: &[&[u8]]| marks.iter().filter_map(|mark| memmem::find(head, mark)).min();
    match (first(&MYSQL), first(&POSTGRES)) {
        (Some(mysql), Some(postgres)) if postgres < mysql => Format::Postgres,
        (Some(_), _) => Format::Mysql,
        (None, Some(_)) => Format::Postgres,
        (None, None) => Format::Opaque,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell() {
        let mut ustar = vec![0; 512];
        ustar[257..263].copy_from_slice(b"ustar\0");
        for (head, format) in [
            (&b"PGDMP\x01\x0e"[..], Format::PostgresCustom),
            (b"REDIS0011", Format::Rdb),
            (b"VALKEY080", Format::Rdb),
            (&ustar, Format::Tar),
            (b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19", Format::Mysql),
            (b"-- MySQL dump 10.13  Distrib 9.7.0", Format::Mysql),
            (b"DROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (\n  `a` int\n);", Format::Mysql),
            (b"--\n-- PostgreSQL database dump\n--\n\n\\restrict x", Format::Postgres),
            (b"--\n-- PostgreSQL database cluster dump\n--\n", Format::Postgres),
            (b"SET client_encoding = 'UTF8';\nCOPY t FROM stdin;\n-- MySQL dump\n", Format::Postgres),
            (b"-- MySQL dump 10.13\nINSERT INTO `t` VALUES ('pg_catalog.x');", Format::Mysql),
            (b"hello", Format::Opaque),
            (b"", Format::Opaque),
        ] {
            assert_eq!(sniff(head), format, "{}", head.escape_ascii());
        }
    }
}

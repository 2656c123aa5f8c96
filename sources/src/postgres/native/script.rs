//! The order of a dump, which is that of `pg_dump`: the schema, the rows of the tables, sequences, large objects, indexes and constraints,
//! privileges.

use std::sync::Arc;

use connections::postgres::wire::{Failure, Wire};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, FrameSender, Kind, Result};
use tokio::sync::mpsc;

use super::look::{Relation, Shape};
use super::ranges::{Ranges, Seen};
use super::section::Section;
use super::{Job, broken, refused};
use crate::window::{self, Fetched, Joiner, TARGET};

/// Sequences that are read by one statement.
const BATCH: usize = 200;

/// What is delivered of the tables, in order.
pub(super) enum Segment {
    Text(Vec<u8>),
    Rows(mpsc::Receiver<Fetched>),
    /// These were all.
    End,
}

/// What the dump is made of.
pub(super) struct Script<'a> {
    pub(super) url: &'a DatabaseUrl,
    pub(super) relations: &'a [Relation],
    /// The dump names no owners.
    pub(super) without_owners: bool,
    /// Whether tables are cut at all.
    pub(super) split: bool,
    /// Bytes of a block.
    pub(super) block: u64,
    /// The readers hold locks on all tables.
    pub(super) locked: bool,
    /// Whether rows and the values of sequences are dumped.
    pub(super) fills: bool,
}

impl Script<'_> {
    fn of(&self, shape: Shape) -> impl Iterator<Item = &Relation> {
        self.relations.iter().filter(move |relation| relation.shape == shape)
    }

    /// Hands the tables' ranges to the connections. Where nobody takes them any more it stops short of [`Segment::End`]: whoever stopped
    /// taking them says why.
    pub(super) async fn hand_out(&self, jobs: mpsc::Sender<Job>, segments: mpsc::Sender<Segment>) {
        for table in self.of(Shape::Table).filter(|_| self.fills) {
            if segments.send(Segment::Text(self.head(table))).await.is_err() {
                return;
            }
            let seen = Arc::new(Seen::default());
            let mut ranges = Ranges::plan(table, self.split, self.block, TARGET);
            while let Some(range) = ranges.next(&seen) {
                let (to, rows) = window::piece();
                let job = Job {
                    table: table.shown(),
                    copy: self.copy(table, &range.condition),
                    blocks: range.blocks,
                    to,
                    seen: Arc::clone(&seen),
                };
                // In this order: a range that waits for a connection already has its place.
                if segments.send(Segment::Rows(rows)).await.is_err() || jobs.send(job).await.is_err() {
                    return;
                }
            }
            if segments.send(Segment::Text(b"\\.\n\n\n".to_vec())).await.is_err() {
                return;
            }
        }
        // Whoever takes no more has an error of its own.
        segments.send(Segment::End).await.ok();
    }

    /// `COPY` as `pg_dump` asks for it, of the rows that fulfil `condition`.
    pub(super) fn copy(&self, table: &Relation, condition: &str) -> Vec<u8> {
        let Relation { quoted, columns, condition: own, wanted, .. } = table;
        let copy = if [condition.as_bytes(), own, wanted].iter().all(|text| text.is_empty()) {
            [b"COPY ", quoted.as_slice(), b" ", columns, b" TO STDOUT"].concat()
        } else {
            let names = columns.strip_prefix(b"(").and_then(|names| names.strip_suffix(b")")).unwrap_or(b"*");
            // An extension's own condition brings its word, and its table is never cut.
            let each: Vec<&[u8]> =
                [condition.as_bytes(), wanted].into_iter().filter(|text| !text.is_empty()).collect();
            let condition = match (own.is_empty(), each.is_empty()) {
                (true, _) => [b"WHERE ", each.join(&b" AND "[..]).as_slice()].concat(),
                (false, true) => own.clone(),
                (false, false) => [own, b" AND ".as_slice(), &each.join(&b" AND "[..])].concat(),
            };
            [b"COPY (SELECT ", names, b" FROM ONLY ", quoted, b" ", &condition, b") TO STDOUT"].concat()
        };
        if self.locked {
            return copy;
        }
        [
            b"SAVEPOINT dbferry; LOCK TABLE ONLY ",
            quoted.as_slice(),
            b" IN ACCESS SHARE MODE NOWAIT; ",
            &copy,
            b"; ROLLBACK TO SAVEPOINT dbferry; RELEASE SAVEPOINT dbferry",
        ]
        .concat()
    }

    /// What stands in front of a table's rows.
    fn head(&self, table: &Relation) -> Vec<u8> {
        let mut text = self.comment("Data for Name", table, "TABLE DATA");
        let into = table.root.as_ref().unwrap_or(&table.quoted);
        if table.root.is_some() {
            text.extend([b"-- load via partition root ", line(into).as_slice(), b"\n\n"].concat());
        }
        text.extend([b"COPY ", into.as_slice(), b" ", &table.columns, b" FROM stdin;\n"].concat());
        text
    }

    fn comment(&self, what: &str, relation: &Relation, kind: &str) -> Vec<u8> {
        let owner = if self.without_owners { b"-".to_vec() } else { line(&relation.owner) };
        let (name, schema) = (line(&relation.name), line(&relation.schema));
        [
            format!("--\n-- {what}: ").as_bytes(),
            &name,
            format!("; Type: {kind}; Schema: ").as_bytes(),
            &schema,
            b"; Owner: ",
            &owner,
            b"\n--\n\n",
        ]
        .concat()
    }

    /// Puts it all together, each piece whole before the next.
    pub(super) async fn deliver(
        &self,
        mut tables: mpsc::Receiver<Segment>,
        mut before: Section,
        mut objects: Option<Section>,
        mut after: Section,
        leader: &mut Wire,
        out: &mut FrameSender,
    ) -> Result<()> {
        let place = self.url.place();
        let mut joiner = Joiner::new(out);
        before.early(&mut joiner).await?;
        loop {
            match tables.recv().await.ok_or_else(Error::closed)? {
                Segment::Text(text) => joiner.text(&text).await?,
                Segment::Rows(rows) => joiner.rows(rows, &place).await?,
                Segment::End => break,
            }
        }
        self.sequences(leader, &mut joiner).await?;
        if let Some(objects) = &mut objects {
            objects.early(&mut joiner).await?;
        }
        after.early(&mut joiner).await?;
        let tail = before.late(&mut joiner).await?;
        if let Some(objects) = objects {
            objects.late(&mut joiner).await?;
        }
        after.late(&mut joiner).await?;
        // With its transaction went the locks, and with them what kept the tables as they were.
        leader.execute("COMMIT").await.map_err(|failure| {
            broken(failure, self.url)
                .hint("the connection that held the tables' locks was lost before all was read")
        })?;
        joiner.text(&tail).await?;
        joiner.flush().await
    }

    /// The values of the sequences.
    pub(super) async fn sequences(&self, leader: &mut Wire, joiner: &mut Joiner<'_>) -> Result<()> {
        let strange = || Error::source("the server gives no value of a sequence");
        let sequences: Vec<&Relation> = self.of(Shape::Sequence).filter(|_| self.fills).collect();
        for batch in sequences.chunks(BATCH) {
            let mut sql = Vec::new();
            for (index, sequence) in batch.iter().enumerate() {
                let union = if index == 0 { "" } else { " UNION ALL " };
                sql.extend(format!("{union}SELECT {index}, last_value, is_called FROM ").as_bytes());
                sql.extend(&sequence.quoted);
            }
            // Afterwards the sequences need not be locked any more.
            let sql = [
                b"SAVEPOINT dbferry; ",
                sql.as_slice(),
                b" ORDER BY 1; ROLLBACK TO SAVEPOINT dbferry; RELEASE SAVEPOINT dbferry",
            ]
            .concat();
            let rows = leader.rows(sql).await.map_err(|failure| match failure {
                Failure::Server { code, message } => refused(&code, &message, "the sequences cannot be read"),
                Failure::Lost(error) => Error::source(format!(
                    "the connection to {} that holds the snapshot was lost",
                    self.url.place()
                ))
                .of_kind(Kind::Temporary)
                .caused_by(error),
            })?;
            if rows.len() != batch.len() {
                return Err(strange());
            }
            for (sequence, row) in batch.iter().zip(rows) {
                let [_, Some(last), Some(called)]: [Option<Vec<u8>>; 3] =
                    row.try_into().map_err(|_| strange())?
                else {
                    return Err(strange());
                };
                let name: Vec<u8> = sequence
                    .quoted
                    .iter()
                    .flat_map(|byte| if *byte == b'\'' { vec![b'\'', b'\''] } else { vec![*byte] })
                    .collect();
                let called: &[u8] = if called == b"t" { b"true" } else { b"false" };
                let mut text = self.comment("Name", sequence, "SEQUENCE SET");
                text.extend(
                    [
                        b"SELECT pg_catalog.setval('",
                        name.as_slice(),
                        b"', ",
                        &last,
                        b", ",
                        called,
                        b");\n\n\n",
                    ]
                    .concat(),
                );
                joiner.text(&text).await?;
            }
        }
        Ok(())
    }
}

/// A name in a comment, which ends with its line.
fn line(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

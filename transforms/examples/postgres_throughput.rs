//! Measures how fast dumps pass the PostgreSQL transforms, in CPU time of one core (Linux): `cargo run --release --example postgres_throughput`.

#![allow(clippy::print_stdout, reason = "a benchmark talks to its reader")]

use bytes::Bytes;
use pipeline::{Error, Output, Result, Transform};
use transforms::postgres::{PostgresInspect, PostgresRewrite, Profile, RewriteOptions};

const SIZE: usize = 256 << 20;
const PIECE: usize = 256 << 10;
const ROUNDS: usize = 5;

/// Seconds that this thread has had a core: neighbours on a busy machine do not count.
fn cpu_time() -> Result<f64> {
    let failed =
        |error: &dyn std::fmt::Display| Error::source(format!("/proc/thread-self/schedstat: {error}"));
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").map_err(|error| failed(&error))?;
    let nanoseconds: f64 = stat
        .split(' ')
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|error: std::num::ParseFloatError| failed(&error))?;
    Ok(nanoseconds / 1e9)
}

/// Counts and forgets.
struct Nowhere(usize);

impl Output for Nowhere {
    fn emit(&mut self, data: Bytes) -> Result<()> {
        self.0 += data.len();
        Ok(())
    }
}

fn repeat(head: &str, row: impl Fn(usize) -> String, tail: &str) -> Bytes {
    let mut dump = Vec::with_capacity(SIZE + 4096);
    dump.extend_from_slice(head.as_bytes());
    let block: String = (0..5000).map(row).collect();
    while dump.len() < SIZE {
        dump.extend_from_slice(block.as_bytes());
    }
    dump.extend_from_slice(tail.as_bytes());
    dump.into()
}

fn rewriter() -> Box<dyn Transform> {
    Box::new(PostgresRewrite::new(RewriteOptions {
        profile: Some(Profile::RdsPostgres),
        ..RewriteOptions::default()
    }))
}

fn measure(name: &str, dump: &Bytes, make: impl Fn() -> Box<dyn Transform>) -> Result<()> {
    let mut rates = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let mut step = make();
        let mut out = Nowhere(0);
        let start = cpu_time()?;
        for at in (0..dump.len()).step_by(PIECE) {
            step.push(dump.slice(at..dump.len().min(at + PIECE)), &mut out)?;
        }
        step.finish(&mut out)?;
        rates.push(dump.len() as f64 / (cpu_time()? - start) / 1e9);
        assert_eq!(out.0, dump.len(), "nothing in it is to be changed");
    }
    rates.sort_by(f64::total_cmp);
    println!("{name:<40} {:>6.2} GB/s (median of {ROUNDS})", rates[ROUNDS / 2]);
    Ok(())
}

fn main() -> Result<()> {
    let head = "SET standard_conforming_strings = on;\n\nCOPY public.t (id, name, at, data) FROM stdin;\n";
    let row = |n| {
        format!("{n}\tuser {n} of the system\t2026-11-20 12:00:{:02}+00\t\\\\x{:032x}\n", n % 60, n * 7919)
    };
    let copy = repeat(head, row, "\\.\n");
    measure("COPY rows, postgres-rewrite", &copy, rewriter)?;
    measure("COPY rows, postgres-inspect", &copy, || Box::new(PostgresInspect::new().0))?;
    drop(copy);

    let row = |n| {
        format!(
            "INSERT INTO public.t VALUES ({n}, 'user {n} of the system', NULL, '\\x{:032x}');\n",
            n * 7919
        )
    };
    let inserts = repeat("SET standard_conforming_strings = on;\n\n", row, "");
    measure("INSERT of one row each, postgres-rewrite", &inserts, rewriter)?;
    drop(inserts);

    let row = |n| format!("\t({n}, 'user {n} of the system', NULL, '\\x{:032x}'),\n", n * 7919);
    let inserts = repeat("INSERT INTO public.t VALUES\n", row, "\t(0, '', NULL, '');\n");
    measure("INSERT of many rows, postgres-rewrite", &inserts, rewriter)?;
    drop(inserts);

    let row = |n| {
        format!(
            "CREATE TABLE public.t{n} (\n    id integer NOT NULL,\n    name text DEFAULT 'x;'::text\n);\n\n\n"
        )
    };
    let ddl = repeat("SET standard_conforming_strings = on;\n\n", row, "");
    measure("DDL, postgres-rewrite", &ddl, rewriter)
}

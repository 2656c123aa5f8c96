//! Many reads with faults at random requests: what arrives is what was stored, or nothing is published.
//!
//! `DBFERRY_S3_CAMPAIGN=5000 cargo test -p dbferry-sources --lib campaign` does more of them, `DBFERRY_S3_SEED=7` others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline::testing::{MemoryStore, Random, content, manifest};
use test_servers::s3::{Care, FakeS3, Fault, Op, Quirks};

use super::S3Source;
use super::tests::{copy_into, url};

const RUNS: u64 = 60;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn random_fault(random: &mut Random) -> Fault {
    match random.below(8) {
        0 => Fault::Status(503, "SlowDown"),
        1 => Fault::Status(500, "InternalError"),
        2 => Fault::Reset,
        3 => Fault::LostAnswer,
        4 | 5 => Fault::CutAnswer,
        6 => Fault::Corrupt,
        _ => Fault::Stall(Duration::from_millis(30)),
    }
}

/// An archive of one stream or of several parts, as some run left it. Returns its key and its parts.
fn plant(server: &FakeS3, random: &mut Random) -> (&'static str, BTreeMap<String, Vec<u8>>) {
    let mut data = |most: usize| {
        let length = random.below(most);
        Random::new(random.next_u64()).bytes(length)
    };
    let mut parts = BTreeMap::new();
    if data(2).is_empty() {
        parts.insert(String::new(), data(5 << 20));
        let stored = &parts[""];
        server.plant("x/one.bin", stored);
        let json = manifest("old", &[("one.bin", content(stored))]).to_json().expect("json");
        server.plant("x/one.bin.manifest.json", &json);
        return ("x/one.bin", parts);
    }
    for (path, most) in [("a", 3 << 20), ("b/c", 1000), ("b/d", 700_000)] {
        parts.insert(path.to_owned(), data(most));
    }
    let described: Vec<_> = parts.iter().map(|(path, data)| (path.as_str(), content(data))).collect();
    let json = manifest("old", &described).to_json().expect("json");
    for (path, data) in &parts {
        server.plant(&format!("x/many/{path}"), data);
    }
    server.plant("x/many/manifest.json", &json);
    ("x/many", parts)
}

async fn one(seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    // A store that tells a checksum of the whole, or one where the manifest must do.
    let crc64 = if random.below(3) == 0 { Care::Ignored } else { Care::Checked };
    let server = Arc::new(FakeS3::start(Quirks { crc64, ..Quirks::default() }).expect("a server"));
    let (key, parts) = plant(&server, &mut random);
    let odds = [40, 12, 5][random.below(3)];
    // Sometimes somebody replaces what is being read.
    let replaced_at = (random.below(4) == 0).then(|| random.below(12) as u64);
    let faults = Arc::new(Mutex::new((random.clone(), Vec::new())));
    let (chooser, planter) = (Arc::clone(&faults), Arc::clone(&server));
    let first = server.requests();
    server.faults(move |seen| {
        if replaced_at == Some(seen.number - first) && seen.op == Op::GetObject {
            planter.plant(&seen.key, &Random::new(seed ^ 1).bytes(300_000));
        }
        let mut guard = chooser.lock().ok()?;
        let (random, told) = &mut *guard;
        let fault = (random.below(odds) == 0).then(|| random_fault(random))?;
        told.push((seen.number, seen.op, fault));
        Some(fault)
    });
    let mut url = url(&server, key);
    url.retry = Duration::from_secs(1);
    let store = MemoryStore::new();
    let outcome = copy_into(S3Source::new(url, 4 << 20), &store).await;
    server.heal();
    let view = store.view();
    let told = faults.lock().map(|told| told.1.clone()).unwrap_or_default();
    let fail = |what: &str| Err(format!("seed {seed}: {what}; outcome {outcome:?}; faults {told:?}"));
    match &outcome {
        Ok(()) if view.parts != parts => fail("other bytes arrived"),
        Err(_) if view.manifest.is_some() => fail("a failed run has published"),
        Err(error) if ![3, 6, 75].contains(&error.exit_code()) => fail("the exit code"),
        _ => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faults_at_random_never_change_what_is_read() {
    let (runs, first) = (number("DBFERRY_S3_CAMPAIGN", RUNS), number("DBFERRY_S3_SEED", 1) * 1_000_000);
    let mut going: tokio::task::JoinSet<Result<(), String>> = tokio::task::JoinSet::new();
    let mut failed = Vec::new();
    for seed in first..first + runs {
        while going.len() >= 8 {
            failed.extend(going.join_next().await.and_then(|done| done.expect("no panic").err()));
        }
        going.spawn(one(seed));
    }
    while let Some(done) = going.join_next().await {
        failed.extend(done.expect("no panic").err());
    }
    assert!(failed.is_empty(), "{} of {runs}:\n{}", failed.len(), failed.join("\n"));
}

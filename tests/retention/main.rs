//! A month of nightly runs under a controlled clock: failures, shrunk dumps, killed runs and concurrent runs strewn in at random, on real
//! folders through the real destination. What retention keeps is held against a second, naive model of the rules.
//!
//! `DBFERRY_RETENTION_SEEDS=1000 TMPDIR=/dev/shm cargo nextest run --test retention` runs as many months; on a disk it waits for the disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod model;

use std::path::Path;

use archives::record::{Check, Record};
use archives::retention::{Candidate, Policy, Soundness, judge};
use archives::{Catalogue, Place, Standing};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::Night;
use pipeline::destination::{PartHeader, Proof};
use pipeline::digest::Content;
use pipeline::{Context, Destination, Format, Manifest, PartManifest, Phase, SourceInfo};
use sinks::{FileDestination, FileOptions};

/// xorshift64*: the same month for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn seeds() -> u64 {
    std::env::var("DBFERRY_RETENTION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

#[test]
fn a_month_of_nights_on_real_folders() {
    let months = |half: u64| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for seed in (1..=seeds()).filter(|seed| seed % 2 == half) {
            runtime.block_on(month(seed));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| months(0));
        months(1);
    });
}

/// A person has looked at an archive, and says that it is as large as it should be.
async fn accept(folder: &Path, night: &mut Night) {
    let manifest = format!("{}.manifest.json", night.name);
    let written = Manifest::parse(&std::fs::read(folder.join(&manifest)).unwrap()).unwrap();
    let record = Record { accepted: true, ..Record::new(&written, Check::Verify, true, "whole") };
    record.store(&Place::Folder(folder.to_owned()), &manifest).await.unwrap();
    night.accepted = true;
}

/// What a night's run did.
struct Run {
    started: Timestamp,
    bytes: usize,
    proof: Proof,
    /// Killed at this step, if it was: 0 staged, 1 committed, 2 published.
    killed: Option<u64>,
}

async fn month(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let folder = tempfile::tempdir().unwrap();
    let policy = random_policy(&mut random);
    let mut nights: Vec<Night> = Vec::new();
    let mut number = 0;
    // Through the last Sunday of October, the night that has an hour twice.
    let first: Timestamp = "2026-10-11T23:30:00Z".parse().unwrap();
    for night in 0..30_i64 {
        let mut now = first + SignedDuration::from_hours(24 * night);
        // Sometimes the job runs twice at once, or an hour later again.
        let runs = if random.one_in(6) { 2 } else { 1 };
        for run in 0..runs {
            now += SignedDuration::from_mins(i64::try_from(1 + random.below(89)).unwrap() * run);
            let bytes =
                usize::try_from(if random.one_in(8) { random.below(400) } else { 900 + random.below(200) })
                    .unwrap();
            let proof = if random.one_in(10) { Proof::Unverified } else { Proof::Synced };
            let killed = random.one_in(5).then(|| random.below(3));
            let run = Run { started: now, bytes, proof, killed };
            number += 1;
            let name = format!("db-{number}.sql");
            if let Some(made) = nightly(folder.path(), &name, &run, seed, &mut random).await {
                nights.push(made);
            }
        }
        if random.one_in(10) && !nights.is_empty() {
            // Bytes rot: a piece loses its end.
            let victim = usize::try_from(random.below(nights.len() as u64)).unwrap();
            let night = &mut nights[victim];
            if night.bytes > 0 {
                std::fs::write(folder.path().join(&night.name), vec![b'x'; night.bytes - 1]).unwrap();
                night.soundness = Soundness::Failed;
            }
        }
        if random.one_in(9)
            && let Some(newest) = nights.iter_mut().max_by_key(|night| night.at)
            && newest.soundness == Soundness::Verified
        {
            accept(folder.path(), newest).await;
        }
        if random.one_in(7) {
            continue; // This night retention does not run.
        }
        let now = now + SignedDuration::from_mins(30);
        prune(folder.path(), &policy, now, &mut nights, seed).await;
        let leftovers = sinks::file::gc::find(folder.path(), std::time::Duration::ZERO).unwrap();
        leftovers.staged.iter().for_each(|leftover| sinks::file::gc::remove(leftover).unwrap());
    }
    everything_shown_is_whole(folder.path(), &nights, seed).await;
}

fn random_policy(random: &mut Random) -> Policy {
    loop {
        let mut n = |most| u32::try_from(if random.one_in(2) { random.below(most) } else { 0 }).unwrap();
        let policy = Policy {
            last: n(4),
            hourly: n(5),
            daily: n(9),
            weekly: n(4),
            monthly: n(3),
            yearly: n(2),
            within: (n(3) > 0).then(|| SignedDuration::from_hours(24 * 5)),
            max_shrink: 0.5,
            min_size: 1,
        };
        if !policy.is_empty() {
            return policy;
        }
    }
}

/// One run through the real destination, killed where its fate says. Returns the archive that exists afterwards.
async fn nightly(folder: &Path, name: &str, run: &Run, seed: u64, random: &mut Random) -> Option<Night> {
    let cx = Context::silent();
    let id = format!("r{seed}-{:x}", random.below(u64::from(u32::MAX)));
    let mut destination = FileDestination::new(folder.join(name), FileOptions::new(&id)).unwrap();
    destination.probe(&cx).await.unwrap();
    let header = PartHeader { path: None, format: Some(Format::Opaque), expected_bytes: None };
    let mut sink = destination.open(&header, &cx).await.unwrap();
    let data = vec![b'x'; run.bytes];
    let content = Content {
        bytes: data.len() as u64,
        digests: [("blake3".to_owned(), blake3::hash(&data).to_hex().to_string())].into(),
    };
    sink.write(Bytes::from(data)).await.unwrap();
    if run.killed == Some(0) {
        // A process that is gone runs no destructor. Its lock goes with it, which a leaked descriptor would hold.
        drop(sink);
        std::fs::write(folder.join(format!(".{name}.{id}.partial")), "half").unwrap();
        return None;
    }
    sink.commit(&content).await.unwrap();
    if run.killed == Some(1) {
        drop(destination);
        // Data took its name, and the manifest never came.
        std::fs::write(folder.join(name), "data without a manifest").unwrap();
        return None;
    }
    let manifest = Manifest {
        schema: 1,
        tool: "dbferry 0.1.0".to_owned(),
        id,
        started: run.started.to_string(),
        finished: run.started.to_string(),
        source: SourceInfo {
            endpoint: "mysql://backup@db:3306/shop".to_owned(),
            kind: "mysql".to_owned(),
            ..SourceInfo::default()
        },
        destination: format!("file://{name}"),
        parts: vec![PartManifest {
            path: String::new(),
            phase: Phase::Data,
            format: Format::Opaque,
            compression: "none".to_owned(),
            source: content.clone(),
            raw: content.clone(),
            stored: content.clone(),
            transforms: Vec::new(),
            verified: run.proof.clone(),
            objects: [].into(),
        }],
        warnings: Vec::new(),
        stages: Vec::new(),
    };
    destination.publish(&manifest, &cx).await.unwrap();
    let soundness = if run.proof == Proof::Unverified { Soundness::Unverified } else { Soundness::Verified };
    let (name, at) = (name.to_owned(), run.started.as_second());
    Some(Night { name, at, bytes: run.bytes, soundness, accepted: false })
}

/// Retention as the command carries it out, under the clock of the simulation, against the naive model.
async fn prune(folder: &Path, policy: &Policy, now: Timestamp, nights: &mut Vec<Night>, seed: u64) {
    let catalogue = Catalogue::read(Place::Folder(folder.to_owned())).await.unwrap();
    let candidates: Vec<Candidate> = catalogue
        .archives
        .iter()
        .map(|archive| Candidate::new(format!("{} {}", archive.server, archive.databases), archive))
        .collect();
    let last_verified = nights
        .iter()
        .filter(|n| n.soundness == Soundness::Verified)
        .max_by_key(|n| n.at)
        .map(|n| n.name.clone());
    for group in judge(&candidates, policy, now) {
        assert_eq!(group.name, "mysql://db:3306 shop");
        for (index, verdict) in &group.verdicts {
            assert!(!verdict.reasons.is_empty(), "seed {seed}: a verdict without a reason");
            if !verdict.keep {
                catalogue.place.remove(&catalogue.archives[*index]).await.unwrap();
            }
        }
    }
    let expected = model::kept(nights, policy, now.as_second());
    nights.retain(|night| expected.contains(&night.name));
    let mut expected: Vec<&str> = nights.iter().map(|night| night.name.as_str()).collect();
    expected.sort_unstable();
    let after = Catalogue::read(Place::Folder(folder.to_owned())).await.unwrap();
    let mut found: Vec<&str> = after.archives.iter().map(|archive| archive.name.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "seed {seed}, {now}, {policy:?}");
    if let Some(last) = last_verified {
        assert!(found.contains(&last.as_str()), "seed {seed}, {now}: the last verified archive is gone");
    }
}

/// What the catalogue calls verified has the bytes that its manifest promises; data that belongs to nothing shown is not there twice.
async fn everything_shown_is_whole(folder: &Path, nights: &[Night], seed: u64) {
    let catalogue = Catalogue::read(Place::Folder(folder.to_owned())).await.unwrap();
    assert!(catalogue.strange.is_empty(), "seed {seed}: {:?}", catalogue.strange);
    for archive in &catalogue.archives {
        let night = nights.iter().find(|night| night.name == archive.name).unwrap();
        let data = std::fs::read(folder.join(&archive.name)).unwrap();
        let json = std::fs::read(folder.join(&archive.manifest)).unwrap();
        let manifest = Manifest::parse(&json).unwrap();
        let whole = manifest.parts[0].stored.digests["blake3"] == blake3::hash(&data).to_hex().to_string();
        let failed = matches!(archive.standing, Standing::Failed { .. });
        assert_eq!(whole, !failed, "seed {seed}: {}", archive.name);
        assert_eq!(failed, night.soundness == Soundness::Failed, "seed {seed}: {}", archive.name);
    }
    let tombs = archives::prune::tombstones(folder, std::time::Duration::ZERO).unwrap();
    assert!(tombs.is_empty(), "seed {seed}: {tombs:?}");
}

/// The rules alone, over many more months than folders could be made for, also with several archives in one second and clocks that were ahead.
#[test]
fn the_rules_agree_with_the_naive_model() {
    for seed in 1..=20 * seeds() {
        let mut random = Random(seed.wrapping_mul(0xD134_2543_DE82_EF95) | 1);
        let policy = random_policy(&mut random);
        let now = 1_790_000_000_i64 + i64::try_from(random.below(40_000_000)).unwrap();
        let count = random.below(40);
        let mut nights: Vec<Night> = (0..count)
            .map(|number| Night {
                name: format!("{number:02}"),
                at: now + 86_400 - i64::try_from(random.below(86_400 * 500)).unwrap() / 1000 * 1000,
                bytes: usize::try_from(if random.one_in(12) { random.below(500) } else { 1000 }).unwrap(),
                soundness: match random.below(12) {
                    0 => Soundness::Failed,
                    1 => Soundness::Unverified,
                    _ => Soundness::Verified,
                },
                accepted: random.one_in(15),
            })
            .collect();
        nights.sort_by_key(|night| night.at);
        let candidates: Vec<Candidate> = nights
            .iter()
            .map(|night| Candidate {
                group: String::new(),
                at: Timestamp::from_second(night.at).unwrap(),
                bytes: night.bytes as u64,
                soundness: night.soundness,
                accepted: night.accepted,
            })
            .collect();
        let mut found: Vec<&str> = judge(&candidates, &policy, Timestamp::from_second(now).unwrap())
            .iter()
            .flat_map(|group| group.verdicts.iter().filter(|(_, verdict)| verdict.keep))
            .map(|(index, _)| nights[*index].name.as_str())
            .collect();
        found.sort_unstable();
        let mut expected: Vec<String> = model::kept(&nights, &policy, now).into_iter().collect();
        expected.sort();
        assert_eq!(found, expected, "seed {seed}: {policy:?}");
    }
}

//! Many runs with faults at random requests: never an archive that is not whole, never a success without one, and after `gc` nothing but archives.
//!
//! `DBFERRY_S3_CAMPAIGN=5000 cargo test -p dbferry-sinks --lib campaign` does more of them, `DBFERRY_S3_SEED=7` others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use pipeline::testing::Random;
use pipeline::testing::conformance::{run, whole};
use pipeline::{Destination, Kind};
use stores::s3::{Bucket, gc};
use test_servers::s3::{Fault, Op, Quirks};

use super::Place;

const RUNS: u64 = 60;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn random_fault(random: &mut Random) -> Fault {
    match random.below(11) {
        0 => Fault::Status(503, "SlowDown"),
        1 => Fault::Status(500, "InternalError"),
        2 => Fault::Reset,
        3 => Fault::ResetInside,
        4 | 5 => Fault::LostAnswer,
        6 => Fault::Corrupt,
        7 => Fault::LosePart,
        8 => Fault::ErrorInside,
        9 => Fault::Stall(Duration::from_millis(30)),
        _ => Fault::Status(409, "ConditionalRequestConflict"),
    }
}

/// What is in the place before the run, and what the run brings.
fn archive(random: &mut Random) -> Vec<(&'static str, Bytes)> {
    let mut bytes = |most: usize| -> Bytes {
        let length = random.below(most);
        Random::new(random.next_u64()).bytes(length).into()
    };
    match bytes(3).len() {
        0 => vec![("", bytes(200_000))],
        1 => vec![("", bytes(14 << 20))],
        _ => vec![("a", bytes(7 << 20)), ("b/c", bytes(1000)), ("b/d", Bytes::new())],
    }
}

async fn one(seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut place = Place::new(Quirks::default());
    place.patience = 1;
    let replaces = random.below(2) == 1;
    let old = archive(&mut random);
    if replaces {
        run(&mut place.s3("old", true), "old", &old).await.map_err(|error| format!("{error:?}"))?;
    }
    let new = archive(&mut random);
    // From a rare fault to a store that is hardly there.
    let odds = [40, 12, 5][random.below(3)];
    let faults = Arc::new(Mutex::new((random.clone(), Vec::new())));
    let chooser = Arc::clone(&faults);
    place.server.faults(move |seen| {
        let mut guard = chooser.lock().ok()?;
        let (random, told) = &mut *guard;
        if random.below(odds) != 0 {
            return None;
        }
        let fault = match random_fault(random) {
            // The only answer of S3 that begins well and may end badly.
            Fault::ErrorInside if seen.op != Op::CompleteMultipartUpload => {
                Fault::Status(500, "InternalError")
            }
            fault => fault,
        };
        told.push((seen.number, seen.op, fault));
        Some(fault)
    });
    let mut destination = place.s3("new", replaces);
    let outcome = run(&mut destination, "new", &new).await;
    let abandoned = match &outcome {
        Ok(()) => Ok(()),
        Err(_) => destination.abandon().await,
    };
    drop(destination);
    place.server.heal();
    let told = faults.lock().map(|told| told.1.clone()).unwrap_or_default();
    let fail = |what: String| Err(format!("seed {seed}: {what}; outcome {outcome:?}; faults {told:?}"));
    let Ok(view) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| place.view_now())) else {
        return fail("archives of both forms".to_owned());
    };
    match (&outcome, whole_or_damaged(&view)) {
        (_, Err(damage)) => return fail(damage),
        (Ok(()), Ok(found)) if found.as_deref() != Some("new") => return fail(format!("{found:?} is there")),
        // A failed run leaves nothing new, unless it said that it does not know.
        (Err(error), Ok(found))
            if found.as_deref() == Some("new") && error.kind() != Kind::OutcomeUnknown =>
        {
            return fail("a failed run has published".to_owned());
        }
        _ => {}
    }
    if outcome.is_ok() {
        for (path, data) in &new {
            if view.parts.get(*path).is_none_or(|found| found != data) {
                return fail(format!("{path:?} holds other bytes"));
            }
        }
    }
    let lost_begin =
        told.iter().any(|(_, op, fault)| *op == Op::CreateMultipartUpload && *fault == Fault::LostAnswer);
    let said = outcome.as_ref().is_err_and(|error| error.to_string().contains("is left"));
    if !place.server.uploads().is_empty() && !lost_begin && !said && abandoned.is_ok() && outcome.is_err() {
        return fail(format!("uploads are left: {:?}", place.server.uploads()));
    }
    match collect(&place).await {
        Err(error) => fail(format!("gc: {error}")),
        Ok(()) if place.view_now() != view => fail("gc took of an archive".to_owned()),
        Ok(()) if !place.litter_now().is_empty() => fail(format!("gc left {:?}", place.litter_now())),
        Ok(()) => Ok(()),
    }
}

/// `dbferry gc --older-than 0s --yes`.
async fn collect(place: &Place) -> Result<(), String> {
    let bucket = Bucket::connect(&place.url()).await.map_err(|error| format!("{error:?}"))?;
    let garbage = gc::find(&bucket, Duration::ZERO).await.map_err(|error| format!("{error:?}"))?;
    match gc::remove(&bucket, &garbage).await {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    }
}

fn whole_or_damaged(view: &pipeline::testing::View) -> Result<Option<String>, String> {
    std::panic::catch_unwind(|| whole(view).map(|manifest| manifest.id)).map_err(|panic| {
        panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a damaged archive".to_owned())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faults_at_random_never_make_half_an_archive() {
    let (runs, first) = (number("DBFERRY_S3_CAMPAIGN", RUNS), number("DBFERRY_S3_SEED", 1) * 1_000_000);
    let mut going: tokio::task::JoinSet<Result<(), String>> = tokio::task::JoinSet::new();
    let mut failed = Vec::new();
    for seed in first..first + runs {
        // Most of a run is waiting before something is tried again.
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

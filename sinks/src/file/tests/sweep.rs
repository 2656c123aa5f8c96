//! Every system call of a run fails once, in every way, and after each failure everything is whole.
//!
//! For `n` from 0 until a run no longer gets that far: let call `n` fail, then look at what an outsider sees.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pipeline::testing::conformance::{assert_clean, assert_holds, run, whole};
use pipeline::testing::{Random, View};
use pipeline::{Kind, Stage};
use rustix::io::Errno;

use super::Place;
use super::faults::{Fault, Faults};

type Parts = Vec<(&'static str, Bytes)>;

fn stream(seed: u64) -> Parts {
    vec![("", Random::new(seed).bytes((2 << 20) + 11).into())]
}

fn directory(seed: u64) -> Parts {
    let data = |length| Bytes::from(Random::new(seed).bytes(length));
    vec![("a", data(100)), ("b/c", data((1 << 20) + 1)), ("b/d/e", data(0))]
}

/// Runs `new`, over `old` if there is one, with fault after fault.
async fn sweep(old: Option<&Parts>, new: &Parts, fault: Fault, read_back: bool) {
    let mut reached = 0;
    for nth in 0.. {
        let mut place = Place::in_memory("dump.sql");
        place.read_back = read_back;
        if let Some(old) = old {
            run(&mut place.file("old", true), "old", old).await.expect("the run before");
        }
        let faults = Arc::new(Faults::new(nth, fault));
        place.arm(Some(Arc::clone(&faults)));
        let mut destination = place.file("new", old.is_some());
        let outcome = run(&mut destination, "new", new).await;
        // What the engine does after a failure.
        if outcome.is_err() {
            pipeline::Destination::abandon(&mut destination).await.ok();
        }
        drop(destination);
        place.arm(None);
        let at = format!("{fault:?} at call {nth} ({}): {outcome:?}", faults.named());
        let view = super::view(&place.target);
        let visible =
            std::panic::catch_unwind(|| whole(&view)).unwrap_or_else(|_| panic!("not whole after {at}"));
        match (&outcome, visible) {
            (Ok(()), Some(visible)) => assert_eq!(visible.id, "new", "{at}"),
            (Ok(()), None) => panic!("nothing there after {at}"),
            (Err(error), visible) => {
                assert_eq!(error.stage(), Stage::Sink, "{at}");
                assert!(matches!(error.kind(), Kind::Failed | Kind::Temporary), "{at}");
                assert!(std::error::Error::source(error).is_some(), "no cause: {at}");
                match (visible, old) {
                    // One failure: the old archive is back, or untouched, to the byte.
                    (Some(visible), Some(_)) => assert!(visible.id == "old" || dead(fault), "{at}"),
                    (None, None) => {
                        assert!(view == View::default() || dead(fault), "{at}: {:?}", view.parts.keys());
                    }
                    (Some(_), None) => assert!(dead(fault), "{at}"),
                    (None, Some(old)) => {
                        assert!(dead(fault), "{at}");
                        assert!(is_kept(&place, old), "the old archive is lost after {at}");
                    }
                }
            }
        }
        check_litter(&place, fault, &at, outcome.is_ok());
        // Whatever is left, the next run gets through and leaves nothing but what must be kept for a person.
        run(&mut place.file("next", true), "next", new)
            .await
            .unwrap_or_else(|error| panic!("{error:?} after {at}"));
        let kept: Vec<_> = place.litter_now().into_iter().filter(|name| !is_aside(name)).collect();
        assert!(kept.is_empty(), "{kept:?} after {at} and another run");
        assert_eq!(whole(&super::view(&place.target)).expect("an archive").id, "next", "{at}");
        reached = nth;
        if !faults.fired() {
            outcome.unwrap_or_else(|error| panic!("failed without a fault: {error:?}"));
            break;
        }
    }
    assert!(reached > 15, "only {reached} calls in a whole run: is the plan of faults connected?");
}

/// True when the old archive can be put together again by a person, from under its own name and those of what was moved aside.
fn is_kept(place: &Place, old: &Parts) -> bool {
    let beside = |name: &str| place.parent().join(name);
    let candidates = [place.target.clone(), beside(".dump.sql.new.old"), beside(".dump.sql.new.partial")];
    let expected: BTreeMap<_, _> =
        old.iter().map(|(path, data)| ((*path).to_owned(), data.to_vec())).collect();
    let manifest = |path: &Path| match super::view(path).manifest {
        None => std::fs::read(beside(".dump.sql.new.manifest.old")).ok(),
        found => found,
    };
    candidates.iter().any(|path| {
        let view = View { manifest: manifest(path), ..super::view(path) };
        view.parts == expected && whole(&view).is_some_and(|manifest| manifest.id == "old")
    })
}

fn is_aside(name: &str) -> bool {
    name.rsplit('.').next() == Some("old")
}

fn dead(fault: Fault) -> bool {
    matches!(fault, Fault::Dead(_))
}

fn check_litter(place: &Place, fault: Fault, at: &str, succeeded: bool) {
    let litter = place.litter_now();
    if litter.is_empty() {
        return;
    }
    for name in &litter {
        let staged = name.starts_with(".dump.sql.") && (name.ends_with(".partial") || is_aside(name));
        assert!(staged, "{name} after {at}");
    }
    // A single fault that failed the run cannot have hit the clean-up that followed. Only in a run that succeeded can it have hit
    // the removal of what was replaced, or of the lock.
    // The lock belongs to all runs, so a run that does not know whether it made it leaves it to the next.
    let lock = matches!(fault, Fault::LostAnswer(_)) && litter == [".dump.sql.publish.partial"];
    assert!(dead(fault) || succeeded || lock, "{litter:?} after {at}");
}

const FAULTS: [Fault; 8] = [
    Fault::Fail(Errno::NOSPC),
    Fault::Fail(Errno::IO),
    Fault::Fail(Errno::ACCESS),
    Fault::Fail(Errno::INTR),
    Fault::LostAnswer(Errno::IO),
    Fault::Short,
    Fault::Dead(Errno::IO),
    Fault::Dead(Errno::ROFS),
];

#[tokio::test]
async fn a_new_stream() {
    for fault in FAULTS {
        sweep(None, &stream(1), fault, false).await;
    }
}

#[tokio::test]
async fn a_new_stream_read_back() {
    for fault in FAULTS {
        sweep(None, &stream(2), fault, true).await;
    }
}

#[tokio::test]
async fn a_new_directory() {
    for fault in FAULTS {
        sweep(None, &directory(3), fault, false).await;
    }
}

#[tokio::test]
async fn a_stream_over_a_stream() {
    for fault in FAULTS {
        sweep(Some(&stream(4)), &stream(5), fault, false).await;
    }
}

#[tokio::test]
async fn a_directory_over_a_directory() {
    for fault in FAULTS {
        sweep(Some(&directory(6)), &directory(7), fault, false).await;
    }
}

#[tokio::test]
async fn a_directory_over_a_stream_and_back() {
    for fault in FAULTS {
        sweep(Some(&stream(8)), &directory(9), fault, false).await;
        sweep(Some(&directory(8)), &stream(9), fault, false).await;
    }
}

/// File systems without the renames that refuse or exchange, and without locks: NFS, FAT, FUSE.
#[tokio::test]
async fn a_poor_file_system() {
    for forms in [[stream(1), stream(2)], [directory(1), directory(2)], [stream(1), directory(2)]] {
        for [old, new] in [forms.clone(), [forms[1].clone(), forms[0].clone()]] {
            let mut place = Place::new("dump.sql");
            place.arm(Some(Arc::new(Faults::poor())));
            run(&mut place.file("old", false), "old", &old).await.expect("a new archive");
            assert_holds(&place, "old", &old).await;
            let refused = run(&mut place.file("no", false), "no", &new).await;
            refused.expect_err("it exists");
            run(&mut place.file("new", true), "new", &new).await.expect("a replaced archive");
            assert_holds(&place, "new", &new).await;
            assert_clean(&place).await;
        }
    }
}

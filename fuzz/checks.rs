//! The properties that every transform must have, whatever it is given.
//!
//! A target hands its input to [`transform`] with a way to make the transform. An input is nothing but the stream itself, so any
//! file is a seed and a finding can be given to the program as it is.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pipeline::{Error, Kind, Output, Result, Stage, Transform, TransformReport};

/// Output after which a run is stopped: enough to pass every buffer, little enough for thousands of runs a second.
const ENOUGH: usize = 4 << 20;

/// What a stream became.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It was accepted.
    Done(Vec<u8>, TransformReport),
    /// It was refused.
    Refused(Kind, Stage),
    /// More came out than anyone wants to see.
    Endless,
}

struct Sink {
    bytes: Vec<u8>,
    largest: usize,
}

impl Output for Sink {
    fn emit(&mut self, data: Bytes) -> Result<()> {
        self.largest = self.largest.max(data.len());
        self.bytes.extend_from_slice(&data);
        if self.bytes.len() > ENOUGH { Err(Error::closed()) } else { Ok(()) }
    }
}

fn run(
    mut transform: Box<dyn Transform>,
    data: &[u8],
    cuts: &mut dyn FnMut() -> usize,
    piece: usize,
) -> Outcome {
    let mut sink = Sink { bytes: Vec::new(), largest: 0 };
    let mut rest = Bytes::copy_from_slice(data);
    let outcome = loop {
        if rest.is_empty() {
            break transform.finish(&mut sink).map(|report| (sink.bytes, report));
        }
        let length = cuts().clamp(1, rest.len());
        if let Err(error) = transform.push(rest.split_to(length), &mut sink) {
            break Err(error);
        }
    };
    assert!(sink.largest <= piece.max(data.len()), "a piece of {} bytes", sink.largest);
    match outcome {
        Ok((bytes, report)) => Outcome::Done(bytes, report),
        Err(error) if error.kind() == Kind::Closed => Outcome::Endless,
        Err(error) => {
            assert_ne!(error.kind(), Kind::Bug, "{error:?}");
            Outcome::Refused(error.kind(), error.stage())
        }
    }
}

/// The outcome of the stream in one piece, of which nothing but the size of what it emits is checked.
pub fn whole(transform: Box<dyn Transform>, data: &[u8], piece: usize) -> Outcome {
    run(transform, data, &mut || usize::MAX, piece)
}

/// Checks that the outcome does not depend on how the stream is cut and that no piece is larger than `piece` or the input; gives the outcome back.
///
/// The cuts follow from the stream itself, so that a finding is found again.
pub fn transform(make: impl Fn() -> Box<dyn Transform>, data: &[u8], piece: usize) -> Outcome {
    transform_by(same, make, data, piece)
}

/// As [`transform`], with another notion of the same.
pub fn transform_by(
    same: impl Fn(&Outcome, &Outcome, &str),
    make: impl Fn() -> Box<dyn Transform>,
    data: &[u8],
    piece: usize,
) -> Outcome {
    let whole = whole(make(), data, piece);
    let bytes = run(make(), data, &mut || 1, piece);
    same(&whole, &bytes, "in single bytes");
    let mut state = data.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mut cuts = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Many short pieces, some long ones.
        1 << ((state >> 60) % 12) | (state >> 40) as usize & 7
    };
    let pieces = run(make(), data, &mut cuts, piece);
    same(&whole, &pieces, "in pieces");
    whole
}

/// How large a piece of what `data` is rewritten to may be: a rewriter adds a clause here and there, and holds no more than it was given.
pub fn slack(data: &[u8]) -> usize {
    2 * data.len() + 1024
}

/// Checks that what came out of a transform passes another such transform unchanged.
pub fn idempotent(make: impl Fn() -> Box<dyn Transform>, out: &[u8]) {
    match whole(make(), out, slack(out)) {
        Outcome::Done(again, report) => {
            let (again, out) = (again.escape_ascii(), out.escape_ascii());
            assert!(report.changes.is_empty(), "a second pass finds {:?} in {out}", report.changes);
            assert!(again.to_string() == out.to_string(), "a second pass makes {again} of {out}");
        }
        other => panic!("a second pass ends as {other:?} on {}", out.escape_ascii()),
    }
}

/// Checks that an accepted stream that is cut somewhere is called cut, or accepted, and never called anything else.
pub fn prefix(make: impl Fn() -> Box<dyn Transform>, data: &[u8]) {
    let end = usize::from(data.iter().fold(1, |hash: u16, byte| hash.wrapping_mul(31) ^ u16::from(*byte)));
    let data = &data[..end % (data.len() + 1)];
    let cut = whole(make(), data, slack(data));
    assert!(
        matches!(cut, Outcome::Done(..) | Outcome::Refused(Kind::Truncated, _)),
        "a prefix of {end} bytes ends as {cut:?}"
    );
}

/// Checks that what several runs found is the same.
pub fn all_equal<T: Debug + PartialEq>(found: Vec<Arc<Mutex<T>>>) {
    let found: Vec<_> = found.iter().map(|found| found.lock().expect("no run panicked")).collect();
    for pair in found.windows(2) {
        assert_eq!(*pair[0], *pair[1], "the summary depends on how the stream was cut");
    }
}

/// As [`same`]; but a stream that is both damaged and cut may be called either.
pub fn alike(one: &Outcome, other: &Outcome, what: &str) {
    match (one, other) {
        (Outcome::Refused(_, one), Outcome::Refused(_, other)) if one == other => {}
        _ => same(one, other, what),
    }
}

/// Two outcomes are the same; says how they differ without printing megabytes.
pub fn same(one: &Outcome, other: &Outcome, what: &str) {
    fn short(outcome: &Outcome) -> Box<dyn Debug + '_> {
        match outcome {
            Outcome::Done(bytes, report) => Box::new((bytes.len(), report)),
            other => Box::new(other),
        }
    }
    assert!(one == other, "{what}: {:?} and {:?}", short(one), short(other));
}

//! A stream that is not what was written never decodes to something else.

use pipeline::{Kind, Stage};
use proptest::prelude::*;
use transforms::codec::{Codec, Decompress};

use crate::{
    corpus::sql_dump,
    support::{CODECS, content, cuts, decode_as, detect, encode, run},
};

fn every_proper_prefix_is_rejected(codec: Codec) {
    let data = sql_dump(100_000, 1);
    let whole = encode(codec, &data);
    for cut in 1..whole.len() {
        let error = detect(&whole[..cut]).expect_err("a cut stream");
        assert_eq!((error.kind(), error.exit_code()), (Kind::Truncated, 3), "{codec} cut at {cut}: {error}");
        assert!(error.context().contains(&("offset", cut.to_string())), "{codec} cut at {cut}: {error}");
    }
    assert!(detect(&whole).unwrap().0 == data);
    assert_eq!(decode_as(codec, &[]).unwrap_err().kind(), Kind::Truncated);
}

#[test]
fn every_proper_prefix_of_gzip_is_rejected() {
    every_proper_prefix_is_rejected(Codec::Gzip);
}

#[test]
fn every_proper_prefix_of_zstd_is_rejected() {
    every_proper_prefix_is_rejected(Codec::Zstd);
}

#[test]
fn every_proper_prefix_of_lz4_is_rejected() {
    every_proper_prefix_is_rejected(Codec::Lz4);
}

/// A cut between two members cannot be seen; every other one can, and says in which member it is.
#[test]
fn every_cut_of_two_members_but_the_one_between_them_is_rejected() {
    let (first, second) = (sql_dump(3_000, 2), sql_dump(2_000, 3));
    for codec in CODECS {
        let (one, two) = (encode(codec, &first), encode(codec, &second));
        let both = [&one[..], &two].concat();
        let unit = if codec == Codec::Gzip { "member" } else { "frame" };
        for cut in 1..both.len() {
            match detect(&both[..cut]) {
                Ok((plain, _)) => assert!(cut == one.len() && plain == first, "{codec} cut at {cut}"),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Truncated, "{codec} cut at {cut}: {error}");
                    let number = if cut < one.len() { "1" } else { "2" };
                    // The first four bytes decide; before that nothing has a number or a name.
                    assert!(
                        cut < 4 || error.context().contains(&(unit, number.to_owned())),
                        "{codec} cut at {cut}: {error}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_cut_of_several_gzip_blocks_near_an_edge_is_rejected() {
    let whole = encode(Codec::Gzip, &sql_dump(1_100_000, 4));
    // Sync flushes end in an empty stored block, 00 00 FF FF: cuts right there leave nothing half.
    let edges: Vec<usize> = whole
        .windows(4)
        .enumerate()
        .filter(|(_, w)| *w == [0, 0, 0xff, 0xff])
        .map(|(at, _)| at + 4)
        .collect();
    assert!(edges.len() >= 4, "four blocks end in a sync flush");
    for cut in edges.iter().flat_map(|edge| edge - 5..edge + 5).filter(|cut| *cut < whole.len()) {
        assert_eq!(detect(&whole[..cut]).unwrap_err().kind(), Kind::Truncated, "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing() {
    let data = sql_dump(6_000, 5);
    for codec in CODECS {
        let whole = encode(codec, &data);
        let mut harmless = 0;
        for position in 0..whole.len() {
            for bit in [0, 3, 7] {
                let mut flipped = whole.clone();
                flipped[position] ^= 1 << bit;
                match decode_as(codec, &flipped) {
                    Ok(plain) => {
                        assert!(
                            plain == data,
                            "{codec}: bit {bit} of byte {position} changed the data in silence"
                        );
                        harmless += 1;
                    }
                    Err(error) => assert_eq!(error.stage(), Stage::Source, "{codec}: {error}"),
                }
            }
        }
        // gzip's header has a time and two hints that protect nothing. The other formats have no such bytes.
        assert!(harmless <= 30, "{codec}: {harmless} flips went unnoticed");
    }
}

#[test]
fn damage_is_named_with_its_place() {
    let data = sql_dump(900_000, 6);
    for codec in CODECS {
        let mut whole = [encode(codec, b"first"), encode(codec, &data)].concat();
        let place = whole.len() - 3;
        whole[place] ^= 1;
        let error = detect(&whole).unwrap_err();
        assert_eq!((error.kind(), error.stage()), (Kind::Failed, Stage::Source));
        assert!(error.to_string().starts_with(&format!("the {codec} stream is damaged: ")), "{error}");
        let unit = if codec == Codec::Gzip { "member" } else { "frame" };
        assert!(error.context().contains(&(unit, "2".to_owned())), "{error}");
    }
}

/// What was done to a stream.
#[derive(Debug, Clone)]
enum Damage {
    None,
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Append(Vec<u8>),
    Twice,
}

fn damages() -> impl Strategy<Value = Damage> {
    let bytes = || proptest::collection::vec(any::<u8>(), 1..20);
    prop_oneof![
        Just(Damage::None),
        (any::<usize>(), 1..=255_u8).prop_map(|(at, by)| Damage::Flip(at, by)),
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), bytes()).prop_map(|(at, what)| Damage::Insert(at, what)),
        bytes().prop_map(Damage::Append),
        Just(Damage::Twice),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_outcome_does_not_depend_on_the_pieces(
        codec in proptest::sample::select(&CODECS[..]), data in content(60_000), damage in damages(), cuts in cuts(),
    ) {
        let mut stream = encode(codec, &data);
        match &damage {
            Damage::None => {}
            Damage::Flip(at, by) => {
                let at = at % stream.len();
                stream[at] ^= by;
            }
            Damage::Cut(at) => stream.truncate(at % stream.len()),
            Damage::Insert(at, what) => {
                let at = at % stream.len();
                stream.splice(at..at, what.iter().copied());
            }
            Damage::Append(what) => stream.extend(what),
            Damage::Twice => stream.extend_from_within(..),
        }
        let whole = run(Box::new(Decompress::of(codec)), &stream, &[]);
        let pieces = run(Box::new(Decompress::of(codec)), &stream, &cuts);
        match (whole, pieces) {
            (Ok((one, report_one)), Ok((other, report_other))) => {
                prop_assert!(one == other, "{damage:?}");
                prop_assert_eq!(report_one, report_other);
                let copies = if matches!(damage, Damage::Twice) { 2 } else { 1 };
                prop_assert!(one == data.repeat(copies), "{damage:?} went unnoticed");
            }
            (Err(one), Err(other)) => {
                prop_assert!(!matches!(damage, Damage::None | Damage::Twice), "{one}");
                prop_assert_eq!((one.kind(), one.stage()), (other.kind(), other.stage()), "{:?}: {} / {}", damage, one, other);
            }
            (one, other) => prop_assert!(false, "{damage:?}: {:?} / {:?}", one.err(), other.err()),
        }
    }
}

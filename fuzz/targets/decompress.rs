//! Decompression of anything.
#![no_main]

use checks::Outcome;
use libfuzzer_sys::fuzz_target;
use pipeline::Kind;
use transforms::codec::{Codec, Decompress, PIECE};

fuzz_target!(|data: &[u8]| {
    // libzstd looks ahead where it is given much, and so finds damage before the end or the end before the damage.
    let found = checks::transform_by(checks::alike, || Box::new(Decompress::detect()), data, PIECE);
    for codec in [Codec::Gzip, Codec::Zstd, Codec::Lz4] {
        let asked = checks::whole(Box::new(Decompress::of(codec)), data, PIECE);
        let Outcome::Done(plain, report) = &asked else { continue };
        // What one of them accepts, detection finds; except that skippable frames alone have no format.
        checks::same(&found, &asked, codec.name());
        // A compressed stream shows its end: without its last byte it is cut, unless that was padding.
        if report.counts.contains_key("compressed-bytes") && report.counts.get("skippable-frames").is_none() {
            match checks::whole(Box::new(Decompress::of(codec)), &data[..data.len() - 1], PIECE) {
                Outcome::Refused(kind, _) => {
                    assert_eq!(kind, Kind::Truncated, "{codec} without its last byte")
                }
                Outcome::Done(shorter, _) => assert!(
                    codec == Codec::Gzip && data.ends_with(&[0]) && shorter == *plain,
                    "{codec} without its last byte"
                ),
                Outcome::Endless => panic!("shorter input, longer output"),
            }
        }
    }
    if let Outcome::Done(plain, report) = &found
        && report.settings["codec"] == "none"
        && !report.counts.contains_key("skippable-frames")
    {
        assert!(plain == data, "what is not compressed passes unchanged");
    }
});

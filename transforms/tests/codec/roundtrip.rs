//! Decoding gives back what was encoded, and the encoded form depends on nothing but the content and the level.

use proptest::prelude::*;
use transforms::codec::{Codec, Compression, Decompress};

use crate::{
    corpus::sql_dump,
    support::{CODECS, content, cuts, detect, encode, encode_with, noise, run},
};

/// The parallel encoder's block, for inputs around its edges.
const BLOCK: usize = 256 * 1024;

fn compressions() -> impl Strategy<Value = Compression> {
    prop_oneof![
        (1..=9).prop_map(|level| Compression::new(Codec::Gzip).with_level(level)),
        (1..=19).prop_map(|level| Compression::new(Codec::Zstd).with_level(level)),
        Just(Compression::new(Codec::Lz4)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_codec_and_level_gives_back_its_input(
        compression in compressions(), threads in 1..4_usize, data in content(100_000), cut_in in cuts(), cut_back in cuts(),
    ) {
        let packed = encode_with(compression.with_threads(threads), &data, &cut_in);
        let (plain, report) = run(Box::new(Decompress::detect()), &packed, &cut_back).unwrap();
        prop_assert!(plain == data, "{compression}: {} bytes", data.len());
        prop_assert_eq!(&report.settings["codec"], compression.codec.name());
        prop_assert_eq!(report.counts["compressed-bytes"], packed.len() as u64);
        prop_assert_eq!(report.counts["decompressed-bytes"], data.len() as u64);
        let unit = if compression.codec == Codec::Gzip { "members" } else { "frames" };
        prop_assert_eq!(report.counts[unit], 1, "one member or frame for the whole stream");
    }
}

#[test]
fn lengths_around_the_edges_of_blocks() {
    let data = sql_dump(3 * BLOCK, 3);
    let edges = [0, 1, 32 * 1024, BLOCK, BLOCK + 32 * 1024, 2 * BLOCK, 128 * 1024, 3 * BLOCK - 1];
    for codec in CODECS {
        for length in edges.iter().flat_map(|edge| [edge.saturating_sub(1), *edge, edge + 1]) {
            let packed = encode(codec, &data[..length]);
            assert!(detect(&packed).unwrap().0 == data[..length], "{codec}: {length} bytes");
        }
    }
}

#[test]
fn the_output_does_not_depend_on_threads_or_pieces() {
    // Longer than two of zstd's jobs, and with a part that does not compress.
    let mut data = sql_dump(4_500_000, 11);
    data.extend(noise(900_000, 12));
    for compression in ["gzip:1", "gzip", "gzip:6", "zstd", "zstd:1", "lz4"] {
        let compression: Compression = compression.parse().unwrap();
        let reference = encode_with(compression.with_threads(2), &data, &[]);
        for (threads, cuts) in [
            (1, &[][..]),
            (2, &[1_000][..]),
            (3, &[262_144]),
            (5, &[7, 1, 300_001]),
            (0, &[65_536]),
            (2, &[1]),
        ] {
            let again = encode_with(compression.with_threads(threads), &data, cuts);
            assert!(again == reference, "{compression} with {threads} threads in pieces of {cuts:?}");
        }
    }
}

#[test]
fn the_report_says_what_was_done() {
    let data = sql_dump(400_000, 5);
    for (text, settings) in [("gzip:4", "4"), ("zstd:2", "2")] {
        let encoder = text.parse::<Compression>().unwrap().with_threads(2).encoder().unwrap().unwrap();
        let name = encoder.name();
        let (packed, report) = run(encoder, &data, &[]).unwrap();
        assert_eq!(report.name, name);
        assert_eq!((&*report.settings["level"], &*report.settings["threads"]), (settings, "2"));
        assert_eq!(report.counts["uncompressed-bytes"], 400_000);
        assert_eq!(report.counts["compressed-bytes"], packed.len() as u64);
    }
}

#[test]
fn no_codec_means_no_step() {
    assert!(Compression::new(Codec::None).encoder().unwrap().is_none());
    let (plain, report) = run(Box::new(Decompress::of(Codec::None)), &[0x1f, 0x8b, 8], &[1]).unwrap();
    assert_eq!(plain, [0x1f, 0x8b, 8], "asked to leave it alone");
    assert_eq!(report.settings["codec"], "none");
}

/// A dictionary from the block before keeps block-wise gzip near the size of one continuous stream.
#[test]
fn blocks_cost_next_to_nothing() {
    let data = sql_dump(4 * BLOCK, 9);
    let mut deflate = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut continuous = Vec::with_capacity(data.len());
    deflate.compress_vec(&data, &mut continuous, flate2::FlushCompress::Finish).unwrap();
    let blocks = encode_with(Compression::new(Codec::Gzip).with_level(6), &data, &[]);
    assert!(blocks.len() * 1000 < continuous.len() * 1003, "{} against {}", blocks.len(), continuous.len());
}

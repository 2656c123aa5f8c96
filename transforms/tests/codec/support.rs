//! Running transforms over pieces, and samples to run them on.

use bytes::Bytes;
use pipeline::{Result, Transform, TransformReport};
use proptest::prelude::*;
use transforms::codec::{Codec, Compression, Decompress};

use crate::corpus::{Random, sql_dump};

pub(crate) const CODECS: [Codec; 3] = [Codec::Gzip, Codec::Zstd, Codec::Lz4];

/// Pushes `data` in pieces of these lengths, over and over; no lengths means in one piece.
pub(crate) fn run(
    mut transform: Box<dyn Transform>,
    data: &[u8],
    cuts: &[usize],
) -> Result<(Vec<u8>, TransformReport)> {
    let mut out = Vec::new();
    let mut rest = Bytes::copy_from_slice(data);
    let mut lengths = cuts.iter().copied().cycle();
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(usize::MAX).clamp(1, rest.len());
        transform.push(rest.split_to(length), &mut out)?;
    }
    let report = transform.finish(&mut out)?;
    Ok((out, report))
}

pub(crate) fn encode_with(compression: Compression, data: &[u8], cuts: &[usize]) -> Vec<u8> {
    run(compression.encoder().unwrap().unwrap(), data, cuts).unwrap().0
}

/// With the codec's defaults.
pub(crate) fn encode(codec: Codec, data: &[u8]) -> Vec<u8> {
    encode_with(Compression::new(codec), data, &[])
}

pub(crate) fn detect(data: &[u8]) -> Result<(Vec<u8>, TransformReport)> {
    run(Box::new(Decompress::detect()), data, &[])
}

pub(crate) fn decode_as(codec: Codec, data: &[u8]) -> Result<Vec<u8>> {
    run(Box::new(Decompress::of(codec)), data, &[]).map(|(out, _)| out)
}

pub(crate) fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..bytes).map(|_| random.next().to_le_bytes()[7]).collect()
}

/// What a dump may hold: text, incompressible bytes, runs, and the three mixed.
pub(crate) fn content(limit: usize) -> impl Strategy<Value = Vec<u8>> {
    (0..4_u8, 0..=limit, any::<u64>()).prop_map(|(kind, length, seed)| match kind {
        0 => sql_dump(length, seed),
        1 => noise(length, seed),
        2 => vec![b'0'; length],
        _ => {
            let mut mixed = sql_dump(length / 3, seed);
            mixed.extend(noise(length / 3, seed));
            mixed.resize(length, 0);
            mixed
        }
    })
}

/// Lengths of pieces: single bytes, some bytes, large pieces.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        proptest::collection::vec(1..20_usize, 1..10),
        proptest::collection::vec(1..300_000_usize, 1..10),
    ]
}

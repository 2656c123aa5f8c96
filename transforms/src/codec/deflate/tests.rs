//! Whatever goes in comes out of another implementation's inflate.

use flate2::{Decompress, FlushDecompress, Status};
use proptest::prelude::*;

use super::huffman::Code;
use super::*;

/// SplitMix64.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z >> 56) as u8
        })
        .collect()
}

fn text(length: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut row = 0_u64;
    while text.len() < length {
        row = row.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend_from_slice(
            format!("({},'customer {}',{}.5,NULL),", row >> 48, row >> 58, row % 100).as_bytes(),
        );
    }
    text.truncate(length);
    text
}

/// Deflates in jobs of `job` bytes, each with what is before it as its dictionary.
fn deflate(data: &[u8], job: usize, lazy: bool) -> Vec<u8> {
    let mut state = Deflate::new(lazy);
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        let end = data.len().min(at + job);
        let dictionary = at.min(32 * 1024);
        out.extend_from_slice(state.run(&data[at - dictionary..end], dictionary, end == data.len()));
        at = end;
        if at == data.len() {
            return out;
        }
    }
}

fn inflate(deflated: &[u8], length: usize) -> Vec<u8> {
    let mut plain = Vec::with_capacity(length + 1);
    let mut state = Decompress::new(false);
    let status = state.decompress_vec(deflated, &mut plain, FlushDecompress::Finish).unwrap();
    assert_eq!(status, Status::StreamEnd);
    assert_eq!(state.total_in(), deflated.len() as u64, "something stands behind the end");
    plain
}

fn assert_returns(data: &[u8], job: usize, what: &str) -> usize {
    let lengths = [false, true].map(|lazy| {
        let deflated = deflate(data, job, lazy);
        assert!(
            inflate(&deflated, data.len()) == data,
            "{what}, {} bytes, jobs of {job}, lazy: {lazy}",
            data.len()
        );
        deflated.len()
    });
    lengths[0]
}

#[test]
fn every_short_length_returns() {
    for length in 0..700 {
        assert_returns(&vec![b'a'; length], 256 << 10, "one byte");
        assert_returns(&text(length), 256 << 10, "text");
        assert_returns(&noise(length as u64, length), 256 << 10, "noise");
        assert_returns(&text(length), 1 + length / 3, "text in jobs");
    }
}

#[test]
fn what_cannot_be_packed_hardly_grows() {
    for length in [65_534, 65_535, 65_536, 131_071, 131_072, 131_073, 300_000, 1 << 20] {
        let packed = assert_returns(&noise(7, length), 256 << 10, "noise");
        assert!(packed < length + length / 1000 + 32, "{length} became {packed}");
    }
}

#[test]
fn matches_of_every_length_and_distance_return() {
    // A marker, a gap without matches, and the marker again.
    for distance in (1..40).chain([4095, 4096, 4097, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537]) {
        for length in [3, 4, 5, 7, 8, 9, 31, 32, 33, 257, 258, 259, 300] {
            let mut data = noise(distance as u64, distance);
            for at in 0..length {
                data.push(data[at]);
            }
            data.extend_from_slice(b"tail of some bytes");
            assert_returns(&data, 256 << 10, "distance");
            assert_returns(&data, 40_000, "distance over jobs");
        }
    }
}

#[test]
fn repetition_is_found() {
    assert!(assert_returns(&vec![0; 1 << 20], 256 << 10, "zeros") < 8 << 10);
    let dump = text(1 << 20);
    let packed = assert_returns(&dump, 256 << 10, "text");
    assert!(packed * 3 < dump.len(), "{packed}");
}

#[test]
fn the_result_does_not_depend_on_what_the_thread_did_before() {
    let (first, second) = (text(200_000), noise(3, 200_000));
    let mut used = Deflate::new(true);
    used.run(&second, 0, false);
    used.run(&first, 100, true);
    assert_eq!(used.run(&first, 30_000, true), Deflate::new(true).run(&first, 30_000, true));
}

#[test]
fn words_stay_within_their_limit_and_fill_it() {
    // Fibonacci's numbers make the deepest tree.
    let mut frequencies = [0_u32; 30];
    let (mut a, mut b) = (1, 1);
    for frequency in &mut frequencies {
        *frequency = a;
        (a, b) = (b, a + b);
    }
    for limit in [5, 7, 15] {
        let code = Code::of(&frequencies, limit);
        assert!(code.lengths.iter().all(|l| (1..=limit).contains(l)), "{:?}", code.lengths);
        let kraft: u32 = code.lengths.iter().map(|l| 1 << (limit - l)).sum();
        assert_eq!(kraft, 1 << limit, "the code is complete");
        assert!(code.lengths.is_sorted_by(|a, b| a >= b), "the rarest have the longest words");
    }
    for used in [None, Some(0), Some(1), Some(29)] {
        let mut frequencies = [0; 30];
        if let Some(symbol) = used {
            frequencies[symbol] = 9_u32;
        }
        let mut lengths = Code::of(&frequencies, 15).lengths;
        lengths.sort_unstable();
        assert_eq!(lengths[27..], [0, 1, 1], "two words of one bit: {used:?}");
    }
}

proptest! {
    #[test]
    fn anything_returns(
        pieces in prop::collection::vec((0..4_u8, any::<u64>(), 0..70_000_usize), 0..6),
        job in 1_000..300_000_usize,
    ) {
        let mut data = Vec::new();
        for (kind, seed, length) in pieces {
            match kind {
                0 => data.extend(noise(seed, length)),
                1 => data.extend(text(length)),
                2 => data.resize(data.len() + length, seed as u8),
                _ => {
                    let from = usize::try_from(seed % (data.len() as u64 + 1)).unwrap();
                    let copy = data[from..data.len().min(from + length)].to_vec();
                    data.extend(copy);
                }
            }
        }
        assert_returns(&data, job, "anything");
    }
}

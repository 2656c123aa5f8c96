//! Checking anything as a tar stream.
#![no_main]

use checks::{Outcome, slack};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use pipeline::Transform;
use transforms::tar::TarCheck;

const BLOCK: usize = 512;

fuzz_target!(|data: &[u8]| {
    let make = || -> Box<dyn Transform> { Box::<TarCheck>::default() };
    let Outcome::Done(out, report) = checks::transform(make, data, slack(data)) else { return };
    assert!(out == data, "what is checked passes unchanged");
    checks::prefix(make, data);
    assert!(data.ends_with(&[0; 2 * BLOCK]), "an archive ends with two blocks of zeros");
    assert!(report.counts["content-bytes"] <= data.len() as u64, "more contents than there are bytes");
    checks::same(
        &checks::whole(make(), &[data, &[0; BLOCK]].concat(), slack(data) + BLOCK),
        &Outcome::Done([data, &[0; BLOCK]].concat(), report),
        "zeros behind the end mean nothing",
    );
});

// Nearly every mutation would end at a checksum: what looks like a header gets the right one, three times of four.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if seed % 4 != 0 {
        for block in data[..size].chunks_exact_mut(BLOCK).filter(|block| &block[257..262] == b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    size
});

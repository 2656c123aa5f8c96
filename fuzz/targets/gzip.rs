//! Our own deflate: what it makes of anything is one gzip member that gives the same back.
#![no_main]

use bytes::Bytes;
use checks::Outcome;
use libfuzzer_sys::fuzz_target;
use transforms::codec::{Codec, Compression, Decompress, PIECE};

fuzz_target!(|data: &[u8]| {
    for level in [1, 2] {
        let compression = Compression::new(Codec::Gzip).with_threads(1).with_level(level);
        let mut encoder = compression.encoder().expect("a level").expect("a codec");
        let mut packed = Vec::new();
        // Said again behind itself, so that matches reach over the border between two blocks.
        let repeats = if data.is_empty() { 1 } else { 1 + (300 << 10) / data.len().max(4096) };
        let long = data.repeat(repeats);
        encoder.push(Bytes::copy_from_slice(&long), &mut packed).expect("bytes");
        encoder.finish(&mut packed).expect("the end");
        match checks::whole(Box::new(Decompress::of(Codec::Gzip)), &packed, PIECE) {
            Outcome::Done(plain, _) => assert!(plain == long, "level {level} changed its input"),
            Outcome::Refused(kind, _) => panic!("level {level} is no gzip: {kind:?}"),
            Outcome::Endless => panic!("level {level} never ends"),
        }
    }
});

//! Bounded pieces, prompt ends, and errors of the next stage.

use bytes::Bytes;
use pipeline::{Error, Kind, Output, Result, Transform as _};
use transforms::codec::{Codec, Compression, Decompress, PIECE};

use crate::{
    corpus::sql_dump,
    support::{CODECS, encode, noise},
};

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// Counts bytes, checks that they are all the same, and notes the largest piece.
#[derive(Default)]
struct Zeros {
    bytes: u64,
    largest: usize,
}

impl Output for Zeros {
    fn emit(&mut self, data: Bytes) -> Result<()> {
        assert!(data.len() <= ZEROS.len() && data == ZEROS[..data.len()]);
        self.bytes += data.len() as u64;
        self.largest = self.largest.max(data.len());
        Ok(())
    }
}

#[test]
fn a_gibibyte_out_of_a_megabyte_comes_in_small_pieces() {
    const PLAIN: u64 = 1 << 30;
    for codec in CODECS {
        let mut encoder = Compression::new(codec).encoder().unwrap().unwrap();
        let zeros = Bytes::from_static(&ZEROS);
        let mut packed = Vec::new();
        for _ in 0..PLAIN >> 20 {
            encoder.push(zeros.clone(), &mut packed).unwrap();
        }
        encoder.finish(&mut packed).unwrap();
        assert!(packed.len() < 5 << 20, "{codec}: {}", packed.len());

        let mut out = Zeros::default();
        let mut decoder = Box::new(Decompress::detect());
        decoder.push(Bytes::from(packed), &mut out).unwrap();
        decoder.finish(&mut out).unwrap();
        assert_eq!(out.bytes, PLAIN, "{codec}");
        assert!(out.largest <= PIECE, "{codec}: a piece of {}", out.largest);
    }
}

/// Takes some pieces, then nobody wants more.
struct Closing {
    pieces: usize,
    refused: usize,
}

impl Output for Closing {
    fn emit(&mut self, _: Bytes) -> Result<()> {
        if self.pieces == 0 {
            self.refused += 1;
            return Err(Error::closed());
        }
        self.pieces -= 1;
        Ok(())
    }
}

#[test]
fn an_error_of_the_next_stage_comes_back_unchanged_and_at_once() {
    // Not compressible, so that every encoder emits while it is still being fed.
    let data = Bytes::from(noise(12_000_000, 1));
    for codec in CODECS {
        for pieces in [0, 1, 7] {
            let mut out = Closing { pieces, refused: 0 };
            let mut encoder = Compression::new(codec).encoder().unwrap().unwrap();
            let error = encoder.push(data.clone(), &mut out).unwrap_err();
            assert_eq!((error.kind(), out.refused), (Kind::Closed, 1), "{codec} encoder after {pieces}");
            drop(encoder);

            let mut out = Closing { pieces, refused: 0 };
            let mut decoder = Decompress::detect();
            let error = decoder.push(Bytes::from(encode(codec, &data)), &mut out).unwrap_err();
            assert_eq!((error.kind(), out.refused), (Kind::Closed, 1), "{codec} decoder after {pieces}");
        }
        let mut out = Closing { pieces: 0, refused: 0 };
        let mut encoder = Compression::new(codec).encoder().unwrap().unwrap();
        if encoder.push(Bytes::from_static(b"short"), &mut out).is_ok() {
            assert_eq!(encoder.finish(&mut out).unwrap_err().kind(), Kind::Closed, "{codec}");
        }
    }
}

/// The decoder says what it has found as soon as the first bytes are there.
#[test]
fn the_codec_is_known_early() {
    for codec in CODECS {
        let mut decoder = Decompress::detect();
        assert_eq!(decoder.codec(), None);
        decoder.push(Bytes::copy_from_slice(&encode(codec, b"x")[..4]), &mut Vec::new()).unwrap();
        assert_eq!(decoder.codec(), Some(codec));
    }
    let mut decoder = Decompress::detect();
    decoder.push(Bytes::from_static(b"-- dump"), &mut Vec::new()).unwrap();
    assert_eq!(decoder.codec(), Some(Codec::None));
}

/// What is not compressed is handed on, not copied.
#[test]
fn plain_bytes_are_not_copied() {
    struct Addresses(Vec<usize>);
    impl Output for Addresses {
        fn emit(&mut self, data: Bytes) -> Result<()> {
            self.0.push(data.as_ptr() as usize);
            Ok(())
        }
    }
    let piece = Bytes::from(sql_dump(10_000, 2));
    let mut out = Addresses(Vec::new());
    Decompress::of(Codec::None).push(piece.clone(), &mut out).unwrap();
    assert_eq!(out.0, [piece.as_ptr() as usize]);
}

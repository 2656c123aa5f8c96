//! What the formats allow beyond one plain member, and what they do not.

use pipeline::{Error, Kind, Stage};
use transforms::codec::Codec;

use crate::{
    corpus::sql_dump,
    support::{CODECS, decode_as, detect, encode, run},
};

fn skippable(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    [&[0x50 + kind, 0x2a, 0x4d, 0x18][..], &length, content].concat()
}

fn unit(codec: Codec) -> &'static str {
    if codec == Codec::Gzip { "members" } else { "frames" }
}

#[test]
fn members_one_behind_the_other_are_all_decoded() {
    let (first, second) = (sql_dump(700_000, 1), sql_dump(10, 2));
    for codec in CODECS {
        let stream =
            [encode(codec, &first), encode(codec, &[]), encode(codec, &second), encode(codec, &[])].concat();
        for cuts in [&[][..], &[1], &[3, 1, 70_000]] {
            let (plain, report) =
                run(Box::new(transforms::codec::Decompress::detect()), &stream, cuts).unwrap();
            assert!(plain == [&first[..], &second].concat(), "{codec}");
            assert_eq!(report.counts[unit(codec)], 4, "{codec}");
        }
    }
}

#[test]
fn skippable_frames_are_skipped_wherever_they_are() {
    let data = sql_dump(300_000, 3);
    for codec in [Codec::Zstd, Codec::Lz4] {
        let frame = encode(codec, &data);
        let stream = [
            skippable(0, b"index"),
            skippable(15, &[]),
            frame.clone(),
            skippable(7, &frame),
            encode(codec, b"tail"),
            skippable(1, &vec![0; 100_000]),
        ]
        .concat();
        for cuts in [&[][..], &[1], &[5, 40_000]] {
            let (plain, report) =
                run(Box::new(transforms::codec::Decompress::detect()), &stream, cuts).unwrap();
            assert!(plain == [&data[..], b"tail"].concat(), "{codec}");
            assert_eq!((report.counts["frames"], report.counts["skippable-frames"]), (2, 4), "{codec}");
            assert_eq!(report.counts["compressed-bytes"], stream.len() as u64);
        }
    }
    assert!(detect(&skippable(3, b"nothing else")).unwrap().0.is_empty());
}

#[test]
fn zeros_after_a_gzip_member_are_padding() {
    let data = sql_dump(100_000, 4);
    for zeros in [1, 2, 511, 300_000] {
        let mut stream = encode(Codec::Gzip, &data);
        stream.resize(stream.len() + zeros, 0);
        assert!(decode_as(Codec::Gzip, &stream).unwrap() == data, "{zeros} zeros");
        stream.push(1);
        let error = decode_as(Codec::Gzip, &stream).unwrap_err();
        assert!(error.to_string().contains("belong to nothing"), "{error}");
        let offset = (stream.len() - 1).to_string();
        assert!(error.context().contains(&("offset", offset)), "{error:?}");
    }
}

#[test]
fn bytes_that_belong_to_nothing_are_an_error() {
    let data = sql_dump(50_000, 5);
    for codec in CODECS {
        let whole = encode(codec, &data);
        let zeros: &[u8] = &[0; 16];
        let other = encode(if codec == Codec::Zstd { Codec::Lz4 } else { Codec::Zstd }, b"x");
        for tail in [
            b"x".as_slice(),
            b"-- comment\n",
            &[0x1f, 0x8c],
            &[0x28, 0xb5, 0x2f, 0xfe],
            &[0xff; 40],
            &other,
            zeros,
        ] {
            if codec == Codec::Gzip && tail == zeros {
                continue;
            }
            let error = detect(&[&whole[..], tail].concat()).unwrap_err();
            assert_eq!(
                (error.kind(), error.stage(), error.exit_code()),
                (Kind::Failed, Stage::Source, 3),
                "{codec}: {tail:?}"
            );
            assert!(error.to_string().contains("belong to nothing"), "{codec}: {error}");
            assert!(error.context().contains(&("offset", whole.len().to_string())), "{codec}: {error:?}");
            assert!(!error.hints().is_empty());
        }
    }
}

#[test]
fn what_is_not_compressed_passes_unchanged() {
    let samples: [&[u8]; 12] = [
        b"",
        b"-",
        b"P",
        b"X",
        b"--",
        b"(SE",
        b"-- MySQL dump 10.13\n",
        b"PGDMP\x01\x0e\x00",
        b"REDIS0011\xfa",
        b"\x1f\x9dcompress",
        b"\x28\xb5\x2f\x00",
        b"P*M nothing",
    ];
    for data in samples {
        for cuts in [&[][..], &[1], &[2]] {
            let (plain, report) = run(Box::new(transforms::codec::Decompress::detect()), data, cuts).unwrap();
            assert_eq!(plain, data);
            assert_eq!(report.settings["codec"], "none");
            assert_eq!(report.counts["decompressed-bytes"], data.len() as u64);
            assert!(!report.counts.contains_key("members") && !report.counts.contains_key("frames"));
        }
    }
}

#[test]
fn a_short_beginning_of_a_format_is_a_cut_stream() {
    for data in [
        &[0x1f][..],
        &[0x28],
        &[0x28, 0xb5],
        &[0x28, 0xb5, 0x2f],
        &[4],
        &[4, 0x22, 0x4d],
        &[0x5a, 0x2a],
        &[0x1f, 0x8b],
    ] {
        let error = detect(data).unwrap_err();
        assert_eq!(error.kind(), Kind::Truncated, "{data:x?}");
    }
}

#[test]
fn a_promised_format_is_required() {
    for codec in CODECS {
        assert_eq!(
            decode_as(codec, b"").unwrap_err().kind(),
            Kind::Truncated,
            "{codec}: an empty file is not an empty stream"
        );
        let error = decode_as(codec, b"-- MySQL dump").unwrap_err();
        assert_eq!(error.to_string(), format!("the input is not {codec}"));
        for other in CODECS.into_iter().filter(|other| *other != codec) {
            assert_eq!(
                decode_as(codec, &encode(other, b"x")).unwrap_err().to_string(),
                format!("the input is not {codec}")
            );
        }
    }
}

#[test]
fn a_gzip_header_with_every_optional_field_is_read() {
    let data = sql_dump(1_000, 6);
    let plain = encode(Codec::Gzip, &data);
    let mut header = vec![0x1f, 0x8b, 8, 0b0001_1111, 1, 2, 3, 4, 2, 3];
    header.extend([5, 0]);
    header.extend(b"extra");
    header.extend(b"name.sql\0");
    header.extend(b"a comment\0");
    let crc = crc32fast::hash(&header).to_le_bytes();
    let with = |crc: &[u8]| [&header, crc, &plain[10..]].concat();
    assert!(decode_as(Codec::Gzip, &with(&crc[..2])).unwrap() == data);
    assert!(decode_as(Codec::Gzip, &with(&[crc[0] ^ 1, crc[1]])).is_err());
}

/// Handmade frames: magic, descriptor, window or dictionary, then one empty last block.
fn refused(header: &[u8]) -> Option<Error> {
    decode_as(Codec::Zstd, &[&[0x28, 0xb5, 0x2f, 0xfd], header, &[1, 0, 0]].concat()).err()
}

#[test]
fn a_zstd_frame_that_wants_too_much_is_refused_with_the_way_out() {
    assert!(refused(&[0, (27 - 10) << 3]).is_none(), "128 MiB is what zstd itself accepts");
    for window in [(27 - 10) << 3 | 1, (28 - 10) << 3, 31 << 3 | 7] {
        let error = refused(&[0, window]).unwrap();
        assert!(error.to_string().contains("128 MiB"), "{error}");
        assert!(error.hints().iter().any(|hint| hint.contains("--long")), "{error:?}");
    }
    let error = refused(&[1, 0, 7]).unwrap();
    assert!(error.to_string().contains("dictionary"), "{error}");
}

#[test]
fn lz4_legacy_frames_are_refused_with_the_way_out() {
    let error = detect(&[0x02, 0x21, 0x4c, 0x18, 0, 0]).unwrap_err();
    assert!(error.to_string().contains("legacy") && error.hints()[0].contains("lz4 -d"), "{error:?}");
}

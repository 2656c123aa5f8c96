use proptest::prelude::*;

use super::super::corpus::{self, cat, sealed, string};
use super::super::{Encoder, Needs};
use super::*;

/// What a parse gave: every event in words (chunks of one value joined), and all raw bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    events: Vec<String>,
    raw: Vec<u8>,
    value: Vec<u8>,
}

impl Seen {
    fn record(&mut self, record: &Record<'_>) {
        assert_eq!(record.offset, self.raw.len() as u64, "records follow on each other: {record:?}");
        self.raw.extend_from_slice(record.raw);
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        self.events.push(match record.event {
            Event::Chunk(Chunk { last }) => {
                self.value.extend_from_slice(record.raw);
                if !last {
                    return;
                }
                format!("value {}", text(&std::mem::take(&mut self.value)))
            }
            Event::Key(key) => {
                assert_eq!(record.raw[key.type_at], key.kind.byte());
                format!(
                    "key {} db {} type {} {} expires {:?} idle {:?} frequency {:?} metadata {}",
                    text(key.name),
                    key.db,
                    key.kind.byte(),
                    key.kind.data_type(),
                    key.expires_at,
                    key.idle,
                    key.frequency,
                    key.has_metadata
                )
            }
            Event::Aux { name, value } => format!("aux {} = {}", text(name), text(value)),
            Event::Function { library } => format!("function {}", text(library)),
            Event::SlotImport { job } => format!("import {}", text(job)),
            Event::HashTemplate { id, count, fields } => format!("template {id} {count} {}", text(fields)),
            other => format!("{other:?}"),
        });
    }
}

fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Seen> {
    let mut parser = Parser::new();
    parse_with(&mut parser, pieces)
}

fn parse_with<'a>(parser: &mut Parser, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Seen> {
    let mut seen = Seen::default();
    for piece in pieces {
        let taken = parser.push::<Error, _>(piece, &mut |record| {
            seen.record(&record);
            Ok(())
        })?;
        assert!(taken == piece.len() || parser.is_finished());
    }
    parser.finish()?;
    Ok(seen)
}

#[test]
fn files_of_every_version_parse_and_give_every_byte_back() {
    for (version, file) in corpus::files() {
        let seen = parse([&file[..]]).unwrap_or_else(|error| panic!("{version}: {error}"));
        assert!(seen.raw == file, "{version}");
        let keys = seen.events.iter().filter(|event| event.starts_with("key ")).count();
        let values = seen.events.iter().filter(|event| event.starts_with("value ")).count();
        assert!(keys >= 20, "{version}: {keys}");
        assert_eq!(
            values,
            keys + usize::from(version.number >= 9),
            "{version}: one more for the module's data"
        );
        let end = seen.events.last().unwrap();
        let expected = if version.has_checksum() { "Eof(Verified(" } else { "Eof(Absent)" };
        assert!(end.starts_with(expected), "{version}: {end}");
    }
}

#[test]
fn heads_say_what_the_file_says() {
    let file = sealed(cat(&[
        b"REDIS0013\xfa",
        &string(b"ctime"),
        b"\xc2\x00\x00\x00\x40\xfe\x03\xfb\x02\x01\xfd\x10\x00\x00\x00\xf8\x05\xf9\x07\xf3\x01CLAS\x05",
        &string(b"m"),
        b"\x00\x00",
        &string(b"plain"),
        &string(b"v"),
        b"\x00\xc0\x2a",
        &string(b"v"),
    ]));
    let seen = parse([&file[..]]).unwrap();
    assert_eq!(
        seen.events[1..8],
        [
            "aux ctime = 1073741824",
            "SelectDb(3)",
            "ResizeDb { keys: 2, expires: 1 }",
            "key plain db 3 type 0 string expires Some(16000) idle Some(5) frequency Some(7) metadata true",
            "value \\x01v",
            "key 42 db 3 type 0 string expires None idle None frequency None metadata false",
            "value \\x01v",
        ]
    );
}

#[test]
fn every_prefix_is_a_truncation() {
    for (version, file) in corpus::files() {
        for cut in 0..file.len() {
            let error = parse([&file[..cut]]).unwrap_err();
            assert!(error.is_truncation(), "{version} cut at {cut}: {error}");
            assert_eq!(error.offset(), cut as u64);
        }
    }
}

#[test]
fn every_flipped_bit_is_found_by_grammar_or_checksum() {
    // Except in the header's number: a file may well be one of another version.
    for (version, file) in corpus::files().into_iter().filter(|(version, _)| version.has_checksum()) {
        let head = version.magic().len();
        for at in head..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 1 << (at % 8);
            let mut parser = Parser::new();
            let pushed = parser.push::<Error, _>(&bad, &mut |_| Ok(()));
            assert!(pushed.is_err() || parser.finish().is_err(), "{version}: bit {} of byte {at}", at % 8);
        }
    }
}

#[test]
fn one_byte_at_a_time_is_the_same() {
    for (version, file) in corpus::files() {
        assert!(parse([&file[..]]) == parse(file.chunks(1)), "{version}");
    }
}

#[test]
fn errors_are_the_same_however_the_input_is_cut() {
    let file = corpus::file(Version::redis(15));
    for at in (9..file.len()).step_by(3) {
        let mut bad = file.clone();
        bad[at] = bad[at].wrapping_add(97);
        let whole = parse([&bad[..]]).map(|_| ()).unwrap_err();
        for size in [1, 7] {
            assert_eq!(
                parse(bad.chunks(size)).map(|_| ()).unwrap_err(),
                whole,
                "byte {at} in pieces of {size}"
            );
        }
    }
}

fn error_of(body: &[u8]) -> Error {
    let file = sealed(body.to_vec());
    parse([&file[..]]).unwrap_err()
}

#[test]
fn what_cannot_be_carried_is_refused_by_name_offset_and_key() {
    let error = error_of(&cat(&[b"REDIS0009\x06", &string(b"mod:1"), b"\x01\x02"]));
    assert!(matches!(error.problem(), Problem::Unsupported { byte: 6, .. }));
    assert_eq!((error.offset(), error.key()), (9, Some(&b"mod:1"[..])));
    assert!(error.to_string().contains("only its module knows at offset 9 in key \"mod:1\""), "{error}");

    for (body, byte) in [
        (&b"REDIS0012\x08\x01k\x01v"[..], 8),
        (b"REDIS0012\x22\x01k\x01v", 34),
        (b"REDIS0014\x1d\x01k\x01v", 29),
        (b"VALKEY080\x18\x01k\x01v", 24),
        (b"REDIS0015\xf1\x01k\x01v", 241),
    ] {
        let error = error_of(body);
        assert_eq!(error.problem(), &Problem::Unknown(byte));
        assert_eq!(error.offset(), 9);
    }
    for (body, byte) in [
        (&b"REDIS0010\xf6\x01k"[..], 246),
        (b"VALKEY081\xf2\x01k", 242),
        (b"VALKEY081\x17\x01k\x01v", 23),
        (b"REDIS0015\x21\x01k\x01v", 33),
        (b"REDIS0009\x6b\x01", 107),
        (b"REDIS0009\x79\x01", 121),
    ] {
        let error = error_of(body);
        assert!(matches!(error.problem(), Problem::Unsupported { byte: b, .. } if *b == byte), "{error}");
        assert_eq!(error.offset(), 9);
    }
}

#[test]
fn an_error_inside_a_value_names_its_key() {
    // The second element's header is not one.
    let error = error_of(&cat(&[b"REDIS0009\x01", &string(b"mylist"), b"\x02\x01a\xc9"]));
    assert_eq!(error.key(), Some(&b"mylist"[..]));
    assert_eq!(error.offset(), 9 + 1 + 7 + 3);
    let error = error_of(&cat(&[b"REDIS0010\x12", &string(b"ql"), b"\x01\x03\x01a"]));
    assert_eq!((error.key(), error.offset()), (Some(&b"ql"[..]), 9 + 1 + 3 + 1));
    // The next key is not to blame for the one before, nor the other way round.
    let error = error_of(b"REDIS0009\x00\x01k\x01v\xf0");
    assert_eq!(error.key(), None);
}

#[test]
fn attributes_without_a_key_are_refused() {
    for body in [
        &b"REDIS0009\xfc\x01\x02\x03\x04\x05\x06\x07\x08\xfe\x01"[..],
        b"REDIS0009\xf9\x01\xff\0\0\0\0\0\0\0\0",
        b"VALKEY080\xf9\x01\xf3\x01a\x00",
    ] {
        assert!(matches!(error_of(body).problem(), Problem::Corrupt(_)));
    }
}

#[test]
fn templates_must_be_known_and_unique() {
    let body = cat(&[b"REDIS0015", &corpus::template(), &corpus::template()]);
    assert!(matches!(error_of(&body).problem(), Problem::Corrupt(_)));
    let body = cat(&[b"REDIS0015", &corpus::template(), b"\x20\x01k\x08\x01v\x01w"]);
    assert!(error_of(&body).to_string().contains("not defined"));
    assert!(matches!(error_of(b"REDIS0015\xf2\x01\x00").problem(), Problem::Corrupt(_)));
}

#[test]
fn a_zero_trailer_is_reported_and_a_wrong_one_refused() {
    let body = b"REDIS0009\x00\x01k\x01v\xff".to_vec();
    let unchecked = cat(&[&body, &[0; 8]]);
    assert_eq!(parse([&unchecked[..]]).unwrap().events.last().unwrap(), "Eof(NotComputed)");
    let wrong = cat(&[&body, &[1; 8]]);
    let error = parse([&wrong[..]]).unwrap_err();
    assert!(matches!(error.problem(), Problem::Checksum { stored: 0x0101_0101_0101_0101, .. }));
    assert_eq!(error.offset(), body.len() as u64);
}

#[test]
fn what_follows_the_end_is_left_alone() {
    let file = sealed(b"REDIS0009\x00\x01k\x01v".to_vec());
    let tail = b"*1\r\n$4\r\nPING\r\n";
    let input = cat(&[&file, tail]);
    for split in 0..=input.len() {
        let mut parser = Parser::new();
        let first = parser.push::<Error, _>(&input[..split], &mut |_| Ok(())).unwrap();
        assert_eq!(first, split.min(file.len()));
        let second = parser.push::<Error, _>(&input[first..], &mut |_| Ok(())).unwrap();
        assert_eq!(first + second, file.len());
        assert!(parser.is_finished() && parser.finish().is_ok());
        assert_eq!(parser.offset(), file.len() as u64);
    }
}

#[test]
fn a_version_newer_than_known_is_carried_as_far_as_the_grammar_goes() {
    let file = sealed(b"REDIS0017\x00\x01k\x01v".to_vec());
    assert!(parse([&file[..]]).is_ok());
    assert!(matches!(error_of(b"REDIS0017\x2f\x01k\x01v").problem(), Problem::Unknown(47)));
}

#[test]
fn hostile_lengths_neither_allocate_nor_run_on() {
    let huge = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    // A key's name, an AUX value, a compressed name's plain size: refused at once.
    for body in [
        cat(&[b"REDIS0009\x00", &huge]),
        cat(&[b"REDIS0009\xfa\x01a", &huge]),
        cat(&[b"REDIS0009\x00\xc3\x01", &huge, b"a"]),
    ] {
        let error = parse([&body[..]]).unwrap_err();
        assert!(matches!(error.problem(), Problem::TooLarge { size: u64::MAX, .. }), "{error}");
    }
    // Values and counts are only waited for.
    for byte in [0, 1, 2, 4, 5, 14, 15, 18, 24] {
        let mut parser = Parser::new();
        let body = cat(&[b"REDIS0012", &[byte], b"\x01k", &huge, &huge, &huge]);
        let result = parser.push::<Error, _>(&body, &mut |_| Ok(()));
        assert!(result.is_err() || parser.finish().unwrap_err().is_truncation(), "type {byte}");
        assert!(parser.cut.capacity() < 1000);
    }
    // A template and metadata that claim to be endless.
    for body in
        [cat(&[b"REDIS0015\xf2\x01", &huge, &[1, b'f']]), cat(&[b"REDIS0015\xf3", &huge, b"CLAS\x00"])]
    {
        assert!(parse([&body[..]]).unwrap_err().is_truncation());
    }
}

#[test]
fn the_limit_of_a_head_holds_for_any_cutting() {
    let fields: Vec<u8> = (0..100).flat_map(|_| string(&[b'f'; 50])).collect();
    let file = sealed(cat(&[b"REDIS0015\xf2\x07\x40\x64", &fields]));
    for (limit, fits) in [(5104, true), (5103, false), (60, false), (9, false)] {
        let results: Vec<_> = [1, 3, 50, file.len()]
            .iter()
            .map(|size| {
                parse_with(&mut Parser::with_head_limit(limit), file.chunks(*size)).map(|seen| seen.raw.len())
            })
            .collect();
        assert_eq!(results[0].is_ok(), fits, "{limit}");
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{limit}: {results:?}");
    }
}

#[test]
fn a_list_in_a_head_has_a_limit_of_its_own() {
    let start = b"REDIS0015\xf2\x07\x80\xff\xff\xff\xff";
    let mut parser = Parser::new();
    parser.push::<Error, _>(start, &mut |_| Ok(())).unwrap();
    let empty = vec![0; 64 << 10];
    let error = (0..1000).find_map(|_| parser.push::<Error, _>(&empty, &mut |_| Ok(())).err()).unwrap();
    assert!(matches!(error.problem(), Problem::TooLarge { .. }), "{error}");
    assert!(parser.offset() <= 5 << 20);
    // Any number of fields below that is read in time that does not grow with its square.
    let fields: Vec<u8> = (0..500_000).flat_map(|_| *b"\x02ff").collect();
    let file = sealed(cat(&[b"REDIS0015\xf2\x07\x80", &500_000_u32.to_be_bytes(), &fields]));
    assert!(parse(file.chunks(40_000)).unwrap().raw == file);
}

#[test]
fn memory_does_not_follow_the_size_of_a_value() {
    let mut parser = Parser::new();
    let head = cat(&[b"REDIS0011\x00\x03big\x81", &(3_u64 << 30).to_be_bytes()]);
    parser.push::<Error, _>(&head, &mut |_| Ok(())).unwrap();
    let piece = vec![0xff; 1 << 20];
    let mut bytes = 0;
    for _ in 0..3 << 10 {
        parser
            .push::<Error, _>(&piece, &mut |record| {
                bytes += record.raw.len();
                Ok(())
            })
            .unwrap();
    }
    assert_eq!(bytes, 3 << 30);
    assert!(parser.cut.capacity() + parser.name.capacity() < 1000);
    assert_eq!(parser.push::<Error, _>(&[255], &mut |_| Ok(())).unwrap(), 1);
    assert!(matches!(parser.state, State::Trailer));
}

#[test]
fn after_an_error_the_parser_stays_failed() {
    let mut parser = Parser::new();
    assert!(parser.push::<Error, _>(b"NOTANRDB!", &mut |_| Ok(())).is_err());
    assert!(parser.push::<Error, _>(b"REDIS0009", &mut |_| Ok(())).is_err());
    assert!(parser.finish().is_err());
}

/// Writes a file again from its events: attributes and names anew, values as they are.
fn rewrite(file: &[u8], size: usize) -> (Vec<u8>, Needs) {
    let mut needs = Needs::new();
    let mut parser = Parser::new();
    let mut encoder: Option<Encoder> = None;
    let mut out = Vec::new();
    for piece in file.chunks(size) {
        parser
            .push::<Error, _>(piece, &mut |record| {
                if let Event::Header(version) = record.event {
                    encoder = Some(Encoder::new(version));
                }
                let encoder = encoder.as_mut().unwrap();
                needs.event(&record.event);
                match record.event {
                    Event::Header(_) | Event::Eof(_) => {}
                    Event::Aux { name, value } => encoder.aux(name, value),
                    Event::SelectDb(db) => encoder.select_db(db),
                    Event::ResizeDb { keys, expires } => encoder.resize_db(keys, expires),
                    Event::Function { library } => encoder.function(library),
                    Event::Key(key) if !key.has_metadata => {
                        if let Some(at) = key.expires_at {
                            encoder.expires_at(at);
                        }
                        if let Some(idle) = key.idle {
                            encoder.idle(idle);
                        }
                        if let Some(frequency) = key.frequency {
                            encoder.frequency(frequency);
                        }
                        encoder.key(key.kind, key.name);
                    }
                    _ => encoder.raw(record.raw),
                }
                if encoder.pending() > 100 {
                    out.extend_from_slice(&encoder.take(Vec::new()));
                }
                Ok(())
            })
            .unwrap();
    }
    out.extend_from_slice(&encoder.unwrap().finish());
    (out, needs)
}

#[test]
fn a_rewritten_file_says_the_same() {
    for (version, file) in corpus::files() {
        let (again, needs) = rewrite(&file, 64);
        let (before, after) = (parse([&file[..]]).unwrap(), parse([&again[..]]).unwrap());
        let events = before.events.len() - 1;
        assert_eq!(before.events[..events], after.events[..events], "{version}");
        assert!(after.events[events].starts_with(if version.has_checksum() {
            "Eof(Verified("
        } else {
            "Eof(Absent"
        }));
        // Rewriting is a fixed point.
        assert!(rewrite(&again, 1).0 == again, "{version}");
        // Every version's file has something of that version, except where none brought anything new to a file; Valkey's
        // holds a slot size, which Valkey skips but only Redis 7.4 wrote, beside what only Valkey has.
        let lowest = needs.lowest();
        let expected = match version.number {
            1..=6 => Some(Version::redis(5)),
            80.. => None,
            _ => Some(version),
        };
        assert_eq!(lowest, expected, "{version}");
    }
}

#[test]
fn a_file_passed_through_is_byte_identical() {
    for (version, file) in corpus::files() {
        let mut encoder = None;
        parse_raw(&file, 77, |record| match record.event {
            Event::Header(version) => encoder = Some(Encoder::new(version)),
            Event::Eof(_) => {}
            _ => encoder.as_mut().unwrap().raw(record.raw),
        });
        let encoder: Encoder = encoder.unwrap();
        assert_eq!(encoder.written(), file.len() as u64 - if version.has_checksum() { 9 } else { 1 });
        assert!(encoder.finish() == file, "{version}");
    }
}

#[test]
fn what_is_spliced_is_what_was_kept_one_by_one() {
    for (version, file) in corpus::files() {
        for size in [1, 2, 9, 50, 700, file.len()] {
            let (mut parser, mut encoder, mut plain) =
                (Parser::new(), Encoder::new(version), Encoder::new(version));
            let mut kept = 0_usize;
            let mut keep = true;
            for piece in file.chunks(size) {
                let mut splice = encoder.splice(piece, parser.offset());
                parser
                    .push::<Error, _>(piece, &mut |record| {
                        match record.event {
                            Event::Header(_) | Event::Eof(_) => return Ok(()),
                            Event::SelectDb(db) => {
                                splice.encoder().select_db(db + 3);
                                plain.select_db(db + 3);
                                return Ok(());
                            }
                            Event::Chunk(_) => {}
                            _ => {
                                kept += 1;
                                keep = !kept.is_multiple_of(3);
                            }
                        }
                        if keep {
                            splice.keep(&record);
                            plain.raw(record.raw);
                        }
                        Ok(())
                    })
                    .unwrap();
            }
            let again = encoder.finish();
            assert!(again == plain.finish(), "{version} in pieces of {size}");
            assert!(again.len() < file.len());
        }
    }
}

fn parse_raw(file: &[u8], size: usize, mut on: impl FnMut(Record<'_>)) {
    let mut parser = Parser::new();
    for piece in file.chunks(size) {
        parser
            .push::<Error, _>(piece, &mut |record| {
                on(record);
                Ok(())
            })
            .unwrap();
    }
    parser.finish().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cutting_gives_the_same(which in 0..17_usize, sizes in proptest::collection::vec(1..200_usize, 1..40)) {
        let (_, file) = corpus::files().swap_remove(which);
        let mut pieces = Vec::new();
        let mut rest = &file[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert!(parse(pieces) == parse([&file[..]]));
    }

    #[test]
    fn any_bytes_give_an_answer_that_does_not_depend_on_the_cutting(
        valkey in any::<bool>(),
        body in proptest::collection::vec(prop_oneof![any::<u8>(), 0..34_u8, 242..=255_u8], 0..200),
        size in 1..20_usize,
    ) {
        let magic: &[u8] = if valkey { b"VALKEY081" } else { b"REDIS0015" };
        let file = cat(&[magic, &body]);
        prop_assert_eq!(parse([&file[..]]), parse(file.chunks(size)));
    }
}

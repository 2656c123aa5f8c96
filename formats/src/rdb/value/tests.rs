use super::super::corpus::{self, Sample, lzf, string};
use super::super::{Dialect, Version};
use super::*;

/// Prints items, joining the pieces of a string.
#[derive(Default)]
struct Printer {
    out: String,
    string: Vec<u8>,
    pieces: usize,
}

impl Printer {
    fn item(&mut self, item: Item<'_>) {
        use std::fmt::Write;
        let out = &mut self.out;
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        match item {
            Item::Length(n) => write!(out, "length={n} "),
            Item::Bytes { role, data, total, last } => {
                self.string.extend_from_slice(data);
                self.pieces += 1;
                if !last {
                    return;
                }
                assert_eq!(self.string.len() as u64, total);
                let role = match role {
                    Role::Element => "element",
                    Role::Member => "member",
                    Role::Field => "field",
                    Role::Value => "value",
                };
                let string = text(&std::mem::take(&mut self.string));
                write!(out, "{role}={string} ")
            }
            Item::Score(score) => write!(out, "score={score} "),
            Item::FieldExpires(at) => write!(out, "expires={at} "),
            Item::Entry { id, fields } => write!(out, "entry {id}/{fields} "),
            Item::Stream { length, last_id, more: None } => write!(out, "stream {length}/{last_id} "),
            Item::Stream { length, last_id, more: Some((first, deleted, added)) } => {
                write!(out, "stream {length}/{last_id} {first}/{deleted}/{added} ")
            }
            Item::Group { name, last_id, entries_read: None } => {
                write!(out, "group {} {last_id} ", text(name))
            }
            Item::Group { name, last_id, entries_read: Some(read) } => {
                write!(out, "group {} {last_id} read {read} ", text(name))
            }
            Item::Pending { id, delivered_at, deliveries } => {
                write!(out, "pending {id}/{delivered_at}/{deliveries} ")
            }
            Item::Consumer { name, seen_at, active_at: None } => {
                write!(out, "consumer {}/{seen_at} ", text(name))
            }
            Item::Consumer { name, seen_at, active_at: Some(at) } => {
                write!(out, "consumer {}/{seen_at}/{at} ", text(name))
            }
            Item::ConsumerPending(id) => write!(out, "owns {id} "),
            Item::Released(id) => write!(out, "released {id} "),
            Item::Idempotence { duration, max } => write!(out, "idempotence {duration}/{max} "),
            Item::Producer(name) => write!(out, "producer {} ", text(name)),
            Item::Idempotent { name, id } => write!(out, "idempotent {}/{id} ", text(name)),
            Item::IdempotentTotals { added, duplicates } => write!(out, "totals {added}/{duplicates} "),
            Item::InsertIndex(at) => write!(out, "next={at} "),
            Item::Index(at) => write!(out, "at={at} "),
            Item::Module { id } => write!(out, "module={id} "),
        }
        .unwrap();
    }
}

fn decoder() -> Decoder {
    let mut decoder = Decoder::new();
    decoder.template(7, 2, &[string(b"t1"), string(b"t2")].concat()).unwrap();
    decoder
}

fn kind(sample: &Sample) -> Kind {
    Kind::of(sample.version, sample.byte).unwrap()
}

fn decode(decoder: &mut Decoder, kind: Kind, pieces: &[&[u8]]) -> Result<(String, bool)> {
    let mut printer = Printer::default();
    decoder.begin(kind);
    let mut done = false;
    for piece in pieces {
        done = decoder.push::<Error, _>(piece, &mut |item| {
            printer.item(item);
            Ok(())
        })?;
    }
    Ok((printer.out, done))
}

#[test]
fn every_type_and_encoding_decodes_whole_and_byte_by_byte() {
    let mut decoder = decoder();
    for sample in corpus::samples() {
        for size in [1, 2, 3, 5, 8, 13, 1000] {
            let pieces: Vec<&[u8]> = sample.value.chunks(size).collect();
            let (items, done) = decode(&mut decoder, kind(&sample), &pieces)
                .unwrap_or_else(|error| panic!("{} in pieces of {size}: {error}", sample.name));
            assert_eq!(items, sample.expected(), "{} in pieces of {size}", sample.name);
            assert!(done, "{}", sample.name);
        }
    }
}

#[test]
fn no_prefix_of_a_value_is_a_value() {
    let mut decoder = decoder();
    for sample in corpus::samples() {
        for cut in 0..sample.value.len() {
            if let Ok((_, done)) = decode(&mut decoder, kind(&sample), &[&sample.value[..cut]]) {
                assert!(!done, "{} cut at {cut}", sample.name);
            }
        }
        let longer = [&sample.value[..], &[0]].concat();
        assert!(decode(&mut decoder, kind(&sample), &[&longer]).is_err(), "{} and a byte", sample.name);
    }
}

#[test]
fn bad_bytes_end_in_an_error_or_other_items_but_never_in_a_panic() {
    let mut decoder = decoder();
    for sample in corpus::samples() {
        for at in 0..sample.value.len() {
            for value in [0, 1, 2, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xc0, 0xc3, 0xe0, 0xf4, 0xfe, 0xff] {
                let mut bad = sample.value.clone();
                bad[at] = value;
                let whole = decode(&mut decoder, kind(&sample), &[&bad]);
                let bytes: Vec<&[u8]> = bad.chunks(1).collect();
                let single = decode(&mut decoder, kind(&sample), &bytes);
                assert_eq!(whole.is_ok(), single.is_ok(), "{} with {value} at {at}", sample.name);
                if let (Ok(whole), Ok(single)) = (whole, single) {
                    assert_eq!(whole, single);
                }
            }
        }
    }
}

#[test]
fn a_long_string_comes_in_pieces_and_is_never_held() {
    let mut decoder = decoder();
    let mut value = vec![0x81];
    value.extend_from_slice(&(5_u64 << 30).to_be_bytes());
    let kind = Kind::of(Version::redis(11), 0).unwrap();
    decoder.begin(kind);
    let piece = vec![b'x'; 1 << 20];
    let mut seen = 0;
    let mut on = |item: Item<'_>| {
        if let Item::Bytes { data, total, .. } = item {
            assert_eq!(total, 5 << 30);
            seen += data.len() as u64;
        }
        Ok::<(), Error>(())
    };
    decoder.push(&value, &mut on).unwrap();
    for at in 0..5 << 10 {
        assert_eq!(decoder.push(&piece, &mut on).unwrap(), at + 1 == 5 << 10);
    }
    assert_eq!(seen, 5 << 30);
    assert_eq!(decoder.state.whole.capacity(), 0);
}

#[test]
fn what_is_held_whole_is_bounded_before_it_is_held() {
    let kind = Kind::of(Version::redis(11), 16).unwrap();
    let mut decoder = Decoder::with_packed_limit(1000);
    let claims = [0x81, 0, 0, 0, 0xff, 0, 0, 0, 0];
    let bomb = [&[0xc3, 4][..], &claims, &[0, b'a', 0xe0, 0xff]].concat();
    for value in [&claims[..], &bomb] {
        let error = decode(&mut decoder, kind, &[value]).unwrap_err();
        assert!(matches!(error.problem(), Problem::TooLarge { limit: 1000, .. }), "{error}");
    }
    let big: Vec<String> = (0..200).map(|n| format!("f{n:06}")).collect();
    let big = corpus::listpack(&big.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(decode(&mut decoder, kind, &[&string(&big)]).is_err());
    assert!(decode(&mut Decoder::new(), kind, &[&string(&big)]).is_ok());
}

#[test]
fn a_bomb_inside_a_collection_streams() {
    let kind = Kind::of(Version::redis(9), 4).unwrap();
    let text = vec![b'q'; 3_000_000];
    let value = [&[1][..], &string(b"f"), &lzf(&text)].concat();
    assert!(value.len() < 40_000);
    let mut decoder = decoder();
    decoder.begin(kind);
    let (mut bytes, mut largest) = (0, 0);
    let done = decoder.push::<Error, _>(&value, &mut |item| {
        if let Item::Bytes { role: Role::Value, data, total, .. } = item {
            assert_eq!(total, 3_000_000);
            bytes += data.len();
            largest = largest.max(data.len());
        }
        Ok(())
    });
    assert_eq!((done, bytes), (Ok(true), 3_000_000));
    assert!(largest < 70_000);
}

#[test]
fn an_error_of_the_receiver_comes_back_as_it_is() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Codec(Error),
        Full,
    }
    impl From<Error> for Mine {
        fn from(error: Error) -> Self {
            Self::Codec(error)
        }
    }
    let mut decoder = decoder();
    decoder.begin(Kind::of(Version::redis(9), 0).unwrap());
    assert_eq!(decoder.push(&string(b"hello"), &mut |_| Err(Mine::Full)), Err(Mine::Full));
    decoder.begin(Kind::of(Version::redis(9), 0).unwrap());
    assert!(matches!(decoder.push(&[0xc4], &mut |_| Err(Mine::Full)), Err(Mine::Codec(_))));
}

proptest::proptest! {
    #[test]
    fn any_bytes_under_any_type_give_an_answer(byte in 0..34_u8, valkey in proptest::bool::ANY, value in proptest::collection::vec(proptest::num::u8::ANY, 0..300), cut in 1..40_usize) {
        let version = if valkey { Version::valkey(81) } else { Version::redis(15) };
        assert_eq!(version.dialect == Dialect::Valkey, valkey);
        if let Ok(kind) = Kind::of(version, byte) {
            let mut decoder = decoder();
            let whole = decode(&mut decoder, kind, &[&value]);
            let pieces: Vec<&[u8]> = value.chunks(cut).collect();
            let cut = decode(&mut decoder, kind, &pieces);
            assert_eq!(whole.is_ok(), cut.is_ok());
            if let (Ok(whole), Ok(cut)) = (whole, cut) {
                assert_eq!(whole, cut);
            }
        }
    }
}

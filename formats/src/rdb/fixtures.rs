//! Files of real servers against what those servers said of their content; see `fixtures/README.md`.

use super::{Checksum, Chunk, Crc64, DataType, Decoder, Encoder, Error, Event, Item, Parser, Role, Version};

const FIXTURES: [(&str, Version, &[u8], &str); 3] = [
    (
        "Redis 7.0.15",
        Version::redis(10),
        include_bytes!("fixtures/redis-7.0.15.rdb"),
        include_str!("fixtures/redis-7.0.15.txt"),
    ),
    (
        "Redis 8.0.6",
        Version::redis(12),
        include_bytes!("fixtures/redis-8.0.6.rdb"),
        include_str!("fixtures/redis-8.0.6.txt"),
    ),
    (
        "Valkey 9.1.2",
        Version::valkey(80),
        include_bytes!("fixtures/valkey-9.1.2.rdb"),
        include_str!("fixtures/valkey-9.1.2.txt"),
    ),
];

/// The elements of a value in the words of `generate.py`.
#[derive(Default)]
struct Elements {
    words: Vec<String>,
    in_string: bool,
}

impl Elements {
    fn item(&mut self, item: Item<'_>) {
        let word = match item {
            Item::Bytes { role, data, last, .. } => {
                let continued = std::mem::replace(&mut self.in_string, !last);
                let data = hex(data);
                match (role, self.words.last_mut()) {
                    (_, Some(word)) if continued => {
                        word.push_str(&data);
                        return;
                    }
                    // A field and what belongs to it are one word, for sorting.
                    (Role::Value, Some(word)) => {
                        word.push_str(" v:");
                        word.push_str(&data);
                        return;
                    }
                    (Role::Field, _) => format!("f:{data}"),
                    (Role::Member, _) => format!("m:{data}"),
                    _ => format!("e:{data}"),
                }
            }
            Item::Score(score) => {
                let word = self.words.last_mut().unwrap();
                word.push_str(" s:");
                word.push_str(&python(score));
                return;
            }
            Item::FieldExpires(at) => {
                let word = self.words.last_mut().unwrap();
                word.push_str(" x:");
                word.push_str(&at.to_string());
                return;
            }
            Item::Entry { id, fields } => format!("entry:{id}:{fields}"),
            Item::Stream { length, last_id, more } => {
                let (first, deleted, added) = more.unwrap();
                format!("stream:{length}:{last_id}:{first}:{deleted}:{added}")
            }
            Item::Group { name, last_id, entries_read } => {
                let read = entries_read.map_or("-1".to_owned(), |read| read.to_string());
                format!("group:{}:{last_id}:{read}", hex(name))
            }
            Item::Pending { id, delivered_at, deliveries } => {
                format!("pending:{id}:{delivered_at}:{deliveries}")
            }
            Item::Consumer { name, seen_at, active_at } => {
                format!("consumer:{}:{seen_at}:{}", hex(name), active_at.unwrap_or(-1))
            }
            Item::ConsumerPending(id) => format!("owns:{id}"),
            Item::Length(_) => return,
            other => panic!("{other:?}"),
        };
        self.words.push(word);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A double as Python prints it.
fn python(score: f64) -> String {
    let plain = format!("{score:?}");
    if score.abs() >= 1e16 && score.is_finite() { format!("{score:e}").replace('e', "e+") } else { plain }
}

fn lines(file: &[u8], size: usize) -> (Vec<String>, Checksum) {
    let (mut parser, mut decoder) = (Parser::new(), Decoder::new());
    let mut lines = Vec::new();
    let mut checksum = Checksum::Absent;
    let (mut start, mut data_type, mut elements) = (String::new(), DataType::String, Elements::default());
    for piece in file.chunks(size) {
        parser
            .push::<Error, _>(piece, &mut |record| {
                match record.event {
                    Event::Key(key) => {
                        let name = hex(key.name);
                        data_type = key.kind.data_type();
                        start = format!("{} {data_type} {name} {}", key.db, key.expires_at.unwrap_or(-1));
                        decoder.begin(key.kind);
                        elements = Elements::default();
                    }
                    Event::Chunk(Chunk { last }) => {
                        decoder.push::<Error, _>(record.raw, &mut |item| {
                            elements.item(item);
                            Ok(())
                        })?;
                        if last {
                            if matches!(data_type, DataType::Set | DataType::SortedSet | DataType::Hash) {
                                elements.words.sort();
                            }
                            let crc = Crc64::of(elements.words.join(" ").as_bytes());
                            lines.push(format!("{start} {crc:016x}"));
                        }
                    }
                    Event::Eof(found) => checksum = found,
                    _ => {}
                }
                Ok(())
            })
            .unwrap();
    }
    parser.finish().unwrap();
    lines.sort();
    (lines, checksum)
}

#[test]
fn decoded_values_are_what_the_server_answered() {
    for (server, _, file, answers) in FIXTURES {
        let mut expected: Vec<&str> = answers.lines().collect();
        expected.sort_unstable();
        assert!(expected.len() >= 60, "{server}");
        for size in [file.len(), 4096, 11, 1] {
            let (decoded, checksum) = lines(file, size);
            assert!(matches!(checksum, Checksum::Verified(_)), "{server}");
            assert_eq!(decoded, expected, "{server} in pieces of {size}");
        }
    }
}

#[test]
fn files_pass_through_byte_by_byte() {
    for (server, version, file, _) in FIXTURES {
        let mut parser = Parser::new();
        let mut encoder = Encoder::new(version);
        for piece in file.chunks(333) {
            let mut splice = encoder.splice(piece, parser.offset());
            parser
                .push::<Error, _>(piece, &mut |record| {
                    match record.event {
                        Event::Header(found) => assert_eq!(found, version),
                        Event::Eof(_) => {}
                        _ => splice.keep(&record),
                    }
                    Ok(())
                })
                .unwrap();
        }
        assert!(encoder.finish() == file, "{server}");
    }
}

#[test]
fn no_prefix_of_a_servers_file_passes() {
    for (server, _, file, _) in FIXTURES {
        let mut parser = Parser::new();
        for (at, byte) in file.iter().enumerate() {
            assert!(parser.finish().unwrap_err().is_truncation(), "{server} cut at {at}");
            parser.push::<Error, _>(std::slice::from_ref(byte), &mut |_| Ok(())).unwrap();
        }
        assert!(parser.finish().is_ok());
    }
}

#[test]
fn a_flipped_bit_in_a_servers_file_is_found() {
    for (server, _, file, _) in FIXTURES {
        for at in (9..file.len()).step_by(5) {
            let mut bad = file.to_vec();
            bad[at] ^= 1 << (at % 8);
            let mut parser = Parser::new();
            let pushed = parser.push::<Error, _>(&bad, &mut |_| Ok(()));
            assert!(pushed.is_err() || parser.finish().is_err(), "{server}: bit {} of byte {at}", at % 8);
        }
    }
}

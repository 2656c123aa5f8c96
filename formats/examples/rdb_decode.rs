//! Prints what an RDB file holds, a line per key: database, type byte, name in hexadecimal, expiry, elements.
//!
//! `cargo run --example rdb_decode -- dump.rdb [PIECE]`: PIECE is how many bytes the parser gets at a time. The tests against real
//! servers compare these lines with what the server answers.

use std::io::Write;

use formats::rdb::{Chunk, Decoder, Event, Item, Parser, Role};

fn hex(out: &mut Vec<u8>, bytes: &[u8]) -> std::io::Result<()> {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

fn item(out: &mut Vec<u8>, open: &mut bool, item: Item<'_>) -> std::io::Result<()> {
    match item {
        Item::Bytes { role, data, last, .. } => {
            if !*open {
                let role = match role {
                    Role::Element => "e",
                    Role::Member => "m",
                    Role::Field => "f",
                    Role::Value => "v",
                };
                write!(out, " {role}:")?;
            }
            *open = !last;
            hex(out, data)
        }
        Item::Score(score) => write!(out, " s:{score:?}"),
        Item::FieldExpires(at) => write!(out, " x:{at}"),
        Item::Entry { id, fields } => write!(out, " entry:{id}:{fields}"),
        Item::Group { name, last_id, entries_read } => {
            write!(out, " group:")?;
            hex(out, name)?;
            write!(
                out,
                ":{last_id}:{}",
                entries_read.map_or_else(|| "-1".to_owned(), |read| read.to_string())
            )
        }
        Item::Pending { id, delivered_at, deliveries } => {
            write!(out, " pending:{id}:{delivered_at}:{deliveries}")
        }
        Item::Consumer { name, seen_at, active_at } => {
            write!(out, " consumer:")?;
            hex(out, name)?;
            write!(out, ":{seen_at}:{}", active_at.unwrap_or(-1))
        }
        Item::ConsumerPending(id) => write!(out, " owns:{id}"),
        Item::Stream { length, last_id, more } => {
            write!(out, " stream:{length}:{last_id}")?;
            match more {
                Some((first, deleted, added)) => write!(out, ":{first}:{deleted}:{added}"),
                None => Ok(()),
            }
        }
        Item::Length(length) => write!(out, " n:{length}"),
        other => write!(out, " {}", format!("{other:?}").replace(' ', "")),
    }
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let file = std::fs::read(arguments.next().unwrap_or_default())?;
    let piece = arguments.next().and_then(|piece| piece.parse().ok()).unwrap_or(1 << 20);
    let mut stdout = std::io::stdout().lock();
    let mut parser = Parser::new();
    let mut decoder = Decoder::new();
    let mut line = Vec::new();
    let mut in_key = false;
    let mut open = false;
    for piece in file.chunks(piece) {
        parser.push::<Failure, _>(piece, &mut |record| {
            match record.event {
                Event::Key(key) => {
                    write!(line, "key {} {} ", key.db, key.kind.byte())?;
                    hex(&mut line, key.name)?;
                    write!(line, " {}", key.expires_at.unwrap_or(-1))?;
                    decoder.begin(key.kind);
                    in_key = true;
                }
                Event::Chunk(Chunk { last }) if in_key => {
                    decoder
                        .push::<Failure, _>(record.raw, &mut |next| Ok(item(&mut line, &mut open, next)?))?;
                    if last {
                        line.push(b'\n');
                        in_key = false;
                    }
                }
                Event::HashTemplate { id, count, fields } => decoder.template(id, count, fields)?,
                Event::Chunk(_) => {}
                other => writeln!(line, "# {other:?}")?,
            }
            if line.len() > 1 << 16 && !in_key {
                stdout.write_all(&line)?;
                line.clear();
            }
            Ok(())
        })?;
    }
    parser.finish()?;
    stdout.write_all(&line)?;
    Ok(())
}

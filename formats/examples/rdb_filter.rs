//! Filters an RDB file into one that a server loads.
//!
//! `cargo run --example rdb_filter -- IN OUT [KEEP [DB [PIECE]]]`: KEEP is a glob over keys, DB the number that all databases get (`-`
//! leaves them). The header states the lowest version that what was kept needs, which takes two passes here.
//! `cargo run --example rdb_filter -- --keys PATTERN...` matches the lines of standard input instead and prints what matches, and
//! `--slots` prints each line's cluster slot: for comparing with a server.

use std::io::{BufRead, Write};

use formats::rdb::{Encoder, Event, Glob, Needs, Parser, Version, key_slot};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize| arguments.get(at).map_or("", String::as_str);
    let mut stdout = std::io::stdout().lock();
    if argument(0) == "--keys" {
        let keys: Vec<_> = std::io::stdin().lock().split(b'\n').collect::<Result<_, _>>()?;
        for pattern in &arguments[1..] {
            let glob = Glob::new(pattern.as_bytes());
            let matched: Vec<_> = keys
                .iter()
                .filter(|key| glob.matches(key))
                .map(|key| key.escape_ascii().to_string())
                .collect();
            writeln!(stdout, "{}\t{}", pattern, matched.join(" "))?;
        }
        return Ok(());
    }
    if argument(0) == "--slots" {
        for key in std::io::stdin().lock().split(b'\n') {
            writeln!(stdout, "{}", key_slot(&key?))?;
        }
        return Ok(());
    }
    let file = std::fs::read(argument(0))?;
    let keep = Glob::new(if argument(2).is_empty() { b"*" } else { argument(2).as_bytes() });
    let db: Option<u64> = argument(3).parse().ok();
    let piece = argument(4).parse().unwrap_or(256 << 10);

    let mut needs = Needs::new();
    let mut version = Version::redis(1);
    let mut parser = Parser::new();
    parser.push::<Failure, _>(&file, &mut |record| {
        match record.event {
            Event::Header(found) => version = found,
            Event::Key(key) if !keep.matches(key.name) => {}
            Event::ResizeDb { .. } | Event::SlotInfo { .. } => {}
            event => needs.event(&event),
        }
        Ok(())
    })?;
    parser.finish()?;
    let lowest = needs.lowest().ok_or("what is kept fits no single family")?;
    let mut parser = Parser::new();
    let mut encoder = Encoder::new(lowest);
    let mut out = std::fs::File::create(argument(1))?;
    let (mut kept, mut dropped, mut keeping) = (0, 0, true);
    for piece in file.chunks(piece) {
        let mut splice = encoder.splice(piece, parser.offset());
        parser.push::<Failure, _>(piece, &mut |record| {
            match record.event {
                // Hints that are no longer true, and what only the source's history matches.
                Event::Header(_) | Event::Eof(_) | Event::ResizeDb { .. } | Event::SlotInfo { .. } => {}
                Event::SelectDb(from) => splice.encoder().select_db(db.unwrap_or(from)),
                Event::Aux { name, .. } if name.starts_with(b"repl-") => {}
                Event::Key(key) => {
                    keeping = keep.matches(key.name);
                    if keeping {
                        kept += 1;
                        splice.keep(&record);
                    } else {
                        dropped += 1;
                    }
                }
                Event::Chunk(chunk) => {
                    if keeping {
                        splice.keep(&record);
                    }
                    keeping |= chunk.last;
                }
                _ => splice.keep(&record),
            }
            Ok(())
        })?;
        drop(splice);
        out.write_all(&encoder.take(Vec::new()))?;
    }
    parser.finish()?;
    out.write_all(&encoder.finish())?;
    writeln!(stdout, "{version} to {lowest}: kept {kept}, dropped {dropped}")?;
    Ok(())
}

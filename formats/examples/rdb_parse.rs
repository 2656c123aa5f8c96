//! How fast the RDB codec is on one core, over a file in memory.
//!
//! `cargo run --release --example rdb_parse [-- dump.rdb]`: without a file, 200 MB of mixed keys are made up. Every figure is the
//! median of five runs.

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use formats::rdb::{
    Chunk, Crc64, Decoder, Encoder, Error, Event, Glob, Item, Kind, Parser, Problem, Record, Result, Version,
};

/// What a source hands over at a time.
const PIECE: usize = 256 << 10;

/// Mixed keys: half strings, the rest hashes, lists, sets of integers and sorted sets of a few hundred bytes.
fn synthesise() -> Result<Vec<u8>, Problem> {
    let version = Version::redis(9);
    let kind = |byte| Kind::of(version, byte);
    let kinds = [kind(0)?, kind(4)?, kind(1)?, kind(2)?, kind(5)?];
    let mut encoder = Encoder::new(version);
    encoder.aux(b"redis-ver", b"6.2.14");
    encoder.select_db(0);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut value = Vec::new();
    for at in 0_u32.. {
        if encoder.written() > 200_000_000 {
            break;
        }
        let which = [0, 1, 0, 2, 0, 3, 0, 4][(at % 8) as usize];
        if random() % 8 == 0 {
            encoder.expires_at(1_800_000_000_000 + i64::from(at));
        }
        encoder.key(kinds[which], format!("object:{which}:{at:010}").as_bytes());
        value.clear();
        let text = |value: &mut Vec<u8>, word: u64, len: u8| {
            value.push(len);
            let word = format!("{word:016x}");
            value.extend(word.bytes().cycle().take(len.into()));
        };
        match which {
            0 => {
                value.extend_from_slice(&[0x40, 120]);
                let word = format!("{:016x}", random());
                value.extend(word.bytes().cycle().take(120));
            }
            1 => {
                value.push(8);
                for field in 0..8 {
                    text(&mut value, field, 8);
                    text(&mut value, random(), 20);
                }
            }
            2 => {
                value.push(12);
                (0..12).for_each(|_| text(&mut value, random(), 16));
            }
            3 => {
                value.push(20);
                for _ in 0..20 {
                    value.push(0xc2);
                    value.extend_from_slice(&random().to_le_bytes()[..4]);
                }
            }
            _ => {
                value.push(8);
                for _ in 0..8 {
                    text(&mut value, random(), 14);
                    value.extend_from_slice(&(random() as f64).to_le_bytes());
                }
            }
        }
        encoder.raw(&value);
    }
    Ok(encoder.finish())
}

fn scan(file: &[u8], on: &mut impl FnMut(Record<'_>) -> Result<()>) -> Result<()> {
    let mut parser = Parser::new();
    for piece in file.chunks(PIECE) {
        parser.push(piece, on)?;
    }
    parser.finish()
}

/// Drops the keys that match `drop`, renumbers the database, and writes the rest as it is.
fn filter(file: &[u8], drop: Option<&Glob>) -> Result<(u64, u64)> {
    let mut parser = Parser::new();
    let mut encoder = Encoder::new(Version::redis(11));
    let mut spare = Vec::new();
    let (mut kept, mut bytes, mut keep) = (0, 0, true);
    for piece in file.chunks(PIECE) {
        let mut splice = encoder.splice(piece, parser.offset());
        parser.push(piece, &mut |record| {
            match record.event {
                Event::Header(_) | Event::Eof(_) => {}
                Event::SelectDb(_) => splice.encoder().select_db(1),
                Event::Key(key) => {
                    keep = drop.is_none_or(|drop| !drop.matches(key.name));
                    if keep {
                        kept += 1;
                        splice.keep(&record);
                    }
                }
                Event::Chunk(_) if !keep => {}
                _ => splice.keep(&record),
            }
            Ok::<(), Error>(())
        })?;
        std::mem::drop(splice);
        if encoder.pending() >= PIECE {
            spare = encoder.take(std::mem::take(&mut spare));
            bytes += black_box(spare.len()) as u64;
        }
    }
    parser.finish()?;
    bytes += encoder.finish().len() as u64;
    Ok((kept, bytes))
}

fn decode(file: &[u8]) -> Result<u64> {
    let mut decoder = Decoder::new();
    let (mut in_key, mut items) = (false, 0);
    scan(file, &mut |record| {
        match record.event {
            Event::Key(key) => {
                decoder.begin(key.kind);
                in_key = true;
            }
            Event::Chunk(Chunk { last }) if in_key => {
                decoder.push(record.raw, &mut |item| {
                    items += u64::from(matches!(black_box(item), Item::Bytes { last: true, .. }));
                    Ok::<(), Error>(())
                })?;
                in_key = !last;
            }
            Event::HashTemplate { id, count, fields } => decoder.template(id, count, fields)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(items)
}

/// Time that this thread has run, which other programs on the machine do not lengthen; else the time that has passed.
fn clock(start: Instant) -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|stat| stat.split(' ').next()?.parse::<f64>().ok())
        .map_or_else(|| start.elapsed().as_secs_f64(), |nanos| nanos / 1e9)
}

fn measure(
    out: &mut impl Write,
    what: &str,
    size: usize,
    mut run: impl FnMut() -> Result<u64>,
) -> std::io::Result<()> {
    let (mut times, mut wall) = (Vec::new(), Vec::new());
    let mut count = 0;
    let start = Instant::now();
    for _ in 0..5 {
        let (since, ran) = (Instant::now(), clock(start));
        count = run().map_err(std::io::Error::other)?;
        times.push(clock(start) - ran);
        wall.push(since.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    wall.sort_by(f64::total_cmp);
    let median = times[2];
    let speed = size as f64 / median / 1e9;
    let rate = count as f64 / median / 1e6;
    writeln!(
        out,
        "{what:<34} {speed:6.2} GB/s {rate:7.2} M/s   CPU {median:.3} s ({:.3} to {:.3}), passed {:.3} s",
        times[0], times[4], wall[2]
    )
}

fn main() -> std::io::Result<()> {
    let file = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => synthesise().map_err(|problem| std::io::Error::other(problem.to_string()))?,
    };
    let mut out = std::io::stdout().lock();
    let mut keys = 0_u64;
    scan(&file, &mut |record| {
        keys += u64::from(matches!(record.event, Event::Key(_)));
        Ok(())
    })
    .map_err(std::io::Error::other)?;
    writeln!(out, "{} bytes, {keys} keys, pieces of {PIECE} bytes; medians of 5", file.len())?;
    measure(&mut out, "CRC64 alone", file.len(), || {
        let mut crc = Crc64::new();
        file.chunks(PIECE).for_each(|piece| crc.update(piece));
        Ok(black_box(crc.value()).min(1))
    })?;
    measure(&mut out, "skip-scan with CRC (keys)", file.len(), || {
        let mut keys = 0;
        scan(&file, &mut |record| {
            if let Event::Key(key) = record.event {
                keys += 1;
                black_box(key.name);
            }
            black_box(record.raw);
            Ok(())
        })?;
        Ok(keys)
    })?;
    let drop = Glob::new(b"*:*7");
    measure(&mut out, "filter by glob and re-emit (kept)", file.len(), || Ok(filter(&file, Some(&drop))?.0))?;
    measure(&mut out, "keep all and re-emit (kept)", file.len(), || Ok(filter(&file, None)?.0))?;
    measure(&mut out, "decode every value (strings)", file.len(), || decode(&file))
}

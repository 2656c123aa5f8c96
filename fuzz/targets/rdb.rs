//! Anything as a snapshot: passed through, filtered, and turned to text.
#![no_main]

use std::collections::BTreeMap;

use checks::{Outcome, alike, slack};
use formats::rdb::{self, Encoder, Error, Event, Parser};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use pipeline::Transform;
use transforms::rdb::{Options, RdbStep, TextForm};

fn make(options: &Options) -> impl Fn() -> Box<dyn Transform> {
    let options = options.clone();
    move || -> Box<dyn Transform> { Box::new(RdbStep::new(options.clone())) }
}

/// A value that no command makes may be damaged further on as well: whichever is met first depends on the cuts.
fn refused_alike(one: &Outcome, other: &Outcome, what: &str) {
    if !matches!((one, other), (Outcome::Refused(..), Outcome::Refused(..))) {
        checks::same(one, other, what);
    }
}

/// What a file says, and the file that says it anew: names, attributes and fields in the encoder's own form, values as they are.
fn again(data: &[u8]) -> Option<(Vec<String>, Vec<u8>)> {
    let mut says = Vec::new();
    let mut encoder = None;
    let mut parser = Parser::new();
    let result = parser.push::<Error, _>(data, &mut |record| {
        if let Event::Header(version) = record.event {
            encoder = Some(Encoder::new(version));
        }
        let Some(encoder) = &mut encoder else { return Ok(()) };
        match record.event {
            Event::Header(_) | Event::Eof(_) => return Ok(()),
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
        // Where the name stands in the record is how it was written, not what it says.
        says.push(match record.event {
            Event::Key(key) => format!("{:?}", rdb::Key { type_at: 0, ..key }),
            Event::Chunk(chunk) => format!("{chunk:?} {:?}", record.raw),
            event => format!("{event:?}"),
        });
        Ok(())
    });
    result.ok()?;
    parser.finish().ok()?;
    Some((says, encoder?.finish()))
}

fuzz_target!(|data: &[u8]| {
    if let Some((says, file)) = again(data) {
        let (repeats, fixed) = again(&file).expect("what the encoder writes is a file");
        assert!(says == repeats, "parsed, written and parsed: not the same");
        assert!(file == fixed, "written twice: not the same");
    }
    let plain = Options::default();
    if let Outcome::Done(out, _) = checks::transform_by(alike, make(&plain), data, slack(data)) {
        assert!(out == data, "what is checked passes unchanged");
        checks::prefix(make(&plain), data);
    }
    let filter = Options {
        renumber: BTreeMap::from([(0, 7), (1, 0)]),
        drop_keys: vec![b"a*".to_vec()],
        merge_memory: 1 << 16,
        ..Options::default()
    };
    if let Outcome::Done(out, report) = checks::transform_by(alike, make(&filter), data, slack(data)) {
        // What was written is whole, and has as many keys as were kept.
        match checks::whole(Box::new(RdbStep::new(Options::default())), &out, slack(&out)) {
            Outcome::Done(again, second) => {
                assert!(again == out);
                assert_eq!(second.counts.get("keys"), report.counts.get("keys"));
                assert_eq!(second.objects, report.objects);
            }
            other => panic!("what was written is refused: {other:?}"),
        }
    }
    for form in [TextForm::Resp, TextForm::Json] {
        let text = Options { text: Some(form), ..Options::default() };
        checks::transform_by(refused_alike, make(&text), data, 8 << 20);
    }
});

// Nearly every mutation would end at the checksum: zero stands for one that was not computed, three times of four.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if seed % 4 != 0 && size > 18 && data[size - 9] == 255 {
        data[size - 8..size].fill(0);
    }
    size
});

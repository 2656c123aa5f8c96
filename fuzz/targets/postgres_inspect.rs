//! Finding out what is in anything, as a dump of PostgreSQL in either format.
#![no_main]

use std::cell::RefCell;

use checks::{Outcome, slack};
use libfuzzer_sys::fuzz_target;
use transforms::postgres::PostgresInspect;

fuzz_target!(|text: &[u8]| {
    let found = RefCell::new(Vec::new());
    let make = || -> Box<dyn pipeline::Transform> {
        let (inspect, summary) = PostgresInspect::new();
        found.borrow_mut().push(summary);
        Box::new(inspect)
    };
    let Outcome::Done(out, _) = checks::transform(make, text, slack(text)) else { return };
    assert!(out == text, "what is looked at passes unchanged");
    checks::all_equal(found.into_inner());
});

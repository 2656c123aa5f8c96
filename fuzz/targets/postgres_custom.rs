//! Checking anything as an archive of `pg_dump -Fc`.
#![no_main]

use checks::{Outcome, slack};
use libfuzzer_sys::fuzz_target;
use pipeline::{Kind, Transform};
use transforms::postgres::PostgresCustomCheck;

fuzz_target!(|data: &[u8]| {
    let make = || -> Box<dyn Transform> { Box::new(PostgresCustomCheck::new()) };
    let Outcome::Done(out, _) = checks::transform(make, data, slack(data)) else { return };
    assert!(out == data, "what is checked passes unchanged");
    checks::prefix(make, data);
    // An archive says where it ends: nothing may be missing, nothing may follow.
    let cut = checks::whole(make(), &data[..data.len() - 1], slack(data));
    assert!(matches!(cut, Outcome::Refused(Kind::Truncated, _)), "without its last byte: {cut:?}");
    let more = checks::whole(make(), &[data, b"\0"].concat(), slack(data) + 1);
    assert!(matches!(more, Outcome::Refused(Kind::Failed, _)), "with one byte more: {more:?}");
});

//! Redis and Valkey: every key of every logical database, by type, moment of expiry and decoded value.
//!
//! The same value is dumped in other bytes by another version, or under other limits of its encodings, so values are decoded as they come and digested
//! without regard to the order that sets, hashes and sorted sets have in memory. A value is never held as a whole.

use std::collections::{BTreeMap, BTreeSet};

use connections::redis::Role;
use futures_util::{StreamExt, TryStreamExt, stream};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Result};

use crate::catalogue::Catalogue;
use crate::compare::{Options, at_dest};
use crate::report::{Comparison, SideInfo, TableResult};
use crate::tally::{Suspects, Tally};

mod side;
mod value;

pub(crate) use side::Side;

/// What tells keys apart, and what is compared of each.
const COLUMNS: [&str; 4] = ["key", "type", "expires", "value"];

pub(crate) async fn compare(
    source: &DatabaseUrl,
    dest: &DatabaseUrl,
    options: &Options,
    cx: &Context,
) -> Result<Comparison> {
    let (left, right) =
        tokio::join!(Side::open(source, Role::Replica, cx), Side::open(dest, Role::Primary, cx));
    let (left, right) = (left?, at_dest(right)?);
    let pairs = pairs(source, dest, options, &left, &right).await?;
    let (mut catalogues, mut not_compared) = ([Catalogue::default(), Catalogue::default()], Vec::new());
    match (left.functions().await?, at_dest(right.functions().await)?) {
        (Some(a), Some(b)) => {
            for (catalogue, libraries) in catalogues.iter_mut().zip([a, b]) {
                for (name, code) in libraries {
                    catalogue.add("function library", name, [("code", code)]);
                }
            }
        }
        _ => not_compared.push("functions (a side has none, or does not tell)".to_owned()),
    }
    not_compared.extend(
        ["accounts (ACL)", "how often and when a key was used", "when consumers of streams were last seen"]
            .map(str::to_owned),
    );
    let exact = left.exact && right.exact;
    if !exact {
        not_compared
            .push("moments of expiry, only whether there is one (Redis before 7.0 does not tell)".to_owned());
    }
    let (differences, notes) = catalogues[0].differences(&catalogues[1]);
    let (a, b) = (&left, &right);
    let mut tables: Vec<TableResult> = stream::iter(pairs)
        .map(|(from, to)| async move {
            let result = Box::pin(database(a, b, from, to, exact, options)).await;
            if let Ok(result) = &result {
                cx.info(format!("{}: {} keys", result.table, result.source_rows));
            }
            result
        })
        .buffer_unordered(options.jobs.max(1))
        .try_collect()
        .await?;
    tables.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(Comparison {
        source: SideInfo { endpoint: source.to_string(), server: left.product.clone() },
        dest: SideInfo { endpoint: dest.to_string(), server: right.product.clone() },
        equal: differences.is_empty() && tables.iter().all(|table| table.equal),
        objects: catalogues[0].objects.len() as u64,
        rows: tables.iter().map(|table| table.source_rows).sum(),
        differences,
        notes,
        tables,
        not_compared,
    })
}

/// Which databases are held against which.
async fn pairs(
    source: &DatabaseUrl,
    dest: &DatabaseUrl,
    options: &Options,
    left: &Side,
    right: &Side,
) -> Result<Vec<(u64, u64)>> {
    if !options.databases.is_empty() {
        return Ok(options.databases.clone());
    }
    let named = |url: &DatabaseUrl| url.databases.first().and_then(|db| db.parse::<u64>().ok());
    match (named(source), named(dest)) {
        (None, None) => {}
        (from, to) => {
            let (from, to) = (from.unwrap_or(0), to.or(from).unwrap_or(0));
            return Ok(vec![(from, to)]);
        }
    }
    let (a, b): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (left.databases().await?, at_dest(right.databases().await)?);
    let all: BTreeSet<u64> = a.keys().chain(b.keys()).copied().collect();
    Ok(all.into_iter().map(|db| (db, db)).collect())
}

async fn database(
    left: &Side,
    right: &Side,
    from: u64,
    to: u64,
    exact: bool,
    options: &Options,
) -> Result<TableResult> {
    let (mut a, mut b) = (Tally::new(1), Tally::new(1));
    let (first, second) = {
        let (mut add_left, mut add_right) =
            (|cells: crate::tally::Cells<'_>| a.add(cells), |cells: crate::tally::Cells<'_>| b.add(cells));
        tokio::join!(left.scan(from, exact, &mut add_left), right.scan(to, exact, &mut add_right))
    };
    first?;
    at_dest(second)?;
    let table = if from == to { format!("db{from}") } else { format!("db{from} → db{to}") };
    let mut result = TableResult {
        table,
        source_rows: a.rows,
        dest_rows: b.rows,
        source_digest: a.digest(),
        dest_digest: b.digest(),
        equal: a.equals(&b),
        examples: Vec::new(),
        differing_rows: 0,
        narrowed: true,
    };
    if result.equal {
        return Ok(result);
    }
    // The second look also says whether there is a difference at all: SCAN may name a key twice, and keys expire between two looks.
    let (wanted, all) = a.suspects(&b, COLUMNS.len());
    let mut c = Suspects::new(1, wanted.clone()).once();
    let mut d = Suspects::new(1, wanted).once();
    let (first, second) = {
        let (mut add_left, mut add_right) =
            (|cells: crate::tally::Cells<'_>| c.add(cells), |cells: crate::tally::Cells<'_>| d.add(cells));
        tokio::join!(left.scan(from, exact, &mut add_left), right.scan(to, exact, &mut add_right))
    };
    first?;
    at_dest(second)?;
    result.narrowed = all && c.complete && d.complete;
    (result.differing_rows, result.examples) = c.against(d, &COLUMNS.map(str::to_owned), options.show);
    result.equal = result.narrowed && result.differing_rows == 0;
    Ok(result)
}

//! Cuts a table into ranges of its key, one after the other, while it is read.
//!
//! The ranges are half open, the first has no beginning and the last no end: no estimate, however wrong, can lose or double a row. Only
//! the server compares keys, so collations do not matter.

use std::sync::atomic::{AtomicU64, Ordering};

use connections::mysql::wire::Wire;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, Result};

use super::identifier;
use super::look::{Boundary, Key, KeyColumn, Relation};

/// How often the width of a range is corrected before it is taken as it is. Doubling reaches across any gap in far fewer.
const CORRECTIONS: usize = 64;

/// What the ranges that were read tell about those to come.
#[derive(Debug, Default)]
pub(super) struct Seen {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Seen {
    pub(super) fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Rows that give about `target` bytes; `guess` is the server's estimate of a row's length.
    fn rows_wanted(&self, target: u64, guess: u64) -> u64 {
        let (rows, bytes) = (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let length = bytes.checked_div(rows).unwrap_or(guess);
        (target / length.max(1)).max(1)
    }
}

/// The ranges of one table.
#[derive(Debug)]
pub(super) struct Chunks {
    way: Option<Way>,
    table: String,
    guess: u64,
    target: u64,
}

#[derive(Debug)]
enum Way {
    /// By the values of one integer column: a range is a stretch of numbers, whose rows the server estimates.
    Numbers {
        column: String,
        /// Where the next range begins.
        next: i128,
        /// The greatest key.
        last: i128,
        width: i128,
        /// Nothing was cut yet: the range has no beginning.
        first: bool,
    },
    /// By rows: the boundary is looked up so many rows ahead.
    Rows { key: Key, next: Option<Vec<String>> },
}

impl Chunks {
    /// Looks where the key begins and ends. Without a key there is one range; otherwise each gives about `target` bytes of text.
    pub(super) async fn plan(
        table: &Relation,
        key: Option<Key>,
        target: u64,
        wire: &mut Wire,
        url: &DatabaseUrl,
    ) -> Result<Self> {
        let name = format!("{}.{}", identifier(&table.schema), identifier(&table.name));
        let guess = table.bytes / table.rows.max(1);
        let way = match key {
            None => None,
            Some(key)
                if matches!(key.columns.as_slice(), [KeyColumn { boundary: Boundary::Integer, .. }]) =>
            {
                let column = identifier(&key.columns[0].name);
                let rows = wire
                    .rows(&format!("SELECT MIN({column}), MAX({column}) FROM {name}"))
                    .await
                    .map_err(|failure| failure.explain(url))?;
                match (number(&rows, 0), number(&rows, 1)) {
                    (Some(first), Some(last)) => {
                        let share = i128::from((table.bytes / target).max(1));
                        let width = ((last - first) / share).max(1);
                        Some(Way::Numbers { column, next: first, last, width, first: true })
                    }
                    _ => None,
                }
            }
            Some(key) => Some(Way::Rows { key, next: None }),
        };
        Ok(Self { way, table: name, guess, target })
    }

    /// The condition of the next range, empty when it is the whole table; and whether it is the last.
    pub(super) async fn next(
        &mut self,
        seen: &Seen,
        wire: &mut Wire,
        url: &DatabaseUrl,
    ) -> Result<(String, bool)> {
        let wanted = seen.rows_wanted(self.target, self.guess);
        match &mut self.way {
            None => Ok((String::new(), true)),
            Some(Way::Numbers { column, next, last, width, first }) => {
                let start = *next;
                for _ in 0..CORRECTIONS {
                    let end = start + *width;
                    if end > *last {
                        // What is left may still be more than one range.
                        let rows = estimate(&self.table, column, start, *last, wire, url).await?;
                        if rows <= wanted * 2 || *width == 1 {
                            break;
                        }
                        *width = ((*last - start) / 2).max(1);
                        continue;
                    }
                    let rows = estimate(&self.table, column, start, end, wire, url).await?;
                    if rows > wanted * 2 && *width > 1 {
                        *width = (*width / 2).max(1);
                    } else if rows * 4 < wanted {
                        *width *= 2;
                    } else {
                        break;
                    }
                }
                let end = start + *width;
                let ends = end > *last;
                let mut conditions = Vec::new();
                if !std::mem::take(first) {
                    conditions.push(format!("{column} >= {start}"));
                }
                if !ends {
                    conditions.push(format!("{column} < {end}"));
                    *next = end;
                }
                Ok((conditions.join(" AND "), ends))
            }
            Some(Way::Rows { key, next }) => {
                let from = next.take();
                let end = boundary(&self.table, key, from.as_deref(), wanted, wire, url).await?;
                let mut parts = Vec::new();
                if let Some(from) = &from {
                    parts.push(compare(key, from, '>', true));
                }
                if let Some(end) = &end {
                    parts.push(compare(key, end, '<', false));
                }
                let last = end.is_none();
                *next = end;
                Ok((parts.join(" AND "), last))
            }
        }
    }
}

fn number(rows: &[Vec<Option<Vec<u8>>>], column: usize) -> Option<i128> {
    let cell = rows.first()?.get(column)?.as_ref()?;
    std::str::from_utf8(cell).ok()?.parse().ok()
}

/// Rows between two numbers, as the server's optimizer estimates them from its index.
async fn estimate(
    table: &str,
    column: &str,
    start: i128,
    end: i128,
    wire: &mut Wire,
    url: &DatabaseUrl,
) -> Result<u64> {
    // Not FORCE INDEX: of an index that it is forced to use MySQL estimates nothing, and says that there is one row.
    let sql = format!(
        "EXPLAIN FORMAT=TRADITIONAL SELECT {column} FROM {table} USE INDEX (PRIMARY) WHERE {column} >= {start} AND {column} < {end}"
    );
    let rows = wire.rows(&sql).await.map_err(|failure| failure.explain(url))?;
    // The column `rows` is the third from the end in MySQL (rows, filtered, Extra) and the second in MariaDB (rows, Extra).
    let row = rows.first().ok_or_else(|| Error::source("the server explains nothing"))?;
    let at = if row.len() == 12 { 9 } else { row.len().saturating_sub(2) };
    Ok(row
        .get(at)
        .and_then(Option::as_ref)
        .and_then(|cell| std::str::from_utf8(cell).ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0))
}

/// The key that stands `rows` rows behind `from`, as literals; nothing when there are fewer.
async fn boundary(
    table: &str,
    key: &Key,
    from: Option<&[String]>,
    rows: u64,
    wire: &mut Wire,
    url: &DatabaseUrl,
) -> Result<Option<Vec<String>>> {
    let asked: Vec<String> = key
        .columns
        .iter()
        .map(|column| {
            let name = identifier(&column.name);
            match column.boundary {
                Boundary::Characters(_) | Boundary::Bytes => format!("HEX({name})"),
                _ => name,
            }
        })
        .collect();
    let order: Vec<String> = key.columns.iter().map(|column| identifier(&column.name)).collect();
    let condition = from.map(|from| format!(" WHERE {}", compare(key, from, '>', true))).unwrap_or_default();
    let sql = format!(
        "SELECT {} FROM {table} FORCE INDEX ({}){condition} ORDER BY {} LIMIT {rows}, 1",
        asked.join(", "),
        identifier(&key.index),
        order.join(", ")
    );
    let found = wire.rows(&sql).await.map_err(|failure| failure.explain(url))?;
    let Some(row) = found.into_iter().next() else { return Ok(None) };
    key.columns
        .iter()
        .zip(row)
        .map(|(column, cell)| {
            let text = cell
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| Error::source("a key without a value"))?;
            Ok(match &column.boundary {
                Boundary::Integer | Boundary::Decimal => text,
                Boundary::Quoted => format!("'{text}'"),
                Boundary::Characters(charset) => format!("_{charset} X'{text}'"),
                Boundary::Bytes => format!("X'{text}'"),
            })
        })
        .collect::<Result<Vec<_>>>()
        .map(Some)
}

/// A comparison of whole keys, written out so that the server uses the index: `(a > 1 OR (a = 1 AND b >= 2))`.
fn compare(key: &Key, values: &[String], operator: char, or_equal: bool) -> String {
    let mut text = String::new();
    for (index, (column, value)) in key.columns.iter().zip(values).enumerate().rev() {
        let name = identifier(&column.name);
        text = if index + 1 == key.columns.len() {
            let equal = if or_equal { "=" } else { "" };
            format!("{name} {operator}{equal} {value}")
        } else {
            // The first comparison says nothing new, but it is what an optimizer needs to begin in the right place.
            format!(
                "{name} {operator}= {value} AND ({name} {operator} {value} OR ({name} = {value} AND {text}))"
            )
        };
    }
    format!("({text})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_keys_are_compared() {
        let column = |name: &str| KeyColumn { name: name.to_owned(), boundary: Boundary::Integer };
        let key = Key { index: "PRIMARY".to_owned(), columns: vec![column("a"), column("b")] };
        let values = ["1".to_owned(), "2".to_owned()];
        assert_eq!(compare(&key, &values, '>', true), "(`a` >= 1 AND (`a` > 1 OR (`a` = 1 AND `b` >= 2)))");
        assert_eq!(compare(&key, &values, '<', false), "(`a` <= 1 AND (`a` < 1 OR (`a` = 1 AND `b` < 2)))");
    }
}

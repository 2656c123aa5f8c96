//! The comparison itself, the same for every family.

use futures_util::{StreamExt, TryStreamExt, stream};
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Context, Error, Result, Stage};

use crate::catalogue::{Catalogue, Table};
use crate::report::{Comparison, SideInfo, TableResult};
use crate::tally::{Suspects, Tally};
use crate::{mysql, postgres, redis};

/// How to compare.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tables that are read at once. Each takes one connection to either side.
    pub jobs: usize,
    /// Rows that are shown of a table that differs.
    pub show: usize,
    /// Logical databases of Redis that are compared, by their numbers at the source and at the destination; none compares all.
    pub databases: Vec<(u64, u64)>,
}

/// Compares two databases of one family, without changing anything. Rows that are written meanwhile show as differences.
pub async fn compare(
    source: &DatabaseUrl,
    dest: &DatabaseUrl,
    options: &Options,
    cx: &Context,
) -> Result<Comparison> {
    crate::one_of_a_family(source, dest)?;
    let work = async {
        match source.engine {
            Engine::Mysql => {
                let (left, right) = mysql::pair(source, dest).await?;
                run(&Sides::Mysql(left, right), options, cx).await
            }
            Engine::Postgres => {
                let (left, right) = postgres::pair(source, dest).await?;
                run(&Sides::Postgres(left, right), options, cx).await
            }
            Engine::Redis => redis::compare(source, dest, options, cx).await,
        }
    };
    tokio::select! {
        result = work => result,
        () = cx.cancellation().cancelled() => Err(Error::cancelled()),
    }
}

/// The two databases.
enum Sides {
    Mysql(mysql::Side, mysql::Side),
    Postgres(postgres::Side, postgres::Side),
}

/// Errors of the second side are those of the destination.
pub(crate) fn at_dest<T>(result: Result<T>) -> Result<T> {
    result.map_err(|error| error.at(Stage::Sink))
}

impl Sides {
    fn info(&self) -> (SideInfo, SideInfo) {
        match self {
            Self::Mysql(a, b) => (a.info(), b.info()),
            Self::Postgres(a, b) => (a.info(), b.info()),
        }
    }

    async fn catalogues(&self) -> Result<(Catalogue, Catalogue)> {
        let (left, right) = match self {
            Self::Mysql(a, b) => tokio::join!(a.catalogue(), b.catalogue()),
            Self::Postgres(a, b) => tokio::join!(a.catalogue(), b.catalogue()),
        };
        Ok((left?, at_dest(right)?))
    }

    /// Hands every row of both tables to its tally.
    async fn scan<T: Take>(&self, pair: &Pair, left: &mut T, right: &mut T) -> Result<()> {
        let mut add_left = |cells: crate::tally::Cells<'_>| left.take(cells);
        let mut add_right = |cells: crate::tally::Cells<'_>| right.take(cells);
        let (a, b) = match self {
            Self::Mysql(a, b) => {
                tokio::join!(
                    a.scan(&pair.left, pair, &mut add_left),
                    b.scan(&pair.right, pair, &mut add_right)
                )
            }
            Self::Postgres(a, b) => {
                tokio::join!(
                    a.scan(&pair.left, pair, &mut add_left),
                    b.scan(&pair.right, pair, &mut add_right)
                )
            }
        };
        a?;
        at_dest(b)
    }

    fn not_compared(&self) -> Vec<String> {
        let what: &[&str] = match self {
            Self::Mysql(..) => &["accounts and privileges", "values of generated columns"],
            Self::Postgres(..) => &[
                "owners, privileges and comments",
                "publications, subscriptions, event triggers, foreign servers",
                "values of generated columns",
            ],
        };
        what.iter().map(|&text| text.to_owned()).collect()
    }
}

/// A table on both sides, and the columns that are read: the key's first.
pub(crate) struct Pair {
    pub(crate) left: Table,
    pub(crate) right: Table,
    pub(crate) columns: Vec<String>,
    pub(crate) key: usize,
}

impl Pair {
    /// Columns that one side lacks are differences of the catalogue; the others can still be compared.
    fn new(left: &Table, right: &Table) -> Self {
        let has = |table: &Table, name: &str| table.columns.iter().any(|column| column.name == name);
        let key: &[String] = if left.key == right.key { &left.key } else { &[] };
        let mut columns = key.to_vec();
        for column in &left.columns {
            if has(right, &column.name) && !columns.contains(&column.name) {
                columns.push(column.name.clone());
            }
        }
        Self { left: left.clone(), right: right.clone(), columns, key: key.len() }
    }
}

/// What takes rows.
trait Take: Send {
    fn take(&mut self, cells: crate::tally::Cells<'_>);
}

impl Take for Tally {
    fn take(&mut self, cells: crate::tally::Cells<'_>) {
        self.add(cells);
    }
}

impl Take for Suspects {
    fn take(&mut self, cells: crate::tally::Cells<'_>) {
        self.add(cells);
    }
}

async fn run(sides: &Sides, options: &Options, cx: &Context) -> Result<Comparison> {
    let (left, right) = sides.catalogues().await?;
    let (differences, notes) = left.differences(&right);
    let mut pairs: Vec<_> = left
        .tables
        .iter()
        .filter_map(|(name, table)| Some((name.clone(), Pair::new(table, right.tables.get(name)?))))
        .collect();
    // The largest first, so that none of them is alone at the end.
    pairs.sort_by_key(|(_, pair)| std::cmp::Reverse(pair.left.bytes));
    let mut tables: Vec<TableResult> = stream::iter(pairs)
        .map(|(name, pair)| async move {
            let result = Box::pin(table(sides, name, &pair, options)).await;
            if let Ok(result) = &result {
                cx.info(format!("{}: {} rows", result.table, result.source_rows));
            }
            result
        })
        .buffer_unordered(options.jobs.max(1))
        .try_collect()
        .await?;
    tables.sort_by(|a, b| a.table.cmp(&b.table));
    let equal = differences.is_empty() && tables.iter().all(|table| table.equal);
    let (source, dest) = sides.info();
    Ok(Comparison {
        source,
        dest,
        equal,
        objects: left.objects.len() as u64,
        rows: tables.iter().map(|table| table.source_rows).sum(),
        differences,
        notes,
        tables,
        not_compared: sides.not_compared(),
    })
}

async fn table(sides: &Sides, name: String, pair: &Pair, options: &Options) -> Result<TableResult> {
    let (mut left, mut right) = (Tally::new(pair.key), Tally::new(pair.key));
    sides.scan(pair, &mut left, &mut right).await?;
    let equal = left.equals(&right);
    let mut result = TableResult {
        table: name,
        source_rows: left.rows,
        dest_rows: right.rows,
        source_digest: left.digest(),
        dest_digest: right.digest(),
        equal,
        examples: Vec::new(),
        differing_rows: 0,
        narrowed: true,
    };
    if !equal {
        let (wanted, all) = left.suspects(&right, pair.columns.len());
        let mut a = Suspects::new(pair.key, wanted.clone());
        let mut b = Suspects::new(pair.key, wanted);
        sides.scan(pair, &mut a, &mut b).await?;
        result.narrowed = all && a.complete && b.complete;
        (result.differing_rows, result.examples) = a.against(b, &pair.columns, options.show);
    }
    Ok(result)
}

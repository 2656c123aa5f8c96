//! Looks at databases without changing them: whether two hold the same, and whether one can be loaded into the other.
//!
//! [`compare()`] reads the catalogues of two databases of one family and every row of their tables. What differs only in how two products, or two
//! versions, print the same thing is no difference; every rule for that stands beside the query that needs it.

mod catalogue;
pub mod check;
mod compare;
mod mysql;
mod postgres;
mod redis;
mod report;
mod tally;

use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Error, Result};

pub use compare::{Options, compare};
pub use report::{Comparison, Difference, Example, RowFault, SideInfo, TableResult};

/// Two single databases of one family, or the mistake told.
fn one_of_a_family(source: &DatabaseUrl, dest: &DatabaseUrl) -> Result<()> {
    if source.engine != dest.engine {
        return Err(Error::usage("SOURCE and DEST are databases of different families")
            .hint("both are mysql:// or mariadb://, both postgres://, or both redis://"));
    }
    for url in [source, dest] {
        if url.engine != Engine::Redis && url.databases.len() != 1 {
            return Err(Error::usage(format!("`{url}` does not name one database"))
                .hint("name the database in the path, such as mysql://user@host/db"));
        }
    }
    Ok(())
}

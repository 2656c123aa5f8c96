//! Looks at databases without changing them: whether two hold the same.
//!
//! [`compare()`] reads the catalogues of two databases of one family and every row of their tables. What differs only in how two products, or two
//! versions, print the same thing is no difference; every rule for that stands beside the query that needs it.

mod catalogue;
mod compare;
mod mysql;
mod postgres;
mod report;
mod tally;

pub use compare::{Options, compare};
pub use report::{Comparison, Difference, Example, RowFault, SideInfo, TableResult};

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

pub use compare::{Options, compare};
pub use report::{Comparison, Difference, Example, RowFault, SideInfo, TableResult};

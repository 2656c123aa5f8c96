//! What happens to MySQL and MariaDB dumps on their way: definers, the rules of a managed target, completeness.

mod collation;
mod definer;
mod edit;
mod feed;
mod head;
mod inspect;
mod notes;
mod rewrite;
mod routine;
mod settings;
mod table;
mod target;
#[cfg(test)]
mod target_tests;
#[cfg(test)]
mod tests;
mod trailer;

pub use definer::DefinerPolicy;
pub use inspect::{MysqlInspect, ObjectSummary, Summary, TableSummary};
pub use rewrite::{MysqlRewrite, Options};
pub use target::Profile;

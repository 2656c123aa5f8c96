//! PostgreSQL dumps on their way: rewriting for managed servers, completeness, contents.
//!
//! A plain dump names roles, extensions and objects that a managed server (no superuser) refuses; [`PostgresRewrite`]
//! takes out what can go, rewrites what can stay, and names what will fail. It also knows whether the dump is whole,
//! which nothing else in the stream tells: `pg_dump` ends even a table that it was cut off in with a valid `\.`.

mod custom_check;
mod findings;
mod inspect;
mod redact;
mod restore;
mod rewrite;
mod rules;
mod statement;
mod trailer;

#[cfg(test)]
mod tests;

pub use custom_check::PostgresCustomCheck;
pub use inspect::{ObjectSummary, PostgresInspect, PostgresSummary, TableSummary};
pub use restore::PostgresRestore;
pub use rewrite::PostgresRewrite;

/// A family of targets whose refusals are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Amazon RDS for PostgreSQL.
    RdsPostgres,
    /// Amazon Aurora PostgreSQL.
    AuroraPostgres,
}

impl Profile {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::RdsPostgres => "rds-postgres",
            Self::AuroraPostgres => "aurora-postgres",
        }
    }
}

/// What [`PostgresRewrite`] is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RewriteOptions {
    /// The target; `None` changes nothing and only checks.
    pub profile: Option<Profile>,
    /// The target's major version. Unknown: what only newer servers understand and none needs is taken out.
    pub target_major: Option<u32>,
    /// Keep `GRANT` and `REVOKE` on objects: for a target that has all the roles.
    pub keep_acl: bool,
    /// Take password hashes, user mappings' options and connection strings out.
    pub redact_secrets: bool,
    /// Refuse a dump that does not end as `pg_dump` and `pg_dumpall` end theirs.
    pub require_trailer: bool,
}

//! What `pg_dump` and `pg_dumpall` write.
//!
//! [`plain`] cuts a plain SQL dump into statements, comments, COPY data and psql commands without holding it;
//! [`tokens`] takes one whole statement apart; [`custom`] walks the custom format (`-Fc`).

pub mod custom;
pub mod plain;
pub mod tokens;

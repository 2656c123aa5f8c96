//! SQL dumps of the MySQL family, as a stream.
//!
//! A dump is cut into comments, statements that are worth reading, and data. [`Lexer`] does the cutting over bytes
//! that arrive in any pieces; [`token::Cursor`] reads one statement. The rules are those of the servers and of the
//! `mysql` client, which is what splits a dump into statements when it is restored: delimiters count inside version
//! comments, not in plain ones; `DELIMITER` is a line; a backslash escapes unless the SQL mode says otherwise.

mod blocks;
mod lexer;
mod rows;
mod scan;
pub mod session;
#[cfg(test)]
mod tests;
pub mod token;

pub use lexer::{HEAD, Lexer, MAX_HELD, Step, Verb};
pub use rows::RowCounter;
pub use session::{DoubleByte, Mode};

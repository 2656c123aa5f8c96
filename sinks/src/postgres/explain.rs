//! What a server's refusal means to whoever loads.

use pipeline::{Error, Kind};
use tokio_postgres::error::DbError;

/// SQLSTATEs and classes that another run may not meet: connection trouble, serialization, resources, the server's own end.
const PASSING: &[&str] = &["08", "40", "53", "55P03", "57P", "58"];

/// A statement that the server refused, or that the connection did not survive.
pub(super) fn refused(error: &tokio_postgres::Error, what: &str) -> Error {
    if let Some(server) = error.as_db_error() {
        return from_server(server, what);
    }
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    Error::sink(format!("the connection to the target broke: {what}"))
        .of_kind(Kind::Temporary)
        .caused_by(cause)
}

fn from_server(server: &DbError, what: &str) -> Error {
    let code = server.code().code();
    let mut error =
        Error::sink(format!("the target refuses {what}: {}", server.message())).with("sqlstate", code);
    // The row, its column and its value, for a COPY; the line in a function otherwise.
    for (name, text) in [("at", server.where_()), ("detail", server.detail())] {
        if let Some(text) = text {
            error = error.with(name, text);
        }
    }
    if is_passing(code) {
        error = error.of_kind(Kind::Temporary);
    }
    let message = server.message();
    let hint = match code {
        "42501" => Some(
            "the account lacks a right that the dump needs: `--for rds-postgres` leaves out what an administrator without superuser may not run",
        ),
        "42704" if message.starts_with("role ") => {
            Some("create the role on the target first, or leave owners and grants out: `--for rds-postgres`")
        }
        "0A000" | "58P01" if message.contains("extension") => Some(
            "install the extension on the server, or allow it there; for RDS see the parameter rds.allowed_extensions",
        ),
        "42P06" | "42P07" | "42710" | "42723" => Some(
            "the target already holds this: load into an empty database, or replace what is there with `--overwrite`",
        ),
        "53100" => Some("the target's disk is full"),
        "25006" => Some("the target is read-only: is it a replica?"),
        _ => server.hint(),
    };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// What an error means for a load that is one transaction.
pub(super) fn nothing_applied(error: Error) -> Error {
    let again = error.kind() == Kind::Temporary;
    error.hint(if again {
        "nothing was applied, the load is one transaction: run it again"
    } else {
        "nothing was applied: the load is one transaction"
    })
}

/// True when another try may go through: the connection is gone, or the server said so.
pub(super) fn passes(error: &tokio_postgres::Error) -> bool {
    if let Some(server) = error.as_db_error() {
        return is_passing(server.code().code());
    }
    // A value that could not be read, for one, stays what it is.
    let cause = std::error::Error::source(error);
    error.is_closed() || cause.is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

fn is_passing(code: &str) -> bool {
    PASSING.iter().any(|prefix| code.starts_with(prefix))
}

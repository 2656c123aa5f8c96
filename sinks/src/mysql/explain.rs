//! What a server's refusal means to whoever loads.

use mysql_async::{DriverError, Error as Cause};
use pipeline::{Error, Kind};

/// The session is gone and with it what it had not committed; or the server said to try again.
pub(super) fn passes(error: &Cause) -> bool {
    match error {
        Cause::Server(server) => {
            matches!(server.code, 1040 | 1053 | 1158..=1161 | 1203 | 1205 | 1213 | 1317 | 1927 | 4031)
        }
        Cause::Io(_) | Cause::Driver(DriverError::ConnectionClosed) => true,
        _ => false,
    }
}

/// The key is there already.
pub(super) fn is_twice(error: &Cause) -> bool {
    matches!(error, Cause::Server(server) if server.code == 1062)
}

/// What is made is there already: table or view, routine, trigger, event, index, foreign key.
pub(super) fn is_there(error: &Cause) -> bool {
    match error {
        Cause::Server(server) => {
            matches!(server.code, 1050 | 1304 | 1359 | 1537 | 1061 | 1826)
                || (server.code == 1005 && server.message.contains("errno: 121"))
        }
        _ => false,
    }
}

/// A statement that the server refused, or that the connection did not survive.
pub(super) fn refused(error: Cause, what: &str) -> Error {
    let passes = passes(&error);
    let described = match &error {
        Cause::Server(server) => {
            let refused = Error::sink(format!("the target refuses {what}: {}", server.message))
                .with("error", server.code);
            match hint(server.code) {
                Some(hint) => refused.hint(hint),
                None => refused,
            }
        }
        _ if passes => Error::sink(format!("the connection to the target broke: {what}")),
        // A file of this machine, for one, which is never sent.
        _ => Error::sink(format!("{what} is not executed")),
    };
    let described = if passes { described.of_kind(Kind::Temporary) } else { described };
    described.caused_by(error)
}

fn hint(code: u16) -> Option<&'static str> {
    Some(match code {
        1044 | 1142 | 1227 | 1370 => {
            "the account lacks a right that the dump needs: `--for rds-mysql` leaves out what an administrator without SUPER may not run"
        }
        1418 | 1419 => "set log_bin_trust_function_creators=1 at the target (for RDS in the parameter group)",
        1115 | 1273 => {
            "the target does not know this character set or collation: `--for rds-mysql` maps those of MariaDB"
        }
        1050 | 1304 | 1359 | 1537 => {
            "the target already holds this: load into an empty database, or replace what is there with `--overwrite`"
        }
        1153 => "raise max_allowed_packet at the target",
        1021 | 1114 => "the target's disk, or its table space, is full",
        1290 | 1836 => "the target is read-only: is it a replica?",
        3105 => {
            "values of generated columns cannot be loaded: dump with mysqldump, or drop the columns first and add them again afterwards"
        }
        1286 => "the target does not have this storage engine: `--for rds-mysql` makes it InnoDB",
        3750 => "the target wants primary keys: turn sql_require_primary_key off there",
        1231 => "`--for rds-mysql` takes out modes that the target no longer has",
        _ => return None,
    })
}

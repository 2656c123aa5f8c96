//! A server's refusals with the way out of each. The words are the server's own.

use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, Kind};

/// What an account needs to be read as a primary is read by its replica, and for the questions before.
const RIGHTS: &str = "+psync +sync +replconf +ping +info +config|get";
/// The same for reading key by key.
const SCAN_RIGHTS: &str = "+select +scan +dump +pttl +pexpiretime +ping +info ~*";

/// The same for loading.
const LOAD_RIGHTS: &str =
    "+select +restore +set +get +del +dbsize +info +cluster|slots +function|load +flushdb +asking ~*";

/// The line that gives the account of the URL what it lacks.
fn grant(url: &DatabaseUrl, command: &str) -> String {
    let user = url.user.as_deref().unwrap_or("default");
    let rights = match command {
        "SCAN" | "SELECT" | "DUMP" => SCAN_RIGHTS,
        "RESTORE" | "SET" | "GET" | "DEL" | "DBSIZE" | "FLUSHDB" | "FUNCTION LOAD" => LOAD_RIGHTS,
        _ => RIGHTS,
    };
    format!(
        "an administrator gives it with: ACL SETUSER {user} {rights} (before Redis 7 write +config for +config|get)"
    )
}

/// The error for a reply that begins with `-`.
pub fn explain(text: &str, command: &str, url: &DatabaseUrl) -> Error {
    let code = text.split(' ').next().unwrap_or_default();
    let error = Error::source(format!("the server refuses {command}: {text}"));
    let passing = |error: Error| error.of_kind(Kind::Temporary);
    let lower = text.to_ascii_lowercase();
    match code {
        "NOAUTH" => error.hint("it wants a password: redis://:PASSWORD@host, REDISCLI_AUTH or --source-password-file"),
        "WRONGPASS" => error.hint("user or password is wrong; without a user in the URL the account is `default`"),
        "NOPERM" => error.hint(grant(url, command)),
        "LOADING" => passing(error).hint("the server is still reading its own data; run it again when it is done"),
        "MISCONF" => error.hint(
            "the server cannot write its dump file: look at its disk and log; --redis-sync diskless needs no disk there",
        ),
        // The server says this with the code of a replica that has lost its primary.
        _ if lower.contains("failing over") || lower.contains("failover") => {
            passing(error).hint("the server hands its role to another: run it again when that is done, or read the other one")
        }
        "MASTERDOWN" | "NOMASTERLINK" => {
            passing(error).hint("this replica has lost its primary: wait until it has it again, or read the primary")
        }
        "OOM" => error.hint("the server's memory is full (maxmemory): give it more, or load less with --redis-db, --keys, --drop-keys"),
        "READONLY" => passing(error).hint("the server is a replica, or became one in a failover: connect to the primary"),
        "BUSYKEY" => error.hint("the key is there already: --on-conflict replace or skip, or --overwrite"),
        "CROSSSLOT" => error.hint("the server is in cluster mode"),
        "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" => passing(error).hint("run it again in a moment"),
        "DENIED" => error.hint("protected mode: the server takes no connections from other machines without a password"),
        _ if lower.contains("invalid password") || lower.contains("without any password") => {
            error.hint("the password is wrong, or the server wants none; look at the URL and REDISCLI_AUTH")
        }
        _ if lower.contains("db index is out of range") => {
            error.hint("the server has no such database: --redis-map FROM=TO gives it another number")
        }
        _ if lower.contains("select is not allowed in cluster mode") => {
            error.hint("in cluster mode there is database 0 only: --redis-db N --redis-map N=0")
        }
        _ if lower.contains("unknown command") && command != "PSYNC" && command != "SYNC" && command != "REPLCONF" => {
            error.hint("the server is too old for it, or its provider has taken it away")
        }
        _ if lower.contains("unknown command") => error.hint(
            "the server does not let itself be replicated (renamed or blocked commands, as managed services have it): \
             --redis-scan reads key by key, which is no picture of one moment",
        ),
        _ if lower.contains("pending output") || lower.contains("bgsave") => {
            passing(error).hint("run it again in a moment; the server's log tells more")
        }
        _ if lower.contains("max number of clients") => passing(error).hint("the server has too many connections"),
        _ => error.hint("the server's log tells more"),
    }
}

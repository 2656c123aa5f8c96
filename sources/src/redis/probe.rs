//! Questions before the reading: what the server is, and how it makes snapshots. An account that may not ask is no reason to stop.

use std::collections::BTreeMap;
use std::time::Duration;

use connections::redis::{Place, Reply, enter, refusal};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, Kind, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, InfoDict, RedisConnectionInfo, RedisError};

/// Unless it says otherwise.
const REPL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an answer may take; a server that is busy with one long command answers nobody.
const ANSWER: Duration = Duration::from_secs(30);

/// What is known of a server. What it did not tell is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    /// Product and version.
    pub(super) product: Option<String>,
    pub(super) valkey: bool,
    /// Major and minor.
    pub(super) version: Option<(u32, u32)>,
    /// Version as text, for a replica that says what it is.
    pub(super) exact: Option<String>,
    /// Whether it sends to replicas without writing its dump file first.
    pub(super) diskless: Option<bool>,
    /// The last snapshot could not be written.
    pub(super) disk_fails: bool,
    pub(super) repl_timeout: Duration,
    /// Databases that hold keys.
    pub(super) databases: Option<Vec<u64>>,
    /// It writes a format newer than version 11, and says that it holds nothing that is new in it.
    pub(super) plain: bool,
    pub(super) facts: BTreeMap<String, String>,
    pub(super) warnings: Vec<String>,
    loading: bool,
    link_down: bool,
}

impl Server {
    /// Refuses a server that will refuse to be read.
    pub(super) fn ready(&self) -> Result<()> {
        let passing = |what: &str| Error::source(what.to_owned()).of_kind(Kind::Temporary);
        if self.loading {
            return Err(
                passing("the server is loading its data (LOADING)").hint("run it again when it is done")
            );
        }
        if self.link_down {
            return Err(passing(
                "the server is a replica that has lost its primary (master_link_status:down)",
            )
            .hint("wait until it has it again, or read the primary"));
        }
        Ok(())
    }
}

/// Asks. Refusals of single questions are taken as answers.
pub(super) async fn ask(place: &Place, url: &DatabaseUrl) -> Result<Server> {
    let mut wire = enter(place, url).await?;
    // Also says whether a password is wanted that was not given.
    if let Reply::Error(text) = wire.call(&[b"PING"]).await?
        && !text.starts_with("NOPERM")
        && !text.starts_with("MASTERDOWN")
        && !text.starts_with("LOADING")
        && !text.starts_with("MISCONF")
    {
        return Err(refusal::explain(&text, "PING", url));
    }
    let lost = |error: RedisError| {
        Error::source(format!("the server at {place} broke off")).of_kind(Kind::Temporary).caused_by(error)
    };
    let known = RedisConnectionInfo::default().set_skip_set_lib_name();
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER));
    let (mut connection, driver) =
        MultiplexedConnection::new_with_config(&known, wire.stream, config).await.map_err(lost)?;
    let driver = tokio::spawn(driver);
    let server = questions(&mut connection).await;
    driver.abort();
    Ok(server)
}

async fn questions(connection: &mut MultiplexedConnection) -> Server {
    let mut server = Server { repl_timeout: REPL_TIMEOUT, ..Server::default() };
    if let Ok(info) = redis::cmd("INFO").query_async::<InfoDict>(connection).await {
        read_info(&mut server, &info);
    }
    let mut setting = async |name: &str| -> Option<String> {
        let answer: Vec<String> =
            redis::cmd("CONFIG").arg("GET").arg(name).query_async(connection).await.ok()?;
        answer.into_iter().nth(1)
    };
    server.diskless = setting("repl-diskless-sync").await.map(|value| value == "yes");
    if let Some(seconds) = setting("repl-timeout").await.and_then(|value| value.parse().ok()) {
        server.repl_timeout = Duration::from_secs(seconds);
    }
    server
}

fn read_info(server: &mut Server, info: &InfoDict) {
    let text = |name: &str| info.get::<String>(name);
    let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
    let valkey = text("valkey_version");
    server.valkey = valkey.is_some() || text("server_name").is_some_and(|name| name == "valkey");
    if let Some(version) = valkey.or_else(|| text("redis_version")) {
        let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
        if let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) {
            server.version = Some((major, minor));
        }
        let product = if server.valkey { "Valkey" } else { "Redis" };
        server.product = Some(format!("{product} {version}"));
        server.exact = Some(version);
    }
    server.loading = number("loading") == Some(1);
    server.link_down = text("master_link_status").is_some_and(|status| status == "down");
    server.disk_fails = text("rdb_last_bgsave_status").is_some_and(|status| status == "err");
    for (fact, name) in [("role", "role"), ("mode", "redis_mode"), ("used_memory", "used_memory")] {
        server.facts.extend(text(name).map(|value| (fact.to_owned(), value)));
    }
    // All that Redis 7.4 to 8.4 and Valkey 9.0 and 9.1 added are fields of hashes that expire, and they count the hashes that have some.
    let counted = match server.version {
        Some(at) if server.valkey && ((9, 0)..(9, 2)).contains(&at) => Some("keys_with_volatile_items=0"),
        Some(at) if !server.valkey && ((7, 4)..(8, 6)).contains(&at) => Some("subexpiry=0"),
        _ => None,
    };
    server.plain = counted.is_some();
    let mut databases = Vec::new();
    for db in 0..1024_u64 {
        if let Some(keys) = text(&format!("db{db}")) {
            databases.push(db);
            server.plain &= counted.is_some_and(|none| keys.split(',').any(|count| count == none));
            server.facts.insert(format!("db{db}"), keys);
        }
    }
    server.databases = Some(databases);
    // The child of the fork shares memory until pages are written; in the worst case all of them are.
    if let (Some(used), Some(total)) = (number("used_memory"), number("total_system_memory"))
        && used > total / 2
    {
        server.warnings.push(format!(
            "the server uses {} of {} MiB of its machine's memory: under heavy writing a snapshot can need as much again",
            used >> 20,
            total >> 20
        ));
    }
    if server.disk_fails {
        server
            .warnings
            .push("the server could not write its last snapshot (rdb_last_bgsave_status:err)".to_owned());
    }
}

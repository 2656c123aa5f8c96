//! Looks at a server before it is dumped: what it is, how much there is, and whether this account sees all of it.

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Result};

use super::MysqlOptions;
use super::client::turned_off;
use super::grants::Grants;
use crate::Content;
use connections::mysql::from_server;

/// What the plan needs to know.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) mariadb: bool,
    /// Product and version.
    pub(super) version: String,
    /// Bytes of rows as the server estimates them.
    pub(super) bytes: Option<u64>,
    pub(super) net_write_timeout: Duration,
    pub(super) facts: BTreeMap<String, String>,
    /// What is dumped.
    pub(super) databases: Vec<String>,
    /// Database and name of every table and view, where they are chosen by name.
    pub(super) relations: Vec<(String, String)>,
}

/// Schemas that the server makes itself.
const SYSTEM: &[&str] = &["information_schema", "performance_schema", "mysql", "sys", "ndbinfo"];

/// Looks at the server over a connection of its own.
pub(super) async fn inspect(url: &DatabaseUrl, options: &MysqlOptions, cx: &Context) -> Result<Server> {
    let mut connection = connections::mysql::connect(url).await?;
    let found = look_at(&mut connection, url, options, cx).await;
    // A goodbye that fails changes nothing about what was found.
    connection.disconnect().await.ok();
    found
}

async fn look_at(
    connection: &mut Conn,
    url: &DatabaseUrl,
    options: &MysqlOptions,
    cx: &Context,
) -> Result<Server> {
    let mut look = Look { connection, url };
    let mut server = look.identify().await?;
    for database in &url.databases {
        look.enter(database).await?;
    }
    let databases = if url.databases.is_empty() {
        let all: Vec<String> = look.column("SHOW DATABASES").await?;
        all.into_iter().filter(|name| !SYSTEM.contains(&name.as_str())).collect()
    } else {
        url.databases.clone()
    };
    server.facts.insert("databases".to_owned(), databases.join(", "));
    server.databases.clone_from(&databases);
    if databases.is_empty() {
        cx.warn("the server has no databases of its own that this account sees");
        return Ok(server);
    }
    look.choose(&mut server, &databases, options).await?;
    look.measure(&mut server, &databases, cx).await?;
    look.completeness(&server, &databases, options, cx).await?;
    Ok(server)
}

struct Look<'a> {
    connection: &'a mut Conn,
    url: &'a DatabaseUrl,
}

impl Look<'_> {
    async fn identify(&mut self) -> Result<Server> {
        let row: Option<(String, String, u64, String)> = self
            .connection
            .query_first("SELECT VERSION(), @@version_comment, @@net_write_timeout, @@character_set_server")
            .await
            .map_err(|error| self.failed(error))?;
        let (version, comment, timeout, charset) =
            row.ok_or_else(|| Error::source("the server does not say what it is"))?;
        let mariadb = version.contains("MariaDB") || comment.contains("MariaDB");
        let product = if mariadb {
            "MariaDB"
        } else if comment.contains("Percona") {
            "Percona Server"
        } else {
            "MySQL"
        };
        let mut server = Server {
            mariadb,
            version: format!("{product} {version}"),
            net_write_timeout: Duration::from_secs(timeout),
            ..Server::default()
        };
        server.facts.insert("character_set_server".to_owned(), charset);
        // Positions before the dump began: where a replica may start without missing anything, not the exact snapshot. A server that
        // does not know or show them is no reason to stop.
        let position = if mariadb { "@@GLOBAL.gtid_current_pos" } else { "@@GLOBAL.gtid_executed" };
        if let Ok(Some(gtid)) = self.connection.query_first::<String, _>(format!("SELECT {position}")).await
            && !gtid.is_empty()
        {
            server.facts.insert("gtid_before".to_owned(), gtid.replace('\n', ""));
        }
        if !mariadb
            && let Ok(Some(mode)) =
                self.connection.query_first::<String, _>("SELECT @@GLOBAL.gtid_mode").await
        {
            server.facts.insert("gtid_mode".to_owned(), mode);
        }
        Ok(server)
    }

    /// The server itself says whether a database is missing or forbidden.
    async fn enter(&mut self, database: &str) -> Result<()> {
        match self.connection.query_drop(format!("USE `{}`", database.replace('`', "``"))).await {
            Ok(()) => Ok(()),
            Err(mysql_async::Error::Server(error)) => {
                let user = self.url.user.as_deref().unwrap_or_default();
                let described = match error.code {
                    1049 => Error::source(format!("the database {database} does not exist"))
                        .hint("look at the database's name and its case"),
                    1044 => Error::source(format!("the user {user} may not use the database {database}"))
                        .hint("look at the database's name, and grant SELECT, SHOW VIEW, TRIGGER and EVENT on it"),
                    _ => from_server(self.url, error.code, &error.message).with("database", database),
                };
                Err(described.caused_by(error))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Refuses names that fit nothing before anything is read.
    async fn choose(
        &mut self,
        server: &mut Server,
        databases: &[String],
        options: &MysqlOptions,
    ) -> Result<()> {
        let selection = &options.selection;
        if selection.takes_all() && !selection.has_conditions() {
            return Ok(());
        }
        let query = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({}) ORDER BY 1, 2",
            literals(databases)
        );
        server.relations = self.connection.query(query).await.map_err(|error| self.failed(error))?;
        let there: Vec<(&[u8], &[u8])> =
            server.relations.iter().map(|(schema, name)| (schema.as_bytes(), name.as_bytes())).collect();
        selection.check(&there)
    }

    async fn measure(&mut self, server: &mut Server, databases: &[String], cx: &Context) -> Result<()> {
        let list = literals(databases);
        let sizes: Option<Option<String>> = self
            .connection
            .query_first(format!(
                "SELECT CAST(SUM(DATA_LENGTH) AS CHAR) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({list})"
            ))
            .await
            .map_err(|error| self.failed(error))?;
        server.bytes = sizes.flatten().and_then(|text| text.parse().ok());
        let charsets: Vec<String> = self
            .column(&format!(
                "SELECT CONCAT(SCHEMA_NAME, '=', DEFAULT_CHARACTER_SET_NAME) FROM information_schema.SCHEMATA \
                 WHERE SCHEMA_NAME IN ({list}) ORDER BY 1"
            ))
            .await?;
        server.facts.insert("character_sets".to_owned(), charsets.join(", "));
        let others: Vec<String> = self
            .column(&format!(
                "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, ' (', ENGINE, ')') FROM information_schema.TABLES \
                 WHERE TABLE_SCHEMA IN ({list}) AND TABLE_TYPE = 'BASE TABLE' AND ENGINE NOT IN \
                 (SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES') ORDER BY 1"
            ))
            .await?;
        if !others.is_empty() {
            let shown: Vec<&str> = others.iter().take(5).map(String::as_str).collect();
            let more =
                if others.len() > 5 { format!(" and {} more", others.len() - 5) } else { String::new() };
            cx.warn(format!(
                "these tables are outside the snapshot and may change while they are dumped, because their engine has no transactions: {}{more}",
                shown.join(", ")
            ));
        }
        Ok(())
    }

    /// What the client would leave out without saying so. All of it was tried: without TRIGGER, without any privilege on routines,
    /// or with grants on single tables, `mysqldump` and `mariadb-dump` write less and exit with 0. What they do say (no SHOW VIEW, no
    /// EVENT) is left to them.
    async fn completeness(
        &mut self,
        server: &Server,
        databases: &[String],
        options: &MysqlOptions,
        cx: &Context,
    ) -> Result<()> {
        let lines = self.grants(server).await?;
        let grants = Grants::parse(lines.iter().map(String::as_str));
        let selection = &options.selection;
        let off = |what| {
            turned_off(&options.dump_args, what)
                || selection.content() == Content::Data
                || (what == "routines" && selection.names_tables())
        };
        let mut gaps = Vec::new();
        if self.url.databases.is_empty() && !grants.everywhere(&["SELECT", "SHOW DATABASES"]) {
            gaps.push("databases that this account may not see (SELECT on *.*)".to_owned());
        }
        for database in databases {
            if !grants.on_database(database, &["SELECT"]) {
                gaps.push(format!("tables of {database} that are not granted one by one (SELECT)"));
            }
            if !off("triggers") && !grants.on_database(database, &["TRIGGER"]) {
                gaps.push(format!("triggers of {database} (TRIGGER)"));
            }
            let sees_routines = grants.on_database(database, &["EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE"])
                || grants.everywhere(&["SELECT", "SHOW_ROUTINE", "SHOW CREATE ROUTINE"])
                || grants.reads_table("mysql", "proc");
            if !off("routines") && !sees_routines {
                gaps.push(format!("stored routines of {database} ({})", routine_privilege(server)));
            }
        }
        if !gaps.is_empty() {
            let text = format!(
                "the dump client would silently leave out what this account cannot see: {}",
                gaps.join("; ")
            );
            if !options.allow_partial {
                return Err(Error::source(text).hint(
                    "grant the privileges named, use another account, exclude the kind (--dump-arg=--skip-routines), or allow a partial dump",
                ));
            }
            cx.warn(text);
        }
        if off("routines") {
            return Ok(());
        }
        let hidden: Vec<String> = self
            .column(&format!(
                "SELECT CONCAT(ROUTINE_SCHEMA, '.', ROUTINE_NAME) FROM information_schema.ROUTINES \
                 WHERE ROUTINE_SCHEMA IN ({}) AND ROUTINE_DEFINITION IS NULL AND ROUTINE_BODY = 'SQL' ORDER BY 1",
                literals(databases)
            ))
            .await?;
        if let Some(first) = hidden.first() {
            return Err(Error::source(format!(
                "the account may not read the body of {} stored routines",
                hidden.len()
            ))
            .with("first", first)
            .hint(format!("grant {}", routine_privilege(server)))
            .hint("or leave routines out with --dump-arg=--skip-routines"));
        }
        Ok(())
    }

    /// The account's grants, with those of its active roles.
    async fn grants(&mut self, server: &Server) -> Result<Vec<String>> {
        // Servers before roles do not know the function.
        let role: Option<String> = self
            .connection
            .query_first::<Option<String>, _>("SELECT CURRENT_ROLE()")
            .await
            .ok()
            .flatten()
            .flatten()
            .filter(|role| role != "NONE");
        match role {
            Some(roles) if !server.mariadb => {
                self.column(&format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}")).await
            }
            role => {
                let mut lines: Vec<String> = self.column("SHOW GRANTS").await?;
                let more = ["SHOW GRANTS FOR CURRENT_ROLE", "SHOW GRANTS FOR PUBLIC"];
                for statement in if server.mariadb { &more[usize::from(role.is_none())..] } else { &[] } {
                    lines.extend(self.connection.query::<String, _>(*statement).await.unwrap_or_default());
                }
                Ok(lines)
            }
        }
    }

    async fn column(&mut self, query: &str) -> Result<Vec<String>> {
        self.connection.query(query).await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: mysql_async::Error) -> Error {
        let described = match &error {
            mysql_async::Error::Server(server) => from_server(self.url, server.code, &server.message),
            _ => Error::source(format!("the connection to {} was lost", self.url.place()))
                .of_kind(pipeline::Kind::Temporary),
        };
        described.caused_by(error)
    }
}

fn routine_privilege(server: &Server) -> &'static str {
    if server.mariadb { "SELECT on mysql.proc" } else { "SHOW_ROUTINE on *.*" }
}

/// A list of string literals that means the same with and without NO_BACKSLASH_ESCAPES.
pub(super) fn literals(names: &[String]) -> String {
    let hex = |name: &String| {
        use std::fmt::Write;
        let digits = name.bytes().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            write!(text, "{byte:02X}").ok();
            text
        });
        // A constant, and no call of CONVERT: MySQL looks a constant up in its dictionary's index, and for anything else it goes through all tables
        // (33 ms instead of 1 for each question, with 8,000 of them).
        format!("_utf8mb4 X'{digits}'")
    };
    names.iter().map(hex).collect::<Vec<_>>().join(", ")
}

//! MySQL and MariaDB.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use pipeline::Result;
use pipeline::endpoint::DatabaseUrl;

use super::{Checked, Findings, Level, Wishes, mib, some};
use crate::compare::at_dest;
use crate::report::SideInfo;

/// How long rows are read to learn the pace.
const SAMPLE: Duration = Duration::from_secs(2);

/// One server.
struct Server {
    conn: Conn,
    database: String,
    version: String,
    mariadb: bool,
    number: (u32, u32),
}

impl Server {
    async fn open(url: &DatabaseUrl) -> Result<Self> {
        let mut conn = connections::mysql::connect(url).await?;
        let database = url.databases.first().cloned().unwrap_or_default();
        let found: Option<(String, String)> =
            conn.query_first("SELECT VERSION(), @@version_comment").await.ok().flatten();
        let (version, comment) = found.unwrap_or_default();
        let mariadb = version.contains("MariaDB") || comment.contains("MariaDB");
        let mut parts = version.split(['.', '-']).filter_map(|part| part.parse().ok());
        let number = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        for setting in ["SET NAMES utf8mb4", "SET SESSION time_zone = '+00:00'"] {
            conn.query_drop(setting).await.ok();
        }
        let version = format!("{} {version}", if mariadb { "MariaDB" } else { "MySQL" });
        Ok(Self { conn, database, version, mariadb, number })
    }

    /// Rows as text; none where the question is refused. `?` stands for the database.
    async fn ask(&mut self, sql: &str) -> Vec<Vec<String>> {
        let name = format!("'{}'", self.database.replace('\\', "\\\\").replace('\'', "''"));
        let rows: Vec<Row> = self.conn.query(sql.replace('?', &name)).await.unwrap_or_default();
        rows.into_iter()
            .map(|row| {
                row.unwrap()
                    .into_iter()
                    .map(|value| match value {
                        Value::NULL => String::new(),
                        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                        other => other.as_sql(true),
                    })
                    .collect()
            })
            .collect()
    }

    async fn names(&mut self, sql: &str) -> Vec<String> {
        self.ask(sql).await.into_iter().filter_map(|row| row.into_iter().next()).collect()
    }

    async fn one(&mut self, sql: &str) -> Option<String> {
        self.names(sql).await.into_iter().next()
    }

    async fn is_on(&mut self, variable: &str) -> bool {
        matches!(self.one(&format!("SELECT @@{variable}")).await.as_deref(), Some("1" | "ON"))
    }
}

/// What an account may in a database.
struct Rights {
    all: bool,
    held: BTreeSet<String>,
    /// Roles are granted, whose rights do not show.
    roles: bool,
}

impl Rights {
    async fn of(server: &mut Server) -> Self {
        let mut rights = Self { all: false, held: BTreeSet::new(), roles: false };
        let database = server.database.replace('_', "\\_");
        let places = [
            "*.*".to_owned(),
            format!("`{}`.*", server.database),
            format!("`{database}`.*"),
            "`%`.*".to_owned(),
        ];
        for line in server.names("SHOW GRANTS").await {
            let Some((what, rest)) = line.strip_prefix("GRANT ").and_then(|line| line.split_once(" ON "))
            else {
                rights.roles |= line.starts_with("GRANT ");
                continue;
            };
            if !places.iter().any(|place| rest.starts_with(place.as_str())) {
                continue;
            }
            for privilege in what.split(',') {
                let privilege = privilege.trim().to_ascii_uppercase();
                rights.all |= privilege.starts_with("ALL PRIVILEGES") || privilege == "ALL";
                rights.held.insert(privilege);
            }
        }
        rights
    }

    fn has(&self, privilege: &str) -> bool {
        self.all || self.held.contains(privilege)
    }

    fn any(&self, privileges: &[&str]) -> bool {
        privileges.iter().any(|privilege| self.held.contains(*privilege))
    }
}

pub(super) async fn check(source: &DatabaseUrl, dest: &DatabaseUrl, wishes: &Wishes) -> Result<Checked> {
    let (from, to) = tokio::join!(Server::open(source), Server::open(dest));
    let (mut from, mut to) = (from?, at_dest(to)?);
    let mut found = Findings::default();
    versions(&mut found, &from, &to);
    let exists =
        to.one("SELECT schema_name FROM information_schema.schemata WHERE schema_name = ?").await.is_some();
    database(&mut found, &mut from, &mut to, wishes, exists).await;
    let own = Rights::of(&mut to).await;
    settings(&mut found, &mut from, &mut to, &own).await;
    rights(&mut found, &mut from, &own).await;
    objects(&mut found, &mut from, &mut to, &own, wishes).await;
    readable(&mut found, &mut from).await;
    let now = "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) AS CHAR)";
    let begun = Instant::now();
    let (a, b) = (from.one(now).await, to.one(now).await);
    if let (Some(a), Some(b)) =
        (a.and_then(|text| text.parse::<f64>().ok()), b.and_then(|text| text.parse::<f64>().ok()))
    {
        found.clocks(b - a - begun.elapsed().as_secs_f64() / 2.0);
    }
    if !wishes.brief {
        size(&mut found, &mut from).await;
    }
    let info = |url: &DatabaseUrl, server: &Server| SideInfo {
        endpoint: url.to_string(),
        server: server.version.clone(),
    };
    Ok(Checked { source: info(source, &from), dest: info(dest, &to), findings: found.0 })
}

fn versions(found: &mut Findings, from: &Server, to: &Server) {
    if to.mariadb || to.number < (8, 0) {
        found.warn(
            "version",
            format!("the target is {}", to.version),
            "3scale's next release wants MySQL 8.0 or newer",
        );
    } else {
        found.ok("version", format!("{} into {}", from.version, to.version));
    }
    if !from.mariadb && to.mariadb {
        found.warn(
            "flavour",
            "from MySQL into MariaDB: JSON becomes text, collations and expressions of MySQL 8 may be unknown",
            "load it once into a scratch database, and hold both against each other with `dbferry compare`",
        );
    }
    if from.mariadb == to.mariadb && from.number > to.number {
        found.warn(
            "version",
            "the target is older than the source",
            "what the newer one has added is refused there",
        );
    }
}

async fn database(found: &mut Findings, from: &mut Server, to: &mut Server, wishes: &Wishes, exists: bool) {
    const CHARSET: &str = "SELECT concat(default_character_set_name, ' ', default_collation_name) FROM information_schema.schemata WHERE schema_name = ?";
    let here = from.one(CHARSET).await.unwrap_or_default();
    let (charset, collation) = here.split_once(' ').unwrap_or_default();
    if !exists {
        let fix = format!(
            "CREATE DATABASE `{}` CHARACTER SET {charset} COLLATE {collation}",
            to.database.replace('`', "``")
        );
        found.block(
            "database",
            format!("the database {} does not exist, or the account may not see it", to.database),
            &fix,
        );
        return;
    }
    let there = to.one(CHARSET).await.unwrap_or_default();
    if there.split(' ').next() == Some(charset) {
        found.ok("character set", format!("both databases default to {charset}"));
    } else {
        let fix = format!("ALTER DATABASE `{}` CHARACTER SET {charset}", to.database.replace('`', "``"));
        found.warn("character set", format!("the source's default is {here}, the target's {there}"), &fix);
    }
    let holds = to.names("SELECT table_name FROM information_schema.tables WHERE table_schema = ?").await;
    if holds.iter().any(|name| name == "dbferry_load") {
        found.block(
            "contents",
            "the target holds a load that did not end",
            "`--resume` goes on with it, `--overwrite` starts over",
        );
    } else {
        found.contents(&holds, wishes);
    }
}

async fn settings(found: &mut Findings, from: &mut Server, to: &mut Server, own: &Rights) {
    if to.is_on("global.read_only").await {
        found.block(
            "read-only",
            "the target takes no writes (read_only)",
            "is it a replica? connect to its primary",
        );
    }
    let names =
        (from.one("SELECT @@lower_case_table_names").await, to.one("SELECT @@lower_case_table_names").await);
    if names.0.as_deref() == Some("0") && names.1.as_deref().is_some_and(|value| value != "0") {
        let twins = from
            .names("SELECT lower(table_name) FROM information_schema.tables WHERE table_schema = ? GROUP BY lower(table_name) HAVING count(*) > 1")
            .await;
        if twins.is_empty() {
            found.warn(
                "letter case",
                "the target does not tell upper from lower case in names of tables",
                "lower_case_table_names can be set only when a server is made",
            );
        } else {
            found.block(
                "letter case",
                format!("tables whose names differ in case alone become one at the target: {}", some(&twins)),
                "make the target with lower_case_table_names=0",
            );
        }
    }
    let packet = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let packets = (
        packet(from.one("SELECT @@global.max_allowed_packet").await),
        packet(to.one("SELECT @@global.max_allowed_packet").await),
    );
    if packets.1 < packets.0 {
        found.warn(
            "max_allowed_packet",
            format!("{} at the source, {} at the target", mib(packets.0), mib(packets.1)),
            "a row that is longer than the target's is refused: raise it there",
        );
    } else {
        found.ok("max_allowed_packet", format!("{} at the target", mib(packets.1)));
    }
    let (programs, events) = (
        from.names("SELECT routine_name FROM information_schema.routines WHERE routine_schema = ? AND routine_type = 'FUNCTION' UNION ALL SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = ?").await,
        from.names("SELECT event_name FROM information_schema.events WHERE event_schema = ?").await,
    );
    if !programs.is_empty() && to.is_on("log_bin").await && !to.is_on("log_bin_trust_function_creators").await
    {
        if own.any(&["SUPER"]) || own.all {
            found.warn("functions", format!("the target writes a binary log: functions that declare neither DETERMINISTIC nor READS SQL DATA are refused ({})", some(&programs)), "set log_bin_trust_function_creators=1 at the target");
        } else {
            found.block(
                "functions, triggers",
                format!(
                    "the target writes a binary log and the account has no SUPER, so it may make none: {}",
                    some(&programs)
                ),
                "set log_bin_trust_function_creators=1 at the target (for RDS in the parameter group)",
            );
        }
    }
    if !events.is_empty() && !to.is_on("event_scheduler").await {
        found.warn(
            "events",
            format!("the target's event_scheduler is off: {} will not run", some(&events)),
            "turn event_scheduler on there, or leave it off until the switch",
        );
    }
    let keyless = from
        .names("SELECT t.table_name FROM information_schema.tables t LEFT JOIN information_schema.table_constraints c ON c.table_schema = t.table_schema AND c.table_name = t.table_name AND c.constraint_type = 'PRIMARY KEY' WHERE t.table_schema = ? AND t.table_type = 'BASE TABLE' AND c.table_name IS NULL")
        .await;
    if keyless.is_empty() {
        found.ok("primary keys", "every table has one");
    } else if to.is_on("sql_require_primary_key").await
        && !own.any(&["SUPER", "SYSTEM_VARIABLES_ADMIN", "SESSION_VARIABLES_ADMIN"])
        && !own.all
    {
        found.block(
            "primary keys",
            format!(
                "the target wants one in every table, and the account may not turn that off: {}",
                some(&keyless)
            ),
            "set sql_require_primary_key=0 at the target, or give the tables keys",
        );
    } else {
        found.warn(
            "primary keys",
            format!("without one: {}", some(&keyless)),
            "replication and RDS work better with them; they are carried as they are",
        );
    }
}

async fn rights(found: &mut Findings, from: &mut Server, own: &Rights) {
    let mut wanted = vec!["SELECT", "INSERT", "CREATE", "ALTER", "DROP", "INDEX"];
    for (sql, privilege) in [
        (
            "SELECT 1 FROM information_schema.referential_constraints WHERE constraint_schema = ? LIMIT 1",
            "REFERENCES",
        ),
        ("SELECT 1 FROM information_schema.views WHERE table_schema = ? LIMIT 1", "CREATE VIEW"),
        ("SELECT 1 FROM information_schema.triggers WHERE trigger_schema = ? LIMIT 1", "TRIGGER"),
        ("SELECT 1 FROM information_schema.routines WHERE routine_schema = ? LIMIT 1", "CREATE ROUTINE"),
        ("SELECT 1 FROM information_schema.events WHERE event_schema = ? LIMIT 1", "EVENT"),
    ] {
        if from.one(sql).await.is_some() {
            wanted.push(privilege);
        }
    }
    let missing: Vec<String> = wanted
        .iter()
        .filter(|privilege| !own.has(privilege))
        .map(|&privilege| privilege.to_owned())
        .collect();
    if missing.is_empty() {
        found.ok("rights", "the account may make everything that the source has");
    } else if own.roles {
        found.warn(
            "rights",
            format!("not granted directly: {}; roles may give them", missing.join(", ")),
            "SHOW GRANTS FOR CURRENT_USER() USING the role tells",
        );
    } else {
        found.block(
            "rights",
            format!("the target's account lacks {}", missing.join(", ")),
            "GRANT them on the database to the account",
        );
    }
}

async fn objects(found: &mut Findings, from: &mut Server, to: &mut Server, own: &Rights, wishes: &Wishes) {
    const DEFINERS: &str = "SELECT DISTINCT definer FROM (
        SELECT definer FROM information_schema.views WHERE table_schema = ? UNION ALL
        SELECT definer FROM information_schema.routines WHERE routine_schema = ? UNION ALL
        SELECT definer FROM information_schema.triggers WHERE trigger_schema = ? UNION ALL
        SELECT definer FROM information_schema.events WHERE event_schema = ?) d";
    let me = to.one("SELECT current_user()").await.unwrap_or_default();
    let foreign: Vec<String> =
        from.names(DEFINERS).await.into_iter().filter(|definer| *definer != me).collect();
    if !foreign.is_empty() {
        let may = own.any(&["SUPER", "SET_USER_ID", "SET_ANY_DEFINER", "SET USER"]) || own.all;
        let rewrites = wishes.rewrites || wishes.definers;
        if may && !rewrites {
            found.warn(
                "definers",
                format!("views and programs run as {}", some(&foreign)),
                "make these accounts at the target, or rewrite with --definer",
            );
        } else {
            found.rewritten(
                rewrites,
                "definers",
                format!("views and programs of {}", some(&foreign)),
                "--for rds-mysql, or --definer strip: the account may not make objects in another's name",
            );
        }
    }
    let engines = from
        .names("SELECT concat(table_name, ' (', engine, ')') FROM information_schema.tables WHERE table_schema = ? AND table_type <> 'VIEW' AND engine <> 'InnoDB'")
        .await;
    let known: BTreeSet<String> = to
        .names("SELECT upper(engine) FROM information_schema.engines WHERE support IN ('YES', 'DEFAULT')")
        .await
        .into_iter()
        .collect();
    let (gone, other): (Vec<String>, Vec<String>) = engines.into_iter().partition(|text| {
        let engine = text.rsplit_once('(').map_or("", |(_, engine)| engine.trim_end_matches(')'));
        !known.contains(&engine.to_ascii_uppercase())
    });
    if !gone.is_empty() {
        found.rewritten(
            wishes.rewrites,
            "engines",
            format!("unknown to the target: {}", some(&gone)),
            "--for rds-mysql makes them InnoDB",
        );
    }
    if !other.is_empty() {
        if wishes.rewrites {
            found.add(Level::Rewritten, "engines", format!("not InnoDB: {}", some(&other)), None);
        } else {
            found.warn("engines", format!("not InnoDB: {}", some(&other)), "rows of such tables cannot be taken back when a load fails: --for rds-mysql makes them InnoDB");
        }
    }
    let collations: BTreeSet<String> =
        to.names("SELECT collation_name FROM information_schema.collations").await.into_iter().collect();
    let used = from
        .names("SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = ? AND collation_name IS NOT NULL UNION SELECT DISTINCT table_collation FROM information_schema.tables WHERE table_schema = ? AND table_collation IS NOT NULL")
        .await;
    // MariaDB lists collations of 10.10 without their character set.
    let unknown: Vec<String> =
        used.into_iter().filter(|name| !collations.is_empty() && !collations.contains(name)).collect();
    if unknown.is_empty() {
        found.ok("collations", "the target knows all that are used");
    } else {
        found.rewritten(
            wishes.rewrites,
            "collations",
            format!("unknown to the target: {}", some(&unknown)),
            "--for rds-mysql maps those of MariaDB",
        );
    }
    if from.mariadb && !to.mariadb {
        let generated = from
            .names("SELECT concat(table_name, '.', column_name) FROM information_schema.columns WHERE table_schema = ? AND is_generated = 'ALWAYS'")
            .await;
        if !generated.is_empty() {
            found.block(
                "generated columns",
                format!("mariadb-dump writes their values, which MySQL refuses: {}", some(&generated)),
                "drop the columns first and add them again afterwards",
            );
        }
        for (sql, what) in [
            (
                "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_type = 'SEQUENCE'",
                "sequences",
            ),
            (
                "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_type = 'SYSTEM VERSIONED'",
                "system-versioned tables",
            ),
            (
                "SELECT concat(table_name, '.', column_name) FROM information_schema.columns WHERE table_schema = ? AND data_type IN ('uuid', 'inet4', 'inet6', 'xmltype', 'vector')",
                "columns of types that MySQL has not",
            ),
            (
                "SELECT routine_name FROM information_schema.routines WHERE routine_schema = ? AND routine_type LIKE 'PACKAGE%'",
                "packages",
            ),
        ] {
            let names = from.names(sql).await;
            if !names.is_empty() {
                found.block(
                    "MariaDB only",
                    format!("{what}: {}", some(&names)),
                    "MySQL has nothing of the kind: change them at the source",
                );
            }
        }
    }
}

async fn readable(found: &mut Findings, from: &mut Server) {
    let views = from.names("SELECT table_name FROM information_schema.views WHERE table_schema = ?").await;
    let mut invalid = Vec::new();
    for view in views {
        let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
        let sql = format!("SHOW FIELDS FROM {}.{}", quoted(&from.database), quoted(&view));
        if from.conn.query_drop(sql).await.is_err() {
            invalid.push(view);
        }
    }
    if !invalid.is_empty() {
        found.block(
            "views",
            format!(
                "views that refer to what is not there, or whose definer is gone, end the dump: {}",
                some(&invalid)
            ),
            "drop or repair them at the source",
        );
    }
    let rights = Rights::of(from).await;
    let missing: Vec<&str> =
        ["SELECT", "SHOW VIEW", "TRIGGER"].into_iter().filter(|privilege| !rights.has(privilege)).collect();
    if missing.is_empty() {
        found.ok("source's rights", "the account may read everything");
    } else if rights.roles {
        found.warn(
            "source's rights",
            format!("not granted directly: {}", missing.join(", ")),
            "roles may give them",
        );
    } else {
        found.block(
            "source's rights",
            format!("the source's account lacks {}", missing.join(", ")),
            "GRANT them on the database; without them a dump is smaller, and says nothing",
        );
    }
    let zero = from.one("SELECT @@global.sql_mode").await.unwrap_or_default();
    if !zero.contains("NO_ZERO_DATE") {
        found.ok("zero dates", "may occur; the load takes them, under the mode of the dump");
    }
}

async fn size(found: &mut Findings, from: &mut Server) {
    let sum = |row: Option<String>| row.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let data = sum(from
        .one(
            "SELECT CAST(sum(data_length) AS UNSIGNED) FROM information_schema.tables WHERE table_schema = ?",
        )
        .await);
    let indexes = sum(from.one("SELECT CAST(sum(index_length) AS UNSIGNED) FROM information_schema.tables WHERE table_schema = ?").await);
    let largest = from
        .one("SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_type = 'BASE TABLE' ORDER BY data_length DESC LIMIT 1")
        .await;
    let mut text = format!(
        "about {} of rows and {} of indexes; the target needs as much free storage, which it does not tell",
        mib(data),
        mib(indexes)
    );
    if let Some(table) = largest {
        let begun = Instant::now();
        let sql = format!(
            "SELECT * FROM `{}`.`{}` LIMIT 200000",
            from.database.replace('`', "``"),
            table.replace('`', "``")
        );
        let mut bytes = 0_u64;
        if let Ok(mut rows) = from.conn.query_iter(sql).await {
            while let Ok(Some(row)) = rows.next().await {
                bytes += row
                    .unwrap()
                    .iter()
                    .map(|value| if let Value::Bytes(bytes) = value { bytes.len() as u64 } else { 0 })
                    .sum::<u64>();
                if begun.elapsed() > SAMPLE {
                    break;
                }
            }
        }
        let pace = bytes as f64 / begun.elapsed().as_secs_f64().max(0.001);
        if pace > 1.0 && data > 0 {
            text = format!(
                "{text}; reading it takes about {} s at the pace of {table}",
                (data as f64 / pace).ceil()
            );
        }
    }
    found.ok("size", text);
}

//! PostgreSQL.

use std::collections::BTreeSet;
use std::time::Instant;

use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, Result};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Checked, Findings, Wishes, mib, some};
use crate::compare::at_dest;
use crate::report::SideInfo;

/// Schemas of the server itself.
const USERS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// One database.
struct Server {
    client: Client,
    major: u32,
    version: String,
    superuser: bool,
}

impl Server {
    async fn open(url: &DatabaseUrl) -> Result<Self> {
        let client = connections::postgres::connect(url).await?;
        let mut server = Self { client, major: 0, version: String::new(), superuser: false };
        server
            .client
            .batch_execute("SET default_transaction_read_only = on; SET statement_timeout = '20s'; SET extra_float_digits = 0")
            .await
            .map_err(|error| Error::source(format!("{} refuses a session", url.place())).caused_by(error))?;
        let number = server.one("SHOW server_version_num").await.and_then(|text| text.parse::<u32>().ok());
        server.major = number.unwrap_or(0) / 10_000;
        server.version =
            format!("PostgreSQL {}", server.one("SHOW server_version").await.unwrap_or_default());
        server.superuser = server.one("SHOW is_superuser").await.as_deref() == Some("on");
        Ok(server)
    }

    /// The first column as text; nothing where the question is refused.
    async fn names(&self, sql: &str) -> Vec<String> {
        let messages = self.client.simple_query(sql).await.unwrap_or_default();
        messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .collect()
    }

    async fn one(&self, sql: &str) -> Option<String> {
        self.names(sql).await.into_iter().next()
    }

    async fn is_true(&self, sql: &str) -> bool {
        matches!(self.one(sql).await.as_deref(), Some("t" | "on"))
    }
}

pub(super) async fn check(source: &DatabaseUrl, dest: &DatabaseUrl, wishes: &Wishes) -> Result<Checked> {
    let (from, to) = tokio::join!(Server::open(source), Server::open(dest));
    let (from, to) = (from?, at_dest(to)?);
    let mut found = Findings::default();
    versions(&mut found, &from, &to);
    target(&mut found, &to, wishes).await;
    locale(&mut found, &from, &to).await;
    extensions(&mut found, &from, &to).await;
    roles(&mut found, &from, &to, wishes).await;
    superuser_only(&mut found, &from, &to, wishes).await;
    readable(&mut found, &from).await;
    let now = "SELECT extract(epoch FROM clock_timestamp())";
    let begun = Instant::now();
    let (a, b) = (from.one(now).await, to.one(now).await);
    if let (Some(a), Some(b)) =
        (a.and_then(|text| text.parse::<f64>().ok()), b.and_then(|text| text.parse::<f64>().ok()))
    {
        found.clocks(b - a - begun.elapsed().as_secs_f64() / 2.0);
    }
    if !wishes.brief {
        size(&mut found, &from).await;
    }
    let info = |url: &DatabaseUrl, server: &Server| SideInfo {
        endpoint: url.to_string(),
        server: server.version.clone(),
    };
    Ok(Checked { source: info(source, &from), dest: info(dest, &to), findings: found.0 })
}

fn versions(found: &mut Findings, from: &Server, to: &Server) {
    if to.major < from.major {
        found.block(
            "version",
            format!(
                "{} into {}: an older server does not take what a newer one has",
                from.version, to.version
            ),
            "take a target of the source's major version or a newer one",
        );
    } else if to.major < 15 {
        found.warn(
            "version",
            format!("the target is {}", to.version),
            "3scale's next release wants PostgreSQL 15 or newer",
        );
    } else {
        found.ok("version", format!("{} into {}", from.version, to.version));
    }
}

async fn target(found: &mut Findings, to: &Server, wishes: &Wishes) {
    if to.is_true("SELECT pg_is_in_recovery()").await {
        found.block("read-only", "the target is a standby", "connect to its primary");
    }
    if to.is_true("SELECT has_database_privilege(current_database(), 'CREATE')").await {
        found.ok("rights", "the account may create schemas in the target database");
    } else {
        found.block(
            "rights",
            "the account may create nothing in the target database",
            "GRANT CREATE ON DATABASE … TO the account, or make it the owner",
        );
    }
    if to.one("SELECT 1 FROM pg_namespace WHERE nspname = 'public'").await.is_some()
        && !to.is_true("SELECT has_schema_privilege('public', 'CREATE')").await
    {
        found.block(
            "rights",
            "the account may create nothing in the schema public",
            "since PostgreSQL 15 nobody may by default: GRANT CREATE ON SCHEMA public TO the account",
        );
    }
    let holds = to
        .names(&format!("SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e' WHERE {USERS} AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND d.objid IS NULL ORDER BY 1 LIMIT 20"))
        .await;
    found.contents(&holds, wishes);
}

async fn locale(found: &mut Findings, from: &Server, to: &Server) {
    let encoding = "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()";
    let (a, b) = (from.one(encoding).await.unwrap_or_default(), to.one(encoding).await.unwrap_or_default());
    if a == b {
        found.ok("encoding", format!("both are {a}"));
    } else if b == "UTF8" {
        found.warn(
            "encoding",
            format!("{a} at the source, UTF8 at the target: text is converted"),
            "CREATE DATABASE … ENCODING as the source has it keeps it",
        );
    } else {
        found.block(
            "encoding",
            format!("{a} at the source, {b} at the target, which cannot hold every character"),
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        );
    }
    let collate = "SELECT datcollate || ' ' || datctype FROM pg_database WHERE datname = current_database()";
    let (a, b) = (from.one(collate).await.unwrap_or_default(), to.one(collate).await.unwrap_or_default());
    if a == b {
        found.ok("locale", format!("both are {a}"));
    } else {
        found.warn(
            "locale",
            format!("{a} at the source, {b} at the target: order and case of text differ"),
            "CREATE DATABASE … LC_COLLATE … LC_CTYPE … TEMPLATE template0",
        );
    }
    let own = from.names(&format!("SELECT collname FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE {USERS} AND collprovider = 'i'")).await;
    if !own.is_empty()
        && to.one("SELECT 1 FROM pg_collation WHERE collprovider = 'i' LIMIT 1").await.is_none()
    {
        found.block(
            "collations",
            format!("the target is built without ICU: {}", some(&own)),
            "take a server with ICU",
        );
    }
}

async fn extensions(found: &mut Findings, from: &Server, to: &Server) {
    let used = from
        .names("SELECT extname || ' ' || extversion FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1")
        .await;
    let there: BTreeSet<String> =
        to.names("SELECT name FROM pg_available_extensions").await.into_iter().collect();
    // Where the allow-list of a managed server applies, or an ordinary account is enough, CREATE EXTENSION tells; the rest is for superusers.
    let reserved: BTreeSet<String> = if to.superuser {
        BTreeSet::new()
    } else {
        to.names("SELECT name FROM pg_available_extension_versions WHERE superuser AND NOT trusted AND NOT installed AND to_regrole('rds_superuser') IS NULL").await.into_iter().collect()
    };
    let installed: BTreeSet<String> =
        to.names("SELECT extname FROM pg_extension").await.into_iter().collect();
    let (mut missing, mut refused) = (Vec::new(), Vec::new());
    for extension in &used {
        let name = extension.split(' ').next().unwrap_or_default();
        if installed.contains(name) {
            continue;
        }
        if !there.contains(name) {
            missing.push(extension.clone());
        } else if reserved.contains(name) {
            refused.push(extension.clone());
        }
    }
    if !missing.is_empty() {
        found.block(
            "extensions",
            format!("not on the target's server: {}", some(&missing)),
            "install them there, or allow them (for RDS: rds.allowed_extensions), or drop them at the source",
        );
    }
    if !refused.is_empty() {
        found.block(
            "extensions",
            format!("only a superuser may create: {}", some(&refused)),
            "let an administrator create them in the target database first, and load with --into-existing",
        );
    }
    if missing.is_empty() && refused.is_empty() {
        found.ok(
            "extensions",
            if used.is_empty() {
                "none are used".to_owned()
            } else {
                format!("the target has {}", some(&used))
            },
        );
    }
}

async fn roles(found: &mut Findings, from: &Server, to: &Server, wishes: &Wishes) {
    let owners = from
        .names(&format!("SELECT DISTINCT r.rolname FROM (
            SELECT c.relowner AS owner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USERS}
            UNION SELECT p.proowner FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {USERS}
            UNION SELECT n.nspowner FROM pg_namespace n WHERE {USERS} AND n.nspname <> 'public'
            UNION SELECT t.typowner FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {USERS}
            UNION SELECT (aclexplode(c.relacl)).grantee FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USERS}
            UNION SELECT (aclexplode(n.nspacl)).grantee FROM pg_namespace n WHERE {USERS}
            UNION SELECT unnest(polroles) FROM pg_policy) o JOIN pg_roles r ON r.oid = o.owner ORDER BY 1"))
        .await;
    let there: BTreeSet<String> = to.names("SELECT rolname FROM pg_roles").await.into_iter().collect();
    let mine: BTreeSet<String> =
        to.names("SELECT rolname FROM pg_roles WHERE pg_has_role(oid, 'MEMBER')").await.into_iter().collect();
    let missing: Vec<String> = owners.iter().filter(|role| !there.contains(*role)).cloned().collect();
    let foreign: Vec<String> =
        owners.iter().filter(|role| there.contains(*role) && !mine.contains(*role)).cloned().collect();
    if !missing.is_empty() {
        found.rewritten(
            wishes.rewrites,
            "roles",
            format!("not at the target: {}", some(&missing)),
            "create them there first, or leave owners and grants out with --for rds-postgres",
        );
    }
    if !foreign.is_empty() && !to.superuser {
        found.rewritten(
            wishes.rewrites,
            "roles",
            format!("the target's account is no member of {}", some(&foreign)),
            "GRANT the roles to the account, or leave owners and grants out with --for rds-postgres",
        );
    }
    if missing.is_empty() && foreign.is_empty() {
        found.ok("roles", "the target has every owner and grantee");
    }
    // A policy names its roles in its own text.
    let policies = from
        .names(
            "SELECT DISTINCT r.rolname FROM pg_policy p, unnest(p.polroles) o JOIN pg_roles r ON r.oid = o",
        )
        .await;
    let lost: Vec<String> = policies.into_iter().filter(|role| !there.contains(role)).collect();
    if !lost.is_empty() {
        found.block(
            "policies",
            format!("row security is granted to roles that the target has not: {}", some(&lost)),
            "create these roles at the target first",
        );
    }
}

async fn superuser_only(found: &mut Findings, from: &Server, to: &Server, wishes: &Wishes) {
    let managed =
        to.is_true("SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = 'rds_superuser'").await;
    let extension =
        "NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = o.oid AND d.deptype IN ('e', 'i'))";
    for (subject, sql, fix, rewritten) in [
        ("event triggers", format!("SELECT evtname FROM pg_event_trigger o WHERE {extension}"), "only a superuser may make them: drop them at the source, and make them again where the provider lets you", false),
        ("publications", format!("SELECT pubname FROM pg_publication o WHERE puballtables AND {extension}"), "FOR ALL TABLES is for superusers: --for rds-postgres leaves publications out", true),
        ("subscriptions", "SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())".to_owned(), "--for rds-postgres leaves them out", true),
        ("tablespaces", format!("SELECT DISTINCT t.spcname FROM pg_class o JOIN pg_tablespace t ON t.oid = o.reltablespace JOIN pg_namespace n ON n.oid = o.relnamespace WHERE {USERS}"), "--for rds-postgres leaves them out", true),
        ("access methods", format!("SELECT DISTINCT a.amname FROM pg_class o JOIN pg_am a ON a.oid = o.relam JOIN pg_namespace n ON n.oid = o.relnamespace WHERE {USERS} AND a.amtype = 't' AND a.amname <> 'heap'"), "--for rds-postgres leaves them out", true),
        ("functions in C", format!("SELECT o.proname FROM pg_proc o JOIN pg_language l ON l.oid = o.prolang JOIN pg_namespace n ON n.oid = o.pronamespace WHERE {USERS} AND NOT l.lanpltrusted AND o.prokind <> 'a' AND {extension}"), "functions in C and untrusted languages are for superusers: drop them at the source", false),
        ("leakproof functions", format!("SELECT o.proname FROM pg_proc o JOIN pg_language l ON l.oid = o.prolang JOIN pg_namespace n ON n.oid = o.pronamespace WHERE {USERS} AND o.proleakproof AND l.lanpltrusted AND {extension}"), "only a superuser may say so of a function: --for rds-postgres leaves it unsaid", true),
        ("languages", format!("SELECT o.lanname FROM pg_language o WHERE o.oid >= 16384 AND {extension}"), "languages that are no extension are for superusers: drop them at the source", false),
        ("casts", format!("SELECT format('%s AS %s', castsource::regtype, casttarget::regtype) FROM pg_cast o WHERE o.castmethod = 'b' AND o.oid >= 16384 AND {extension}"), "casts without a function are for superusers: drop them at the source", false),
        ("transforms", format!("SELECT o.trftype::regtype::text FROM pg_transform o WHERE {extension}"), "only a superuser may make them: drop them at the source", false),
        ("text search", format!("SELECT o.tmplname FROM pg_ts_template o JOIN pg_namespace n ON n.oid = o.tmplnamespace WHERE {USERS} AND {extension} UNION ALL SELECT o.prsname FROM pg_ts_parser o JOIN pg_namespace n ON n.oid = o.prsnamespace WHERE {USERS} AND {extension}"), "templates and parsers are for superusers: drop them at the source", false),
        ("foreign-data wrappers", format!("SELECT o.fdwname FROM pg_foreign_data_wrapper o WHERE {extension}"), "only a superuser may make them, other than by an extension: drop them at the source", false),
        ("operator classes", format!("SELECT o.opcname FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace WHERE {USERS} AND {extension} UNION SELECT o.opfname FROM pg_opfamily o JOIN pg_namespace n ON n.oid = o.opfnamespace WHERE {USERS} AND {extension}"), "only a superuser may make them: drop them at the source", false),
        ("base types", format!("SELECT o.typname FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace WHERE {USERS} AND o.typtype = 'b' AND o.typelem = 0 AND {extension}"), "only a superuser may make them: drop them at the source", false),
    ] {
        let names = from.names(&sql).await;
        if names.is_empty() {
            continue;
        }
        if subject == "event triggers" && managed {
            found.warn(subject, some(&names), "the provider's administrator may make them; look at them after the load");
            continue;
        }
        if to.superuser {
            if subject == "tablespaces" {
                let there: BTreeSet<String> = to.names("SELECT spcname FROM pg_tablespace").await.into_iter().collect();
                if names.iter().any(|name| !there.contains(name)) {
                    found.rewritten(wishes.rewrites, subject, some(&names), fix);
                }
            }
            continue;
        }
        found.rewritten(wishes.rewrites && rewritten, subject, some(&names), fix);
    }
    let servers = from.names("SELECT srvname FROM pg_foreign_server").await;
    let wrappers: BTreeSet<String> = from
        .names("SELECT DISTINCT w.fdwname FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw")
        .await
        .into_iter()
        .collect();
    let closed: Vec<String> = to
        .names("SELECT fdwname FROM pg_foreign_data_wrapper WHERE NOT has_foreign_data_wrapper_privilege(oid, 'USAGE')")
        .await
        .into_iter()
        .filter(|wrapper| wrappers.contains(wrapper))
        .collect();
    if !closed.is_empty() {
        found.block(
            "foreign servers",
            format!("the target's account may make no servers of {}", some(&closed)),
            "GRANT USAGE ON FOREIGN DATA WRAPPER … TO the account",
        );
    }
    if !servers.is_empty() {
        found.warn(
            "foreign servers",
            format!("{}: passwords of user mappings are not shown to everybody", some(&servers)),
            "look at them after the load",
        );
    }
    let settings = from.names("SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())").await;
    if !settings.is_empty() {
        found.warn(
            "database settings",
            format!("ALTER DATABASE … SET is no part of a dump: {}", some(&settings)),
            "set them at the target",
        );
    }
    let keyless = from
        .names(&format!("SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USERS} AND c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) ORDER BY 1"))
        .await;
    if keyless.is_empty() {
        found.ok("primary keys", "every table has one");
    } else {
        found.warn(
            "primary keys",
            format!("without one: {}", some(&keyless)),
            "logical replication wants them; they are carried as they are",
        );
    }
    let unlogged = from.names(&format!("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USERS} AND c.relpersistence = 'u' AND c.relkind = 'r'")).await;
    if !unlogged.is_empty() {
        found.warn("unlogged tables", some(&unlogged), "a crash of the target empties them");
    }
    if let Some(count) = from.one("SELECT count(*) FROM pg_largeobject_metadata HAVING count(*) > 0").await {
        found.ok("large objects", format!("{count}, carried with their numbers"));
    }
}

async fn readable(found: &mut Findings, from: &Server) {
    let closed = from
        .names(&format!("SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USERS} AND c.relkind IN ('r', 'p', 'm', 'S') AND NOT has_table_privilege(c.oid, 'SELECT') ORDER BY 1"))
        .await;
    if closed.is_empty() {
        found.ok("source's rights", "the account may read every table");
    } else {
        found.block(
            "source's rights",
            format!("the source's account may not read {}", some(&closed)),
            "GRANT SELECT, or pg_read_all_data, to it",
        );
    }
    if !from.is_true("SELECT rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = current_user").await {
        let hidden = from.names(&format!("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USERS} AND c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))")).await;
        if !hidden.is_empty() {
            found.block(
                "row security",
                format!("policies hide rows from the source's account: {}", some(&hidden)),
                "dump as the owner, or as a role with BYPASSRLS",
            );
        }
    }
}

async fn size(found: &mut Findings, from: &Server) {
    let bytes = from
        .one("SELECT pg_database_size(current_database())")
        .await
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0);
    let mut text =
        format!("about {}; the target needs as much free storage, which it does not tell", mib(bytes));
    let largest = from
        .one(&format!("SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USERS} AND c.relkind = 'r' ORDER BY c.relpages DESC LIMIT 1"))
        .await;
    if let Some(table) = largest {
        let begun = Instant::now();
        let sum = format!("SELECT sum(octet_length(t::text)) FROM (SELECT * FROM {table} LIMIT 100000) t");
        let read = from.one(&sum).await.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        let pace = read / begun.elapsed().as_secs_f64().max(0.001);
        if read > 1e6 {
            text = format!(
                "{text}; reading it takes about {} s at the pace of {table}",
                (bytes as f64 / pace).ceil()
            );
        }
    }
    found.ok("size", text);
}

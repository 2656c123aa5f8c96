//! Into other databases: newer servers in the shape of managed ones, straight from the source and from an archive in S3, compared afterwards.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use test_servers::{MySqlServer, PostgresServer, RedisCluster, RedisFlavour, RedisServer, sample};

use super::{Demo, Load, Result, To, say, step};

const EMPTY: &str = "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";

impl Demo {
    /// MariaDB 10.11 into MySQL 9.
    pub(crate) fn mariadb_into_mysql(&mut self, server: &MySqlServer) -> Result<()> {
        step("starting MySQL 9 in the shape of RDS: no SUPER, GTIDs on, TLS required");
        let target = test_servers::mysql_like_rds(true)?;
        target.sql(format!("CREATE DATABASE shop {EMPTY}"))?;
        // MySQL takes no values for generated columns, which MariaDB's dumps carry: `dbferry check` names them.
        server.sql_in("shop", "ALTER TABLE customers DROP COLUMN email_domain, DROP COLUMN search_key")?;
        let (from, to) = (server.url(server.admin(), "shop")?, target.url(target.admin(), "shop")?);
        let clients = server.client_dir();
        let rds = ["--for", "rds-mysql"];
        self.load("MariaDB 10.11 → MySQL 9, like RDS", &from, None, &to, clients, &rds)?;
        self.carry("MariaDB", &from, To::S3, "shop-for-mysql.sql.zst", clients, &[])?;
        self.told_below();
        let archive = self.address(To::S3, "shop-for-mysql.sql.zst");
        let more = [&rds[..], &["--overwrite"]].concat();
        self.load("MariaDB 10.11 → MySQL 9, like RDS", &from, Some(&archive), &to, clients, &more)
    }

    /// PostgreSQL 15 into 18.
    pub(crate) fn postgres_into_newer(&mut self, server: &PostgresServer) -> Result<()> {
        step("starting PostgreSQL 18 in the shape of RDS: no superuser, TLS required");
        let target = test_servers::postgres_like_rds(true)?;
        // A managed server's administrator may create event triggers; this one, a plain role, may not.
        server.sql("shop", "DROP EVENT TRIGGER watch_ddl")?;
        target.sql("postgres", sample::ROLES)?;
        let (from, to) = (server.url(server.admin(), "shop")?, target.url(target.admin(), "app")?);
        let clients = server.client_dir();
        let rds = ["--for", "rds-postgres"];
        self.load("PostgreSQL 15 → 18, like RDS", &from, None, &to, clients, &rds)?;
        for (archive, more) in [("shop-15.sql.zst", &[][..]), ("shop-15.dump", &["--pg-format", "custom"])] {
            self.carry("PostgreSQL", &from, To::S3, archive, clients, more)?;
            self.told_below();
            let archive = self.address(To::S3, archive);
            let more = [&rds[..], &["--overwrite", "--jobs", "2"]].concat();
            self.load("PostgreSQL 15 → 18, like RDS", &from, Some(&archive), &to, clients, &more)?;
        }
        Ok(())
    }

    /// Redis 7 into Redis 8 and Valkey 9, cluster mode on and off.
    pub(crate) fn redis_into_newer(&mut self, server: &RedisServer) -> Result<()> {
        let clients = Path::new("/usr/bin");
        let from = format!("{}/0", server.url().trim_end_matches('/'));
        self.carry("Redis", &server.url(), To::S3, "all.rdb", clients, &["--redis-db", "0"])?;
        self.told_below();
        let archive = self.address(To::S3, "all.rdb");
        for flavour in [RedisFlavour::Redis8, RedisFlavour::Valkey9] {
            let alone = test_servers::redis(flavour)?;
            let cluster = RedisCluster::start(flavour, 3)?;
            let (name, name_of_cluster) = match flavour {
                RedisFlavour::Valkey9 => ("Redis 7 → Valkey 9", "Redis 7 → Valkey 9, cluster mode"),
                _ => ("Redis 7 → Redis 8", "Redis 7 → Redis 8, cluster mode"),
            };
            for (what, to) in [(name, alone.url()), (name_of_cluster, cluster.url())] {
                let more = ["--redis-db", "0"];
                self.load(what, &from, None, &to, clients, &more)?;
                let more = ["--redis-db", "0", "--overwrite"];
                self.load(what, &from, Some(&archive), &to, clients, &more)?;
            }
        }
        Ok(())
    }

    /// Loads `archive`, or the source itself, and holds the source against what has arrived.
    fn load(
        &mut self,
        what: &'static str,
        source: &str,
        archive: Option<&str>,
        target: &str,
        clients: &Path,
        more: &[&str],
    ) -> Result<()> {
        let shown = archive.map_or("the source", |archive| archive.split('?').next().unwrap_or(archive));
        step(&format!("dbferry copy {shown} … {}    # {what}", more.join(" ")));
        let path = format!("{}:{}", clients.display(), std::env::var("PATH").unwrap_or_default());
        let program = |args: &[&str]| -> Command {
            let mut command = self.program();
            command.args(args).env("DEMO_SOURCE", source).env("DEMO_TARGET", target).env("PATH", &path);
            command
        };
        let from = archive.unwrap_or("env:DEMO_SOURCE");
        let began = Instant::now();
        self.run(program(&["copy", from, "env:DEMO_TARGET"]).args(more))?;
        let seconds = began.elapsed().as_secs_f64();
        step("dbferry compare … …");
        let compared = if source.starts_with("redis") {
            format!("{}/0", target.trim_end_matches('/'))
        } else {
            target.to_owned()
        };
        self.run(
            program(&["compare", "env:DEMO_SOURCE", "env:DEMO_COMPARED"]).env("DEMO_COMPARED", compared),
        )?;
        self.loads.push(Load { what, from: shown.to_owned(), seconds });
        Ok(())
    }

    /// For an archive that another table tells of.
    fn told_below(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            "dbferry copy: see below".clone_into(&mut row.restored);
        }
    }

    pub(crate) fn table_of_loads(&self) {
        say("");
        say(&format!("{:<40}{:<46}{:>8}  compared with the source", "databases loaded", "from", "s"));
        for load in &self.loads {
            say(&format!("{:<40}{:<46}{:>8.1}  equal", load.what, load.from, load.seconds));
        }
    }
}

//! Every kind of object migrates, or is named beforehand by `check`.

use test_servers::{MySqlServer, Needs, TestResult, Trials, sample};

use crate::check::assert_blocked;
use crate::compare::assert_equal;
use crate::run::{copy, expect};
use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("postgres_every_kind", &[Needs::Postgres, Needs::PostgresUnstable], postgres)
        .with("mariadb_every_kind", &[Needs::MariaDb, Needs::MySql], || mysql(&test_servers::mariadb()?))
        .with("mysql_every_kind", &[Needs::MySql], || mysql(&test_servers::mysql()?))
}

/// What only a superuser may make.
const RESERVED: &str = "
    CREATE FUNCTION k.tight(int) RETURNS int LANGUAGE sql IMMUTABLE LEAKPROOF AS 'SELECT 1';
    CREATE FUNCTION k.native() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
    CREATE OPERATOR FAMILY k.family USING btree;
    CREATE TEXT SEARCH TEMPLATE k.template (LEXIZE = dsimple_lexize);
    CREATE FOREIGN DATA WRAPPER wrapper;
    CREATE LANGUAGE own HANDLER k.native;
    CREATE EVENT TRIGGER watches ON ddl_command_end EXECUTE FUNCTION k.on_event();
    CREATE TYPE k.base; CREATE FUNCTION k.base_in(cstring) RETURNS k.base LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
    CREATE FUNCTION k.base_out(k.base) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
    CREATE TYPE k.base (INPUT = k.base_in, OUTPUT = k.base_out, LIKE = int4); CREATE CAST (k.base AS int) WITHOUT FUNCTION";
const GONE: &str = "
    DROP OPERATOR FAMILY k.family USING btree; DROP TEXT SEARCH TEMPLATE k.template;
    DROP FOREIGN DATA WRAPPER wrapper; DROP LANGUAGE own; DROP EVENT TRIGGER watches; DROP FUNCTION k.native; DROP FUNCTION k.tight; DROP TYPE k.base CASCADE";

fn postgres() -> TestResult {
    let server = test_servers::postgres()?;
    sample::load_postgres_rare(&server, "rare")?;
    server
        .sql("rare", "CREATE FUNCTION k.on_event() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'")?;
    server.sql("rare", RESERVED)?;
    let tool = Tool::postgres(&server);
    let left = server.url(server.admin(), "rare")?;
    // With all rights, everything arrives, either way; and once more over what is there.
    for (db, more) in [("one", &[][..]), ("several", &["--jobs", "3"])] {
        sample::create_database(&server, db)?;
        let right = server.url(server.admin(), db)?;
        expect(0, &copy(&tool, "env:DB", &left, &right, more, b""));
        assert_equal(&tool, &left, &right);
        expect(0, &copy(&tool, "env:DB", &left, &right, &[more, &["--overwrite"]].concat(), b""));
        assert_equal(&tool, &left, &right);
    }
    // Without them, what cannot arrive is named, and nothing is begun.
    let target = test_servers::postgres_like_rds(true)?;
    let right = target.url(target.admin(), "app")?;
    let rds = &["--for", "rds-postgres"][..];
    // Event triggers are a warning where the provider's administrator may make them.
    let reserved = [
        "functions in C",
        "languages",
        "casts",
        "text search",
        "foreign-data wrappers",
        "operator classes",
        "base types",
    ];
    assert_blocked(&tool, &left, &right, rds, &reserved);
    let said = expect(5, &copy(&tool, "env:DB", &left, &right, rds, b""));
    assert!(said.contains("was not begun") && said.contains("event triggers: watches"), "{said}");
    // Without these, everything arrives there as well. (That a function is leakproof is left unsaid, which `compare` sees.)
    server.sql("rare", GONE)?;
    assert_blocked(&tool, &left, &right, rds, &[]);
    for more in [&[][..], &["--jobs", "2", "--overwrite"]] {
        expect(0, &copy(&tool, "env:DB", &left, &right, &[rds, more].concat(), b""));
        assert_equal(&tool, &left, &right);
    }
    Ok(())
}

/// Into itself, and into a managed MySQL: dates that are none, numbers at their ends, partitions, circles of foreign keys.
fn mysql(server: &MySqlServer) -> TestResult {
    const CREATE: &str = "CREATE DATABASE back CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
    sample::load_rare(server, "rare")?;
    let tool = Tool::mysql(server);
    let left = server.url(server.admin(), "rare")?;
    server.sql(CREATE)?;
    let right = server.url(server.admin(), "back")?;
    expect(0, &copy(&tool, "env:DB", &left, &right, &[], b""));
    assert_equal(&tool, &left, &right);
    let target = test_servers::mysql_like_rds(true)?;
    target.sql(CREATE)?;
    let right = target.url(target.admin(), "back")?;
    let rds = &["--for", "rds-mysql"][..];
    assert_blocked(&tool, &left, &right, rds, &[]);
    expect(0, &copy(&tool, "env:DB", &left, &right, rds, b""));
    assert_equal(&tool, &left, &right);
    Ok(())
}

//! `dbferry compare`: no false alarm on an equal pair, and every planted difference is found.

use std::process::Command;

use serde_json::Value;
use test_servers::{MySqlServer, Needs, PostgresServer, TestResult, Trials, sample};

use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("compare_mariadb_with_itself_restored", &[Needs::MariaDb], || {
            mysql_same_flavour(&test_servers::mariadb()?)
        })
        .with("compare_mysql_with_itself_restored", &[Needs::MySql], || {
            mysql_same_flavour(&test_servers::mysql()?)
        })
        .with("compare_mariadb_with_mysql", &[Needs::MariaDb, Needs::MySql], mariadb_with_mysql)
        .with("compare_postgres_15_with_18", &[Needs::Postgres, Needs::PostgresUnstable], postgres_15_with_18)
        .with("compare_refuses", &[Needs::MariaDb, Needs::Postgres], refuses)
}

/// Runs the comparison; returns its exit code and its document.
pub(crate) fn compare(tool: &Tool, left: &str, right: &str) -> (i32, Value) {
    let mut command: Command = tool.command(left, &["compare", "env:DB", "env:OTHER", "--json"]);
    let output = command.env("OTHER", right).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    (output.status.code().unwrap(), document)
}

pub(crate) fn assert_equal(tool: &Tool, left: &str, right: &str) {
    let (code, document) = compare(tool, left, right);
    assert_eq!(code, 0, "{}", differing(&document));
    assert_eq!(document["equal"], true);
    assert!(document["tables"].as_array().is_some_and(|tables| !tables.is_empty()), "{document}");
}

/// Only what is not the same, for a failed assertion.
fn differing(document: &Value) -> String {
    let tables: Vec<_> =
        document["tables"].as_array().into_iter().flatten().filter(|table| table["equal"] == false).collect();
    serde_json::to_string_pretty(&serde_json::json!([document["differences"], tables, document["message"]]))
        .unwrap()
}

/// Plants one difference after the other, and wants each to be the only one that is found, under its name.
fn plant(tool: &Tool, left: &str, right: &str, cases: &[(&str, &str, &str)], run: impl Fn(&str)) {
    for (name, sql, undo) in cases {
        run(sql);
        let (code, document) = compare(tool, left, right);
        assert_eq!(code, 6, "{sql}: nothing found");
        let found = differing(&document);
        assert!(found.contains(name), "{sql}: {name} is not in {found}");
        let differences = document["differences"].as_array().unwrap().len();
        let tables =
            document["tables"].as_array().unwrap().iter().filter(|table| table["equal"] == false).count();
        assert!(differences + tables <= 2, "{sql}: more than was planted: {found}");
        run(undo);
    }
    assert_equal(tool, left, right);
}

fn restored(server: &MySqlServer, tool: &Tool, url: &str) -> TestResult {
    tool.expect(0, url, &["copy", "env:DB", "shop.sql.zst"]);
    server.sql("CREATE DATABASE back CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
    server.load("back", tool.unpacked("shop.sql.zst"))?;
    Ok(())
}

fn mysql_same_flavour(server: &MySqlServer) -> TestResult {
    sample::load_shop(server, "shop")?;
    sample::load_shop_specials(server, "shop")?;
    let tool = Tool::mysql(server);
    let (left, right) = (server.url(server.admin(), "shop")?, server.url(server.admin(), "back")?);
    restored(server, &tool, &left)?;
    assert_equal(&tool, &left, &right);
    let run = |sql: &str| server.sql_in("back", format!("{MODE}{sql}")).unwrap();
    plant(&tool, &left, &right, MYSQL_PLANTS, run);
    // Shown for people as well, with the row and both values.
    run("UPDATE customers SET balance = balance + 0.000001, joined = joined WHERE id = 1007");
    let mut command = tool.command(&left, &["compare", "env:DB", "env:OTHER"]);
    let output = command.env("OTHER", &right).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("changed: id=1007") && said.contains("balance: "), "{said}");
    assert!(!said.contains(&server.password(server.admin())?), "{said}");
    Ok(())
}

/// The mode that the sample was made under: it belongs to every program.
const MODE: &str = "SET sql_mode = 'NO_ENGINE_SUBSTITUTION';";

/// What must be named in the answer, what plants it, and what takes it back.
const MYSQL_PLANTS: &[(&str, &str, &str)] = &[
    (
        "id=3",
        "UPDATE files SET content = concat(left(content, 5), char(ord(substr(content, 6, 1)) ^ 1 USING binary), substr(content, 7)) WHERE id = 3",
        "UPDATE files SET content = (SELECT content FROM shop.files WHERE id = 3) WHERE id = 3",
    ),
    (
        "id=7",
        "SET foreign_key_checks = 0; DELETE FROM articles WHERE id = 7",
        "INSERT INTO articles SELECT * FROM shop.articles WHERE id = 7",
    ),
    (
        "line 7",
        "INSERT INTO log_lines SELECT * FROM log_lines WHERE line LIKE 'line 7 %' LIMIT 1",
        "DELETE FROM log_lines WHERE line LIKE 'line 7 %' LIMIT 1",
    ),
    (
        "score",
        "UPDATE customers SET score = score + 0.00001, joined = joined WHERE id = 1003",
        "UPDATE customers c JOIN shop.customers s USING (id) SET c.score = s.score, c.joined = c.joined WHERE c.id = 1003",
    ),
    (
        "name_latin1",
        "UPDATE customers SET name_latin1 = NULL, joined = joined WHERE id = 1004",
        "UPDATE customers c JOIN shop.customers s USING (id) SET c.name_latin1 = s.name_latin1, c.joined = c.joined WHERE c.id = 1004",
    ),
    ("items.sku", "ALTER TABLE items DROP KEY sku", "ALTER TABLE items ADD KEY sku (sku DESC)"),
    (
        "\"checked\"",
        "CREATE OR REPLACE VIEW checked AS SELECT id, email, kind FROM customers WHERE kind <> 'business' WITH CASCADED CHECK OPTION",
        "CREATE OR REPLACE VIEW checked AS SELECT id, email, kind FROM customers WHERE kind <> 'private' WITH CASCADED CHECK OPTION",
    ),
    (
        "order_gone",
        "DROP TRIGGER order_gone",
        "CREATE TRIGGER order_gone AFTER DELETE ON orders FOR EACH ROW\n  INSERT INTO audit (what, who) VALUES (concat('deleted by DEFINER=`x`@`y` ', OLD.id, '\\\\'), current_user())",
    ),
    ("audit", "ALTER TABLE audit AUTO_INCREMENT = 77", "ALTER TABLE audit AUTO_INCREMENT = 1"),
    (
        "customers_order",
        "ALTER TABLE customers DROP FOREIGN KEY customers_order",
        "SET foreign_key_checks = 0; ALTER TABLE customers ADD CONSTRAINT customers_order FOREIGN KEY (favourite_order) REFERENCES orders (id) ON DELETE SET NULL",
    ),
    ("empty_table", "INSERT INTO empty_table VALUES (0)", "DELETE FROM empty_table"),
];

fn mariadb_with_mysql() -> TestResult {
    let (source, target) = (test_servers::mariadb()?, test_servers::mysql_like_rds(true)?);
    sample::load_shop(&source, "shop")?;
    let tool = Tool::mysql(&source);
    let left = source.url(source.admin(), "shop")?;
    // mariadb-dump writes the values of generated columns, which MySQL refuses.
    for column in ["email_domain", "search_key"] {
        source.sql_in("shop", format!("ALTER TABLE customers DROP COLUMN {column}"))?;
    }
    source.sql_in(
        "shop",
        "CREATE TABLE documents (id int PRIMARY KEY, doc json, d double, f float, t timestamp NULL) DEFAULT CHARSET utf8mb4;
         INSERT INTO documents VALUES (1, '{\"b\" : [1, 2.50, null],   \"a\":\"\\\\u00e9\"}', 1e300, 0.1, '2024-07-01 12:00:00'),
           (2, '[]', 0.1, -1.5e-10, NULL), (3, '1.0', -0.0, 3e38, '2001-01-01'), (4, NULL, 12345678901234567, 1, NULL);",
    )?;
    tool.expect(0, &left, &["copy", "env:DB", "rds.sql", "--for", "rds-mysql"]);
    target.sql("CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")?;
    target.load_as(target.admin(), "shop", tool.unpacked("rds.sql"))?;
    // The target's own clock zone must not matter.
    target.sql("SET GLOBAL time_zone = '+05:00'")?;
    let right = target.url(target.admin(), "shop")?;
    assert_equal(&tool, &left, &right);
    let run = |sql: &str| target.sql_in("shop", format!("{MODE}{sql}")).unwrap();
    let cases = [
        (
            "documents",
            "UPDATE documents SET doc = JSON_SET(doc, '$.b[1]', 2.51) WHERE id = 1",
            "UPDATE documents SET doc = JSON_SET(doc, '$.b[1]', 2.5) WHERE id = 1",
        ),
        (
            "id=3",
            "UPDATE documents SET t = t + INTERVAL 1 SECOND WHERE id = 3",
            "UPDATE documents SET t = t - INTERVAL 1 SECOND WHERE id = 3",
        ),
        (
            "\"view\"",
            "CREATE OR REPLACE VIEW z_paid AS SELECT * FROM orders WHERE state = 'sent'",
            "CREATE OR REPLACE VIEW z_paid AS SELECT * FROM orders WHERE state = 'paid'",
        ),
        (
            "orders.customer",
            "ALTER TABLE orders ADD KEY customer2 (customer_id), DROP KEY customer",
            "ALTER TABLE orders ADD KEY customer (customer_id), DROP KEY customer2",
        ),
        (
            "full_price",
            "DROP FUNCTION full_price",
            "CREATE FUNCTION full_price(p decimal(10,2), q int) RETURNS decimal(12,2) DETERMINISTIC\nRETURN p * q",
        ),
        (
            "places",
            "UPDATE places SET location = ST_GeomFromText('POINT(1 2)') WHERE id = 5",
            "UPDATE places SET location = ST_GeomFromText(concat('POINT(', 5 / 7, ' ', -5 / 3, ')')) WHERE id = 5",
        ),
    ];
    plant(&tool, &left, &right, &cases, run);
    Ok(())
}

fn postgres_15_with_18() -> TestResult {
    let (source, target) = (test_servers::postgres()?, test_servers::postgres_unstable()?);
    sample::load_postgres_shop(&source, "shop")?;
    source.sql(
        "shop",
        "CREATE TABLE shop.documents (id int PRIMARY KEY, j json, b jsonb, d float8, f float4, x xml);
         INSERT INTO shop.documents VALUES (1, '{ \"a\" : 1 }', '{ \"a\" : 1 }', 0.1::float8 * 3, 1.234567, '<a>&lt;</a>'), (2, NULL, NULL, 'NaN', '-infinity', NULL)",
    )?;
    target.sql("postgres", sample::ROLES)?;
    sample::create_database(&target, "shop")?;
    let tool = Tool::postgres(&source);
    let left = source.url(source.admin(), "shop")?;
    tool.expect(0, &left, &["copy", "env:DB", "shop.sql.zst"]);
    target.load("shop", tool.unpacked("shop.sql.zst"))?;
    target.sql(
        "postgres",
        "ALTER DATABASE shop SET TimeZone = 'Asia/Tokyo'; ALTER DATABASE shop SET DateStyle = 'German'",
    )?;
    let right = target.url(target.admin(), "shop")?;
    assert_equal(&tool, &left, &right);
    plant(&tool, &left, &right, POSTGRES_PLANTS, |sql| target.sql("shop", sql).unwrap());
    Ok(())
}

const POSTGRES_PLANTS: &[(&str, &str, &str)] = &[
    (
        "id=10",
        "UPDATE shop.files SET content = set_byte(content, 0, get_byte(content, 0) # 1) WHERE id = 10",
        "UPDATE shop.files SET content = set_byte(content, 0, get_byte(content, 0) # 1) WHERE id = 10",
    ),
    (
        "large objects",
        "SELECT lo_put(700001, 5, '\\x00')",
        "SELECT lo_put(700001, 5, substr(lo_get(700001), 38, 1))",
    ),
    (
        "line 7",
        "INSERT INTO shop.log_lines SELECT * FROM shop.log_lines WHERE line = 'line 7' LIMIT 1",
        "DELETE FROM shop.log_lines WHERE ctid = (SELECT max(ctid) FROM shop.log_lines WHERE line = 'line 7')",
    ),
    (
        "invoice_numbers",
        "SELECT setval('shop.invoice_numbers', 4781)",
        "SELECT setval('shop.invoice_numbers', 4774)",
    ),
    (
        "customers_tags",
        "ALTER INDEX shop.customers_tags RENAME TO customers_tags2",
        "ALTER INDEX shop.customers_tags2 RENAME TO customers_tags",
    ),
    (
        "z_paid",
        "CREATE OR REPLACE VIEW shop.z_paid AS SELECT id, customer_id, total FROM shop.orders WHERE state = 'sent' WITH LOCAL CHECK OPTION",
        "CREATE OR REPLACE VIEW shop.z_paid AS SELECT id, customer_id, total FROM shop.orders WHERE state = 'paid' WITH LOCAL CHECK OPTION",
    ),
    (
        "a_audit",
        "ALTER TABLE shop.orders ENABLE TRIGGER a_audit",
        "ALTER TABLE shop.orders DISABLE TRIGGER a_audit",
    ),
    (
        "documents",
        "UPDATE shop.documents SET f = 1.2345672 WHERE id = 1",
        "UPDATE shop.documents SET f = 1.234567 WHERE id = 1",
    ),
    (
        "customers.sane",
        "ALTER TABLE shop.customers RENAME CONSTRAINT sane TO insane",
        "ALTER TABLE shop.customers RENAME CONSTRAINT insane TO sane",
    ),
    (
        "visits_a0",
        "DELETE FROM shop.visits_a0 WHERE id = (SELECT min(id) FROM shop.visits_a0)",
        "INSERT INTO shop.visits SELECT n, '2024-01-01'::date + n % 900, '/p/' || n || '?q=%27;--' FROM generate_series(1, 2000) AS n WHERE NOT EXISTS (SELECT 1 FROM shop.visits WHERE id = n)",
    ),
];

fn refuses() -> TestResult {
    let (mariadb, postgres) = (test_servers::mariadb()?, test_servers::postgres()?);
    mariadb.sql("CREATE DATABASE a; CREATE TABLE a.t (x int)")?;
    let tool = Tool::mysql(&mariadb);
    let (my, pg) = (mariadb.url(mariadb.admin(), "a")?, postgres.url(postgres.admin(), "postgres")?);
    let missing = mariadb.url(mariadb.admin(), "missing")?;
    let wrong = PostgresServer::url(&postgres, postgres.admin(), "postgres")?
        .replace(&postgres.password(postgres.admin())?, "wrong");
    for (left, right, code) in [(&my, &pg, 2), (&my, &missing, 5), (&missing, &my, 3), (&pg, &wrong, 5)] {
        let (found, document) = compare(&tool, left, right);
        assert_eq!(found, code, "{document}");
        assert!(document["hints"].as_array().is_some_and(|hints| !hints.is_empty()), "{document}");
    }
    Ok(())
}

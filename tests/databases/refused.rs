//! Wrong host, port, user, password, database, TLS: exit 3, one line that names which, a hint, nothing at the destination.

use test_servers::{MySqlServer, Needs, PostgresServer, TestResult, Trials};

use crate::tool::Tool;

pub(crate) fn trials(trials: Trials) -> Trials {
    trials
        .with("mariadb_refusals_are_named", &[Needs::MariaDb], || mysql(&test_servers::mariadb()?))
        .with("mysql_refusals_are_named", &[Needs::MySql], || mysql(&test_servers::mysql()?))
        .with("postgres_refusals_are_named", &[Needs::Postgres], || postgres(&test_servers::postgres()?))
        .with("an_older_pg_dump_is_refused", &[Needs::Postgres, Needs::PostgresUnstable], older_client)
        .with("tls_is_checked", &[Needs::Postgres, Needs::MySql], tls)
}

fn refuse(tool: &Tool, url: &str, words: &[&str]) {
    let output = tool.output(url, &["copy", "env:DB", "x.sql.zst"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // A server that does not answer may be back in a minute.
    assert!(matches!(output.status.code(), Some(3 | 75)), "{url}: {said}");
    let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    for word in words {
        assert!(error.to_lowercase().contains(&word.to_lowercase()), "`{word}` is not in: {error}");
    }
    assert!(said.lines().any(|line| line.starts_with("hint: ")), "no hint: {said}");
    assert!(!said.contains("right-password"), "{said}");
    assert_eq!(tool.names(), Vec::<String>::new());
}

fn mysql(server: &MySqlServer) -> TestResult {
    server.create_user("reader", "right-password")?;
    server.sql(
        "CREATE DATABASE shop; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON shop.* TO reader@'%'",
    )?;
    let tool = Tool::mysql(server);
    let port = server.port();
    let scheme = server.url("reader", "")?.split("://").next().unwrap_or("mysql").to_owned();
    refuse(&tool, &format!("{scheme}://reader:right-password@127.0.0.1:1/shop"), &["127.0.0.1:1"]);
    refuse(
        &tool,
        &format!("{scheme}://reader:right-password@no-such-host.invalid:{port}/shop"),
        &["no-such-host.invalid"],
    );
    refuse(&tool, &format!("{scheme}://reader:wrong@127.0.0.1:{port}/shop"), &["reader"]);
    refuse(&tool, &format!("{scheme}://nobody:wrong@127.0.0.1:{port}/shop"), &["nobody"]);
    refuse(&tool, &format!("{scheme}://reader:right-password@127.0.0.1:{port}/nowhere"), &["nowhere"]);
    let url =
        format!("{scheme}://reader:right-password@127.0.0.1:{port}/shop?ssl-mode=verify-ca&ssl-ca=/dev/null");
    refuse(&tool, &url, &["ssl-ca"]);
    Ok(())
}

fn postgres(server: &PostgresServer) -> TestResult {
    server.create_role("reader", "right-password", "")?;
    let tool = Tool::postgres(server);
    let port = server.port();
    refuse(&tool, "postgres://reader:right-password@127.0.0.1:1/postgres", &["127.0.0.1:1"]);
    refuse(
        &tool,
        &format!("postgres://reader:right-password@no-such-host.invalid:{port}/postgres"),
        &["no-such-host.invalid"],
    );
    refuse(&tool, &format!("postgres://reader:wrong@127.0.0.1:{port}/postgres"), &["password", "reader"]);
    refuse(&tool, &format!("postgres://nobody:wrong@127.0.0.1:{port}/postgres"), &["nobody"]);
    refuse(&tool, &format!("postgres://reader:right-password@127.0.0.1:{port}/nowhere"), &["nowhere"]);
    Ok(())
}

fn older_client() -> TestResult {
    let (old, new) = (test_servers::postgres()?, test_servers::postgres_unstable()?);
    let tool = Tool::postgres(&old);
    let client = old.client_dir().join("pg_dump");
    let url = new.url(new.admin(), "postgres")?;
    let said = tool.expect(3, &url, &["copy", "env:DB", "x.sql", "--client", client.to_str().unwrap()]);
    assert!(said.contains("15") && said.contains("18") && said.contains("postgresql-client-18"), "{said}");
    assert_eq!(tool.names(), Vec::<String>::new());
    Ok(())
}

fn tls() -> TestResult {
    let postgres = test_servers::postgres_like_rds(false)?;
    let tool = Tool::postgres(&postgres);
    let url = postgres.url(postgres.admin(), "app")?;
    refuse(&tool, &format!("{url}?sslmode=disable"), &["no encryption"]);
    let ca = postgres.ca_file();
    tool.expect(
        0,
        &format!("{url}?sslmode=verify-full&sslrootcert={}", ca.display()),
        &["copy", "env:DB", "p.sql"],
    );
    let mysql = test_servers::mysql_like_rds(true)?;
    mysql.sql("CREATE DATABASE shop")?;
    let tool = Tool::mysql(&mysql);
    let url = mysql.url(mysql.admin(), "shop")?;
    refuse(&tool, &format!("{url}?ssl-mode=disable"), &["tls"]);
    tool.expect(0, &format!("{url}?ssl-mode=require"), &["copy", "env:DB", "m.sql"]);
    // The certificate that MySQL makes for itself names no host, and so it proves nothing: told, not passed over.
    let verified = format!("{url}?ssl-mode=verify-ca&ssl-ca={}", mysql.ca_file().display());
    let said = tool.expect(3, &verified, &["copy", "env:DB", "n.sql"]);
    assert!(said.contains("subjectAltName") && said.contains("hint: "), "{said}");
    Ok(())
}

use super::*;

fn parse(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn everything(error: &Error) -> String {
    format!("{error} {error:?} {:?}", error.hints())
}

/// URL, engine, user, password, place, port, databases.
type Row = (
    &'static str,
    Engine,
    Option<&'static str>,
    Option<&'static str>,
    &'static str,
    u16,
    &'static [&'static str],
);

#[test]
fn the_forms_of_the_field() {
    let table: &[Row] = &[
        (
            "mysql://root@system-mysql/system",
            Engine::Mysql,
            Some("root"),
            None,
            "system-mysql:3306",
            3306,
            &["system"],
        ),
        ("mysql2://root:pw@db/system", Engine::Mysql, Some("root"), Some("pw"), "db:3306", 3306, &["system"]),
        ("MariaDB://u:@h:3307", Engine::Mysql, Some("u"), Some(""), "h:3307", 3307, &[]),
        ("mysql://u@h/", Engine::Mysql, Some("u"), None, "h:3306", 3306, &[]),
        ("mysql://u@h/a,b", Engine::Mysql, Some("u"), None, "h:3306", 3306, &["a", "b"]),
        ("mysql://u@h/a%2Cb,c%2Fd", Engine::Mysql, Some("u"), None, "h:3306", 3306, &["a,b", "c/d"]),
        ("mysql://u:p%40s%2Fs%25@h/x", Engine::Mysql, Some("u"), Some("p@s/s%"), "h:3306", 3306, &["x"]),
        ("mysql://u:a:b:c@h/x", Engine::Mysql, Some("u"), Some("a:b:c"), "h:3306", 3306, &["x"]),
        ("mysql://u:p@ss@h/x", Engine::Mysql, Some("u"), Some("p@ss"), "h:3306", 3306, &["x"]),
        ("mysql://u:p%C3%A4ss@h", Engine::Mysql, Some("u"), Some("päss"), "h:3306", 3306, &[]),
        ("mysql://u@[::1]:3310/x", Engine::Mysql, Some("u"), None, "[::1]:3310", 3310, &["x"]),
        ("mysql://[fe80::1]/x", Engine::Mysql, None, None, "[fe80::1]:3306", 3306, &["x"]),
        (
            "mysql://u@localhost/x?socket=/run/my.sock",
            Engine::Mysql,
            Some("u"),
            None,
            "/run/my.sock",
            3306,
            &["x"],
        ),
        ("mysql://u@%2Frun%2Fmy.sock/x", Engine::Mysql, Some("u"), None, "/run/my.sock", 3306, &["x"]),
        (
            "postgres://zync:pw@zync-database/zync",
            Engine::Postgres,
            Some("zync"),
            Some("pw"),
            "zync-database:5432",
            5432,
            &["zync"],
        ),
        (
            "postgresql:///app?host=/var/run/postgresql",
            Engine::Postgres,
            None,
            None,
            "/var/run/postgresql",
            5432,
            &["app"],
        ),
        ("postgresql://%2Ftmp:5433/app", Engine::Postgres, None, None, "/tmp", 5433, &["app"]),
        (
            "postgres://h/x?user=u&password=p%26q",
            Engine::Postgres,
            Some("u"),
            Some("p&q"),
            "h:5432",
            5432,
            &["x"],
        ),
        ("redis://backend-redis", Engine::Redis, None, None, "backend-redis:6379", 6379, &[]),
        ("rediss://:pw@r:6380/1", Engine::Redis, None, Some("pw"), "r:6380", 6380, &["1"]),
    ];
    for (text, engine, user, password, place, port, databases) in table {
        let url = parse(text);
        assert_eq!(url.engine, *engine, "{text}");
        assert_eq!(url.user.as_deref(), *user, "{text}");
        assert_eq!(url.password.as_ref().map(Secret::expose), *password, "{text}");
        assert_eq!(url.place(), *place, "{text}");
        assert_eq!(url.port(), *port, "{text}");
        assert_eq!(url.databases, *databases, "{text}");
    }
}

#[test]
fn tls_in_every_dialect() {
    for (query, mode) in [
        ("sslmode=disable", TlsMode::Disable),
        ("ssl-mode=PREFERRED", TlsMode::Prefer),
        ("ssl_mode=required", TlsMode::Require),
        ("sslmode=verify-ca", TlsMode::VerifyCa),
        ("ssl-mode=VERIFY_IDENTITY", TlsMode::VerifyFull),
        ("sslmode=verify-full", TlsMode::VerifyFull),
    ] {
        assert_eq!(parse(&format!("mysql2://u@h/x?{query}")).tls_mode(), mode, "{query}");
    }
    assert_eq!(parse("mysql://h").tls_mode(), TlsMode::Prefer);
    assert_eq!(parse("rediss://h").tls_mode(), TlsMode::VerifyFull);
    let url = parse("postgres://h/x?sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem");
    assert_eq!(url.tls.root_cert.as_deref(), Some(Path::new("/ca.pem")));
    assert_eq!(url.tls.client_key.as_deref(), Some(Path::new("/k.pem")));
    assert_eq!(parse("mysql2://h/x?sslca=/ca.pem").tls.root_cert.as_deref(), Some(Path::new("/ca.pem")));
}

#[test]
fn nothing_of_a_password_is_ever_printed() {
    for text in [
        "mysql://root:Hunter2@h:3306/x?sslmode=require",
        "mysql://root:Hunter2%2Fmore@h/x",
        "postgres://h/x?user=u&password=Hunter2",
        "redis://:Hunter2@h/0",
    ] {
        let url = parse(text);
        let shown = format!("{url} {url:?} {} {:?}", url.place(), url.password);
        assert!(!shown.contains("Hunter2"), "{shown}");
        assert!(shown.contains(":****@"), "{shown}");
    }
    for text in [
        "mysql://root:Hunter2/Hunter2@h/x",
        "mysql://root:Hunter2?Hunter2@h/x",
        "mysql://root:Hunter2#Hunter2@h/x",
        "mysql://root:123/Hunter2@h/x",
        "mysql://root:a@b?Hunter2@h/x",
        "mysql://root:Hunter2%zz@h/x",
        "mysql://root:Hunter2%ff@h/x",
        "mysql://root:Hunter2%00@h/x",
        "mysql://root:Hunter2",
        "mysql://root:Hunter2@h:99999/x",
        "mysql://root:Hunter2@[::1/x",
        "mysql://root:Hunter2@h/x?sslmode=Hunter2",
        "mysql://root:Hunter2@h/x?nope=Hunter2",
        "mysql://root:Hunter2@h/x,,y",
        "mysql://root:Hunter2@h/x/y",
        "mysqll://root:Hunter2@h/x",
        "root:Hunter2@h/x",
        "postgres://u:Hunter2@h1,h2/x",
        "postgres://u:Hunter2@h/a,b",
    ] {
        let error = DatabaseUrl::parse(text).expect_err(text);
        assert_eq!(error.exit_code(), 2, "{text}");
        assert!(!everything(&error).contains("Hunter2"), "{text}: {}", everything(&error));
    }
}

#[test]
fn unknown_parameters_are_refused_with_a_suggestion() {
    let error = DatabaseUrl::parse("postgres://h/x?sslmod=require").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert_eq!(error.hints(), ["did you mean sslmode?"]);
    let error = DatabaseUrl::parse("mysql://h/x?completely-different=1").unwrap_err();
    assert!(error.hints()[0].starts_with("known: "), "{:?}", error.hints());
    DatabaseUrl::parse("redis://h/x").unwrap_err();
    DatabaseUrl::parse("mysql://h/x?sslcert=/only.pem").unwrap_err();
    DatabaseUrl::parse("mysql://h/x?connect_timeout=soon").unwrap_err();
}

#[test]
fn display_reads_back_as_the_same_place() {
    for text in
        ["mysql://u%40x:p@h:3307/a%2Cb,c", "postgresql://%2Ftmp/app", "mysql://[::1]:1/x", "redis://h/3"]
    {
        let url = parse(text);
        let again = parse(&url.to_string());
        assert_eq!(
            (&again.user, &again.address, again.port, &again.databases),
            (&url.user, &url.address, url.port, &url.databases)
        );
    }
}

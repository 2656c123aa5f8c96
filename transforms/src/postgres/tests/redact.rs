use super::*;

fn redacting() -> RewriteOptions {
    RewriteOptions { redact_secrets: true, ..RewriteOptions::default() }
}

const DUMP: &str = "\
CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:hunter2$a:b=' VALID UNTIL 'infinity';
CREATE USER \"password\" ENCRYPTED PASSWORD 'md5hunter2';
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'db.example', dbname 'shop', sslpassword 'hunter2');
CREATE USER MAPPING FOR app SERVER far OPTIONS (\"user\" 'remote', password 'it''s hunter2', access_token E'hunter\\'2');
ALTER USER MAPPING FOR app SERVER far OPTIONS (SET password 'hunter2');
CREATE SUBSCRIPTION s CONNECTION 'host=h password=hunter2' PUBLICATION p WITH (connect = false, slot_name = 's');
ALTER SUBSCRIPTION s CONNECTION 'postgres://u:hunter2@h/db';
CREATE TABLE public.users (password text DEFAULT 'stays', connection text DEFAULT 'stays');
COPY public.users (password, connection) FROM stdin;
PASSWORD 'stays'\tCREATE ROLE x PASSWORD 'stays';
\\.
INSERT INTO public.users VALUES ('ALTER ROLE a PASSWORD ''stays''', 'stays');
";

#[test]
fn secrets_go_and_rows_stay() {
    let (out, report) = run(&redacting(), DUMP.as_bytes(), &[]).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("hunter"), "{text}");
    assert_eq!(text.matches("stays").count(), DUMP.matches("stays").count());
    for line in [
        "ALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD NULL VALID UNTIL 'infinity';",
        "CREATE USER \"password\" ENCRYPTED PASSWORD NULL;",
        "OPTIONS (host 'db.example', dbname 'shop', sslpassword 'redacted');",
        "OPTIONS (\"user\" 'remote', password 'redacted', access_token 'redacted');",
        "CREATE SUBSCRIPTION s CONNECTION 'dbname=redacted' PUBLICATION p",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    for (key, count) in [
        ("role-password-redacted", 2),
        ("user-mapping-redacted", 3),
        ("server-option-redacted", 1),
        ("subscription-connection-redacted", 2),
    ] {
        assert_eq!(report.changes.get(key), Some(&count), "{:?}", report.changes);
    }
    assert_eq!(report.settings.get("redact-secrets").map(String::as_str), Some("yes"));
}

#[test]
fn cutting_does_not_matter_to_redaction() {
    let (whole, _) = run(&redacting(), DUMP.as_bytes(), &[]).unwrap();
    let every: Vec<usize> = (1..DUMP.len()).collect();
    assert_eq!(run(&redacting(), DUMP.as_bytes(), &every).unwrap().0, whole);
    for at in 1..DUMP.len() {
        assert_eq!(run(&redacting(), DUMP.as_bytes(), &[at]).unwrap().0, whole, "cut at {at}");
    }
}

#[test]
fn redaction_goes_together_with_a_profile() {
    let both = RewriteOptions { redact_secrets: true, ..rds() };
    let text = String::from_utf8(run(&both, DUMP.as_bytes(), &[]).unwrap().0).unwrap();
    assert!(!text.contains("hunter"), "{text}");
}

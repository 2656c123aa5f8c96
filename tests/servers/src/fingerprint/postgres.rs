//! PostgreSQL: `pg_dump --schema-only` cut into objects, `COPY` of every table, sequences, large objects.

use std::collections::BTreeMap;
use std::io::Cursor;

use super::{Fingerprint, RowSum};
use crate::error::Result;
use crate::{PostgresServer, client};

/// What to leave out of a comparison, and whose `pg_dump` describes the schema.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostgresView<'a> {
    /// Compare without owners and privileges (a restore under another account cannot keep them).
    pub without_owners: bool,
    /// Compare without comments, publications and security labels, which an RDS target cannot take.
    pub portable_only: bool,
    /// A server whose `pg_dump` is to be used, for a comparison of two majors, whose own texts differ; default: the
    /// server's own. The text of a view is written by the server itself all the same, so views are then compared by
    /// their rows instead.
    pub describe_with: Option<&'a PostgresServer>,
}

/// The fingerprint of one database.
pub fn postgres(server: &PostgresServer, db: &str, view: &PostgresView<'_>) -> Result<Fingerprint> {
    let mut print = Fingerprint::default();
    schema(server, db, view, &mut print)?;
    let relations = server.query(
        db,
        "SELECT c.relkind, quote_ident(n.nspname) || '.' || quote_ident(c.relname)
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
           AND n.nspname NOT LIKE 'pg\\_temp%'
           AND (c.relkind IN ('r', 'S', 'v') OR c.relkind = 'm' AND c.relispopulated)",
    )?;
    let mut names = Vec::new();
    let mut queries = Vec::new();
    for relation in &relations {
        let [kind, name] = relation.as_slice() else { continue };
        if kind == "v" && view.describe_with.is_none() {
            continue;
        }
        let only = if kind == "r" { "ONLY " } else { "" };
        let columns = if kind == "S" { "last_value, is_called" } else { "*" };
        names.push(format!("rows {name}"));
        queries.push(format!("SELECT {columns} FROM {only}{name}"));
    }
    // The pages, not the descriptors, whose owners the schema covers. A page is 2 KiB everywhere.
    names.push("rows of large objects".to_owned());
    queries.push("SELECT loid, pageno, encode(data, 'hex') FROM pg_largeobject".to_owned());
    let mut sums: Vec<RowSum> = names.iter().map(|_| RowSum::default()).collect();
    server.rows(db, &queries, |at, row| sums[at].add(row))?;
    for (name, sum) in names.into_iter().zip(&sums) {
        print.table_rows(name, sum);
    }
    Ok(print)
}

/// `pg_dump` puts `-- Name: …; Type: …; Schema: …; Owner: …` before each object.
fn schema(server: &PostgresServer, db: &str, view: &PostgresView<'_>, print: &mut Fingerprint) -> Result<()> {
    let mut dump = server.client("pg_dump");
    if let Some(other) = view.describe_with {
        let described = other.client("pg_dump");
        let mut command = std::process::Command::new(described.get_program());
        for (name, value) in dump.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        dump = command;
    }
    dump.args(["--schema-only", "--no-password", "--dbname", db]);
    if view.without_owners {
        dump.args(["--no-owner", "--no-privileges"]);
    }
    if view.portable_only {
        dump.args(["--no-comments", "--no-publications", "--no-subscriptions", "--no-security-labels"]);
    }
    let mut objects: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut object = None;
    client::run(dump, Cursor::new(&[]), |line| {
        if let Some(name) = object_name(line, view.without_owners) {
            object = Some(name);
        }
        // A new key at every run, and the client's version.
        let restrict = line.starts_with(b"\\restrict ") || line.starts_with(b"\\unrestrict ");
        if let Some(name) = &object
            && !restrict
            && !line.starts_with(b"--")
        {
            let text = objects.entry(name.clone()).or_default();
            text.extend_from_slice(line);
            text.push(b'\n');
        }
    })?;
    for (name, mut text) in objects {
        if view.describe_with.is_some()
            && (name.starts_with("view ") || name.starts_with("materialized view "))
        {
            text.clear();
        }
        print.definition(name, text.trim_ascii());
    }
    Ok(())
}

fn object_name(line: &[u8], without_owner: bool) -> Option<String> {
    let line = String::from_utf8_lossy(line.strip_prefix(b"-- Name: ")?).into_owned();
    let (name, rest) = line.split_once("; Type: ")?;
    let (kind, rest) = rest.split_once("; Schema: ")?;
    let (schema, owner) = rest.split_once("; Owner: ")?;
    let owner = if without_owner { "" } else { owner };
    Some(format!("{} {schema}.{name} {owner}", kind.to_lowercase()).trim_end().to_owned())
}

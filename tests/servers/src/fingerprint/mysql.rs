//! MariaDB and MySQL: `SHOW CREATE` of every object, and every column of every row in hexadecimal.

use super::{Fingerprint, RowSum};
use crate::daemon::random_password;
use crate::error::{Error, Result};
use crate::mysql::unescape;
use crate::{Flavour, MySqlServer};

/// What to leave out of a comparison.
#[derive(Clone, Copy, Debug, Default)]
pub struct MySqlView {
    /// Compare without DEFINER clauses: they were stripped or replaced.
    pub without_definers: bool,
    /// Compare without SQL SECURITY clauses: they were changed to INVOKER.
    pub without_security: bool,
    /// Only tables and their rows.
    pub tables_only: bool,
}

/// The fingerprint of one database.
pub fn mysql(server: &MySqlServer, db: &str, view: &MySqlView) -> Result<Fingerprint> {
    let taker = Taker { server, db, view };
    let mut print = Fingerprint::default();
    let objects = taker.objects()?;
    let statements: Vec<String> = objects.iter().map(|object| object.statement.clone()).collect();
    let mut sums: Vec<RowSum> = objects.iter().map(|_| RowSum::default()).collect();
    let mut definitions = Vec::new();
    taker.sections(&statements, |at, line| match objects[at].kind.as_str() {
        "rows" => sums[at].add(line),
        _ => definitions.push((at, line.to_vec())),
    })?;
    for (at, line) in &definitions {
        let Object { kind, name, .. } = &objects[*at];
        print.definition(format!("{kind} {name}"), taker.definition(kind, line).as_bytes());
    }
    for (object, sum) in objects.iter().zip(&sums) {
        if object.kind == "rows" {
            print.table_rows(format!("rows {}", object.name), sum);
        }
    }
    if print.entries().len() != objects.len() {
        return Err(Error::new("the server showed nothing for some of its objects"));
    }
    Ok(print)
}

struct Taker<'a> {
    server: &'a MySqlServer,
    db: &'a str,
    view: &'a MySqlView,
}

/// One thing to look at.
struct Object {
    kind: String,
    name: String,
    statement: String,
}

impl Object {
    fn new(kind: &str, name: &str, statement: String) -> Self {
        Self { kind: kind.to_owned(), name: name.to_owned(), statement }
    }

    fn created(kind: &str, name: &str) -> Self {
        Self::new(kind, name, format!("SHOW CREATE {} {}", kind.to_uppercase(), quote(name)))
    }
}

impl Taker<'_> {
    /// Runs all statements in one session of the client, and says which one a row belongs to. A process per
    /// statement cost more than the statements.
    fn sections(&self, statements: &[String], mut row: impl FnMut(usize, &[u8])) -> Result<()> {
        let mark = random_password()?;
        let mut script = SESSION.to_owned();
        for statement in statements {
            script.extend(["SELECT '", &mark, "';\n", statement, ";\n"]);
        }
        let mut next = 0;
        self.server.rows(self.db, &script, |line| {
            if line == mark.as_bytes() {
                next += 1;
            } else {
                row(next - 1, line);
            }
        })
    }

    /// All tables, views, programs and events, and what shows each of them.
    fn objects(&self) -> Result<Vec<Object>> {
        let lists = [
            "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = DATABASE()",
            // Invisible and generated columns are listed here and missing from SELECT *.
            "SELECT table_name, column_name, data_type FROM information_schema.columns
             WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position",
            "SELECT trigger_name, 'TRIGGER' FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
            "SELECT routine_name, routine_type FROM information_schema.routines WHERE routine_schema = DATABASE()
             AND routine_type IN ('PROCEDURE', 'FUNCTION', 'PACKAGE', 'PACKAGE BODY')",
            "SELECT event_name, 'EVENT' FROM information_schema.events WHERE event_schema = DATABASE()",
        ];
        let mut answers: [Vec<Vec<String>>; 5] = Default::default();
        self.sections(&lists.map(str::to_owned), |at, line| answers[at].push(cells(line)))?;
        let [tables, columns, triggers, routines, events] = answers;
        let mut objects = Vec::new();
        for table in &tables {
            let [name, kind] = table.as_slice() else { return Err(unexpected("tables")) };
            match kind.as_str() {
                "VIEW" if self.view.tables_only => {}
                "VIEW" => objects.push(Object::created("view", name)),
                "SEQUENCE" => {
                    objects.push(Object::created("sequence", name));
                    let next = format!("SELECT next_not_cached_value, cycle_count FROM {}", quote(name));
                    objects.push(Object::new("rows", name, next));
                }
                _ => {
                    objects.push(Object::created("table", name));
                    let of_table = columns.iter().filter(|column| column.first() == Some(name));
                    objects.push(Object::new("rows", name, self.select(name, of_table)?));
                }
            }
        }
        if self.view.tables_only {
            return Ok(objects);
        }
        for program in triggers.iter().chain(&routines).chain(&events) {
            let [name, kind] = program.as_slice() else { return Err(unexpected("programs")) };
            objects.push(Object::created(&kind.to_lowercase(), name));
            if kind == "TRIGGER" {
                // SHOW CREATE TRIGGER leaves out which of two triggers on the same event fires first.
                let order = "SELECT action_timing, event_manipulation, event_object_table, action_order
                     FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND trigger_name = ";
                objects.push(Object::new("order of trigger", name, format!("{order}{}", literal(name))));
            }
        }
        Ok(objects)
    }

    /// The definition in the output of SHOW CREATE, with the settings that belong to the object: SQL mode,
    /// character sets, time zone. The date of creation, which a trigger has, does not.
    fn definition(&self, kind: &str, line: &[u8]) -> String {
        let mut cells = cells(line);
        if kind == "trigger" {
            cells.truncate(6);
        }
        let mut text = cells.join("\n");
        match kind {
            "table" => text = drop_implied_charsets(&text),
            // Whether a view's text names its own database depends on how it was created.
            "view" => text = text.replace(&format!("{}.`", quote(self.db)), "`"),
            _ => {}
        }
        if self.view.without_definers {
            text = strip_definer(&text);
        }
        if self.view.without_security {
            for clause in ["SQL SECURITY DEFINER", "SQL SECURITY INVOKER"] {
                // On a line of its own in a routine, within the line in a view.
                text = text.replace(&format!("\n    {clause}"), "").replace(&format!(" {clause}"), "");
            }
        }
        text
    }

    /// Selects every column of a table in a form that stands for its value alone.
    fn select<'a>(&self, table: &str, columns: impl Iterator<Item = &'a Vec<String>>) -> Result<String> {
        let mut cells = Vec::new();
        for column in columns {
            let [_, name, kind] = column.as_slice() else { return Err(unexpected(table)) };
            cells.push(format!("IFNULL({}, 'NULL')", self.cell(&quote(name), &kind.to_lowercase())));
        }
        Ok(format!("SELECT {} FROM {}", cells.join(", "), quote(table)))
    }

    /// An expression whose hexadecimal text stands for the value, and for no other value.
    fn cell(&self, name: &str, kind: &str) -> String {
        let text = |value: String| format!("HEX(CAST({value} AS CHAR CHARACTER SET utf8mb4))");
        match kind {
            // As text a FLOAT keeps six digits and two different values look the same; as DOUBLE it keeps all.
            "float" => text(format!("({name} + 0e0)")),
            // HEX of a number rounds it to an integer, which is exact for BIT alone.
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "double" | "date"
            | "time" | "datetime" | "timestamp" | "year" | "uuid" | "inet4" | "inet6" => {
                text(name.to_owned())
            }
            // Stored as a binary tree in MySQL, as text in MariaDB.
            "json" if self.server.flavour() == Flavour::MySql => text(name.to_owned()),
            // The number tells the empty string from the error value 0.
            "enum" | "set" => format!("CONCAT({name} + 0, ':', HEX({name}))"),
            // Geometry: the internal form, with the SRID.
            _ => format!("HEX({name})"),
        }
    }
}

/// TIMESTAMP is shown in the session's zone.
const SESSION: &str = "SET time_zone = '+00:00', sql_mode = 'NO_ENGINE_SUBSTITUTION'; ";

/// MySQL prints `CHARACTER SET x` beside `COLLATE x_y` for a column that was created with one of the two in its own
/// clause, so a restored table says more than its source. The collation implies the character set.
fn drop_implied_charsets(text: &str) -> String {
    const CLAUSE: &str = " CHARACTER SET ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(CLAUSE) {
        let (before, after) = rest.split_at(at);
        let after = &after[CLAUSE.len()..];
        let charset = after.split(' ').next().unwrap_or_default();
        out.push_str(before);
        if after[charset.len()..].starts_with(&format!(" COLLATE {charset}_")) {
            rest = &after[charset.len()..];
        } else {
            out.push_str(CLAUSE);
            rest = after;
        }
    }
    out + rest
}

/// Removes the clause from the output of SHOW CREATE, in which it is the first of its kind, upper case, without
/// blanks around `=` and `@`, and quoted with backticks, or with double quotes for an object made in ANSI mode.
fn strip_definer(text: &str) -> String {
    const CLAUSE: &str = " DEFINER=";
    let Some(at) = text.find("CREATE ") else { return text.to_owned() };
    let Some(begin) = text[at..].find(CLAUSE).map(|found| at + found) else { return text.to_owned() };
    // Only between CREATE and the object's kind: a table's comment may contain the words as well.
    let between = text[at..begin].split_whitespace();
    let mut words = between.filter(|word| !word.starts_with("ALGORITHM="));
    if words.any(|word| !["CREATE", "OR", "REPLACE"].contains(&word)) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut end = quoted_end(bytes, begin + CLAUSE.len());
    // A role has no host.
    if bytes.get(end) == Some(&b'@') {
        end = quoted_end(bytes, end + 1);
    }
    format!("{}{}", &text[..begin], &text[end..])
}

/// The position after the quoted name that begins at `at`; a doubled quote stands for itself.
fn quoted_end(bytes: &[u8], at: usize) -> usize {
    let Some(&quote) = bytes.get(at) else { return at };
    let mut at = at + 1;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == quote {
            if bytes.get(at) != Some(&quote) {
                return at;
            }
            at += 1;
        }
    }
    at
}

fn cells(line: &[u8]) -> Vec<String> {
    let text = |cell: &[u8]| String::from_utf8_lossy(&unescape(cell)).into_owned();
    line.split(|&byte| byte == b'\t').map(text).collect()
}

fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn unexpected(what: &str) -> Error {
    Error::new(format!("unexpected shape of the answer about {what}"))
}

#[cfg(test)]
mod tests {
    use super::{drop_implied_charsets, strip_definer};

    #[test]
    fn a_collation_implies_its_charset() {
        let text = "a text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, b text CHARACTER SET latin1 COLLATE utf8mb4_bin";
        let expected = "a text COLLATE utf8mb4_bin, b text CHARACTER SET latin1 COLLATE utf8mb4_bin";
        assert_eq!(drop_implied_charsets(text), expected);
    }

    #[test]
    fn removes_the_clause_and_nothing_else() {
        let cases = [
            ("CREATE DEFINER=`a``b@ c`@`%` PROCEDURE `p`()", "CREATE PROCEDURE `p`()"),
            ("CREATE DEFINER=`role` FUNCTION `f`()", "CREATE FUNCTION `f`()"),
            ("CREATE DEFINER=\"pk\"@\"%\" PACKAGE \"p\"", "CREATE PACKAGE \"p\""),
            (
                "CREATE ALGORITHM=UNDEFINED DEFINER=`r`@`h` SQL SECURITY DEFINER VIEW `v`",
                "CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v`",
            ),
            (
                "CREATE TABLE `t` (a int COMMENT ' DEFINER=`x`@`y`')",
                "CREATE TABLE `t` (a int COMMENT ' DEFINER=`x`@`y`')",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(strip_definer(text), expected);
        }
    }
}

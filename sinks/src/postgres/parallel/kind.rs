//! Which statements of a dump may leave their place, and what their place is worth.

use formats::postgres::tokens::{Token, Tokens};

use crate::postgres::script::Statement;

/// A name with its schema, as the server knows it.
pub(super) type Name = (Vec<u8>, Vec<u8>);

/// What a statement is to a load over several connections.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sets how everything behind it is read, on every connection.
    Session,
    /// Makes a table in which no row needs another.
    Table(Name),
    /// Builds an index, by itself or for a constraint: when the rows are there, beside others.
    Index,
    /// Says something of an index that is there, and nothing that another index needs.
    OfIndex,
    /// Rows may depend on each other from here on.
    Entangles,
    /// Anything else, in its place.
    Other,
}

/// More tokens than the parts of a statement have that are looked at here; a list of columns may be longer.
const HEAD: usize = 24;

/// What a statement is. What is not recognized is [`Kind::Other`].
pub(super) fn kind(statement: &Statement<'_>) -> Kind {
    let sql = statement.sql.as_bytes();
    let tokens = || Tokens::new(sql, statement.standard_strings);
    let head: Vec<Token> = tokens().take(HEAD).collect();
    let is = |at: usize, word: &str| head.get(at).is_some_and(|token| token.is(sql, word));
    let symbol = |at: usize, symbol: u8| head.get(at).is_some_and(|token| token.bytes(sql) == [symbol]);
    match statement.first {
        b"set" if !["local", "constraints", "transaction"].iter().any(|word| is(1, word)) => Kind::Session,
        b"reset" => Kind::Session,
        b"select" => {
            let at = if is(1, "pg_catalog") && symbol(2, b'.') { 3 } else { 1 };
            let own = |token: &Token| token.is(sql, "setval") || token.bytes(sql).starts_with(b"lo");
            let restores = |token: &Token| token.bytes(sql).starts_with(b"pg_restore_");
            if is(at, "set_config") {
                Kind::Session
            } else if symbol(1, b'*')
                && is(2, "from")
                && is(3, "pg_catalog")
                && head.get(5).is_some_and(restores)
            {
                // Statistics of the optimizer.
                Kind::OfIndex
            } else if head.get(at).is_some_and(own) {
                Kind::Other
            } else {
                Kind::Entangles
            }
        }
        b"create" => {
            let at = 1 + usize::from(is(1, "unlogged"));
            if is(at, "table") {
                // A table whose rows are looked at when others arrive has foreign keys from the start.
                let free = !tokens().any(|token| token.is(sql, "references"));
                return match name(&head[at + 1..], sql) {
                    Some((name, _)) if free => Kind::Table(name),
                    _ => Kind::Other,
                };
            }
            let at = 1 + usize::from(is(1, "unique"));
            if is(at, "index") {
                return Kind::Index;
            }
            let at = if is(1, "or") && is(2, "replace") { 3 } else { 1 };
            if is(at, "trigger") || is(at, "constraint") || is(at, "rule") || is(at, "event") {
                return Kind::Entangles;
            }
            Kind::Other
        }
        b"alter" if is(1, "table") => {
            let at = 2 + usize::from(is(2, "only"));
            let Some((_, used)) = name(&head[at..], sql) else { return Kind::Entangles };
            let at = at + used;
            let depth = |token: &Token| token.depth == 0;
            if tokens().skip(at).any(|token| depth(&token) && token.bytes(sql) == b",") {
                return Kind::Entangles;
            }
            if is(at, "add") && is(at + 1, "constraint") {
                let builds = is(at + 3, "primary") || is(at + 3, "unique") || is(at + 3, "exclude");
                // One that takes over an index that is there is not built, and needs that one.
                let mut rest = tokens().skip(at + 3).filter(depth);
                let takes_over = rest.any(|token| token.is(sql, "index"));
                return match builds {
                    true if !takes_over => Kind::Index,
                    false if is(at + 3, "check") || is(at + 3, "not") => Kind::Other,
                    _ => Kind::Entangles,
                };
            }
            let of_index = is(at, "cluster") && is(at + 1, "on")
                || is(at, "replica") && is(at + 1, "identity") && is(at + 2, "using");
            if of_index {
                return Kind::OfIndex;
            }
            // Owners, defaults, storage, partitions; but not what fires for rows.
            let plain = ["owner", "alter", "attach", "set", "inherit", "of", "replica", "force"];
            if plain.iter().any(|word| is(at, word)) { Kind::Other } else { Kind::Entangles }
        }
        b"alter" if is(1, "index") => {
            let Some((_, used)) = name(&head[2..], sql) else { return Kind::Other };
            let at = 2 + used;
            if is(at, "attach") || is(at, "alter") { Kind::OfIndex } else { Kind::Other }
        }
        b"comment" if is(2, "index") || is(2, "constraint") => Kind::OfIndex,
        // Statements that may do anything.
        b"do" | b"call" | b"execute" | b"import" => Kind::Entangles,
        _ => Kind::Other,
    }
}

/// A table or sequence that a crash of the server empties, as one that it does not, and the statement that makes it what it was.
pub(super) fn logged(statement: &Statement<'_>) -> Option<(String, Option<String>)> {
    let sql = statement.sql.as_bytes();
    let head: Vec<Token> = Tokens::new(sql, statement.standard_strings).take(HEAD).collect();
    let [create, unlogged, kind, rest @ ..] = head.as_slice() else { return None };
    if !create.is(sql, "create") || !unlogged.is(sql, "unlogged") {
        return None;
    }
    // What is divided into partitions holds no rows of its own.
    let tokens = Tokens::new(sql, statement.standard_strings).filter(|token| token.depth == 0);
    let mut pairs = tokens.clone().zip(tokens.skip(1));
    if pairs.any(|(one, two)| one.is(sql, "partition") && two.is(sql, "by")) {
        return None;
    }
    let text = format!("CREATE {}", &statement.sql[kind.start..]);
    let again = name(rest, sql).map(|_| {
        let kind = &statement.sql[kind.start..kind.end];
        format!("ALTER {kind} {} SET UNLOGGED", &statement.sql[rest[0].start..rest[2].end])
    });
    Some((text, again))
}

/// The table of a COPY.
pub(super) fn copied(statement: &Statement<'_>) -> Option<Name> {
    let sql = statement.sql.as_bytes();
    let head: Vec<Token> = Tokens::new(sql, statement.standard_strings).skip(1).take(3).collect();
    name(&head, sql).map(|(name, _)| name)
}

/// A name with its schema at the beginning of `tokens`, and how many of them it is. Without a schema nobody knows here what it names.
fn name(tokens: &[Token], sql: &[u8]) -> Option<(Name, usize)> {
    match tokens {
        [schema, dot, table, ..] if schema.is_name() && dot.bytes(sql) == b"." && table.is_name() => {
            Some(((schema.name(sql), table.name(sql)), 3))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> Kind {
        let first = sql.split_whitespace().next().unwrap().to_ascii_lowercase();
        let first = first.as_bytes();
        kind(&Statement { sql, first, number: 1, offset: 0, standard_strings: true })
    }

    #[test]
    fn what_a_crash_would_empty() {
        let of =
            |sql| logged(&Statement { sql, first: b"create", number: 1, offset: 0, standard_strings: true });
        assert_eq!(
            of("CREATE UNLOGGED TABLE public.\"a b\" (\n  v int\n);"),
            Some((
                "CREATE TABLE public.\"a b\" (\n  v int\n);".to_owned(),
                Some("ALTER TABLE public.\"a b\" SET UNLOGGED".to_owned())
            ))
        );
        assert_eq!(
            of("CREATE UNLOGGED SEQUENCE s.q;").unwrap().1.unwrap(),
            "ALTER SEQUENCE s.q SET UNLOGGED"
        );
        assert_eq!(of("CREATE UNLOGGED TABLE t (v int);").unwrap().1, None);
        assert_eq!(of("CREATE UNLOGGED TABLE p.t (v int) PARTITION BY HASH (v);"), None);
        assert_eq!(of("CREATE TABLE p.unlogged (v int);"), None);
    }

    #[test]
    fn what_pg_dump_writes() {
        let table = |schema: &str, name: &str| Kind::Table((schema.into(), name.into()));
        for (sql, kind) in [
            ("SET statement_timeout = 0;", Kind::Session),
            ("SET SESSION AUTHORIZATION 'x';", Kind::Session),
            ("SET CONSTRAINTS ALL DEFERRED;", Kind::Other),
            ("SELECT pg_catalog.set_config('search_path', '', false);", Kind::Session),
            ("SELECT pg_catalog.setval('public.s', 7, true);", Kind::Other),
            ("SELECT pg_catalog.lo_create('16411');", Kind::Other),
            ("SELECT mine.fill();", Kind::Entangles),
            ("CREATE TABLE public.t (\n  a integer DEFAULT 1,\n  b text\n);", table("public", "t")),
            ("CREATE UNLOGGED TABLE \"A b\".\"t\"\"x\" (a int) INHERITS (p);", table("A b", "t\"x")),
            ("CREATE TABLE public.t (a int REFERENCES public.u);", Kind::Other),
            ("CREATE TABLE t (a int);", Kind::Other),
            ("CREATE UNIQUE INDEX i ON public.t USING btree (a);", Kind::Index),
            ("CREATE INDEX i ON ONLY public.t USING gin (to_tsvector('x'::regconfig, a));", Kind::Index),
            ("ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (a, b);", Kind::Index),
            ("ALTER TABLE ONLY public.t ADD CONSTRAINT u UNIQUE (index) DEFERRABLE;", Kind::Index),
            ("ALTER TABLE ONLY public.t ADD CONSTRAINT x EXCLUDE USING gist (r WITH &&);", Kind::Index),
            ("ALTER TABLE public.t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;", Kind::Entangles),
            (
                "ALTER TABLE ONLY public.t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES public.u(a);",
                Kind::Entangles,
            ),
            (
                "ALTER TABLE public.t ADD CONSTRAINT p PRIMARY KEY (a), ADD CONSTRAINT q UNIQUE (b);",
                Kind::Entangles,
            ),
            ("ALTER TABLE public.t CLUSTER ON t_pkey;", Kind::OfIndex),
            ("ALTER TABLE ONLY public.t REPLICA IDENTITY USING INDEX i;", Kind::OfIndex),
            ("ALTER INDEX public.p ATTACH PARTITION public.c;", Kind::OfIndex),
            ("ALTER INDEX public.p RENAME TO q;", Kind::Other),
            ("COMMENT ON INDEX public.i IS 'x';", Kind::OfIndex),
            ("COMMENT ON TABLE public.t IS 'x';", Kind::Other),
            ("ALTER TABLE public.t OWNER TO x;", Kind::Other),
            ("ALTER TABLE ONLY public.t REPLICA IDENTITY FULL;", Kind::Other),
            ("ALTER TABLE ONLY public.t FORCE ROW LEVEL SECURITY;", Kind::Other),
            ("ALTER TABLE public.t ADD CONSTRAINT c CHECK ((a > 0)) NOT VALID;", Kind::Other),
            (
                "SELECT * FROM pg_catalog.pg_restore_relation_stats('version', '180000'::integer);",
                Kind::OfIndex,
            ),
            ("ALTER TABLE ONLY public.p ATTACH PARTITION public.c FOR VALUES IN (1);", Kind::Other),
            ("ALTER TABLE public.t DISABLE TRIGGER ALL;", Kind::Entangles),
            ("ALTER TABLE ONLY public.t ALTER COLUMN a SET DEFAULT nextval('s');", Kind::Other),
            (
                "CREATE TRIGGER a BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION f();",
                Kind::Entangles,
            ),
            ("CREATE OR REPLACE RULE r AS ON INSERT TO public.t DO NOTHING;", Kind::Entangles),
            ("CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'x';", Kind::Other),
            ("DO $$ BEGIN END $$;", Kind::Entangles),
            ("REFRESH MATERIALIZED VIEW public.m;", Kind::Other),
        ] {
            assert_eq!(of(sql), kind, "{sql}");
        }
    }
}

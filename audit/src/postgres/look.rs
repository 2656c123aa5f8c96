//! The catalogue of a PostgreSQL database. Members of extensions belong to the extension and are not listed.

use pipeline::Result;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::{Side, normal};
use crate::catalogue::{Catalogue, Column, Table};

pub(super) struct Look<'a> {
    pub(super) side: &'a Side,
    pub(super) client: &'a Client,
}

/// A query whose first column is the object's name and whose others are properties; `?` before a property's name marks text that the server prints back
/// from its parsed form.
struct Kind {
    name: &'static str,
    properties: &'static [&'static str],
    sql: &'static str,
}

/// `N` in the queries: not of the system.
const USER: &str = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";
/// `M`: not a member of an extension, in front of the object's class and identifier.
const MEMBER: &str =
    "NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend e WHERE e.deptype = 'e' AND (e.classid, e.objid) = ";

const KINDS: &[Kind] = &[
    Kind {
        name: "schema",
        properties: &[],
        sql: "SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE {N} AND {M}('pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid))",
    },
    Kind {
        name: "extension",
        properties: &["~version"],
        sql: "SELECT extname, extversion FROM pg_catalog.pg_extension",
    },
    Kind {
        name: "table",
        properties: &[
            "kind",
            "persistence",
            "partitioned by",
            "partition",
            "inherits",
            "row security",
            "options",
        ],
        sql: "SELECT n.nspname || '.' || c.relname, c.relkind, c.relpersistence, pg_catalog.pg_get_partkeydef(c.oid), \
              pg_catalog.pg_get_expr(c.relpartbound, c.oid), \
              (SELECT string_agg(i.inhparent::pg_catalog.regclass::text, ', ' ORDER BY i.inhseqno) FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid), \
              c.relrowsecurity::text || '/' || c.relforcerowsecurity::text, array_to_string(c.reloptions, ', ') \
              FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE c.relkind IN ('r', 'p', 'f') AND {N} AND {M}('pg_catalog.pg_class'::pg_catalog.regclass, c.oid))",
    },
    Kind {
        name: "column",
        properties: &["position", "type", "not null", "?default", "identity", "generated", "collation"],
        sql: "SELECT n.nspname || '.' || c.relname || '.' || a.attname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), \
              pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated, \
              (SELECT o.collname FROM pg_catalog.pg_collation o, pg_catalog.pg_type t WHERE o.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) \
              FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
              WHERE c.relkind IN ('r', 'p', 'f', 'c') AND a.attnum > 0 AND NOT a.attisdropped AND {N} AND {M}('pg_catalog.pg_class'::pg_catalog.regclass, c.oid))",
    },
    // Since 18 NOT NULL is a constraint as well; it is compared as a property of the column.
    Kind {
        name: "constraint",
        properties: &["?definition", "validated"],
        sql: "SELECT n.nspname || '.' || coalesce(c.relname, t.typname) || '.' || k.conname, pg_catalog.pg_get_constraintdef(k.oid), k.convalidated \
              FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
              LEFT JOIN pg_catalog.pg_type t ON t.oid = k.contypid WHERE k.contype NOT IN ('n', 't') AND {N} \
              AND {M}('pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid)) AND {M}('pg_catalog.pg_class'::pg_catalog.regclass, k.conrelid)) \
              AND {M}('pg_catalog.pg_type'::pg_catalog.regclass, k.contypid))",
    },
    Kind {
        name: "index",
        properties: &["definition", "valid", "clustered", "replica identity"],
        sql: "SELECT n.nspname || '.' || t.relname || '.' || c.relname, pg_catalog.pg_get_indexdef(c.oid), x.indisvalid, x.indisclustered, x.indisreplident \
              FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid JOIN pg_catalog.pg_class t ON t.oid = x.indrelid \
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {N} AND {M}('pg_catalog.pg_class'::pg_catalog.regclass, t.oid))",
    },
    Kind {
        name: "view",
        properties: &["kind", "?definition", "options", "populated"],
        sql: "SELECT n.nspname || '.' || c.relname, c.relkind, pg_catalog.pg_get_viewdef(c.oid), array_to_string(c.reloptions, ', '), c.relispopulated \
              FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE c.relkind IN ('v', 'm') AND {N} AND {M}('pg_catalog.pg_class'::pg_catalog.regclass, c.oid))",
    },
    Kind {
        name: "sequence",
        properties: &["type", "start", "increment", "minimum", "maximum", "cache", "cycle", "owned by"],
        sql: "SELECT n.nspname || '.' || c.relname, pg_catalog.format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle, \
              (SELECT d.refobjid::pg_catalog.regclass::text || '.' || a.attname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a \
               ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid \
               AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') LIMIT 1) \
              FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE {N} AND {M}('pg_catalog.pg_class'::pg_catalog.regclass, c.oid))",
    },
    Kind {
        name: "routine",
        properties: &["?definition"],
        sql: "SELECT n.nspname || '.' || p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')', \
              CASE WHEN p.prokind = 'a' THEN (SELECT concat_ws(' ', a.aggtransfn, a.aggfinalfn, a.aggtranstype::pg_catalog.regtype, a.agginitval, a.aggkind) \
              FROM pg_catalog.pg_aggregate a WHERE a.aggfnoid = p.oid) ELSE pg_catalog.pg_get_functiondef(p.oid) END \
              FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE {N} AND {M}('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid)) \
              AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend i WHERE i.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND i.objid = p.oid AND i.deptype = 'i')",
    },
    Kind {
        name: "trigger",
        properties: &["?definition", "enabled"],
        sql: "SELECT n.nspname || '.' || c.relname || '.' || t.tgname, pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled \
              FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE NOT t.tgisinternal AND {N} AND {M}('pg_catalog.pg_class'::pg_catalog.regclass, c.oid))",
    },
    Kind {
        name: "rule",
        properties: &["?definition", "enabled"],
        sql: "SELECT n.nspname || '.' || c.relname || '.' || r.rulename, pg_catalog.pg_get_ruledef(r.oid), r.ev_enabled \
              FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE r.rulename <> '_RETURN' AND {N} AND {M}('pg_catalog.pg_class'::pg_catalog.regclass, c.oid))",
    },
    Kind {
        name: "policy",
        properties: &["for", "permissive", "to", "?using", "?check"],
        sql: "SELECT n.nspname || '.' || c.relname || '.' || p.polname, p.polcmd, p.polpermissive, \
              (SELECT string_agg(coalesce(r.rolname, 'public'), ', ' ORDER BY r.rolname) FROM unnest(p.polroles) m LEFT JOIN pg_catalog.pg_roles r ON r.oid = m), \
              pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) \
              FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {N}",
    },
    Kind {
        name: "type",
        properties: &["kind", "labels", "base", "not null", "default", "subtype"],
        sql: "SELECT n.nspname || '.' || t.typname, t.typtype, (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), \
              CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END, t.typnotnull, t.typdefault, \
              (SELECT pg_catalog.format_type(r.rngsubtype, NULL) FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid) \
              FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid \
              WHERE t.typtype IN ('e', 'd', 'c', 'r') AND (c.oid IS NULL OR c.relkind = 'c') AND {N} AND {M}('pg_catalog.pg_type'::pg_catalog.regclass, t.oid))",
    },
    Kind {
        name: "operator",
        properties: &["function"],
        sql: "SELECT n.nspname || '.' || o.oprname || '(' || pg_catalog.format_type(o.oprleft, NULL) || ', ' || pg_catalog.format_type(o.oprright, NULL) || ')', o.oprcode::text \
              FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE {N} AND {M}('pg_catalog.pg_operator'::pg_catalog.regclass, o.oid))",
    },
    Kind {
        name: "cast",
        properties: &["function", "context", "method"],
        sql: "SELECT pg_catalog.format_type(c.castsource, NULL) || ' as ' || pg_catalog.format_type(c.casttarget, NULL), nullif(c.castfunc, 0)::pg_catalog.regprocedure::text, c.castcontext, c.castmethod \
              FROM pg_catalog.pg_cast c WHERE c.oid >= 16384 AND {M}('pg_catalog.pg_cast'::pg_catalog.regclass, c.oid))",
    },
    Kind {
        name: "collation",
        properties: &["provider", "deterministic"],
        sql: "SELECT n.nspname || '.' || c.collname, c.collprovider, c.collisdeterministic FROM pg_catalog.pg_collation c \
              JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace WHERE {N} AND {M}('pg_catalog.pg_collation'::pg_catalog.regclass, c.oid))",
    },
    Kind {
        name: "statistics",
        properties: &["definition"],
        sql: "SELECT n.nspname || '.' || s.stxname, pg_catalog.pg_get_statisticsobjdef(s.oid) FROM pg_catalog.pg_statistic_ext s \
              JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE {N}",
    },
];

impl Look<'_> {
    pub(super) async fn all(self) -> Result<Catalogue> {
        let mut catalogue = Catalogue::default();
        for kind in KINDS {
            self.kind(kind, &mut catalogue).await?;
        }
        self.sequence_values(&mut catalogue).await?;
        self.tables(&mut catalogue).await?;
        self.keys(&mut catalogue).await?;
        self.large_objects(&mut catalogue).await?;
        let sql = "SELECT pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype FROM pg_catalog.pg_database WHERE datname = current_database()";
        for row in self.query("the database", sql).await? {
            let text = |at| row.get(at).unwrap_or_default().to_owned();
            let properties = [("encoding", text(0)), ("~collation", text(1)), ("~character type", text(2))];
            catalogue.add("database", "", properties);
        }
        Ok(catalogue)
    }

    async fn query(&self, what: &str, sql: &str) -> Result<Vec<SimpleQueryRow>> {
        let mut sql = sql.replace("{N}", USER).replace("{M}", MEMBER);
        // What older servers do not have in their catalogue, they do not have at all.
        for (since, column, instead) in [
            (12, "a.attgenerated", "''"),
            (12, "c.collisdeterministic", "true"),
            (11, "p.prokind = 'a'", "p.proisagg"),
            (11, "x.indnkeyatts", "x.indnatts"),
        ] {
            if self.side.major < since {
                sql = sql.replace(column, instead);
            }
        }
        let messages = self.client.simple_query(&sql).await.map_err(|error| self.side.failed(what, error))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows.collect())
    }

    async fn kind(&self, kind: &Kind, catalogue: &mut Catalogue) -> Result<()> {
        for row in self.query(&format!("its objects ({})", kind.name), kind.sql).await? {
            let name = row.get(0).unwrap_or_default();
            let properties = kind.properties.iter().enumerate().map(|(at, property)| {
                let text = row.get(at + 1).unwrap_or_default();
                match property.strip_prefix('?') {
                    Some(property) if self.side.across => (property, normal::definition(text)),
                    Some(property) => (property, text.to_owned()),
                    None => (*property, text.to_owned()),
                }
            });
            catalogue.add(kind.name, name, properties);
        }
        Ok(())
    }

    async fn sequence_values(&self, catalogue: &mut Catalogue) -> Result<()> {
        let sql = "SELECT n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND {N} \
                   AND {M}('pg_catalog.pg_class'::pg_catalog.regclass, c.oid))";
        for row in self.query("its sequences", sql).await? {
            let (name, sql) = (row.get(0).unwrap_or_default(), row.get(1).unwrap_or_default());
            let values = format!("SELECT last_value, is_called FROM {sql}");
            for value in self.query(name, &values).await? {
                let text = |at| value.get(at).unwrap_or_default();
                let value =
                    format!("{}{}", text(0), if text(1) == "t" { "" } else { " (not yet given out)" });
                catalogue.add("sequence", name, [("value", value)]);
            }
        }
        Ok(())
    }

    async fn tables(&self, catalogue: &mut Catalogue) -> Result<()> {
        let sql = "SELECT n.nspname || '.' || c.relname, CASE WHEN c.relkind = 'r' THEN 'ONLY ' ELSE '' END || format('%I.%I', n.nspname, c.relname), \
                   c.relpages::int8 * 8192, a.attname, pg_catalog.format_type(a.atttypid, NULL) FROM pg_catalog.pg_class c \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
                   WHERE (c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated) AND {N} \
                   AND {M}('pg_catalog.pg_class'::pg_catalog.regclass, c.oid)) ORDER BY c.oid, a.attnum";
        for row in self.query("its tables", sql).await? {
            let text = |at| row.get(at).unwrap_or_default().to_owned();
            let table = catalogue.tables.entry(text(0)).or_default();
            table.sql = text(1);
            table.bytes = text(2).parse().unwrap_or(0);
            if let Some(name) = row.get(3) {
                table.columns.push(Column { name: name.to_owned(), kind: text(4), charset: None });
            }
        }
        Ok(())
    }

    /// The primary key of each table, else a unique index over columns that are never NULL.
    async fn keys(&self, catalogue: &mut Catalogue) -> Result<()> {
        let sql = "SELECT n.nspname || '.' || c.relname, x.indexrelid, a.attname FROM pg_catalog.pg_index x \
                   JOIN pg_catalog.pg_class c ON c.oid = x.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, place) \
                   JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum \
                   WHERE x.indisunique AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL AND k.place <= x.indnkeyatts AND {N} \
                   AND NOT EXISTS (SELECT 1 FROM unnest(x.indkey::int2[]) o JOIN pg_catalog.pg_attribute b ON b.attrelid = c.oid AND b.attnum = o WHERE NOT b.attnotnull) \
                   ORDER BY 1, x.indisprimary DESC, x.indexrelid::pg_catalog.regclass::text, k.place";
        let mut chosen = std::collections::BTreeMap::new();
        for row in self.query("its keys", sql).await? {
            let text = |at| row.get(at).unwrap_or_default().to_owned();
            let (name, index) = (text(0), text(1));
            let Some(table) = catalogue.tables.get_mut(&name) else { continue };
            if *chosen.entry(name).or_insert_with(|| index.clone()) == index {
                table.key.push(text(2));
            }
        }
        for table in catalogue.tables.values_mut() {
            let columns = &table.columns;
            if !table.key.iter().all(|key| columns.iter().any(|column| column.name == *key)) {
                table.key.clear();
            }
        }
        Ok(())
    }

    async fn large_objects(&self, catalogue: &mut Catalogue) -> Result<()> {
        let count = self
            .query("its large objects", "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata")
            .await?;
        if count.first().and_then(|row| row.get(0)) == Some("0") {
            return Ok(());
        }
        let column = |name: &str| Column { name: name.to_owned(), kind: "text".to_owned(), charset: None };
        let table = Table {
            sql: "large objects".to_owned(),
            columns: vec![column("oid"), column("md5")],
            key: vec!["oid".to_owned()],
            bytes: 0,
            query: Some(
                "SELECT oid, pg_catalog.md5(pg_catalog.lo_get(oid)) FROM pg_catalog.pg_largeobject_metadata"
                    .to_owned(),
            ),
        };
        catalogue.tables.insert("large objects".to_owned(), table);
        catalogue.add("large objects", "", []);
        Ok(())
    }
}

//! What is to be read: the tables and sequences whose content `pg_dump` would dump.
//!
//! Names are quoted by the server and stay bytes: a database may hold any character set, or none.

use connections::postgres::wire::{Row, Wire};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, Result};

use super::broken;

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Table,
    /// Has no rows of its own, and is locked all the same.
    Partitioned,
    Sequence,
}

/// A relation that belongs to the dump.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) shape: Shape,
    /// Schema and name as they are, for the comments of the dump.
    pub(super) schema: Vec<u8>,
    pub(super) name: Vec<u8>,
    pub(super) owner: Vec<u8>,
    /// Schema and name for statements.
    pub(super) quoted: Vec<u8>,
    /// The columns that are stored and not computed, in parentheses; empty when there are none.
    pub(super) columns: Vec<u8>,
    /// `WHERE …` of an extension's table whose content belongs to the dump in part.
    pub(super) condition: Vec<u8>,
    /// What was asked of the rows, without the word `WHERE`.
    pub(super) wanted: Vec<u8>,
    /// The partitioned table into which the rows have to be loaded, where it is not the partition itself.
    pub(super) root: Option<Vec<u8>>,
    /// Stored in the way whose rows can be found by their place.
    pub(super) heap: bool,
    /// Blocks of the table itself.
    pub(super) blocks: u64,
    /// Bytes of its long values, which are stored elsewhere.
    pub(super) toast: u64,
}

impl Relation {
    /// For messages.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.quoted).into_owned()
    }

    /// Whether the same relation goes by the same name.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.oid, self.shape, &self.quoted) == (other.oid, other.shape, &other.quoted)
    }
}

/// A name in a statement. A word that became a key word after the server's version is quoted too: the target may be newer.
const QUOTED: &str = "CASE WHEN % = 'system_user' THEN '\"system_user\"' ELSE pg_catalog.quote_ident(%) END";

fn quoted(column: &str) -> String {
    QUOTED.replace('%', column)
}

/// The relations of the dump, in its order. Sizes are looked at only where `sized`, because that waits for whoever holds a lock.
pub(super) async fn relations(
    wire: &mut Wire,
    url: &DatabaseUrl,
    standby: bool,
    sized: bool,
) -> Result<Vec<Relation>> {
    let sizes = if sized {
        "CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int8 ELSE 0 END,
         CASE WHEN c.reltoastrelid <> 0 THEN pg_catalog.pg_relation_size(c.reltoastrelid) ELSE 0 END"
    } else {
        "0, 0"
    };
    // What is not logged cannot be read on a standby, and pg_dump leaves it out there as well.
    let logged = if standby { "AND c.relpersistence <> 'u'" } else { "" };
    let name = |relation: &str| {
        format!(
            "{} || '.' || {}",
            quoted(&format!("{relation}n.nspname")),
            quoted(&format!("{relation}.relname"))
        )
    };
    // An extension makes its own tables when it is made. Rows belong to the dump only of those that it registered for that.
    // Rows of partitions by the hash of an enum, whose values hash differently elsewhere, are loaded by way of the root.
    let sql = format!(
        "SELECT c.oid, c.relkind, cn.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner), {own},
           coalesce((SELECT '(' || pg_catalog.string_agg({column}, ', ' ORDER BY a.attnum) || ')'
             FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), ''),
           coalesce(x.condition, ''),
           CASE WHEN c.relispartition AND EXISTS (
               SELECT 1 FROM pg_catalog.pg_partition_ancestors(c.oid) t
               JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = t.relid
               WHERE (SELECT o.oid FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod
                      WHERE o.opcname = 'enum_ops' AND o.opcnamespace = 'pg_catalog'::pg_catalog.regnamespace
                        AND m.amname = 'hash') = ANY (p.partclass))
             THEN (SELECT {root} FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
                   WHERE r.oid = pg_catalog.pg_partition_root(c.oid)) END,
           coalesce(h.amname = 'heap', false), {sizes}
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_am h ON h.oid = c.relam
         LEFT JOIN (SELECT pg_catalog.unnest(extconfig) AS oid, pg_catalog.unnest(extcondition) AS condition
                    FROM pg_catalog.pg_extension WHERE oid >= 16384) x ON x.oid = c.oid
         WHERE c.relkind IN ('r', 'p', 'S') {logged}
           AND (x.oid IS NOT NULL
             OR cn.nspname !~ '^pg_' AND cn.nspname <> 'information_schema'
               AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                 WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.objsubid = 0
                   AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'))
         ORDER BY cn.nspname COLLATE \"C\", c.relname COLLATE \"C\"",
        own = name("c"),
        column = quoted("a.attname"),
        root = name("r"),
    );
    let rows = wire.rows(sql).await.map_err(|failure| broken(failure, url))?;
    rows.into_iter().map(relation).collect()
}

fn relation(row: Row) -> Result<Relation> {
    let strange = || Error::source("the server's list of relations has another shape");
    let [oid, kind, schema, name, owner, quoted, columns, condition, root, heap, blocks, toast]: [_; 12] =
        row.try_into().map_err(|_| strange())?;
    let number = |cell: Option<Vec<u8>>| -> Result<u64> {
        cell.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok()).ok_or_else(strange)
    };
    let text = |cell: Option<Vec<u8>>| cell.ok_or_else(strange);
    Ok(Relation {
        oid: u32::try_from(number(oid)?).map_err(|_| strange())?,
        shape: match text(kind)?.as_slice() {
            b"r" => Shape::Table,
            b"p" => Shape::Partitioned,
            b"S" => Shape::Sequence,
            _ => return Err(strange()),
        },
        schema: text(schema)?,
        name: text(name)?,
        owner: text(owner)?,
        quoted: text(quoted)?,
        columns: text(columns)?,
        condition: text(condition)?,
        wanted: Vec::new(),
        root,
        heap: text(heap)? == b"t",
        blocks: number(blocks)?,
        toast: number(toast)?,
    })
}

/// The one cell of a question with one answer.
pub(super) async fn ask(wire: &mut Wire, url: &DatabaseUrl, sql: &str) -> Result<String> {
    let rows = wire.rows(sql).await.map_err(|failure| broken(failure, url))?;
    let cell = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
    Ok(String::from_utf8_lossy(&cell.unwrap_or_default()).into_owned())
}

//! Which relations were chosen by name, found out by us and told to `pg_dump` one by one: its own patterns fold case and look for names in
//! the search path, and a partitioned table would come without its partitions.

use std::collections::{BTreeMap, BTreeSet};

use connections::postgres::wire::{Row, Wire};
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Result};

use crate::{Content, Selection};

/// Bytes of all names together. Linux takes 2 MiB of arguments, and pointers and environment count as well.
const LONGEST: usize = 1 << 20;

/// The relations that belong to the dump.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Identities of those that were chosen.
    oids: BTreeSet<u32>,
    /// Those that could have been: what else there is belongs to an extension.
    candidates: BTreeSet<u32>,
    names_tables: bool,
    /// Arguments that tell `pg_dump`.
    pub(super) arguments: Vec<String>,
    /// Which table refers to which.
    references: Vec<(u32, u32)>,
    /// Foreign keys to tables that were left out: constraint, and table that it refers to.
    dangling: Vec<(String, String)>,
}

struct Candidate {
    oid: u32,
    kind: u8,
    schema: Vec<u8>,
    name: Vec<u8>,
    /// The name as `pg_dump` takes it, every character standing for itself.
    exact: Vec<u8>,
    /// The partitioned tables that it is part of.
    above: Vec<u32>,
    /// The table that owns a sequence, and whether the sequence is part of its column.
    owner: Option<(u32, bool)>,
}

const CANDIDATES: &str = r#"SELECT c.oid, c.relkind, n.nspname, c.relname,
    '"' || pg_catalog.replace(n.nspname, '"', '""') || '"."' || pg_catalog.replace(c.relname, '"', '""') || '"',
    coalesce((SELECT pg_catalog.string_agg(i.inhparent::text, ',') FROM (
        WITH RECURSIVE above AS (
            SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE c.relispartition AND i.inhrelid = c.oid
            UNION ALL SELECT i.inhparent FROM above a JOIN pg_catalog.pg_class p ON p.oid = a.inhparent AND p.relispartition
              JOIN pg_catalog.pg_inherits i ON i.inhrelid = p.oid)
        SELECT inhparent FROM above) i), ''),
    d.refobjid, d.deptype = 'i'
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_depend d ON c.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
    AND d.objsubid = 0 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend e
      WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid AND e.objsubid = 0
        AND e.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.deptype = 'e')
  ORDER BY n.nspname, c.relname"#;

const REFERENCES: &str =
    "SELECT conrelid, confrelid, conname, confrelid::pg_catalog.regclass, conparentid = 0
  FROM pg_catalog.pg_constraint WHERE contype = 'f' ORDER BY conrelid, conname";

/// Looks at names only, in whichever transaction the connection is in.
pub(super) async fn choose(wire: &mut Wire, url: &DatabaseUrl, selection: &Selection) -> Result<Chosen> {
    let mut ask = async |sql: &str| wire.rows(sql).await.map_err(|failure| failure.explain(url));
    let candidates = ask(CANDIDATES).await?.into_iter().map(candidate).collect::<Result<Vec<_>>>()?;
    let there: Vec<(&[u8], &[u8])> = candidates.iter().map(|c| (&c.schema[..], &c.name[..])).collect();
    selection.check(&there)?;
    let taken = by_name(&candidates, selection);
    let mut chosen = Chosen {
        names_tables: selection.names_tables(),
        candidates: candidates.iter().map(|candidate| candidate.oid).collect(),
        ..Chosen::default()
    };
    if !selection.takes_all() {
        chosen.arguments = arguments(&candidates, &taken, selection)?;
    }
    for row in ask(REFERENCES).await? {
        let [Some(from), Some(to), Some(constraint), Some(table), Some(own)]: [_; 5] =
            row.try_into().map_err(|_| strange())?
        else {
            return Err(strange());
        };
        let (from, to) = (number(&from)?, number(&to)?);
        if taken.contains(&from) && taken.contains(&to) {
            chosen.references.push((from, to));
        } else if taken.contains(&from) && own == b"t" {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            chosen.dangling.push((text(&constraint), text(&table)));
        }
    }
    chosen.oids = taken;
    Ok(chosen)
}

/// Partitions follow their table, and sequences the table that they belong to, as `pg_dump` has it.
fn by_name(candidates: &[Candidate], selection: &Selection) -> BTreeSet<u32> {
    let by_oid: BTreeMap<u32, &Candidate> = candidates.iter().map(|c| (c.oid, c)).collect();
    let family = |candidate: &Candidate, fits: &dyn Fn(&Candidate) -> bool| {
        fits(candidate) || candidate.above.iter().filter_map(|oid| by_oid.get(oid)).any(|above| fits(above))
    };
    let mut taken: BTreeSet<u32> = candidates
        .iter()
        .filter(|candidate| {
            family(candidate, &|c| selection.named(&c.schema, &c.name))
                && !family(candidate, &|c| selection.excludes(&c.schema, &c.name))
        })
        .map(|candidate| candidate.oid)
        .collect();
    for candidate in candidates {
        match candidate.owner {
            Some((owner, _)) if taken.contains(&owner) => {
                taken.insert(candidate.oid);
            }
            Some((_, true)) => {
                taken.remove(&candidate.oid);
            }
            _ => {}
        }
    }
    taken
}

fn arguments(candidates: &[Candidate], taken: &BTreeSet<u32>, selection: &Selection) -> Result<Vec<String>> {
    let (option, include) =
        if selection.names_tables() { ("--table", true) } else { ("--exclude-table", false) };
    let mut arguments = Vec::new();
    for candidate in candidates.iter().filter(|candidate| taken.contains(&candidate.oid) == include) {
        // A sequence goes with its table without being named.
        if candidate.kind == b'S'
            && candidate.owner.is_some_and(|(owner, _)| taken.contains(&owner) == include)
        {
            continue;
        }
        let exact = std::str::from_utf8(&candidate.exact).map_err(|_| {
            Error::source("tables cannot be chosen: a name is not UTF-8")
                .with("name", String::from_utf8_lossy(&candidate.exact))
        })?;
        arguments.push(format!("{option}={exact}"));
    }
    if arguments.iter().map(String::len).sum::<usize>() > LONGEST {
        return Err(Error::usage(format!("{} tables are more than pg_dump can be told", arguments.len()))
            .hint("choose fewer with `--tables`, or leave fewer out with `--exclude-tables`"));
    }
    Ok(arguments)
}

impl Chosen {
    /// Whether a relation belongs to the dump. What is an extension's own goes with the extension.
    pub(super) fn takes(&self, oid: u32) -> bool {
        if self.candidates.contains(&oid) { self.oids.contains(&oid) } else { !self.names_tables }
    }

    /// Tells of foreign keys that the target will not be able to make.
    pub(super) fn warn(&self, content: Content, cx: &Context) {
        let Some((constraint, table)) = self.dangling.first() else { return };
        if content == Content::Data {
            return;
        }
        let more = match self.dangling.len() - 1 {
            0 => String::new(),
            more => format!(" ({more} more like it)"),
        };
        cx.warn(format!(
            "the foreign key {constraint} refers to {table}, which is left out: where that table is missing, it cannot be made{more}"
        ));
    }

    /// Puts tables behind those that they refer to. Answers one of those that refer to each other in a circle.
    pub(super) fn sort<T>(&self, items: &mut [T], oid: impl Fn(&T) -> u32) -> Option<u32> {
        let mut needs: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (from, to) in self.references.iter().filter(|(from, to)| from != to) {
            needs.entry(*from).or_default().push(*to);
        }
        let mut place: BTreeMap<u32, usize> = BTreeMap::new();
        let (mut open, mut circle) = (BTreeSet::new(), None);
        for item in items.iter() {
            // Depth first, on a stack of our own: references may be thousands deep.
            let mut stack = vec![(oid(item), 0)];
            while let Some((table, next)) = stack.pop() {
                if place.contains_key(&table) {
                    continue;
                }
                open.insert(table);
                match needs.get(&table).and_then(|needed| needed.get(next)) {
                    None => {
                        open.remove(&table);
                        let end = place.len();
                        place.insert(table, end);
                    }
                    Some(needed) => {
                        stack.push((table, next + 1));
                        if open.contains(needed) {
                            circle = Some(*needed);
                        } else {
                            stack.push((*needed, 0));
                        }
                    }
                }
            }
        }
        items.sort_by_key(|item| place.get(&oid(item)).copied());
        circle
    }
}

fn strange() -> Error {
    Error::source("the server's list of relations has another shape")
}

fn number(text: &[u8]) -> Result<u32> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(strange)
}

fn candidate(row: Row) -> Result<Candidate> {
    let [Some(oid), Some(kind), Some(schema), Some(name), Some(exact), Some(above), owner, identity]: [_; 8] =
        row.try_into().map_err(|_| strange())?
    else {
        return Err(strange());
    };
    let owner =
        owner.map(|oid| Ok::<_, Error>((number(&oid)?, identity.as_deref() == Some(b"t")))).transpose()?;
    Ok(Candidate {
        oid: number(&oid)?,
        kind: kind.first().copied().unwrap_or_default(),
        schema,
        name,
        exact,
        above: above
            .split(|byte| *byte == b',')
            .filter(|text| !text.is_empty())
            .map(number)
            .collect::<Result<_>>()?,
        owner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_behind_what_they_refer_to() {
        let chosen = Chosen { references: vec![(1, 2), (2, 3), (4, 4), (5, 6), (6, 5)], ..Chosen::default() };
        let mut tables = [1, 2, 3, 4];
        assert_eq!(chosen.sort(&mut tables, |oid| *oid), None);
        assert_eq!(tables, [3, 2, 1, 4]);
        let mut circle = [5, 6];
        assert!(chosen.sort(&mut circle, |oid| *oid).is_some());
    }
}

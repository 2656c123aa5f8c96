//! Which tables of a database are dumped, and what of them.

use formats::rdb::Glob;
use pipeline::{Error, Result};

/// What of a table is dumped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Content {
    /// Definition and rows.
    #[default]
    All,
    /// The definition alone.
    Schema,
    /// The rows alone, into tables that are there.
    Data,
}

/// Tables by patterns of their names.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    tables: Vec<Pattern>,
    excluded: Vec<Pattern>,
    conditions: Vec<(Pattern, String)>,
    content: Content,
}

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    glob: Glob,
}

impl Pattern {
    fn new(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(
                Error::usage("the pattern for a table is empty").hint("`--tables 'orders,shop.item_*'`")
            );
        }
        Ok(Self { text: text.to_owned(), glob: Glob::new(text.as_bytes()) })
    }

    /// The name alone, or behind its schema and a dot when the pattern has one.
    fn matches(&self, schema: &[u8], name: &[u8]) -> bool {
        self.glob.matches(name)
            || (self.text.contains('.') && self.glob.matches(&[schema, b".", name].concat()))
    }
}

impl Selection {
    /// Tables that one of `tables` names, all when there is none, without those that one of `excluded` names. A condition is
    /// written `TABLE=CONDITION`.
    pub fn new(
        tables: &[String],
        excluded: &[String],
        conditions: &[String],
        content: Content,
    ) -> Result<Self> {
        let patterns =
            |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect::<Result<Vec<_>>>();
        let condition = |text: &String| match text.split_once('=') {
            Some((table, condition)) if !condition.trim().is_empty() => {
                Ok((Pattern::new(table)?, condition.trim().to_owned()))
            }
            _ => Err(Error::usage(format!("`--where {text}` names no table, or no condition"))
                .hint("`--where 'orders=created > \"2026-01-01\"'`")),
        };
        if content == Content::Schema && !conditions.is_empty() {
            return Err(Error::usage("`--where` chooses rows, and `--schema-only` dumps none")
                .hint("leave one of them out"));
        }
        Ok(Self {
            tables: patterns(tables)?,
            excluded: patterns(excluded)?,
            conditions: conditions.iter().map(condition).collect::<Result<_>>()?,
            content,
        })
    }

    /// What of the tables is dumped.
    pub fn content(&self) -> Content {
        self.content
    }

    /// Whether tables are named: then nothing else is dumped that does not belong to them.
    pub(crate) fn names_tables(&self) -> bool {
        !self.tables.is_empty()
    }

    /// Whether no name is asked about.
    pub(crate) fn takes_all(&self) -> bool {
        self.tables.is_empty() && self.excluded.is_empty()
    }

    /// Whether nothing at all was asked for.
    pub fn is_default(&self) -> bool {
        self.takes_all() && self.conditions.is_empty() && self.content == Content::All
    }

    /// Whether there is a condition for any table's rows.
    pub fn has_conditions(&self) -> bool {
        !self.conditions.is_empty()
    }

    pub(crate) fn named(&self, schema: &[u8], name: &[u8]) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|pattern| pattern.matches(schema, name))
    }

    pub(crate) fn excludes(&self, schema: &[u8], name: &[u8]) -> bool {
        self.excluded.iter().any(|pattern| pattern.matches(schema, name))
    }

    pub(crate) fn takes(&self, schema: &[u8], name: &[u8]) -> bool {
        self.named(schema, name) && !self.excludes(schema, name)
    }

    /// The condition for a table's rows, ready to stand beside others; several are all required.
    pub(crate) fn condition(&self, schema: &[u8], name: &[u8]) -> Option<String> {
        let matching = self.conditions.iter().filter(|(pattern, _)| pattern.matches(schema, name));
        // On lines of their own: a condition may end with a comment.
        let each: Vec<String> = matching.map(|(_, condition)| format!("({condition}\n)")).collect();
        (!each.is_empty()).then(|| each.join(" AND "))
    }

    /// Refuses a pattern that fits nothing of what there is: it was mistyped, and what was meant would be missing, or would not.
    pub(crate) fn check(&self, there: &[(&[u8], &[u8])]) -> Result<()> {
        let nothing = |flag: &str, pattern: &Pattern| {
            Error::usage(format!("`{flag}` has a pattern that fits no table: `{}`", pattern.text)).hint(
                "names are compared as they are, case included; `*` and `?` stand for others, and a schema goes in front with a dot",
            )
        };
        let none = |pattern: &Pattern| !there.iter().any(|(schema, name)| pattern.matches(schema, name));
        for (flag, patterns) in [("--tables", &self.tables), ("--exclude-tables", &self.excluded)] {
            if let Some(pattern) = patterns.iter().find(|pattern| none(pattern)) {
                return Err(nothing(flag, pattern));
            }
        }
        let taken: Vec<_> = there.iter().filter(|(schema, name)| self.takes(schema, name)).collect();
        if !self.takes_all() && taken.is_empty() {
            return Err(Error::usage("`--exclude-tables` leaves nothing to dump").hint("leave it out"));
        }
        let unfit = |pattern: &Pattern| !taken.iter().any(|(schema, name)| pattern.matches(schema, name));
        match self.conditions.iter().find(|(pattern, _)| unfit(pattern)) {
            Some((pattern, _)) => Err(nothing("--where", pattern)),
            None => Ok(()),
        }
    }

    /// The same as arguments, for the manifest: a dump without some tables does not replace one that has them.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let joined = |patterns: &[Pattern]| {
            patterns.iter().map(|pattern| pattern.text.as_str()).collect::<Vec<_>>().join(",")
        };
        let mut arguments = Vec::new();
        if !self.tables.is_empty() {
            arguments.push(format!("--tables={}", joined(&self.tables)));
        }
        if !self.excluded.is_empty() {
            arguments.push(format!("--exclude-tables={}", joined(&self.excluded)));
        }
        let each = self.conditions.iter();
        arguments.extend(each.map(|(pattern, condition)| format!("--where={}={condition}", pattern.text)));
        match self.content {
            Content::All => {}
            Content::Schema => arguments.push("--schema-only".to_owned()),
            Content::Data => arguments.push("--data-only".to_owned()),
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(tables: &[&str], excluded: &[&str], conditions: &[&str]) -> Result<Selection> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Selection::new(&owned(tables), &owned(excluded), &owned(conditions), Content::All)
    }

    #[test]
    fn names_with_and_without_schema() {
        let some = selection(&["order*", "shop.a?"], &["*.orders_old"], &[]).unwrap();
        for (schema, name, taken) in [
            ("x", "orders", true),
            ("x", "orders_old", false),
            ("shop", "ab", true),
            ("other", "ab", false),
            ("order", "z", false),
        ] {
            assert_eq!(some.takes(schema.as_bytes(), name.as_bytes()), taken, "{schema}.{name}");
        }
        assert!(selection(&[], &[], &[]).unwrap().is_default());
    }

    #[test]
    fn what_fits_nothing_is_refused() {
        let there: [(&[u8], &[u8]); 2] = [(b"s", b"a"), (b"s", b"b")];
        for (tables, excluded, conditions, good) in [
            (&["a"][..], &[][..], &[][..], true),
            (&["s.*"], &["b"], &["a=x > 1"], true),
            (&["c"], &[], &[], false),
            (&["A"], &[], &[], false),
            (&[], &["c"], &[], false),
            (&[], &["?"], &[], false),
            (&["a"], &[], &["b=x > 1"], false),
        ] {
            let result = selection(tables, excluded, conditions).unwrap().check(&there);
            assert_eq!(result.is_ok(), good, "{tables:?} {excluded:?} {conditions:?}");
            assert!(good || result.unwrap_err().exit_code() == 2);
        }
        for bad in ["a", "a=", "a=  ", "=x"] {
            assert!(selection(&[], &[], &[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn conditions_stand_on_their_own() {
        let some = selection(&[], &[], &["t=a = 1 OR b = 2", "s.t=c -- d"]).unwrap();
        assert_eq!(some.condition(b"s", b"t").unwrap(), "(a = 1 OR b = 2\n) AND (c -- d\n)");
        assert_eq!(some.condition(b"r", b"t").unwrap(), "(a = 1 OR b = 2\n)");
        assert_eq!(some.condition(b"r", b"u"), None);
    }
}

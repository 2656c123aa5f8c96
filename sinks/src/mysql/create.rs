//! Taking the secondary indexes out of a CREATE TABLE, to be built when the rows are there.
//!
//! A B-tree that is filled row by row in the order of another key costs several times what sorting costs. Primary and unique keys stay: what is a duplicate is
//! refused where it arrives. Foreign keys come last of all, since they need the indexes and tables of others.

use formats::mysql::Mode;
use formats::mysql::token::{Cursor, Kind, Token};

/// A table without what can wait, and what waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// The statement, with the rest left out.
    pub(super) create: Vec<u8>,
    /// `ALTER TABLE` statements for when the rows are there. Each can run by itself.
    pub(super) indexes: Vec<Vec<u8>>,
    /// One for when all tables are there.
    pub(super) foreign_keys: Option<Vec<u8>>,
}

/// `None` for anything that is not a CREATE TABLE with something to take out.
pub(super) fn split(statement: &[u8], mode: Mode) -> Option<Split> {
    let mut cursor = Cursor::new(statement, mode);
    cursor.accept("CREATE")?;
    cursor.accept("TABLE")?;
    if cursor.accept("IF").is_some() {
        cursor.accept("NOT")?;
        cursor.accept("EXISTS")?;
    }
    let name = cursor.next().filter(Token::is_name)?;
    let open = cursor.accept_byte(b'(')?;
    let clauses = clauses(&mut cursor, open.end)?;
    let counter = clauses.iter().find_map(|&(from, to)| counter(&statement[from..to], mode));

    let (mut kept, mut plain, mut single, mut foreign) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for &(from, to) in &clauses {
        let text = statement[from..to].trim_ascii();
        match kind(text, mode, counter.as_deref()) {
            Clause::Stays => kept.push(&statement[from..to]),
            Clause::Index => plain.push(text),
            // The servers build only one of these in a statement.
            Clause::Special => single.push(text),
            Clause::ForeignKey => foreign.push(text),
        }
    }
    if kept.is_empty() || kept.len() == clauses.len() {
        return None;
    }
    let alter = |clauses: &[&[u8]]| {
        let mut sql = b"ALTER TABLE ".to_vec();
        sql.extend_from_slice(name.of(statement));
        for (at, clause) in clauses.iter().enumerate() {
            sql.extend_from_slice(if at == 0 { b" ADD " } else { b", ADD " });
            sql.extend_from_slice(clause);
        }
        sql
    };
    let mut create = statement[..open.end].to_vec();
    create.extend_from_slice(&kept.join(&b","[..]));
    let end = clauses.last()?.1;
    if !create.ends_with(b"\n") {
        create.push(b'\n');
    }
    create.extend_from_slice(&statement[end..]);
    let mut indexes = Vec::new();
    if !plain.is_empty() {
        indexes.push(alter(&plain));
    }
    indexes.extend(single.iter().map(|clause| alter(&[clause])));
    let foreign_keys = (!foreign.is_empty()).then(|| alter(&foreign));
    Some(Split { create, indexes, foreign_keys })
}

/// The statement that gives a table's counter its value again, for a CREATE TABLE that gave it one: a server that dies may forget it.
pub(super) fn counted(statement: &[u8], mode: Mode) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(statement, mode);
    cursor.accept("CREATE")?;
    cursor.accept("TABLE")?;
    let name = cursor.next().filter(Token::is_name)?;
    let mut depth = 0_u32;
    while let Some(token) = cursor.next() {
        match token.kind {
            Kind::Punct(b'(') => depth += 1,
            Kind::Punct(b')') => depth = depth.saturating_sub(1),
            _ if depth == 0 && token.is(statement, "AUTO_INCREMENT") => {
                cursor.accept_byte(b'=');
                let number = cursor.next()?.of(statement);
                if !number.iter().all(u8::is_ascii_digit) {
                    return None;
                }
                return Some([b"ALTER TABLE ", name.of(statement), b" AUTO_INCREMENT = ", number].concat());
            }
            _ => {}
        }
    }
    None
}

/// The stretches between the commas of the list that has just been opened at `start`.
fn clauses(cursor: &mut Cursor<'_>, start: usize) -> Option<Vec<(usize, usize)>> {
    let mut found = Vec::new();
    let (mut from, mut depth) = (start, 0_u32);
    for token in cursor.by_ref() {
        match token.kind {
            Kind::Punct(b'(') => depth += 1,
            Kind::Punct(b')') if depth == 0 => {
                found.push((from, token.start));
                return Some(found);
            }
            Kind::Punct(b')') => depth -= 1,
            Kind::Punct(b',') if depth == 0 => {
                found.push((from, token.start));
                from = token.end;
            }
            _ => {}
        }
    }
    None
}

enum Clause {
    Stays,
    Index,
    Special,
    ForeignKey,
}

fn kind(text: &[u8], mode: Mode, counter: Option<&[u8]>) -> Clause {
    let mut cursor = Cursor::new(text, mode);
    let Some(first) = cursor.next() else { return Clause::Stays };
    if first.is_any(text, &["FULLTEXT", "SPATIAL"]) {
        return Clause::Special;
    }
    if first.is_any(text, &["KEY", "INDEX"]) {
        // The counter's column must be the first of some index from the start.
        let mut tokens = cursor.skip_while(|token| token.kind != Kind::Punct(b'(')).skip(1);
        let column = tokens.next().map(|token| token.value(text, mode));
        return if counter.is_some() && column.as_deref() == counter { Clause::Stays } else { Clause::Index };
    }
    if first.is(text, "CONSTRAINT") {
        let mut name = cursor.clone();
        let named = name.next().is_some_and(|token| !token.is(text, "FOREIGN"));
        if named {
            cursor = name;
        }
    } else if !first.is(text, "FOREIGN") {
        return Clause::Stays;
    } else {
        return Clause::ForeignKey;
    }
    if cursor.accept("FOREIGN").is_some() { Clause::ForeignKey } else { Clause::Stays }
}

/// The name of the column that counts by itself, if this is it.
fn counter(text: &[u8], mode: Mode) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(text, mode);
    let name = cursor.next().filter(|token| matches!(token.kind, Kind::Quoted(_)))?;
    cursor.any(|token| token.is(text, "AUTO_INCREMENT")).then(|| name.value(text, mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(split: &Split) -> (String, Vec<String>, Option<String>) {
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
        (text(&split.create), split.indexes.iter().map(text).collect(), split.foreign_keys.as_ref().map(text))
    }

    #[test]
    fn keys_wait_and_unique_ones_stay() {
        let sql = "CREATE TABLE `a``b` (\n  `key` int NOT NULL COMMENT 'KEY `x` (`y`), ) ',\n  `n` int AUTO_INCREMENT,\n  PRIMARY KEY (`key`),\n  UNIQUE KEY `u` (`n`,`key`),\n  KEY `c` (`n`),\n  KEY `k` (`key` DESC) USING BTREE,\n  KEY `f` ((upper(`n`))) /*!80000 INVISIBLE */,\n  FULLTEXT KEY `w` (`key`),\n  CONSTRAINT `fk` FOREIGN KEY (`n`) REFERENCES `p` (`id`) ON DELETE CASCADE,\n  CONSTRAINT `ck` CHECK ((`n` > 0))\n) ENGINE=InnoDB COMMENT='KEY'\n/*!50100 PARTITION BY HASH (`key`) */";
        let (create, indexes, foreign) = texts(&split(sql.as_bytes(), Mode::default()).unwrap());
        assert_eq!(
            create,
            "CREATE TABLE `a``b` (\n  `key` int NOT NULL COMMENT 'KEY `x` (`y`), ) ',\n  `n` int AUTO_INCREMENT,\n  PRIMARY KEY (`key`),\n  UNIQUE KEY `u` (`n`,`key`),\n  KEY `c` (`n`),\n  CONSTRAINT `ck` CHECK ((`n` > 0))\n) ENGINE=InnoDB COMMENT='KEY'\n/*!50100 PARTITION BY HASH (`key`) */"
        );
        assert_eq!(
            indexes,
            [
                "ALTER TABLE `a``b` ADD KEY `k` (`key` DESC) USING BTREE, ADD KEY `f` ((upper(`n`))) /*!80000 INVISIBLE */",
                "ALTER TABLE `a``b` ADD FULLTEXT KEY `w` (`key`)"
            ]
        );
        assert_eq!(
            foreign.unwrap(),
            "ALTER TABLE `a``b` ADD CONSTRAINT `fk` FOREIGN KEY (`n`) REFERENCES `p` (`id`) ON DELETE CASCADE"
        );
    }

    #[test]
    fn a_counter_is_found_behind_the_columns() {
        let sql = b"CREATE TABLE `t` (`id` int AUTO_INCREMENT, `x` text COMMENT ') AUTO_INCREMENT=9') ENGINE=InnoDB AUTO_INCREMENT=128 COMMENT='AUTO_INCREMENT=7'";
        assert_eq!(counted(sql, Mode::default()).unwrap(), b"ALTER TABLE `t` AUTO_INCREMENT = 128");
        assert_eq!(
            counted(
                b"CREATE TABLE `t` (`id` int AUTO_INCREMENT) COMMENT='AUTO_INCREMENT=7'",
                Mode::default()
            ),
            None
        );
    }

    #[test]
    fn what_has_nothing_to_wait_for_is_left_alone() {
        for sql in [
            "CREATE TABLE `t` (\n  `a` int,\n  PRIMARY KEY (`a`)\n)",
            "CREATE VIEW `v` AS SELECT 1",
            "CREATE TABLE `t` LIKE `u`",
            "CREATE TEMPORARY TABLE `t` (`a` int, KEY (`a`))",
            "CREATE TABLE `t` (`a` int, KEY (`a`)",
        ] {
            assert_eq!(split(sql.as_bytes(), Mode::default()), None, "{sql}");
        }
    }
}

//! What an account may see, from its own grants.
//!
//! `SHOW GRANTS` is the only place that tells the truth on managed servers, where `information_schema` is nearly empty. What matters here are
//! privileges whose absence the dump client does not notice: it then writes a smaller dump and exits with 0.

/// One line of `SHOW GRANTS`.
#[derive(Debug, PartialEq, Eq)]
struct Grant {
    revoked: bool,
    /// In upper case.
    privileges: Vec<String>,
    /// `None` for `*`. A pattern of `LIKE`, as the server treats it.
    database: Option<String>,
    /// `None` for `*`.
    table: Option<String>,
}

/// All lines that concern objects.
#[derive(Debug, Default)]
pub(super) struct Grants(Vec<Grant>);

impl Grants {
    /// Lines that are not understood (roles, proxies) grant nothing.
    pub(super) fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self(lines.into_iter().filter_map(parse_line).collect())
    }

    /// Whether any of the privileges holds for a whole database.
    pub(super) fn on_database(&self, database: &str, privileges: &[&str]) -> bool {
        let revoked = |privilege: &str| {
            self.0.iter().any(|grant| {
                grant.revoked
                    && grant.table.is_none()
                    && grant.has(privilege)
                    && grant.database.as_deref() == Some(database)
            })
        };
        self.0.iter().any(|grant| {
            !grant.revoked
                && grant.table.is_none()
                && grant.database.as_deref().is_none_or(|pattern| like(pattern, database))
                && privileges.iter().any(|privilege| {
                    grant.has(privilege) && (grant.database.is_some() || !revoked(privilege))
                })
        })
    }

    /// Whether any of the privileges holds everywhere.
    pub(super) fn everywhere(&self, privileges: &[&str]) -> bool {
        self.0.iter().any(|grant| {
            !grant.revoked
                && grant.database.is_none()
                && privileges.iter().any(|privilege| grant.has(privilege))
        })
    }

    /// Whether one table may be read.
    pub(super) fn reads_table(&self, database: &str, table: &str) -> bool {
        self.on_database(database, &["SELECT"])
            || self.0.iter().any(|grant| {
                !grant.revoked
                    && grant.has("SELECT")
                    && grant.database.as_deref() == Some(database)
                    && grant.table.as_deref() == Some(table)
            })
    }
}

impl Grant {
    fn has(&self, privilege: &str) -> bool {
        self.privileges.iter().any(|held| held == privilege || held == "ALL PRIVILEGES" || held == "ALL")
    }
}

fn parse_line(line: &str) -> Option<Grant> {
    let (revoked, rest) = match line.strip_prefix("GRANT ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("REVOKE ")?),
    };
    // Quoted names may contain anything, so the list of privileges ends at the first ON outside quotes and parentheses.
    let (list, rest) = split_outside(rest, " ON ")?;
    let privileges = list
        .split(',')
        .map(|word| word.trim().to_ascii_uppercase())
        // A privilege on columns is not one on the table.
        .filter(|word| !word.contains(['(', ')']))
        .collect();
    let rest = rest.strip_prefix("TABLE ").unwrap_or(rest);
    let (database, rest) = name(rest)?;
    let (table, _) = name(rest.strip_prefix('.')?)?;
    Some(Grant { revoked, privileges, database, table })
}

/// A name in back quotes, or `*`.
fn name(text: &str) -> Option<(Option<String>, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((None, rest));
    }
    // With ANSI_QUOTES the server uses double quotes.
    let quote = text.chars().next().filter(|c| matches!(c, '`' | '"'))?;
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            name.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            name.push(quote);
        } else {
            return Some((Some(name), &text[at + 1..]));
        }
    }
    None
}

fn split_outside<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut quote = None;
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '`' | '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) if depth == 0 && text[at..].starts_with(separator) => {
                return Some((&text[..at], &text[at + separator.len()..]));
            }
            _ => {}
        }
    }
    None
}

/// `LIKE` with `\` as its escape, as grants on databases are matched.
fn like(pattern: &str, text: &str) -> bool {
    fn go(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|skip| go(rest, &text[skip..])),
            Some(('_', rest)) => !text.is_empty() && go(rest, &text[1..]),
            Some(('\\', rest)) if !rest.is_empty() => {
                text.first() == rest.first() && go(&rest[1..], &text[1..])
            }
            Some((c, rest)) => text.first() == Some(c) && go(rest, &text[1..]),
        }
    }
    go(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        let grants = Grants::parse([
            "GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*AA ON `x`.* '",
            "GRANT SELECT, SHOW VIEW, TRIGGER ON `my\\_app`.* TO `u`@`%`",
            "GRANT EXECUTE ON `shop%`.* TO `u`@`%`",
            "GRANT SELECT (`a`, `b`), INSERT ON `cols`.`t` TO `u`@`%`",
            "GRANT SELECT ON `d``q`.`t``x` TO `u`@`%`",
            "GRANT `role ON x`@`%` TO `u`@`%`",
            "GRANT PROXY ON ''@'' TO 'root'@'localhost' WITH GRANT OPTION",
            "GRANT EXECUTE ON PROCEDURE `p`.`q` TO `u`@`%`",
        ]);
        assert!(grants.on_database("my_app", &["TRIGGER"]));
        assert!(!grants.on_database("myxapp", &["TRIGGER"]), "an escaped _ is only itself");
        assert!(grants.on_database("shop_1", &["SHOW_ROUTINE", "EXECUTE"]));
        assert!(!grants.on_database("other", &["SELECT"]));
        assert!(!grants.reads_table("cols", "t"), "columns only");
        assert!(grants.reads_table("d`q", "t`x"));
        assert!(!grants.on_database("p", &["EXECUTE"]), "one routine only");
        assert!(!grants.everywhere(&["SELECT"]));
    }

    #[test]
    fn everything_and_partial_revokes() {
        let grants = Grants::parse([
            "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION",
            "REVOKE SELECT ON `secret`.* FROM `root`@`localhost`",
        ]);
        assert!(grants.on_database("any", &["SELECT"]));
        assert!(!grants.on_database("secret", &["SELECT"]));
        assert!(grants.on_database("secret", &["TRIGGER"]));
        assert!(grants.everywhere(&["SHOW_ROUTINE"]));
        assert!(grants.reads_table("mysql", "proc"));
    }
}

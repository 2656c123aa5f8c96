//! One text for one definition, whoever prints it.

/// A column's type without what is display only: MySQL no longer prints the width of an integer.
pub(super) fn column_type(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let (word, rest) = text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len()));
    let integer = matches!(word, "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year");
    match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        // ZEROFILL pads to the width.
        Some((_, rest)) if integer && !rest.contains("zerofill") => format!("{word}{rest}"),
        _ => text,
    }
}

/// An expression or a query without what the two makers print differently: quotes around names, introducers of character sets, blanks,
/// parentheses, the case of keywords. Strings stay as they are.
pub(super) fn expression(text: &str, database: &str) -> String {
    // MySQL's catalogue shows expressions with every quote escaped once more.
    let escaped = text.contains("\\'") && !text.replace("\\'", "").contains('\'');
    let text = if escaped { unescape(text) } else { text.to_owned() };
    let text = text.replace(&format!("`{}`.", database.replace('`', "``")), "");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        if c == '\'' || c == '"' {
            let end = string_end(rest, c);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '`' | '(' | ')' => {}
            c if c.is_whitespace() => {}
            '_' if out.chars().next_back().is_none_or(|last| !last.is_alphanumeric() && last != '_') => {
                let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
                // `_utf8mb4'text'`
                if rest[word..].starts_with('\'') {
                    rest = &rest[word..];
                } else {
                    out.push('_');
                }
            }
            c => out.extend(c.to_lowercase()),
        }
    }
    // Synonyms that one of the two prints for the other's word.
    for (from, to) in
        [("<>", "!="), ("current_timestamp", "now"), ("charsetutf8mb4", ""), ("castasunsignedarray", "")]
    {
        out = out.replace(from, to);
    }
    out
}

/// A query without parentheses around its joins, which a server adds when it reads back what it printed without.
pub(super) fn joins(text: &str) -> String {
    const FROM: &str = "from (";
    let mut text = text.to_owned();
    let mut at = 0;
    while let Some(found) = text[at..].find(FROM).map(|found| at + found) {
        let open = found + FROM.len() - 1;
        at = open + 1;
        if text[at..].starts_with("select") {
            continue;
        }
        let mut depth = 0;
        let mut here = open;
        while let Some(c) = text[here..].chars().next() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                text.remove(here);
                text.remove(open);
                at = open;
                break;
            }
            here += if matches!(c, '\'' | '"' | '`') { string_end(&text[here..], c) } else { c.len_utf8() };
        }
    }
    text
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' { out.extend(chars.next()) } else { out.push(c) }
    }
    out
}

/// The position after the string that `text` begins with.
fn string_end(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + 1;
            }
        }
    }
    text.len()
}

/// A mode list without the names that one of the two does not have, in order.
pub(super) fn sql_mode(text: &str) -> String {
    const GONE: [&str; 11] = [
        "NO_AUTO_CREATE_USER",
        "POSTGRESQL",
        "ORACLE",
        "MSSQL",
        "DB2",
        "MAXDB",
        "MYSQL323",
        "MYSQL40",
        "NO_KEY_OPTIONS",
        "NO_FIELD_OPTIONS",
        "NO_TABLE_OPTIONS",
    ];
    let mut modes: Vec<_> = text.split(',').filter(|mode| !mode.is_empty() && !GONE.contains(mode)).collect();
    modes.sort_unstable();
    modes.join(",")
}

/// A default as MariaDB's catalogue prints it: strings in quotes, expressions bare, `NULL` for none.
pub(super) fn mariadb_default(text: &str) -> Option<Default> {
    if text == "NULL" {
        return None;
    }
    if let Some(inner) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return Some(Default::Literal(unescape(&inner.replace("''", "\\'"))));
    }
    let number = text.parse::<f64>().is_ok();
    let bits = text.starts_with("b'") || text.starts_with("x'") || text.starts_with("0x");
    Some(if number || bits {
        Default::Literal(text.to_owned())
    } else {
        Default::Expression(text.to_owned())
    })
}

/// What a column gets when nothing is given.
pub(super) enum Default {
    Literal(String),
    Expression(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_no_type() {
        assert_eq!(column_type("int(10) unsigned"), column_type("int unsigned"));
        assert_eq!(column_type("YEAR(4)"), "year");
        assert_eq!(column_type("tinyint(1)"), "tinyint");
        assert_ne!(column_type("int(5) unsigned zerofill"), column_type("int(6) unsigned zerofill"));
        assert_ne!(column_type("varchar(5)"), column_type("varchar(6)"));
    }

    #[test]
    fn parentheses_around_joins_are_wording() {
        let one =
            "select `a` from (`c` join (select max(`t)`) from (`x` join `y`)) `l`) where (1 or 0) and ')('";
        let two = "select `a` from `c` join (select max(`t)`) from `x` join `y`) `l` where (1 or 0) and ')('";
        assert_eq!(joins(one), two);
        assert_eq!(joins(two), two);
    }

    #[test]
    fn the_two_makers_agree() {
        let mariadb = "select `c`.`name` AS `name` from (`db`.`z_paid` `p` join `db`.`customers` `c` on(`c`.`id` = `p`.`customer_id`)) where `c`.`x` <> 'It''s ( A )'";
        let mysql = "select `c`.`name` AS `name` from (`db`.`z_paid` `p` join `db`.`customers` `c` on((`c`.`id` = `p`.`customer_id`))) where (`c`.`x` <> _utf8mb4'It''s ( A )')";
        assert_eq!(expression(mariadb, "db"), expression(mysql, "db"));
        assert_ne!(expression(mysql, "db"), expression(&mysql.replace("( A )", "( a )"), "db"));
        assert_ne!(
            expression(mysql, "db"),
            expression(&mysql.replace("`p`.`customer_id`", "`p`.`id`"), "db")
        );
        assert_eq!(
            expression("substring_index(`email`,_utf8mb4\\'@\\',-(1))", "db"),
            expression("substring_index(`email`,'@',-1)", "db")
        );
    }
}

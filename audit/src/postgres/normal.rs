//! One text for one definition, whichever major version prints it.
//!
//! Servers print queries back from their parsed form, and the wording changes: since 16 a column is qualified only where it must be, parentheses and line
//! breaks move. Within one major version the texts are compared as they are.

/// The text without qualifiers of columns, blanks, parentheses and casts; strings and quoted names as they are.
pub(super) fn definition(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let len = match c {
            '\'' | '"' => quoted(rest, c),
            c if c.is_alphabetic() || c == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(len);
        rest = after;
        let name = c == '"' || c.is_alphabetic() || c == '_';
        if name && after.starts_with('.') {
            rest = &after[1..];
            continue;
        }
        if c.is_whitespace() || c == '(' || c == ')' {
            continue;
        }
        out.push_str(token);
        out.push(' ');
    }
    out
}

fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + 1;
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::definition;

    #[test]
    fn qualifiers_and_blanks_are_wording() {
        let old = " SELECT orders.id,\n    orders.customer_id\n   FROM shop.orders\n  WHERE (orders.state = 'a.b c'::shop.order_state);";
        let new =
            " SELECT id,\n    customer_id\n   FROM shop.orders\n  WHERE state = 'a.b c'::shop.order_state;";
        assert_eq!(definition(old), definition(new));
        assert_ne!(definition(old), definition(&new.replace("a.b c", "b c")));
        assert_ne!(definition(old), definition(&new.replace("customer_id", "total")));
    }
}

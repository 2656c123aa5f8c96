//! One text for one JSON value.
//!
//! MySQL stores a tree and prints it in its own order and spacing; MariaDB stores the text that it was given. Between the two only the values can be compared.

use serde_json::Value;

/// The value without blanks, members in the order of their names. Text that is no JSON stands for itself.
pub(super) fn canonical(text: &[u8]) -> Vec<u8> {
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return text.to_vec() };
    let mut out = Vec::with_capacity(text.len());
    write(&value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            out.push(b'{');
            for name in names {
                write(&Value::String(name.clone()), out);
                out.push(b':');
                write(&members[name], out);
                out.push(b',');
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                write(item, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Value::Number(number) => {
            // `1.0`, `1` and `1e0` are one number, which MySQL prints in one way.
            let text = match number.as_f64() {
                Some(float) if !number.is_i64() && !number.is_u64() => format!("{float}"),
                _ => number.to_string(),
            };
            out.extend_from_slice(text.as_bytes());
        }
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn the_value_counts() {
        let same = [
            (&br#"{"b" : 1, "a": [1, 2.50, null]}"#[..], &br#"{"a":[1,2.5,null],"b":1.0}"#[..]),
            (br#""\u00e9""#, "\"é\"".as_bytes()),
        ];
        for (a, b) in same {
            assert_eq!(canonical(a), canonical(b));
        }
        for (a, b) in
            [(&b"[1,2]"[..], &b"[2,1]"[..]), (b"1", b"\"1\""), (b"null", b"false"), (b"[[1],2]", b"[[1,2]]")]
        {
            assert_ne!(canonical(a), canonical(b));
        }
        assert_eq!(canonical(b"not json"), b"not json");
    }
}

//! Lengths of time as people write and read them.

use std::time::Duration;

use jiff::Timestamp;
use pipeline::{Error, Result};

/// `90s`, `30m`, `24h`, `7d`, `2w`.
pub(crate) fn parse(flag: &str, text: &str) -> Result<Duration> {
    let (number, unit) = text.split_at(text.len() - usize::from(text.ends_with(['s', 'm', 'h', 'd', 'w'])));
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => 1,
    };
    let number: Option<u64> = if unit.is_empty() { None } else { number.parse().ok() };
    number.and_then(|number| number.checked_mul(seconds)).map(Duration::from_secs).ok_or_else(|| {
        Error::usage(format!("`{flag} {text}` is no time")).hint("such as 90s, 30m, 24h, 7d or 2w")
    })
}

/// How long ago, in the largest unit that says something: `3 h`, `12 d`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs();
    match seconds {
        ..-600 => "in the future".to_owned(),
        -600..120 => format!("{} s", seconds.max(0)),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(parse("--x", "24h").unwrap(), Duration::from_secs(86_400));
        assert_eq!(parse("--x", "2w").unwrap(), Duration::from_secs(14 * 86_400));
        assert_eq!(parse("--x", "0s").unwrap(), Duration::ZERO);
        for bad in ["", "24", "h", "1y", "-1h", "99999999999999999999d", "ü"] {
            assert_eq!(parse("--x", bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn ages() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        for (at, shown) in [
            ("2026-11-20T11:59:30Z", "30 s"),
            ("2026-11-20T12:01:00Z", "0 s"),
            ("2026-11-20T13:00:00Z", "in the future"),
            ("2026-11-20T01:00:00Z", "11 h"),
            ("2026-10-01T12:00:00Z", "50 d"),
        ] {
            assert_eq!(ago(at.parse().unwrap(), now), shown);
        }
    }
}

//! Sizes as people write and read them.

use pipeline::{Error, Result};

/// Parses `256MiB`, `1.5G`, `100000`. K, M, G and T are powers of 1024, with or without `iB`; `KB`, `MB`, `GB` and `TB` are
/// powers of 1000.
pub(crate) fn parse(flag: &str, text: &str) -> Result<usize> {
    let refuse = || {
        Error::usage(format!("`{text}` is no size"))
            .with("flag", flag)
            .hint("write it like 256MiB, 1.5GiB or 500MB")
    };
    let text_trimmed = text.trim();
    let split = text_trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text_trimmed.len());
    let (number, unit) = text_trimmed.split_at(split);
    let number: f64 = number.parse().map_err(|_| refuse())?;
    let scale: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return Err(refuse()),
    };
    let bytes = number * scale;
    if !(1.0..9e15).contains(&bytes) {
        return Err(refuse());
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within 1 and 9e15"
    )]
    Ok(bytes as usize)
}

/// `1.4 GiB`.
pub(crate) fn show(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value < 10.0 => format!("{value:.2} {}", UNITS[unit]),
        _ if value < 100.0 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// `12.3 s`, `4 min 05 s`, `2 h 03 min`.
pub(crate) fn show_seconds(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a run's length in seconds")]
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// Bytes per second as `123 MB/s`: rates are decimal, as networks and disks are sold.
pub(crate) fn show_rate(bytes: u64, seconds: f64) -> String {
    let rate = if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 };
    if rate >= 1e9 {
        format!("{:.2} GB/s", rate / 1e9)
    } else if rate >= 1e6 {
        format!("{:.1} MB/s", rate / 1e6)
    } else {
        format!("{:.1} kB/s", rate / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("1", 1), ("256MiB", 256 << 20), ("1.5g", 3 << 29), ("500MB", 500_000_000), (" 64 M ", 64 << 20)]
        {
            assert_eq!(parse("--memory", text).unwrap(), bytes, "{text}");
        }
        for text in ["", "MiB", "0", "-1", "1 parsec", "1e30", "NaN"] {
            assert_eq!(parse("--memory", text).unwrap_err().exit_code(), 2, "{text}");
        }
        assert_eq!(show(1023), "1023 B");
        assert_eq!(show(1 << 20), "1.00 MiB");
        assert_eq!(show_seconds(3725.0), "1 h 02 min");
    }
}

//! MariaDB's collations that MySQL 8 does not know, and the nearest that it does.
//!
//! Nearest means first: never coarser where there is a choice, since a coarser collation makes values equal that a
//! unique key had kept apart, and the load fails. Names from MariaDB's `information_schema.COLLATIONS` and MySQL's
//! reference manual, "Unicode Character Sets".

/// MySQL's abbreviations of the languages for which both have a tailored collation. MySQL has no Persian, Sinhala,
/// Myanmar or Thai one among those of Unicode 9.
const LANGUAGES: [(&str, &str); 20] = [
    ("croatian", "hr"),
    ("czech", "cs"),
    ("danish", "da"),
    ("esperanto", "eo"),
    ("estonian", "et"),
    ("german2", "de_pb"),
    ("hungarian", "hu"),
    ("icelandic", "is"),
    ("latvian", "lv"),
    ("lithuanian", "lt"),
    ("polish", "pl"),
    ("roman", "la"),
    ("romanian", "ro"),
    ("slovak", "sk"),
    ("slovenian", "sl"),
    ("spanish", "es"),
    ("spanish2", "es_trad"),
    ("swedish", "sv"),
    ("turkish", "tr"),
    ("vietnamese", "vi"),
];

/// The collation of MySQL 8 that takes this one's place; `None` if MySQL has it, or if it is not MariaDB's either.
pub(super) fn for_mysql8(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    if let Some(at) = name.find("uca1400_") {
        let charset = name[..at].trim_end_matches('_');
        return Some(from_uca1400(if charset.is_empty() { "utf8mb4" } else { charset }, &name[at + 8..]));
    }
    if let Some((charset, _)) = name.split_once("_general1400_as_ci") {
        return Some(format!("{charset}_general_ci"));
    }
    if let Some((charset, rest)) = name.split_once("_croatian_mysql561") {
        return Some(format!("{charset}_croatian{rest}"));
    }
    if let Some(charset) = name.strip_suffix("_myanmar_ci").or_else(|| name.strip_suffix("_thai_520_w2")) {
        return Some(if charset == "utf8mb4" {
            "utf8mb4_0900_ai_ci".to_owned()
        } else {
            format!("{charset}_unicode_520_ci")
        });
    }
    if !name.contains("_nopad_") {
        return None;
    }
    Some(match name.as_str() {
        // MySQL's 0900 collations compare trailing spaces too.
        "utf8mb4_nopad_bin" => "utf8mb4_0900_bin".to_owned(),
        "utf8mb4_unicode_nopad_ci" | "utf8mb4_unicode_520_nopad_ci" => "utf8mb4_0900_ai_ci".to_owned(),
        _ => name.replace("_nopad", ""),
    })
}

/// `tail` is what follows `uca1400_`: an optional language, an optional `nopad`, and the two sensitivities.
fn from_uca1400(charset: &str, tail: &str) -> String {
    let tail = tail.replace("nopad_", "");
    let (language, sensitivity) = match tail.rsplit_once("_a") {
        Some((language, rest)) => (language, format!("a{rest}")),
        None => ("", tail.clone()),
    };
    if charset != "utf8mb4" {
        // The three-byte and wide character sets have nothing newer than Unicode 5.2, insensitive or binary.
        let language =
            if LANGUAGES.iter().any(|(name, _)| *name == language) { language } else { "unicode_520" };
        let charset = if charset == "utf8" { "utf8mb3" } else { charset };
        return if sensitivity == "ai_ci" {
            format!("{charset}_{language}_ci")
        } else {
            format!("{charset}_bin")
        };
    }
    match LANGUAGES.iter().find(|(name, _)| *name == language) {
        // Tailored ones exist insensitive and fully sensitive.
        Some((_, short)) if sensitivity == "ai_ci" => format!("utf8mb4_{short}_0900_ai_ci"),
        Some((_, short)) => format!("utf8mb4_{short}_0900_as_cs"),
        None if sensitivity == "ai_cs" => "utf8mb4_0900_as_cs".to_owned(),
        None => format!("utf8mb4_0900_{sensitivity}"),
    }
}

#[cfg(test)]
mod tests {
    use super::for_mysql8;

    #[test]
    fn maps_to_names_that_mysql_has() {
        for (mariadb, mysql) in [
            ("utf8mb4_uca1400_ai_ci", "utf8mb4_0900_ai_ci"),
            ("UTF8MB4_UCA1400_AS_CI", "utf8mb4_0900_as_ci"),
            ("utf8mb4_uca1400_ai_cs", "utf8mb4_0900_as_cs"),
            ("utf8mb4_uca1400_as_cs", "utf8mb4_0900_as_cs"),
            ("utf8mb4_uca1400_nopad_ai_ci", "utf8mb4_0900_ai_ci"),
            ("uca1400_ai_ci", "utf8mb4_0900_ai_ci"),
            ("utf8mb4_uca1400_german2_ai_ci", "utf8mb4_de_pb_0900_ai_ci"),
            ("utf8mb4_uca1400_swedish_nopad_as_ci", "utf8mb4_sv_0900_as_cs"),
            ("utf8mb4_uca1400_persian_ai_ci", "utf8mb4_0900_ai_ci"),
            ("utf8mb3_uca1400_ai_ci", "utf8mb3_unicode_520_ci"),
            ("utf8mb3_uca1400_spanish2_ai_ci", "utf8mb3_spanish2_ci"),
            ("utf16_uca1400_as_cs", "utf16_bin"),
            ("utf8mb4_nopad_bin", "utf8mb4_0900_bin"),
            ("utf8mb4_general_nopad_ci", "utf8mb4_general_ci"),
            ("utf8mb4_unicode_nopad_ci", "utf8mb4_0900_ai_ci"),
            ("latin1_swedish_nopad_ci", "latin1_swedish_ci"),
            ("latin1_nopad_bin", "latin1_bin"),
            ("utf8mb4_croatian_mysql561_ci", "utf8mb4_croatian_ci"),
        ] {
            assert_eq!(for_mysql8(mariadb.as_bytes()).as_deref(), Some(mysql), "{mariadb}");
            assert_eq!(for_mysql8(mysql.as_bytes()), None, "{mysql} stays");
        }
        for name in ["utf8mb4_general_ci", "binary", "utf8mb4_unicode_520_ci", "\u{fc}", ""] {
            assert_eq!(for_mysql8(name.as_bytes()), None);
        }
    }
}

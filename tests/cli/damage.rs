//! Whatever is cut, flipped, missing or foreign is found out, at every byte.

use std::fs;

use crate::run::{Place, mysql_dump, postgres_dump};

/// Every proper prefix of every kind of file is refused as a source (exit 3) and leaves nothing.
#[test]
fn every_prefix_of_a_source_is_refused() {
    let place = Place::new();
    for (dump, plain) in [(mysql_dump(4), "m.sql"), (postgres_dump(4), "p.sql")] {
        place.write(plain, &dump);
        for ending in ["", ".gz", ".zst", ".lz4"] {
            let whole = if ending.is_empty() {
                dump.clone()
            } else {
                let name = format!("whole{ending}");
                place.run(&["copy", plain, &name, "--overwrite"]).expect(0);
                place.read(&name)
            };
            for end in 0..whole.len() {
                place.write("cut", &whole[..end]);
                // An empty file is no dump of any kind; which one it should be must be said.
                let ended = if end == 0 || (ending.is_empty() && end < 60) {
                    place.run(&[
                        "copy",
                        "cut",
                        "out.sql",
                        "--format",
                        if plain == "m.sql" { "mysql" } else { "postgres" },
                    ])
                } else {
                    place.run(&["copy", "cut", "out.sql"])
                };
                let ended = ended.expect(3);
                assert!(ended.err.contains("offset"), "{plain}{ending} cut at {end}: {}", ended.err);
                assert!(!place.names().iter().any(|n| n.contains("out.sql")), "{plain}{ending} cut at {end}");
            }
        }
    }
}

#[test]
fn a_flipped_byte_in_an_archive_is_exit_6_and_named() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(40));
    for name in ["b.sql", "b.sql.gz", "b.sql.zst", "b.sql.lz4"] {
        place.run(&["copy", "a.sql", name]).expect(0);
        let whole = place.read(name);
        for at in (0..whole.len()).step_by(whole.len() / 40 + 1).chain([whole.len() - 1]) {
            for bit in [0x01, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= bit;
                place.write(name, &damaged);
                place.run(&["verify", name]).expect(6).says(&[name, "blake3", "stored"]);
            }
        }
        place.write(name, &whole);
        place.run(&["verify", name]).expect(0);
    }
}

#[test]
fn a_cut_archive_is_exit_6_at_every_byte() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(4));
    for name in ["b.sql", "b.sql.gz", "b.sql.zst"] {
        place.run(&["copy", "a.sql", name]).expect(0);
        let whole = place.read(name);
        for end in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            place.write(name, &whole[..end]);
            place.run(&["verify", name]).expect(6).says(&[name]);
        }
    }
}

#[test]
fn a_manifest_that_is_missing_foreign_newer_or_damaged_is_no_archive() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(4));
    place.run(&["copy", "a.sql", "b.sql.gz"]).expect(0);
    let manifest = place.read("b.sql.gz.manifest.json");
    let text = String::from_utf8(manifest.clone()).unwrap();
    let foreign = r#"{"schema": 1, "something": "else"}"#.to_owned();
    let newer = text.replacen("\"schema\": 1", "\"schema\": 99", 1);
    let escape = text.replacen("\"path\": \"b.sql.gz\"", "\"path\": \"../../etc/passwd\"", 1);
    for (damaged, word) in [
        (foreign, "manifest"),
        (newer, "99"),
        (text[..text.len() / 2].to_owned(), "manifest"),
        (String::new(), "manifest"),
        (text.replace("\"parts\": [", "\"parts_were\": ["), "manifest"),
    ] {
        place.write("b.sql.gz.manifest.json", damaged);
        place.run(&["verify", "b.sql.gz"]).expect(6).says(&[word]);
    }
    // A path in the manifest never leads outside: a single stream is found by its own name, parts are refused.
    place.write("b.sql.gz.manifest.json", &escape);
    place.run(&["verify", "b.sql.gz"]).expect(0);
    fs::create_dir(place.join("d")).unwrap();
    place.write("d/manifest.json", escape);
    place.run(&["verify", "d"]).expect(6).says(&["outside"]);
    fs::remove_file(place.join("b.sql.gz.manifest.json")).unwrap();
    place.run(&["verify", "b.sql.gz"]).expect(6).says(&["no manifest"]);
    place.write("b.sql.gz.manifest.json", manifest);
    place.run(&["verify", "b.sql.gz"]).expect(0);
    fs::remove_file(place.join("b.sql.gz")).unwrap();
    place.run(&["verify", "b.sql.gz"]).expect(6).says(&["missing"]);
}

#[test]
fn a_dump_without_its_trailer_needs_a_word_from_the_user() {
    let place = Place::new();
    place.write("a.sql", "CREATE TABLE `t` (a int);\nINSERT INTO `t` VALUES (1);\n");
    place.run(&["copy", "a.sql", "b.sql"]).expect(3).says(&["--no-trailer"]);
    place.run(&["copy", "a.sql", "b.sql", "--no-trailer"]).expect(0);
    place.run(&["verify", "b.sql"]).expect(0);
}

#[test]
fn rows_and_names_of_any_bytes_are_carried_unchanged() {
    let place = Place::new();
    let mut dump = mysql_dump(1);
    let end = dump.len() - b"-- Dump completed on 2026-11-20  1:02:03\n".len();
    let trailer = dump.split_off(end);
    // A name with a newline, quotes, a backtick and an end of comment; bytes that are no UTF-8; a row of 64 MiB.
    dump.extend_from_slice(b"CREATE TABLE `od``d\n\"'*/` (`x` longblob);\nINSERT INTO `od``d\n\"'*/` VALUES (_binary '\xff\xfe\\0\\'\x80");
    dump.resize(dump.len() + (64 << 20), b'\xe9');
    dump.extend_from_slice(b"');\n");
    dump.extend_from_slice(&trailer);
    place.write("a.sql", &dump);
    place.run(&["copy", "a.sql", "b.sql", "--definer", "keep"]).expect(0);
    assert!(place.read("b.sql") == dump);
    place.run(&["copy", "a.sql", "c.sql.zst", "--for", "rds-mysql"]).expect(0);
    place.run(&["verify", "c.sql.zst"]).expect(0);
}

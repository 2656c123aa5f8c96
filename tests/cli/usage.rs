//! What is typed wrong is refused with exit 2 and a way out, before anything is touched; what is typed right does what it says.

use std::fs;
use std::process::Stdio;

use crate::run::{Ended, Place, mysql_dump, postgres_dump};

#[test]
fn mistakes_are_exit_2_with_a_hint_and_touch_nothing() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(3));
    let before = place.names();
    let cases: &[(&[&str], &str)] = &[
        (&["copy"], "Usage"),
        (&["copy", "a.sql"], "DEST is missing"),
        (&["copy", "a.sql", "b.sql", "--no-such-flag"], "--no-such-flag"),
        (&["copy", "ftp://host/a", "b.sql"], "unknown scheme `ftp://`"),
        (&["copy", "a.sql", "nfs://host/a"], "unknown scheme `nfs://`"),
        (&["copy", "mysql://u@h:notaport/db", "b.sql"], "port"),
        (&["copy", "a.sql", "redis://u@h/1"], "others would be written"),
        (&["copy", "a.sql", "b.sql", "--resume"], "belongs to a database"),
        (&["copy", "mysql://u@h/a", "mysql://u@h/b", "--resume"], "wants the archive"),
        (&["copy", "a.sql", "b.sql", "--compress", "rar"], "rar"),
        (&["copy", "a.sql", "b.sql", "--compress", "zstd:99"], "99"),
        (&["copy", "a.sql", "b.sql.gz", "--compress", "zstd"], "b.sql.gz"),
        (&["copy", "a.sql", "b.sql", "--memory", "lots"], "--memory"),
        (&["copy", "a.sql", "b.sql.zst", "--memory", "1MiB"], "--memory"),
        (&["copy", "a.sql", "b.sql", "--digest", "md5"], "md5"),
        (&["copy", "a.sql", "b.sql", "--for", "rds-oracle"], "rds-oracle"),
        (&["copy", "a.sql", "b.sql", "--definer", "set=nobody"], "definer"),
        (&["copy", "a.sql", "b.sql", "--definer", "perhaps"], "perhaps"),
        (&["copy", "a.sql", "b.sql", "--for", "rds-postgres"], "rds-postgres"),
        (&["copy", "a.sql", "b.sql", "--for", "rds-postgres", "--definer", "strip"], "--definer"),
        (&["copy", "a.sql", "b.sql", "--for", "rds-mysql", "--format", "opaque"], "contradict"),
        (&["copy", "a.sql", "b-{nothing}.sql"], "{nothing}"),
        (&["copy", "a.sql", "b.sql", "b.sql"], "twice"),
        (&["copy", "a.sql", "b.sql", "--keep-going", "c.sql"], "--keep-going"),
        (&["copy", "a.sql", "b.sql", "--reserve", "1MiB"], "--reserve"),
        (&["copy", "env:DBFERRY_UNSET_VARIABLE", "b.sql"], "DBFERRY_UNSET_VARIABLE"),
        (&["copy", "cmd:", "b.sql"], "cmd:"),
        (&["copy", "-", "some/", "--compress", "gzip"], "name"),
        (&["copy", "a.sql", "x.manifest.json"], "manifest"),
        (&["verify", "mysql://h/db"], "archive"),
        (&["man", "swim"], "swim"),
        (&["swim"], "swim"),
    ];
    for (args, word) in cases {
        let ended = place.run(args).expect(2).says(&[word]);
        assert!(
            ended.err.contains("hint:") || ended.err.contains("--help"),
            "no way out for {args:?}: {}",
            ended.err
        );
        assert_eq!(ended.out, "", "{args:?}");
        assert_eq!(place.names(), before, "{args:?}");
    }
}

#[test]
fn json_and_data_do_not_share_standard_output() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(3));
    // With `--json` an error, too, is a document on standard output.
    let ended = place.run(&["copy", "a.sql", "-", "--json"]).expect(2);
    let error: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert!(
        error["message"].to_string().contains("--json") && !error["hints"].to_string().is_empty(),
        "{error}"
    );
}

#[test]
fn help_and_version_are_for_newcomers() {
    let place = Place::new();
    for args in
        [&["--help"][..], &["copy", "--help"], &["verify", "--help"], &["inspect", "-h"], &["--version"]]
    {
        let ended = place.run(args).expect(0);
        assert!(!ended.out.is_empty() && ended.err.is_empty(), "{args:?}");
    }
    let help = place.run(&["copy", "--help"]).expect(0).out;
    for word in ["mysql://", "pvc:///", "{date}", "--for", "Examples"] {
        assert!(help.contains(word), "{word}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.run(&["completions", shell]).expect(0).out.contains("dbferry"));
    }
    assert!(place.run(&["man"]).expect(0).out.contains(".TH"));
    assert!(place.run(&["man", "copy"]).expect(0).out.contains("overwrite"));
}

#[test]
fn a_dump_goes_through_every_codec_and_comes_back_byte_for_byte() {
    let place = Place::new();
    let dump = mysql_dump(500);
    place.write("a.sql", &dump);
    for (name, tool) in [("b.sql.zst", "zstd"), ("b.sql.gz", "gzip"), ("b.sql.lz4", "lz4")] {
        place.run(&["copy", "a.sql", name]).expect(0);
        let stock = std::process::Command::new(tool).arg("-dc").arg(place.join(name)).output().unwrap();
        assert!(stock.status.success(), "{tool}");
        assert_eq!(stock.stdout, dump, "{tool}");
        place.run(&["verify", name]).expect(0).says(&["verified"]);
        // And out of the archive again, to standard output.
        let out = place.command(&["copy", name, "-"]).output().unwrap();
        assert_eq!(out.status.code(), Some(0));
        assert_eq!(out.stdout, dump, "{name}");
    }
    let manifest = place.manifest("b.sql.zst");
    assert_eq!(manifest["schema"], 1);
    assert_eq!(manifest["parts"][0]["format"], "mysql");
    assert_eq!(manifest["parts"][0]["compression"], "zstd");
    assert_eq!(manifest["parts"][0]["raw"]["bytes"], dump.len());
    assert_eq!(manifest["parts"][0]["raw"]["digests"]["blake3"], blake3::hash(&dump).to_hex().to_string());
    assert_eq!(
        manifest["parts"][0]["stored"]["digests"]["blake3"],
        blake3::hash(&place.read("b.sql.zst")).to_hex().to_string()
    );
}

#[test]
fn definers_are_stripped_from_clauses_and_kept_in_data_and_told() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(3));
    let ended = place.run(&["copy", "a.sql", "b.sql", "--for", "rds-mysql"]).expect(0);
    assert!(ended.err.contains("definer"), "{}", ended.err);
    let text = String::from_utf8(place.read("b.sql")).unwrap();
    assert!(!text.contains("DEFINER=`root`"), "{text}");
    assert_eq!(text.matches("DEFINER=`a`@`b`").count(), 3, "row data stays: {text}");
    assert!(!text.contains("sandbox"));
    let transforms = place.manifest("b.sql")["parts"][0]["transforms"].to_string();
    assert!(transforms.contains("definer-stripped-view"), "{transforms}");
}

#[test]
fn owners_go_from_a_postgres_dump_and_its_data_stays() {
    let place = Place::new();
    place.write("a.sql", postgres_dump(3));
    place.run(&["copy", "a.sql", "b.sql", "--for", "rds-postgres"]).expect(0);
    let text = String::from_utf8(place.read("b.sql")).unwrap();
    assert!(!text.contains("ALTER TABLE public.t OWNER TO"), "{text}");
    assert_eq!(text.matches("OWNER TO joe;").count(), 3, "row data stays: {text}");
    assert!(text.contains("\\restrict abcDEF123") && text.ends_with("\\unrestrict abcDEF123\n\n"));
}

#[test]
fn names_are_filled_in_and_a_folder_gets_a_name() {
    let place = Place::new();
    place.write("shop.sql", mysql_dump(3));
    place.run(&["copy", "shop.sql", "{db}-{date}-{id}.sql"]).expect(0);
    let name =
        place.names().into_iter().find(|name| name.starts_with("shop-2") && name.ends_with(".sql")).unwrap();
    place.run(&["verify", &name]).expect(0);
    fs::create_dir(place.join("tree")).unwrap();
    fs::write(place.join("tree/file"), "x").unwrap();
    fs::create_dir(place.join("out")).unwrap();
    place.run(&["copy", "tree", "out/"]).expect(0);
    let made: Vec<_> = fs::read_dir(place.join("out"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(made.iter().any(|name| name.starts_with("tree-2") && name.ends_with(".tar.zst")), "{made:?}");
}

#[test]
fn json_is_one_document_and_changes_no_exit_code() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(3));
    let summary: serde_json::Value =
        serde_json::from_str(&place.run(&["copy", "a.sql", "b.sql.gz", "--json"]).expect(0).out).unwrap();
    assert_eq!((summary["type"].as_str(), summary["exit_code"].as_i64()), (Some("summary"), Some(0)));
    assert!(summary["stages"].as_array().unwrap().len() >= 3);
    let again = place.run(&["copy", "a.sql", "b.sql.gz", "--json"]).expect(5);
    let error: serde_json::Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((error["type"].as_str(), error["exit_code"].as_i64()), (Some("error"), Some(5)));
    assert!(error["hints"].to_string().contains("--overwrite"), "{error}");
    let verified: serde_json::Value =
        serde_json::from_str(&place.run(&["verify", "b.sql.gz", "--json"]).expect(0).out).unwrap();
    assert_eq!(verified["type"], "verified");
    let plan: serde_json::Value =
        serde_json::from_str(&place.run(&["copy", "a.sql", "c.sql", "--dry-run", "--json"]).expect(0).out)
            .unwrap();
    assert_eq!(plan["type"], "plan");
}

#[test]
fn quiet_is_quiet_and_a_dry_run_is_dry() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(3));
    let before = place.names();
    let dry = place.run(&["copy", "a.sql", "b.sql.zst", "--dry-run"]).expect(0);
    assert!(dry.err.contains("memory: at most"), "{}", dry.err);
    assert_eq!(place.names(), before);
    let ended = place.run(&["copy", "a.sql", "b.sql.zst", "-q"]).expect(0);
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("", ""));
    assert_eq!(place.run(&["verify", "b.sql.zst", "-q"]).expect(0).err, "");
}

#[test]
fn an_archive_that_was_moved_or_renamed_still_verifies() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(30));
    place.run(&["copy", "a.sql", "b.sql.zst"]).expect(0);
    fs::create_dir(place.join("elsewhere")).unwrap();
    fs::rename(place.join("b.sql.zst"), place.join("elsewhere/c.zst")).unwrap();
    fs::rename(place.join("b.sql.zst.manifest.json"), place.join("elsewhere/m.json")).unwrap();
    place.run(&["verify", "elsewhere/c.zst"]).expect(6).says(&["--manifest", "--without-manifest"]);
    place.run(&["verify", "elsewhere/c.zst", "--without-manifest"]).expect(0);
    place.run(&["verify", "elsewhere/c.zst", "--manifest", "elsewhere/m.json"]).expect(0);
}

#[test]
fn a_command_is_a_source_and_its_exit_status_counts() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(3));
    place.run(&["copy", "cmd:cat a.sql | gzip", "b.sql.zst"]).expect(0);
    place.run(&["copy", "c.sql", "--", "cat", "a.sql"]).expect(0);
    assert_eq!(place.read("c.sql"), place.read("a.sql"));
    let failed =
        place.run(&["copy", "cmd:cat a.sql; echo the disk is on fire >&2; exit 7", "d.sql"]).expect(3);
    assert!(failed.err.contains('7') && failed.err.contains("the disk is on fire"), "{}", failed.err);
    place.run(&["copy", "cmd:cat missing.sql | cat", "d.sql"]).expect(3);
    place.run(&["copy", "cmd:true", "d.sql"]).expect(3).says(&["--allow-empty"]);
    place
        .run(&["copy", "d.sql", "--", "no-such-program-anywhere"])
        .expect(3)
        .says(&["no-such-program-anywhere"]);
    assert!(
        !place.names().iter().any(|name| name.starts_with("d.sql") || name.starts_with('.')),
        "{:?}",
        place.names()
    );
    // Chatter on standard error is a warning when the command succeeds.
    place.run(&["copy", "cmd:echo deprecated >&2; cat a.sql", "e.sql"]).expect(0).says(&["deprecated"]);
}

#[test]
fn standard_input_is_a_source_and_a_reader_that_goes_away_is_a_failure() {
    let place = Place::new();
    let path = place.write("a.sql", mysql_dump(300));
    let output =
        place.command(&["copy", "-", "b.sql.zst"]).stdin(fs::File::open(&path).unwrap()).output().unwrap();
    Ended::of(&output).expect(0);
    place.run(&["verify", "b.sql.zst"]).expect(0);
    place.write("big", vec![b'x'; 8 << 20]);
    let mut child =
        place.command(&["copy", "big", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    Ended::of(&child.wait_with_output().unwrap()).expect(5);
}

#[test]
fn several_destinations_are_fed_at_once_and_optional_ones_may_fail() {
    let place = Place::new();
    let dump = mysql_dump(300);
    place.write("a.sql", &dump);
    place.run(&["copy", "a.sql", "b.sql", "c.sql.gz", "d.sql.zst"]).expect(0);
    assert_eq!(place.read("b.sql"), dump);
    for name in ["b.sql", "c.sql.gz", "d.sql.zst"] {
        place.run(&["verify", name]).expect(0);
    }
    place.run(&["copy", "a.sql", "e.sql", "missing/f.sql"]).expect(5);
    assert!(!place.names().contains(&"e.sql".to_owned()));
    place
        .run(&["copy", "a.sql", "e.sql", "missing/f.sql", "--keep-going", "missing/f.sql"])
        .expect(0)
        .says(&["left out"]);
    place.run(&["verify", "e.sql"]).expect(0);
}

#[test]
fn inspect_tells_what_is_inside() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(120));
    place.run(&["copy", "a.sql", "a.sql.zst"]).expect(0);
    let table = place.run(&["inspect", "a.sql.zst"]).expect(0).out;
    for word in ["`t`", "120", "`v`", "root"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&place.run(&["inspect", "a.sql.zst", "--json"]).expect(0).out).unwrap();
    assert_eq!(json["contents"]["format"], "mysql");
    place.write("p.sql", postgres_dump(77));
    let table = place.run(&["inspect", "p.sql"]).expect(0).out;
    for word in ["public.t", "77", "joe"] {
        assert!(table.contains(word), "{word}: {table}");
    }
}

#[test]
fn secrets_in_a_url_are_never_repeated() {
    let place = Place::new();
    for url in [
        "mysql://root:hunter2secret@127.0.0.1:1/db",
        "postgres://root:hunter2secret@127.0.0.1:1/db",
        "mysql://root:hunter2secret@127.0.0.1:1/db?nonsense=1",
        "mysql://root:hunter2secret@[::bad/db",
    ] {
        for extra in [&[][..], &["--json"], &["-v"], &["--dry-run"]] {
            let mut args = vec!["copy", url, "x.sql"];
            args.extend(extra);
            let ended = place.run(&args);
            assert!(ended.code == 3 || ended.code == 2 || ended.code == 75, "{ended:?}");
            assert!(
                !ended.err.contains("hunter2secret") && !ended.out.contains("hunter2secret"),
                "{ended:?}"
            );
        }
    }
}

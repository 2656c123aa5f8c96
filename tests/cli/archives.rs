//! Catalogue, retention and clean-up of a folder, as a user meets them.

use std::fs;

use serde_json::Value;

use crate::run::{Place, mysql_dump};

pub(crate) fn json(place: &Place, args: &[&str], code: i32) -> Value {
    serde_json::from_str(&place.run(args).expect(code).out).unwrap()
}

/// Makes an archive, and lets its manifest say that the run began then.
pub(crate) fn archive(place: &Place, name: &str, started: &str, rows: usize) {
    place.write("in.sql", mysql_dump(rows));
    place.run(&["copy", "in.sql", name, "-q"]).expect(0);
    let path = format!("{name}.manifest.json");
    let mut manifest: Value = serde_json::from_slice(&place.read(&path)).unwrap();
    manifest["started"] = started.into();
    manifest["finished"] = started.into();
    fs::write(place.join(&path), manifest.to_string()).unwrap();
}

pub(crate) fn names(listed: &Value) -> Vec<&str> {
    listed["archives"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect()
}

#[test]
fn the_catalogue_goes_by_manifests_and_names_what_is_odd() {
    let place = Place::new();
    fs::create_dir_all(place.join("b/deep")).unwrap();
    archive(&place, "b/old.sql.zst", "2026-01-01T00:00:00Z", 30);
    archive(&place, "b/deep/new.sql", "2026-02-01T00:00:00Z", 30);
    place.write("b/looks-like.sql.zst", "an archive, by its name");
    place.write("b/torn.sql.manifest.json", "{\"schema\": 1, \"tool\": \"dbferry 0.1");
    place.write("b/empty.sql.manifest.json", "");
    place.write("b/later.sql.manifest.json", r#"{"schema": 99, "tool": "dbferry 9.0"}"#);
    place.write("b/deep/manifest.json", r#"{"manifest_version": 3, "name": "an extension"}"#);
    place.write("b/.old.sql.zst.x.partial", "staged");
    std::os::unix::fs::symlink("..", place.join("b/circle")).unwrap();
    let listed = json(&place, &["ls", "b", "--json"], 0);
    assert_eq!(names(&listed), ["old.sql.zst", "deep/new.sql"]);
    assert_eq!(listed["archives"][0]["standing"]["state"], "verified");
    assert_eq!(listed["archives"][0]["raw_bytes"], mysql_dump(30).len());
    let strange = listed["strange"].to_string();
    for why in ["corrupt: it is empty", "newer: it has schema 99", "foreign", "torn.sql.manifest.json"] {
        assert!(strange.contains(why), "{why}: {strange}");
    }
    let table = place.run(&["ls", "b"]).expect(0).out;
    for word in ["ARCHIVE", "old.sql.zst", "counted and synced", "total: 2 archives", "kept, no archive"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    // What retention cannot read it does not touch.
    let before = place.read("b/torn.sql.manifest.json");
    place.run(&["prune", "b", "--keep-last", "1", "--group-by", "folder", "--yes"]).expect(0);
    assert_eq!(place.read("b/torn.sql.manifest.json"), before);
    assert!(place.join("b/later.sql.manifest.json").exists() && place.join("b/looks-like.sql.zst").exists());
    place.run(&["ls", "missing"]).expect(3).says(&["missing", "hint:"]);
    place.run(&["ls", "mysql://u@h/db"]).expect(2).says(&["holds no archives"]);
}

#[test]
fn what_is_missing_or_cut_is_no_good_archive() {
    let place = Place::new();
    fs::create_dir(place.join("b")).unwrap();
    archive(&place, "b/1.sql", "2026-01-01T00:00:00Z", 30);
    archive(&place, "b/2.sql", "2026-01-02T00:00:00Z", 30);
    archive(&place, "b/3.sql", "2026-01-03T00:00:00Z", 30);
    fs::remove_file(place.join("b/1.sql")).unwrap();
    let data = place.read("b/2.sql");
    fs::write(place.join("b/2.sql"), &data[1..]).unwrap();
    let listed = json(&place, &["ls", "b", "--json"], 0);
    let why =
        |index: usize| listed["archives"][index]["standing"]["why"].as_str().unwrap_or("fine").to_owned();
    assert_eq!(why(0), "1.sql is missing");
    assert!(why(1).contains("the manifest says"), "{}", why(1));
    assert_eq!(why(2), "fine");
}

#[test]
fn a_check_is_written_down_beside_the_archive() {
    let place = Place::new();
    fs::create_dir(place.join("b")).unwrap();
    archive(&place, "b/1.sql.zst", "2026-01-01T00:00:00Z", 300);
    place.run(&["verify", "b/1.sql.zst", "--record"]).expect(0);
    let listed = json(&place, &["ls", "b", "--json"], 0);
    assert_eq!(listed["archives"][0]["standing"]["by"], "verify");
    let shown = place.run(&["show", "b/1.sql.zst"]).expect(0).out;
    assert!(shown.contains("last check  passed, verify on 20") && shown.contains("blake3"), "{shown}");
    let mut data = place.read("b/1.sql.zst");
    let middle = data.len() / 2;
    data[middle] ^= 1;
    fs::write(place.join("b/1.sql.zst"), data).unwrap();
    place.run(&["verify", "b/1.sql.zst", "--record"]).expect(6);
    let listed = json(&place, &["ls", "b", "--json"], 0);
    assert_eq!(listed["archives"][0]["standing"]["state"], "failed");
    // A record says nothing about the archive that took the place of its own.
    place.run(&["copy", "in.sql", "b/1.sql.zst", "--overwrite"]).expect(0);
    let listed = json(&place, &["ls", "b", "--json"], 0);
    assert_eq!(listed["archives"][0]["standing"]["state"], "verified");
}

#[test]
fn retention_shows_first_and_removes_with_yes() {
    let place = Place::new();
    fs::create_dir(place.join("b")).unwrap();
    for day in 1..=6 {
        archive(&place, &format!("b/{day}.sql"), &format!("2026-01-0{day}T02:00:00Z"), 30);
    }
    place.run(&["verify", "b/1.sql", "--record"]).expect(0);
    let before = fs::read_dir(place.join("b")).unwrap().count();
    let rules = ["prune", "b", "--keep-last", "2", "--keep-weekly", "2"];
    let preview = place.run(&rules).expect(0).out;
    assert!(preview.contains("would remove") && preview.contains("last 1, weekly 1"), "{preview}");
    assert!(preview.contains("keeps 3, would remove 3"), "{preview}");
    assert_eq!(fs::read_dir(place.join("b")).unwrap().count(), before);
    place.run(&[&rules[..], &["--yes"]].concat()).expect(0);
    let listed = json(&place, &["ls", "b", "--json"], 0);
    // The fourth is a Sunday.
    assert_eq!(names(&listed), ["4.sql", "5.sql", "6.sql"]);
    let mut left: Vec<_> = fs::read_dir(place.join("b"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(
        left,
        ["4.sql", "4.sql.manifest.json", "5.sql", "5.sql.manifest.json", "6.sql", "6.sql.manifest.json"]
    );
    for name in ["4", "5", "6"] {
        place.run(&["verify", &format!("b/{name}.sql")]).expect(0);
    }
    place.run(&["prune", "b", "--yes"]).expect(2).says(&["no rule", "--keep-last"]);
    place.run(&["prune", "b", "--keep-last", "1", "--max-shrink", "200%"]).expect(2).says(&["--max-shrink"]);
    place.run(&["prune", "b", "--keep-within", "soon"]).expect(2).says(&["--keep-within"]);
}

#[test]
fn a_shrunk_or_broken_newest_stops_retention() {
    let place = Place::new();
    fs::create_dir(place.join("b")).unwrap();
    archive(&place, "b/1.sql", "2026-01-01T02:00:00Z", 300);
    archive(&place, "b/2.sql", "2026-01-02T02:00:00Z", 300);
    archive(&place, "b/3.sql", "2026-01-03T02:00:00Z", 3);
    let rules = ["prune", "b", "--keep-last", "1", "--yes"];
    let ended = place.run(&rules).expect(6).says(&["less than", "--accept"]);
    assert!(ended.out.contains("HELD"), "{}", ended.out);
    assert_eq!(names(&json(&place, &["ls", "b", "--json"], 0)).len(), 3);
    fs::remove_file(place.join("b/3.sql")).unwrap();
    place.run(&rules).expect(6).says(&["failed a check"]);
    place.run(&["prune", "b", "--keep-last", "1", "--min-size", "1GiB", "--yes"]).expect(6);
    fs::remove_file(place.join("b/3.sql.manifest.json")).unwrap();
    place.run(&rules).expect(0);
    assert_eq!(names(&json(&place, &["ls", "b", "--json"], 0)), ["2.sql"]);
}

#[test]
fn gc_finds_what_killed_runs_left_in_a_folder() {
    let place = Place::new();
    fs::create_dir_all(place.join("b/sub")).unwrap();
    archive(&place, "b/sub/1.sql", "2026-01-01T02:00:00Z", 30);
    // A run that is killed with SIGKILL while it stages.
    let mut child =
        place.command(&["copy", "b/sub/2.sql", "--", "sh", "-c", "cat in.sql; sleep 60"]).spawn().unwrap();
    let staged = || {
        fs::read_dir(place.join("b/sub")).unwrap().any(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.starts_with(".2.sql.") && !name.contains("manifest")
        })
    };
    while !staged() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    // It lives, so it is nobody's to remove, whatever its age.
    let said = place.run(&["gc", "b", "--older-than", "0s"]).expect(0).err;
    assert!(said.contains("found: 0 staged"), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
    // A removal that was killed behind its first step, and one of a name that was taken again.
    archive(&place, "b/3.sql", "2026-01-01T02:00:00Z", 30);
    let id = place.manifest("b/3.sql")["id"].as_str().unwrap().to_owned();
    fs::rename(place.join("b/3.sql.manifest.json"), place.join(&format!("b/.3.sql.{id}.pruned"))).unwrap();
    archive(&place, "b/4.sql", "2026-01-01T02:00:00Z", 30);
    let id = place.manifest("b/4.sql")["id"].as_str().unwrap().to_owned();
    fs::copy(place.join("b/4.sql.manifest.json"), place.join(&format!("b/.4.sql.{id}.pruned"))).unwrap();
    place.write("b/.precious.r1.old", "perhaps the only one");
    assert!(place.run(&["gc", "b"]).expect(0).err.contains("found: 0 staged"), "a day is the default");
    let said = place.run(&["gc", "b", "--older-than", "0s"]).expect(0).err;
    assert!(said.contains("found: 1 staged files or directories, 2 unfinished removals"), "{said}");
    assert!(said.contains("about to replace") && place.join("b/3.sql").exists(), "{said}");
    place.run(&["gc", "b", "--older-than", "0s", "--yes"]).expect(0);
    let said = place.run(&["gc", "b", "--older-than", "0s"]).expect(0).err;
    assert!(said.contains("found: 0 staged files or directories, 0 unfinished"), "{said}");
    assert!(!place.join("b/3.sql").exists() && !staged());
    assert!(place.join("b/.precious.r1.old").exists());
    for name in ["b/4.sql", "b/sub/1.sql"] {
        place.run(&["verify", name]).expect(0);
    }
}

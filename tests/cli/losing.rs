//! What would lose somebody's last good archive, tried.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::archives::{archive, json, names};
use crate::run::{Place, mysql_dump};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/formats/src/rdb/fixtures/redis-7.0.15.rdb");

/// Names that `ls` shows.
fn listed(place: &Place, folder: &str) -> Vec<String> {
    names(&json(place, &["ls", folder, "--json"], 0)).into_iter().map(str::to_owned).collect()
}

#[test]
fn the_shards_of_one_run_do_not_replace_one_another() {
    let place = Place::new();
    fs::create_dir(place.join("b")).unwrap();
    for run in ["1", "2"] {
        place.run(&["copy", SNAPSHOT, &format!("b/{run}-{{shard}}.rdb"), "--shards", "3"]).expect(0);
        std::thread::sleep(Duration::from_millis(1100));
    }
    place.run(&["copy", SNAPSHOT, "b/some.rdb", "--keys", "a*", "--redis-db", "0"]).expect(0);
    place.run(&["prune", "b", "--keep-last", "1", "--yes"]).expect(0);
    assert_eq!(listed(&place, "b"), ["2-1.rdb", "2-2.rdb", "2-3.rdb", "some.rdb"]);
    // The same by a job of its own.
    let job = format!(
        "[jobs.seed]\nfrom = '{SNAPSHOT}'\nto = 'c/seed-{{id}}-{{shard}}.rdb'\noptions = ['--shards', '3']\nkeep = {{ last = 1 }}\n"
    );
    place.write("jobs.toml", job);
    fs::create_dir(place.join("c")).unwrap();
    for _ in 0..2 {
        place.run(&["run", "jobs.toml", "-q"]).expect(0);
        std::thread::sleep(Duration::from_millis(1100));
    }
    assert_eq!(listed(&place, "c").len(), 3);
}

#[test]
fn servers_of_one_name_in_two_folders_are_two_servers() {
    let place = Place::new();
    // Two machines, each of which archives its own localhost.
    for (folder, day) in [("b/east", "01"), ("b/west", "02"), ("b/west", "03")] {
        fs::create_dir_all(place.join(folder)).unwrap();
        archive(&place, &format!("{folder}/{day}.sql"), &format!("2026-01-{day}T01:00:00Z"), 30);
    }
    place.run(&["prune", "b", "--keep-last", "1", "--yes"]).expect(0);
    assert_eq!(listed(&place, "b"), ["east/01.sql", "west/03.sql"]);
}

#[test]
fn retention_of_a_job_leaves_what_is_not_called_as_its_own() {
    let place = Place::new();
    place.write("in.sql", mysql_dump(100));
    fs::create_dir_all(place.join("out/other-cluster")).unwrap();
    // The full archive once a week, a rewritten one each night, another cluster below, and one by hand: all of one source.
    for name in
        ["out/sys-full-20260101t000000z-00000001.sql", "out/other-cluster/sys.sql", "out/before-upgrade.sql"]
    {
        archive(&place, name, "2026-01-01T01:00:00Z", 100);
    }
    place.write("jobs.toml", "[jobs.sys]\nfrom = 'in.sql'\nto = 'out/{job}-{id}.sql'\nkeep = { last = 1 }\n");
    for _ in 0..2 {
        place.run(&["run", "jobs.toml", "-q"]).expect(0);
        std::thread::sleep(Duration::from_millis(1100));
    }
    let left = listed(&place, "out");
    assert_eq!(left.len(), 4, "{left:?}");
    assert_eq!(
        left.iter().filter(|name| name.starts_with("sys-2026") || name.starts_with("sys-20")).count(),
        1
    );
}

#[test]
fn what_a_run_just_made_stays_whatever_the_clocks_say() {
    let place = Place::new();
    place.write("in.sql", mysql_dump(100));
    fs::create_dir(place.join("out")).unwrap();
    place.write("jobs.toml", "[jobs.a]\nfrom = 'in.sql'\nto = 'out/{id}.sql'\nkeep = { last = 1 }\n");
    place.run(&["run", "jobs.toml", "-q"]).expect(0);
    // A machine whose clock was a little ahead made it.
    let first = listed(&place, "out").remove(0);
    let path = format!("out/{first}.manifest.json");
    let mut manifest: Value = serde_json::from_slice(&place.read(&path)).unwrap();
    manifest["started"] = (jiff::Timestamp::now() + Duration::from_secs(300)).to_string().into();
    fs::write(place.join(&path), manifest.to_string()).unwrap();
    place.run(&["run", "jobs.toml"]).expect(6).says(&["archive is whole", "not the newest", "clock"]);
    assert_eq!(listed(&place, "out").len(), 2);
}

#[test]
fn a_database_that_lost_its_tables_holds_the_group_until_a_person_accepts_it() {
    let place = Place::new();
    fs::create_dir(place.join("b")).unwrap();
    for day in 1..=20 {
        let rows = if day <= 3 { 400 } else { 20 };
        archive(&place, &format!("b/{day:02}.sql"), &format!("2026-01-{day:02}T01:00:00Z"), rows);
    }
    let rules = ["prune", "b", "--keep-last", "2", "--yes"];
    place.run(&rules).expect(6).says(&["less than", "--accept"]);
    assert_eq!(
        listed(&place, "b").len(),
        20,
        "more than a week of small ones is no proof that small is right"
    );
    place.run(&["verify", "b/20.sql", "--accept"]).expect(0);
    place.run(&rules).expect(0);
    assert_eq!(listed(&place, "b"), ["19.sql", "20.sql"]);
    // It stays accepted when it is checked again.
    place.run(&["verify", "b/20.sql", "--record"]).expect(0);
    place.run(&rules).expect(0);
}

#[test]
fn a_check_of_the_stored_bytes_takes_no_fault_of_the_content_back() {
    let place = Place::new();
    fs::create_dir(place.join("b")).unwrap();
    let made =
        std::process::Command::new("age-keygen").arg("-o").arg(place.join("key.txt")).output().unwrap();
    let key = String::from_utf8_lossy(&made.stderr).trim().rsplit(' ').next().unwrap().to_owned();
    place.write("in.sql", mysql_dump(100));
    place.run(&["copy", "in.sql", "b/1.sql.age", "--encrypt-to", &key]).expect(0);
    // Its manifest promises other content: what a drill or a `verify` with the key finds.
    let mut manifest = place.manifest("b/1.sql.age");
    manifest["parts"][0]["raw"]["digests"]["blake3"] = "0".repeat(64).into();
    place.write("b/1.sql.age.manifest.json", manifest.to_string());
    place.run(&["verify", "b/1.sql.age", "--identity", "key.txt", "--record"]).expect(6);
    place.run(&["verify", "b/1.sql.age", "--record"]).expect(0);
    let shown = json(&place, &["ls", "b", "--json"], 0);
    assert_eq!(shown["archives"][0]["standing"]["state"], "failed", "{shown}");
}

#[test]
fn a_directory_that_holds_what_is_not_the_archives_is_not_removed() {
    let place = Place::new();
    fs::create_dir(place.join("b")).unwrap();
    for day in 1..=2 {
        let (name, folder) = (format!("{day}.sql"), format!("b/set{day}"));
        archive(&place, &name, &format!("2026-01-0{day}T01:00:00Z"), 30);
        fs::create_dir(place.join(&folder)).unwrap();
        let mut manifest = place.manifest(&name);
        manifest["parts"][0]["path"] = name.clone().into();
        place.write(&format!("{folder}/manifest.json"), manifest.to_string());
        fs::rename(place.join(&name), place.join(&format!("{folder}/{name}"))).unwrap();
    }
    fs::create_dir(place.join("b/set1/deep")).unwrap();
    place.write("b/set1/deep/the-only.rdb", "somebody's");
    let rules = ["prune", "b", "--keep-last", "1", "--group-by", "source", "--yes"];
    place.run(&rules).expect(5).says(&["not its own", "the-only.rdb", "hint:"]);
    assert_eq!(listed(&place, "b"), ["set1", "set2"]);
    assert!(place.join("b/set1/deep/the-only.rdb").exists());
    fs::remove_file(place.join("b/set1/deep/the-only.rdb")).unwrap();
    place.run(&rules).expect(0);
    assert_eq!(listed(&place, "b"), ["set2"]);
    assert!(!place.join("b/set1").exists());
}

#[test]
fn a_drill_in_the_hook_comes_before_anything_older_goes() {
    let place = Place::new();
    place.write("in.sql", mysql_dump(100));
    fs::create_dir(place.join("out")).unwrap();
    let job = "[jobs.a]\nfrom = 'in.sql'\nto = 'out/{id}.sql'\nkeep = { last = 1 }\n";
    place.write("jobs.toml", job);
    place.run(&["run", "jobs.toml", "-q"]).expect(0);
    let first = listed(&place, "out").remove(0);
    std::thread::sleep(Duration::from_millis(1100));
    // What a drill that fails does: it says so, and writes it down or cannot.
    place.write("jobs.toml", format!("{job}hooks = {{ after = 'echo it does not restore >&2; exit 6' }}\n"));
    place.run(&["run", "jobs.toml"]).expect(3).says(&[
        "archive is whole",
        "the hook `after` failed",
        "does not restore",
    ]);
    assert!(listed(&place, "out").contains(&first));
    place.run(&["verify", &format!("out/{first}")]).expect(0);
}

//! Disks that are full, targets that are there, signals and kills at any moment.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::run::{Ended, Place, mysql_dump};

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    // `kill` may find that the process ended by itself.
    Command::new("kill").args([name, &pid]).stderr(Stdio::null()).status().unwrap();
}

/// What a run may leave behind in its folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Litter {
    /// Nothing.
    None,
    /// What was moved aside by a run that was killed while it replaced an archive: a person must look at it.
    Replaced,
    /// That, and what a killed run had staged.
    Staged,
}

/// What is visible is whole, and nothing is left over but what is hidden and marked as staged or replaced.
fn nothing_half_done(place: &Place, archive: &str, litter: Litter) -> bool {
    let names = place.names();
    let exists = names.contains(&format!("{archive}.manifest.json"));
    if exists {
        place.run(&["verify", archive]).expect(0);
    } else if names.iter().any(|name| name == archive) {
        // Killed between the two renames: data without a manifest is no archive, and still not half of anything.
        assert!(litter == Litter::Staged, "{archive} is visible without its manifest");
        place.run(&["verify", archive]).expect(6);
        place.run(&["verify", archive, "--without-manifest"]).expect(0);
        assert!(names.iter().any(|name| name.ends_with(".manifest.partial")), "{names:?}");
    }
    for name in &names {
        let ours = name == archive || *name == format!("{archive}.manifest.json");
        let hidden = name.starts_with('.') && name.contains(archive);
        let staged = hidden && name.contains("partial") && litter == Litter::Staged;
        let replaced = hidden && name.ends_with(".old") && litter != Litter::None;
        assert!(ours || ["a.sql", "gen"].contains(&name.as_str()) || staged || replaced, "left over: {name}");
    }
    exists
}

/// A command that writes a whole dump of some MB, slowly enough to be interrupted.
const SLOW: &str =
    "cmd:head -c 200000 a.sql; for i in 1 2 3 4 5 6; do sleep 0.02; done; tail -c +200001 a.sql";

#[test]
fn sigterm_and_sigint_at_any_moment_leave_nothing_half_done() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(40_000));
    let (mut stopped, mut finished) = (0, 0);
    for n in 0..40u64 {
        let (name, code) = if n % 2 == 0 { ("-TERM", 143) } else { ("-INT", 130) };
        let child = place
            .command(&["copy", SLOW, "out.sql.zst"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(n * 8));
        signal(&child, name);
        let ended = Ended::of(&child.wait_with_output().unwrap());
        let exists = nothing_half_done(&place, "out.sql.zst", Litter::None);
        if ended.code == 0 {
            finished += 1;
            assert!(exists);
        } else if ended.code == -1 {
            // Before the handler was there the signal's own default applies; how long that is depends on the machine.
            assert!(!exists, "{ended:?}");
        } else {
            assert_eq!(ended.code, code, "{ended:?}");
            assert!(ended.err.contains(&name[1..]) && !exists, "{ended:?}");
            stopped += 1;
        }
        for file in ["out.sql.zst", "out.sql.zst.manifest.json"] {
            if exists {
                fs::remove_file(place.join(file)).unwrap();
            }
        }
    }
    assert!(stopped > 5, "{stopped} of 40 were stopped, {finished} finished: the moments are badly chosen");
}

#[test]
fn kill_9_at_any_moment_leaves_nothing_visible_that_is_not_whole() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(40_000));
    let mut killed = 0;
    for n in 0..40u64 {
        let mut child = place
            .command(&["copy", SLOW, "out.sql.gz", "--overwrite"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(n * 8));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        nothing_half_done(&place, "out.sql.gz", Litter::Staged);
    }
    assert!(killed > 5, "{killed}");
    // The next run to the same target clears up what was staged.
    place.run(&["copy", "a.sql", "out.sql.gz", "--overwrite"]).expect(0);
    nothing_half_done(&place, "out.sql.gz", Litter::Replaced);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::new();
    // The command ignores the polite signal, so that the first one cannot end the run quickly.
    let stubborn = "cmd:trap '' TERM INT; echo $$ > pid; echo x; while :; do sleep 0.05; done";
    let child = place
        .command(&["copy", stubborn, "out"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(100));
    let second = std::time::Instant::now();
    signal(&child, "-INT");
    let ended = Ended::of(&child.wait_with_output().unwrap());
    assert_eq!(ended.code, 130);
    assert!(second.elapsed() < Duration::from_secs(2));
    let pid = String::from_utf8(place.read("pid")).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "the command still runs: {state}");
    assert!(!place.names().contains(&"out".to_owned()));
}

#[test]
fn what_is_there_is_refused_and_stays_intact() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(4));
    place.write("other.sql", "precious");
    place.run(&["copy", "a.sql", "other.sql"]).expect(5).says(&["--overwrite"]);
    assert_eq!(place.read("other.sql"), b"precious");
    // Allowed, but the new one is not whole: the old one stays.
    place.run(&["copy", "cmd:cat a.sql; false", "other.sql", "--overwrite"]).expect(3);
    assert_eq!(place.read("other.sql"), b"precious");
    place.run(&["copy", "a.sql", "other.sql", "--overwrite"]).expect(0);
    assert_eq!(place.read("other.sql"), mysql_dump(4));
    place.run(&["copy", "a.sql", "missing/folder/x.sql"]).expect(5);
    assert_eq!(place.names().len(), 3, "{:?}", place.names());
}

#[test]
fn a_source_that_cannot_be_read_is_exit_3() {
    let place = Place::new();
    place.run(&["copy", "nowhere.sql", "x.sql"]).expect(3).says(&["nowhere.sql"]);
    place.run(&["inspect", "nowhere.sql"]).expect(3);
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn archives_are_for_their_owner_alone() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(4));
    place.run(&["copy", "a.sql", "b.sql"]).expect(0);
    for name in ["b.sql", "b.sql.manifest.json"] {
        assert_eq!(fs::metadata(place.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_volume_must_be_mounted() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(4));
    // The folder is on the root file system, or on whatever holds the temporary files; only the former can be asserted.
    let root = fs::metadata("/").map(|m| std::os::unix::fs::MetadataExt::dev(&m)).unwrap();
    let here = fs::metadata(place.path()).map(|m| std::os::unix::fs::MetadataExt::dev(&m)).unwrap();
    let url = format!("pvc://{}/x.sql", place.path().display());
    if root == here {
        place.run(&["copy", "a.sql", &url]).expect(5).says(&["mount"]);
        assert_eq!(place.names(), ["a.sql"]);
    } else {
        place.run(&["copy", "a.sql", &url]).expect(0);
    }
}

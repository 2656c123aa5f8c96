//! What may stand where the archive should go, and what an earlier run may have left beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pipeline::testing::conformance::{assert_holds, run};
use pipeline::testing::{content, manifest};
use pipeline::{Context, Destination as _, Error, Event, Observer, PartHeader};

use tokio_util::sync::CancellationToken;

use super::Place;
use crate::file::sys::{Dir, Sys};
use crate::{FileDestination, FileOptions};

async fn refused(place: &Place, overwrite: bool) -> Error {
    let error = place.file("id", overwrite).probe(&Context::silent()).await.expect_err("refused");
    assert_eq!(error.exit_code(), 5, "{error:?}");
    assert!(!error.hints().is_empty(), "{error:?}");
    assert_eq!(place.litter_now(), Vec::<String>::new());
    error
}

#[tokio::test]
async fn a_link_is_neither_followed_nor_replaced() {
    let place = Place::new("dump.sql");
    let elsewhere = place.parent().join("dump.sq");
    std::os::unix::fs::symlink(&elsewhere, &place.target).expect("link");
    for overwrite in [false, true] {
        refused(&place, overwrite).await;
    }
    assert_eq!(fs::read(&elsewhere).expect("read"), b"dump.sq");
    assert!(fs::symlink_metadata(&place.target).expect("stat").is_symlink());
    let dangling = Place::new("dump.sql");
    std::os::unix::fs::symlink("/nowhere", &dangling.target).expect("link");
    refused(&dangling, true).await;
}

#[tokio::test]
async fn a_pipe_and_a_socket_are_refused() {
    let place = Place::new("dump.sql");
    let _listener = std::os::unix::net::UnixListener::bind(&place.target).expect("bind");
    refused(&place, true).await;
    let mut place = Place::new("x");
    place.target = "/dev/null".into();
    let error = place.file("id", true).probe(&Context::silent()).await.expect_err("a device");
    assert_eq!(error.exit_code(), 5);
}

#[tokio::test]
async fn a_directory_that_is_no_archive_stays() {
    let place = Place::new("dump.sql");
    fs::create_dir(&place.target).expect("mkdir");
    fs::write(place.target.join("precious"), "x").expect("write");
    for overwrite in [false, true] {
        refused(&place, overwrite).await;
    }
    fs::write(place.target.join("manifest.json"), "{\"schema\": \"of somebody else\"}").expect("write");
    refused(&place, true).await;
    assert_eq!(fs::read(place.target.join("precious")).expect("read"), b"x");
}

#[tokio::test]
async fn an_empty_directory_may_be_replaced_only_on_request() {
    let place = Place::new("dump.sql");
    fs::create_dir(&place.target).expect("mkdir");
    refused(&place, false).await;
    let parts = [("a", Bytes::from_static(b"x"))];
    run(&mut place.file("id", true), "id", &parts).await.expect("run");
    assert_holds(&place, "id", &parts).await;
}

#[tokio::test]
async fn data_or_a_manifest_alone_is_refused_too() {
    for ending in ["", ".manifest.json"] {
        let place = Place::new("dump.sql");
        let path = format!("{}{ending}", place.target.display());
        fs::write(&path, "old").expect("write");
        refused(&place, false).await;
        assert_eq!(fs::read(&path).expect("read"), b"old");
        let parts = [("", Bytes::from_static(b"new"))];
        run(&mut place.file("id", true), "id", &parts).await.expect("run");
        assert_holds(&place, "id", &parts).await;
    }
}

#[tokio::test]
async fn a_name_that_appears_during_the_run_is_not_clobbered() {
    for ending in ["", ".manifest.json"] {
        let place = Place::new("dump.sql");
        let mut destination = place.file("id", false);
        let cx = Context::silent();
        destination.probe(&cx).await.expect("probe");
        let mut sink = destination.open(&PartHeader::default(), &cx).await.expect("open");
        sink.write(Bytes::from_static(b"new")).await.expect("write");
        sink.commit(&content(b"new")).await.expect("commit");
        let path = format!("{}{ending}", place.target.display());
        fs::write(&path, "somebody's").expect("write");
        let error = destination.publish(&manifest("id", &[("dump.sql", content(b"new"))]), &cx).await;
        assert_eq!(error.expect_err("taken").exit_code(), 5);
        assert_eq!(fs::read(&path).expect("read"), b"somebody's");
        let other = if ending.is_empty() {
            format!("{path}.manifest.json")
        } else {
            place.target.display().to_string()
        };
        assert!(!fs::exists(other).expect("stat"), "half an archive");
        assert_eq!(place.litter_now(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_missing_or_impossible_parent_is_named_with_a_way_out() {
    for (parent, hint) in [("missing", "mkdir -p"), ("dump.sq", "file"), ("missing/deep", "mkdir -p")] {
        let mut place = Place::new("dump.sql");
        place.target = place.parent().join(parent).join("x");
        let error = place.file("id", false).probe(&Context::silent()).await.expect_err("no parent");
        assert_eq!(error.exit_code(), 5);
        assert!(error.hints().iter().any(|text| text.contains(hint)), "{error:?}");
    }
}

#[tokio::test]
async fn a_name_too_long_for_staging_is_refused_early() {
    let parts = [("", Bytes::from_static(b"x"))];
    let mut longest = 0;
    for length in 200..=255 {
        let place = Place::new(&"n".repeat(length));
        match run(&mut place.file("id", false), "id", &parts).await {
            Ok(()) => {
                assert_eq!(longest, if length == 200 { 0 } else { length - 1 });
                longest = length;
                assert_holds(&place, "id", &parts).await;
            }
            Err(error) => {
                assert!(error.hints().iter().any(|hint| hint.contains("shorter")), "{error:?}");
                refused(&place, false).await;
            }
        }
    }
    // `.NAME.id.manifest.partial` is 21 bytes longer than the name.
    assert_eq!(longest, 255 - 21);
}

#[test]
fn paths_that_name_no_archive() {
    for path in ["/", "", "a/..", "x.manifest.json"] {
        let error = FileDestination::new(path, FileOptions::new("id")).expect_err(path);
        assert_eq!(error.exit_code(), 2, "{path:?}");
    }
    FileDestination::new("x", FileOptions::new("../x")).expect_err("an id with a slash");
}

#[test]
fn the_endpoint_is_a_url() {
    let endpoint = |path: &str| FileDestination::new(path, FileOptions::new("id")).expect("path").endpoint();
    assert_eq!(endpoint("/a b/ü%\n.sql"), "file:///a%20b/%C3%BC%25%0A.sql");
}

#[tokio::test]
async fn archives_are_for_their_owner_alone() {
    let mode = |path: &std::path::Path| fs::metadata(path).expect("stat").permissions().mode() & 0o777;
    let place = Place::new("dump.sql");
    run(&mut place.file("id", false), "id", &[("", Bytes::from_static(b"x"))]).await.expect("run");
    assert_eq!(mode(&place.target), 0o600);
    assert_eq!(mode(&place.parent().join("dump.sql.manifest.json")), 0o600);
    run(&mut place.file("id", true), "id", &[("a/b", Bytes::from_static(b"x"))]).await.expect("run");
    assert_eq!(mode(&place.target), 0o700);
    assert_eq!(mode(&place.target.join("a")), 0o700);
    assert_eq!(mode(&place.target.join("a/b")), 0o600);
    assert_eq!(mode(&place.target.join("manifest.json")), 0o600);
}

#[derive(Default)]
struct Said(Mutex<Vec<(bool, String)>>);

impl Observer for Said {
    fn on_event(&self, event: &Event<'_>) {
        let said = match event {
            Event::Warning(text) => (true, (*text).to_owned()),
            Event::Info(text) => (false, (*text).to_owned()),
            _ => return,
        };
        self.0.lock().expect("lock").push(said);
    }
}

async fn probe(place: &Place) -> Vec<(bool, String)> {
    let said = Arc::new(Said::default());
    let cx = Context::new(CancellationToken::new(), Arc::clone(&said) as Arc<dyn Observer>);
    place.file("later", true).probe(&cx).await.expect("probe");
    let said = said.0.lock().expect("lock");
    said.clone()
}

#[tokio::test]
async fn what_a_killed_run_left_goes_and_what_a_live_one_has_stays() {
    let place = Place::new("dump.sql");
    // Dead: nobody has the lock.
    fs::write(place.parent().join(".dump.sql.dead.partial"), "x").expect("write");
    fs::write(place.parent().join(".dump.sql.dead.manifest.partial"), "x").expect("write");
    fs::create_dir_all(place.parent().join(".dump.sql.dead2.partial/a/b")).expect("mkdir");
    fs::write(place.parent().join(".dump.sql.dead2.partial/a/b/c"), "x").expect("write");
    // Belongs to the target `dump.sql.gz`, whatever the state of that.
    fs::write(place.parent().join(".dump.sql.gz.dead.partial"), "x").expect("write");
    // Alive.
    let cx = Context::silent();
    let mut live = place.file("live", false);
    live.probe(&cx).await.expect("probe");
    let mut left = place.litter_now();
    left.sort();
    assert_eq!(left, [".dump.sql.gz.dead.partial"], "the probe of the live run has cleaned up");
    let mut sink = live.open(&PartHeader::default(), &cx).await.expect("open");
    sink.write(Bytes::from_static(b"live")).await.expect("write");
    fs::write(place.parent().join(".dump.sql.dead.partial"), "x").expect("write");
    fs::write(place.parent().join(".dump.sql.old.old"), "whole").expect("write");

    let said = probe(&place).await;
    assert_eq!(said.len(), 3, "{said:?}");
    let heard = |warning: bool, words: &str, name: &str| {
        said.iter().any(|(w, text)| *w == warning && text.contains(words) && text.contains(name))
    };
    assert!(heard(false, "removed", ".dump.sql.dead.partial"), "{said:?}");
    assert!(heard(false, "another run", ".dump.sql.live.partial"), "{said:?}");
    assert!(heard(true, "rename it back", ".dump.sql.old.old"), "{said:?}");
    sink.commit(&content(b"live")).await.expect("commit");
    probe(&place).await;
    live.publish(&manifest("live", &[("dump.sql", content(b"live"))]), &cx).await.expect("publish");
    assert_eq!(fs::read(&place.target).expect("read"), b"live");
    let mut left = place.litter_now();
    left.sort();
    assert_eq!(left, [".dump.sql.gz.dead.partial", ".dump.sql.old.old"]);
}

#[tokio::test]
async fn a_live_directory_is_left_alone() {
    let place = Place::new("dump.sql");
    let cx = Context::silent();
    let mut live = place.file("live", false);
    live.probe(&cx).await.expect("probe");
    let mut sink = live
        .open(&PartHeader { path: Some("a/b".into()), ..PartHeader::default() }, &cx)
        .await
        .expect("open");
    sink.write(Bytes::from_static(b"live")).await.expect("write");
    probe(&place).await;
    sink.commit(&content(b"live")).await.expect("commit");
    probe(&place).await;
    live.publish(&manifest("live", &[("a/b", content(b"live"))]), &cx).await.expect("publish");
    assert_holds(&place, "live", &[("a/b", Bytes::from_static(b"live"))]).await;
}

#[tokio::test]
async fn a_panic_leaves_nothing() {
    let place = Arc::new(Place::new("dump.sql"));
    let shared = Arc::clone(&place);
    let task = tokio::spawn(async move {
        let cx = Context::silent();
        let mut destination = shared.file("id", false);
        destination.probe(&cx).await.expect("probe");
        let mut sink = destination.open(&PartHeader::default(), &cx).await.expect("open");
        sink.write(vec![1; 3 << 20].into()).await.expect("write");
        assert!(shared.litter_now().is_empty(), "panics: it is staged");
    });
    assert!(task.await.expect_err("a panic").is_panic());
    assert_eq!(place.litter_now(), Vec::<String>::new());
}

#[tokio::test]
async fn a_reserve_that_is_not_there_is_refused_before_and_while_writing() {
    let place = Place::new("dump.sql");
    let mut destination = place.file("id", false);
    destination.set_reserve(u64::MAX);
    let error = destination.probe(&Context::silent()).await.expect_err("no room");
    assert!(!error.hints().is_empty(), "{error:?}");
    assert_eq!(place.litter_now(), Vec::<String>::new());
}

/// The last defence, against programs that know nothing of our lock.
#[test]
fn a_rename_never_replaces_with_or_without_help_of_the_file_system() {
    for faults in [None, Some(Arc::new(super::faults::Faults::poor()))] {
        let place = Place::new("x");
        let dir = Dir::open(place.parent(), &Sys { faults }).expect("open");
        let at = |name: &str| place.parent().join(name);
        fs::write(at("file"), "new").expect("write");
        fs::create_dir(at("folder")).expect("mkdir");
        fs::write(at("folder/a"), "new").expect("write");
        fs::write(at("taken"), "").expect("write");
        fs::create_dir(at("taken-folder")).expect("mkdir");
        for from in ["file", "folder"] {
            for to in ["taken", "taken-folder"] {
                let error = dir.rename_new(Path::new(from), Path::new(to)).expect_err("taken");
                assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
            }
            assert!(at("taken").is_file() && at("taken-folder").is_dir());
            dir.rename_new(Path::new(from), Path::new("free")).expect("free");
            assert!(!at(from).exists());
            dir.rename_new(Path::new("free"), Path::new(from)).expect("free");
        }
        assert_eq!(fs::read(at("file")).expect("read"), b"new");
        assert_eq!(fs::read(at("folder/a")).expect("read"), b"new");
    }
}

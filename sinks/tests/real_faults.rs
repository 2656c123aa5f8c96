//! Faults as the kernel makes them: small volumes that fill up, read-only volumes, no permission, kill -9.
//!
//! Mounting needs root; where that is missing the tests are ignored with the reason, and with `DBFERRY_REQUIRE_SERVERS=1` they fail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use libtest_mimic::{Arguments, Failed, Trial};
use pipeline::testing::conformance::{run, whole};
use pipeline::testing::{Random, View};
use pipeline::{Context, Destination, Manifest};
use sinks::{FileDestination, FileOptions, PvcDestination};

const PAGE: u64 = 4096;

fn main() -> ExitCode {
    if let Some(target) = std::env::var_os("DBFERRY_TEST_WRITE_FOREVER") {
        write_forever(Path::new(&target));
    }
    if let Some(target) = std::env::var_os("DBFERRY_TEST_PROBE") {
        return probe_and_tell(Path::new(&target));
    }
    let missing = missing();
    let trial = |name: &'static str, test: fn()| {
        let required = std::env::var_os("DBFERRY_REQUIRE_SERVERS").is_some_and(|value| value == "1");
        match missing {
            None => Trial::test(name, move || {
                test();
                Ok(())
            }),
            Some(why) if required => Trial::test(name, move || Err(Failed::from(why))),
            Some(why) => Trial::test(name, || Ok(())).with_ignored_flag(true).with_kind(why),
        }
    };
    let tests = vec![
        trial("a_stream_that_does_not_fit_leaves_nothing", a_stream_that_does_not_fit_leaves_nothing),
        trial("a_full_volume_keeps_the_old_archive", a_full_volume_keeps_the_old_archive),
        trial("streams_that_just_fit_or_just_do_not", streams_that_just_fit_or_just_do_not),
        trial("parts_without_inodes_leave_nothing", parts_without_inodes_leave_nothing),
        trial("a_volume_keeps_its_reserve_at_every_moment", a_volume_keeps_its_reserve_at_every_moment),
        trial("a_reserve_already_touched_is_refused_at_once", a_reserve_already_touched_is_refused_at_once),
        trial("a_volume_that_is_not_mounted_is_refused", a_volume_that_is_not_mounted_is_refused),
        trial("a_read_only_volume_is_refused_at_once", a_read_only_volume_is_refused_at_once),
        trial("no_permission_is_refused_at_once", no_permission_is_refused_at_once),
        trial("killed_runs_leave_nothing_half", killed_runs_leave_nothing_half),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// Why these tests cannot run here.
fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root to mount");
    }
    Volume::mount("size=64k").is_none().then_some("cannot mount a tmpfs here")
}

/// A small volume, unmounted in the end.
struct Volume(tempfile::TempDir);

impl Volume {
    fn mount(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "dbferry-test"])
            .arg(directory.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(directory))
    }

    fn new(options: &str) -> Self {
        Self::mount(options).expect("it could be mounted a moment ago")
    }

    fn target(&self) -> PathBuf {
        self.0.path().join("dump.sql")
    }

    fn available(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.0.path()).expect("statvfs");
        stat.f_bavail * stat.f_frsize
    }

    /// Waits a little: a process that another test is starting holds a copy of every descriptor until it runs its program.
    fn assert_available(&self, expected: u64) {
        for _ in 0..500 {
            if self.available() == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(self.available(), expected, "something is still held");
    }

    /// Names of files on it.
    fn names(&self) -> Vec<String> {
        names(self.0.path())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(std::thread::panicking() || status.is_ok_and(|status| status.success()), "unmount");
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("list");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn file(target: &Path, id: &str, overwrite: bool) -> FileDestination {
    FileDestination::new(target, FileOptions { overwrite, ..FileOptions::new(id) }).expect("a good path")
}

fn stream(seed: u64, length: u64) -> Vec<(&'static str, Bytes)> {
    vec![("", Random::new(seed).bytes(usize::try_from(length).expect("small")).into())]
}

/// A run as the engine does it: a failure is followed by abandoning.
fn carry(mut destination: impl Destination, id: &str, parts: &[(&str, Bytes)]) -> pipeline::Result<()> {
    block_on(async {
        let outcome = run(&mut destination, id, parts).await;
        if outcome.is_err() {
            destination.abandon().await.expect("abandon");
        }
        outcome
    })
}

fn stream_view(target: &Path) -> View {
    let mut view = View { manifest: std::fs::read(manifest_path(target)).ok(), parts: BTreeMap::new() };
    if let Ok(data) = std::fs::read(target) {
        view.parts.insert(String::new(), data);
    }
    view
}

fn manifest_path(target: &Path) -> PathBuf {
    let mut path = target.as_os_str().to_owned();
    path.push(".manifest.json");
    path.into()
}

fn assert_full(error: &pipeline::Error) {
    assert_eq!(error.exit_code(), 5, "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("full")), "{error:?}");
}

fn a_stream_that_does_not_fit_leaves_nothing() {
    let volume = Volume::new("size=8m");
    let before = volume.available();
    for length in [9 << 20, 30 << 20] {
        let error =
            carry(file(&volume.target(), "id", false), "id", &stream(1, length)).expect_err("too large");
        assert_full(&error);
        assert_eq!(volume.names(), Vec::<String>::new());
        volume.assert_available(before);
    }
    let parts: Vec<(&str, Bytes)> =
        [("a", 3), ("b/c", 3), ("d", 3)].map(|(path, mib)| (path, stream(2, mib << 20)[0].1.clone())).into();
    assert_full(&carry(file(&volume.target(), "id", false), "id", &parts).expect_err("too large"));
    assert_eq!(volume.names(), Vec::<String>::new());
    volume.assert_available(before);
}

fn a_full_volume_keeps_the_old_archive() {
    let volume = Volume::new("size=8m");
    let old = stream(3, 5 << 20);
    carry(file(&volume.target(), "old", false), "old", &old).expect("room");
    let before = stream_view(&volume.target());
    let error =
        carry(file(&volume.target(), "new", true), "new", &stream(4, 5 << 20)).expect_err("no room for both");
    assert_full(&error);
    assert!(stream_view(&volume.target()) == before, "the old archive changed");
    assert_eq!(volume.names(), ["dump.sql", "dump.sql.manifest.json"]);
}

fn streams_that_just_fit_or_just_do_not() {
    let volume = Volume::new("size=1m");
    let room = volume.available();
    let (mut fitted, mut failed, mut failed_on_the_manifest) = (0, 0, 0);
    let mut lengths: Vec<u64> = (0..8).map(|pages| room - pages * PAGE).collect();
    lengths.extend((0..8).flat_map(|pages| [room - pages * PAGE + 1, room - pages * PAGE - 1]));
    for length in lengths {
        for old in [None, Some(stream(5, 8 * PAGE))] {
            if let Some(old) = &old {
                carry(file(&volume.target(), "old", true), "old", old).expect("room");
            }
            let before = stream_view(&volume.target());
            let length = if old.is_some() { length - 11 * PAGE } else { length };
            match carry(file(&volume.target(), "new", old.is_some()), "new", &stream(6, length)) {
                Ok(()) => {
                    let view = stream_view(&volume.target());
                    assert_eq!(whole(&view).expect("an archive").id, "new", "{length}");
                    fitted += 1;
                }
                Err(error) => {
                    assert_full(&error);
                    assert!(stream_view(&volume.target()) == before, "{length}: {error:?}");
                    failed += 1;
                    failed_on_the_manifest += u32::from(error.to_string().contains("manifest"));
                }
            }
            assert!(!volume.names().iter().any(|name| name.starts_with('.')), "{:?}", volume.names());
            for name in volume.names() {
                std::fs::remove_file(volume.0.path().join(name)).expect("remove");
            }
            volume.assert_available(room);
        }
    }
    assert!(fitted > 3 && failed > 3, "{fitted} fitted, {failed} did not: the lengths are chosen badly");
    assert!(failed_on_the_manifest > 0, "no length left room for the data and none for the manifest");
}

fn parts_without_inodes_leave_nothing() {
    let volume = Volume::new("size=8m,nr_inodes=12");
    let paths: Vec<String> = (0..20).map(|index| format!("d{}/{index}", index % 2)).collect();
    for count in 1..paths.len() {
        let parts: Vec<_> =
            paths[..count].iter().map(|path| (path.as_str(), Bytes::from_static(b"x"))).collect();
        let outcome = carry(file(&volume.target(), "id", false), "id", &parts);
        if outcome.is_ok() {
            assert_eq!(volume.names(), ["dump.sql"]);
            std::fs::remove_dir_all(volume.target()).expect("remove");
        } else {
            assert_full(&outcome.expect_err("no inodes"));
            assert_eq!(volume.names(), Vec::<String>::new(), "{count} parts");
        }
        assert!(count > 4 || volume.names().is_empty());
    }
}

fn pvc(target: &Path, id: &str, reserve: Option<u64>) -> PvcDestination {
    PvcDestination::new(target, FileOptions::new(id), reserve).expect("a good path")
}

fn a_volume_keeps_its_reserve_at_every_moment() {
    let volume = Volume::new("size=16m");
    let reserve = 5 << 20;
    let (lowest, done) = (AtomicU64::new(u64::MAX), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(SeqCst) {
                lowest.fetch_min(volume.available(), SeqCst);
            }
        });
        let error = carry(pvc(&volume.target(), "id", Some(reserve)), "id", &stream(7, 30 << 20));
        done.store(true, SeqCst);
        let error = error.expect_err("larger than the volume");
        assert_eq!(error.exit_code(), 5);
        assert!(error.to_string().contains("reserve"), "{error:?}");
        let (_, seen) = error.context().iter().find(|(key, _)| *key == "available").expect("in the error");
        let seen: u64 = seen.parse().expect("a number");
        assert!(seen >= reserve && seen < reserve + (1 << 20), "stopped with {seen} bytes free");
    });
    let lowest = lowest.load(SeqCst);
    assert!(lowest >= reserve, "only {lowest} bytes were left");
    assert_eq!(volume.names(), Vec::<String>::new());
    // What fits beside the reserve is stored.
    carry(pvc(&volume.target(), "id", Some(reserve)), "id", &stream(7, 10 << 20)).expect("room");
    assert_eq!(whole(&stream_view(&volume.target())).expect("an archive").id, "id");
}

fn a_reserve_already_touched_is_refused_at_once() {
    // The default reserve is 64 MiB.
    let volume = Volume::new("size=63m");
    let error = block_on(async { pvc(&volume.target(), "id", None).probe(&Context::silent()).await });
    let error = error.expect_err("no room beside the reserve");
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("reserve"), "{error:?}");
    assert_eq!(volume.names(), Vec::<String>::new());
    let volume = Volume::new("size=80m");
    let room = block_on(async { pvc(&volume.target(), "id", None).probe(&Context::silent()).await });
    assert_eq!(room.expect("room"), Some(16 << 20));
}

fn a_volume_that_is_not_mounted_is_refused() {
    let volume = Volume::new("size=1m");
    let point = volume.0.path().to_owned();
    let refused = |target: &str| {
        block_on(async { pvc(Path::new(target), "id", Some(0)).probe(&Context::silent()).await })
            .expect_err("on the root file system")
    };
    for target in ["/dbferry-test.sql", "/usr/dbferry-test.sql"] {
        let error = refused(target);
        assert_eq!(error.exit_code(), 5);
        assert!(error.to_string().contains("mounted"), "{error:?}");
        let hint = &error.hints()[0];
        assert!(hint.contains(point.to_str().expect("UTF-8")), "the hint lists what is mounted: {hint}");
        assert!(!Path::new(target).exists());
    }
    let missing = refused("/no-such-directory/x.sql");
    assert_eq!(missing.exit_code(), 5);
    // A link into the root file system does not count as the volume that it lies on.
    std::os::unix::fs::symlink("/usr", point.join("link")).expect("link");
    refused(point.join("link/x.sql").to_str().expect("UTF-8"));
    // And below the volume all is well.
    std::fs::create_dir_all(point.join("a/b")).expect("mkdir");
    carry(pvc(&point.join("a/b/x.sql"), "id", Some(0)), "id", &stream(8, 100)).expect("on the volume");
}

fn a_read_only_volume_is_refused_at_once() {
    let volume = Volume::new("size=1m");
    let old = stream(9, 1000);
    carry(file(&volume.target(), "old", false), "old", &old).expect("room");
    let before = stream_view(&volume.target());
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(volume.0.path()).status();
    assert!(status.expect("mount").success());
    let error = block_on(async { file(&volume.target(), "new", true).probe(&Context::silent()).await });
    let error = error.expect_err("read-only");
    assert_eq!(error.exit_code(), 5);
    assert!(error.hints().iter().any(|hint| hint.contains("read-only")), "{error:?}");
    assert!(stream_view(&volume.target()) == before);
}

/// In a child without privileges: root may do everything.
fn probe_and_tell(target: &Path) -> ExitCode {
    let outcome = block_on(async { file(target, "id", false).probe(&Context::silent()).await });
    let text = match outcome {
        Ok(_) => "fine".to_owned(),
        Err(error) => format!("{} {error} hint: {}", error.exit_code(), error.hints().join("; ")),
    };
    std::io::stdout().write_all(text.as_bytes()).expect("write");
    ExitCode::SUCCESS
}

fn no_permission_is_refused_at_once() {
    use std::os::unix::fs::PermissionsExt;
    let volume = Volume::new("size=1m,mode=755");
    let probe = |mode: u32| {
        std::fs::set_permissions(volume.0.path(), PermissionsExt::from_mode(mode)).expect("chmod");
        let child = Command::new(std::env::current_exe().expect("this program"))
            .env("DBFERRY_TEST_PROBE", volume.target())
            .uid(65_534)
            .gid(65_534)
            .output()
            .expect("this program can be run by anybody");
        String::from_utf8(child.stdout).expect("UTF-8")
    };
    assert_eq!(probe(0o777), "fine");
    for mode in [0o755, 0o700, 0o733] {
        let told = probe(mode);
        assert!(told.starts_with("5 ") && told.contains("permission"), "{mode:o}: {told}");
        assert!(told.contains("user 65534"), "{mode:o}: {told}");
        assert_eq!(volume.names(), Vec::<String>::new());
    }
}

/// In a child: archives of both forms over each other, until killed. Says when the first exists.
fn write_forever(target: &Path) -> ! {
    block_on(async {
        for number in 0_u64.. {
            let mut random = Random::new(number ^ u64::from(std::process::id()));
            let data = |random: &mut Random| {
                let length = random.below(3 << 20);
                Bytes::from(random.bytes(length))
            };
            let parts = if target.ends_with("stream") || (target.ends_with("either") && random.below(2) == 0)
            {
                vec![("", data(&mut random))]
            } else {
                vec![("a", data(&mut random)), ("b/c", data(&mut random)), ("b/d", Bytes::new())]
            };
            let id = format!("run-{}-{number}", std::process::id());
            run(&mut file(target, &id, true), &id, &parts).await.expect("run");
            if number == 0 {
                std::io::stdout().write_all(b"published\n").expect("write");
            }
        }
    });
    unreachable!("numbers do not end")
}

fn killed_runs_leave_nothing_half() {
    let mut random = Random::new(11);
    let (mut mid_run, mut mid_publish) = (0, 0);
    for round in 0..60 {
        let volume = Volume::new("size=64m");
        let name = ["stream", "directory", "either"][round % 3];
        let target = volume.0.path().join(name);
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .env("DBFERRY_TEST_WRITE_FOREVER", &target)
            .stdout(Stdio::piped())
            .spawn()
            .expect("start");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("read");
        assert_eq!(line, "published\n");
        std::thread::sleep(Duration::from_micros(random.next_u64() % 60_000));
        child.kill().expect("SIGKILL");
        child.wait().expect("wait");

        let left = volume.names();
        mid_run += u32::from(left.iter().any(|name| name.ends_with(".partial")));
        let published = whole(&any_view(&target));
        if published.is_none() {
            mid_publish += 1;
            assert!(old_is_whole(volume.0.path(), name), "the old archive is lost: {left:?}");
        }
        // The next run gets through, and takes away what the killed one had staged.
        carry(file(&target, "next", true), "next", &stream(12, 1000)).expect("run");
        assert_eq!(whole(&any_view(&target)).expect("an archive").id, "next");
        let left = volume.names();
        assert!(left.iter().all(|name| !name.ends_with(".partial")), "{left:?}");
    }
    assert!(mid_run > 5, "only {mid_run} of 60 were killed while something was staged");
    // Rare, and not certain on a slow machine: printed rather than asserted.
    std::io::stderr()
        .write_all(format!("killed mid-run {mid_run}, mid-publish {mid_publish}\n").as_bytes())
        .ok();
}

fn any_view(target: &Path) -> View {
    if !target.is_dir() {
        return stream_view(target);
    }
    let mut view =
        View { manifest: std::fs::read(target.join("manifest.json")).ok(), parts: BTreeMap::new() };
    let manifest = view.manifest.as_ref().map(|json| Manifest::parse(json).expect("readable"));
    for part in manifest.into_iter().flat_map(|manifest| manifest.parts) {
        view.parts.insert(part.path.clone(), std::fs::read(target.join(&part.path)).expect("promised"));
    }
    view
}

/// True when the pieces that a publication had moved aside make a whole archive, with what still has its own name.
fn old_is_whole(directory: &Path, name: &str) -> bool {
    let aside = |ending: &str| {
        let found =
            names(directory).into_iter().find(|n| n.starts_with(&format!(".{name}.")) && n.ends_with(ending));
        found.map(|name| directory.join(name))
    };
    let data = names(directory)
        .into_iter()
        .find(|n| n.rsplit('.').next() == Some("old") && !n.ends_with(".manifest.old"))
        .map_or(directory.join(name), |name| directory.join(name));
    if data.is_dir() {
        return whole(&any_view(&data)).is_some();
    }
    let manifest = aside(".manifest.old").and_then(|path| std::fs::read(path).ok());
    let parts = std::fs::read(&data).ok().map(|data| (String::new(), data));
    whole(&View { manifest, parts: parts.into_iter().collect() }).is_some()
}

//! The suite that every destination passes: what [`Destination`] and [`Sink`] promise, one case per promise.
//!
//! A destination's tests implement [`Fixture`] and say `pipeline::conformance!(stream, make)`, `conformance!(parts, make)` and
//! `conformance!(replace, make)`, where `make` is an expression for a fixture with nothing in it; each case becomes a test of its own name.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Random, View, content, manifest};
use crate::context::Context;
use crate::destination::{Destination, PartHeader, Proof, Sink};
use crate::digest::Content;
use crate::error::{Result, Stage};
use crate::manifest::Manifest;

/// A place where one archive may be, and ways to look at it from outside.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A new run towards the archive. Several may be at work at once, each with an id of its own.
    fn destination(&self, id: &str, overwrite: bool) -> Box<dyn Destination>;

    /// What an outsider sees, the manifest read first.
    async fn view(&self) -> View;

    /// Names of what runs have staged and neither published nor removed.
    async fn litter(&self) -> Vec<String>;
}

/// A case of the suite; it panics where a promise is broken.
pub type Case = for<'a> fn(&'a dyn Fixture) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The cases of `stream`, `parts` and `replace` by name, for who cannot have a test of its own for each: a real store takes seconds to start.
pub fn cases(group: &str) -> Vec<(&'static str, Case)> {
    match group {
        "stream" => crate::conformance!(@stream @list),
        "parts" => crate::conformance!(@parts @list),
        "replace" => crate::conformance!(@replace @list),
        _ => panic!("there is no group `{group}`"),
    }
}

/// Writes the tests: see [`conformance`](self).
#[macro_export]
macro_rules! conformance {
    (@stream $($then:tt)+) => {
        $crate::conformance! { $($then)+;
            a_published_stream_holds_exactly_what_was_written, an_empty_stream_is_an_archive,
            many_small_writes_equal_one_large, a_large_stream_arrives, nothing_is_left_when_dropped_at_any_step,
            nothing_is_left_when_abandoned_at_any_step, an_aborted_part_is_gone, a_wrong_length_is_refused,
            a_wrong_digest_is_refused_by_whoever_read_it_back, only_what_was_committed_is_published,
            a_run_publishes_once, cancelled_calls_leave_nothing }
    };
    (@parts $($then:tt)+) => {
        $crate::conformance! { $($then)+;
            nested_parts_arrive_concurrently, awkward_names_are_kept, paths_out_of_the_archive_are_refused,
            many_parts_are_dropped_together }
    };
    (@replace $($then:tt)+) => {
        $crate::conformance! { $($then)+;
            an_existing_archive_is_refused_and_intact, overwriting_replaces_the_whole,
            overwriting_changes_nothing_before_publish, of_two_racing_runs_one_wins,
            racing_overwrites_leave_one_whole_archive }
    };
    (@tests [$make:expr]; $($case:ident),+) => {
        $(#[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let fixture = $make;
            $crate::testing::conformance::$case(&fixture).await;
        })+
    };
    (@list; $($case:ident),+) => {
        vec![$((stringify!($case), |fixture| Box::pin($crate::testing::conformance::$case(fixture)))),+]
    };
    (stream, $make:expr) => { $crate::conformance! { @stream @tests [$make] } };
    (parts, $make:expr) => { $crate::conformance! { @parts @tests [$make] } };
    (replace, $make:expr) => { $crate::conformance! { @replace @tests [$make] } };
}

/// Some MiB that look random, and differ by seed.
fn data(seed: u64, length: usize) -> Bytes {
    Random::new(seed).bytes(length).into()
}

async fn start(fixture: &dyn Fixture, id: &str, overwrite: bool) -> Box<dyn Destination> {
    let mut destination = fixture.destination(id, overwrite);
    destination.probe(&Context::silent()).await.expect("the probe finds nothing wrong");
    destination
}

async fn open(destination: &dyn Destination, path: Option<&str>) -> Box<dyn Sink> {
    try_open(destination, path).await.expect("the part can be opened")
}

async fn try_open(destination: &dyn Destination, path: Option<&str>) -> Result<Box<dyn Sink>> {
    let header = PartHeader { path: path.map(str::to_owned), ..PartHeader::default() };
    destination.open(&header, &Context::silent()).await
}

/// Stores one part and checks the receipt.
async fn store(destination: &dyn Destination, path: Option<&str>, data: Bytes) -> Proof {
    let mut sink = open(destination, path).await;
    let promised = content(&data);
    sink.write(data).await.expect("the write is taken");
    let receipt = sink.commit(&promised).await.expect("the commit is taken");
    assert_eq!(receipt.bytes, promised.bytes);
    receipt.proof
}

/// One run from probe to publish, with these parts; an empty path is the stream.
pub async fn run(destination: &mut dyn Destination, id: &str, parts: &[(&str, Bytes)]) -> Result<()> {
    let cx = Context::silent();
    destination.probe(&cx).await?;
    for (path, data) in parts {
        let mut sink = try_open(destination, (!path.is_empty()).then_some(*path)).await?;
        // In pieces, so that a fault can hit between them.
        let mut rest = data.clone();
        while !rest.is_empty() {
            sink.write(rest.split_to(rest.len().min(256 << 10))).await?;
        }
        sink.commit(&content(data)).await?;
    }
    destination.publish(&describe(id, parts), &cx).await
}

fn describe(id: &str, parts: &[(&str, Bytes)]) -> Manifest {
    let parts: Vec<_> = parts
        .iter()
        .map(|(path, data)| (if path.is_empty() { "stream" } else { *path }, content(data)))
        .collect();
    manifest(id, &parts)
}

/// The manifest of an archive that is whole: everything that it promises is there and nothing else. `None` when there is no archive.
/// Panics at anything in between.
pub fn whole(view: &View) -> Option<Manifest> {
    let json = view.manifest.as_ref()?;
    let manifest = Manifest::parse(json).expect("a visible manifest can be read");
    assert_eq!(manifest.parts.len(), view.parts.len(), "a manifest must describe every part");
    for part in &manifest.parts {
        let data = view.parts.get(&part.path).or_else(|| view.parts.get(""));
        let data = data.unwrap_or_else(|| panic!("{:?} is promised and not there", part.path));
        assert_eq!(part.stored.difference(&content(data)), None, "{:?}", part.path);
    }
    Some(manifest)
}

/// Asserts that the archive is whole and holds these parts, and that nothing else is left.
pub async fn assert_holds(fixture: &dyn Fixture, id: &str, parts: &[(&str, Bytes)]) {
    let view = fixture.view().await;
    let manifest = whole(&view).expect("an archive exists");
    assert_eq!(manifest, describe(id, parts));
    let expected: BTreeMap<_, _> =
        parts.iter().map(|(path, data)| ((*path).to_owned(), data.to_vec())).collect();
    assert!(view.parts == expected, "the parts are others: {:?}", view.parts.keys());
    assert_clean(fixture).await;
}

async fn assert_nothing(fixture: &dyn Fixture) {
    assert_eq!(fixture.view().await, View::default(), "nothing may be visible");
    assert_clean(fixture).await;
}

/// Waits for what a dropped call still had in flight, up to ten seconds.
pub async fn assert_clean(fixture: &dyn Fixture) {
    let mut litter = fixture.litter().await;
    for _ in 0..1000 {
        if litter.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        litter = fixture.litter().await;
    }
    panic!("left behind: {litter:?}");
}

async fn assert_invisible(fixture: &dyn Fixture) {
    assert_eq!(fixture.view().await, View::default(), "nothing may be visible before publish");
}

/// Bytes come out as they went in, and not before publish.
pub async fn a_published_stream_holds_exactly_what_was_written(fixture: &dyn Fixture) {
    let parts = [("", data(1, 300_000))];
    let mut destination = start(fixture, "one", false).await;
    assert_nothing(fixture).await;
    let mut sink = open(&*destination, None).await;
    assert_invisible(fixture).await;
    for piece in parts[0].1.chunks(70_001) {
        sink.write(Bytes::copy_from_slice(piece)).await.expect("write");
        assert_invisible(fixture).await;
    }
    sink.commit(&content(&parts[0].1)).await.expect("commit");
    assert_invisible(fixture).await;
    destination.publish(&describe("one", &parts), &Context::silent()).await.expect("publish");
    assert_holds(fixture, "one", &parts).await;
    drop(destination);
    assert_holds(fixture, "one", &parts).await;
}

/// A stream without a byte is still a stream.
pub async fn an_empty_stream_is_an_archive(fixture: &dyn Fixture) {
    let parts = [("", Bytes::new())];
    run(&mut *fixture.destination("one", false), "one", &parts).await.expect("run");
    assert_holds(fixture, "one", &parts).await;
}

/// The cutting of writes does not matter, empty ones included.
pub async fn many_small_writes_equal_one_large(fixture: &dyn Fixture) {
    let parts = [("", data(2, 50_000))];
    let mut destination = start(fixture, "one", false).await;
    let mut sink = open(&*destination, None).await;
    let (mut rest, mut random) = (parts[0].1.clone(), Random::new(3));
    while !rest.is_empty() {
        let length = random.below(4).min(rest.len());
        sink.write(rest.split_to(length)).await.expect("write");
    }
    sink.commit(&content(&parts[0].1)).await.expect("commit");
    destination.publish(&describe("one", &parts), &Context::silent()).await.expect("publish");
    assert_holds(fixture, "one", &parts).await;
}

/// More than any buffer on the way holds, in one piece and in pieces of odd lengths.
pub async fn a_large_stream_arrives(fixture: &dyn Fixture) {
    let parts = [("", data(4, (9 << 20) + 7))];
    let mut destination = start(fixture, "one", false).await;
    let mut sink = open(&*destination, None).await;
    let (mut rest, mut random) = (parts[0].1.clone(), Random::new(5));
    sink.write(rest.split_to(3 << 20)).await.expect("write");
    while !rest.is_empty() {
        let length = 1 + random.below(300_000);
        sink.write(rest.split_to(length.min(rest.len()))).await.expect("write");
    }
    sink.commit(&content(&parts[0].1)).await.expect("commit");
    destination.publish(&describe("one", &parts), &Context::silent()).await.expect("publish");
    assert_holds(fixture, "one", &parts).await;
}

/// Goes as far as `step` into a run and returns what is then held.
async fn go(fixture: &dyn Fixture, step: u32) -> (Box<dyn Destination>, Option<Box<dyn Sink>>) {
    let data = data(6, 3 << 20);
    let mut destination = fixture.destination("one", false);
    if step == 0 {
        return (destination, None);
    }
    destination.probe(&Context::silent()).await.expect("probe");
    if step == 1 {
        return (destination, None);
    }
    let mut sink = open(&*destination, None).await;
    if step == 2 {
        return (destination, Some(sink));
    }
    sink.write(data.slice(..100)).await.expect("write");
    if step == 3 {
        return (destination, Some(sink));
    }
    sink.write(data.slice(100..)).await.expect("write");
    if step == 4 {
        return (destination, Some(sink));
    }
    sink.commit(&content(&data)).await.expect("commit");
    (destination, None)
}

const STEPS: u32 = 6;

/// Dropping sink and destination, in either order, publishes nothing and leaves nothing.
pub async fn nothing_is_left_when_dropped_at_any_step(fixture: &dyn Fixture) {
    for step in 0..STEPS {
        let (destination, sink) = go(fixture, step).await;
        drop(sink);
        drop(destination);
        assert_nothing(fixture).await;
        let (destination, sink) = go(fixture, step).await;
        drop(destination);
        drop(sink);
        assert_nothing(fixture).await;
    }
}

/// `abandon` after a drop or an abort leaves nothing, and may be called again.
pub async fn nothing_is_left_when_abandoned_at_any_step(fixture: &dyn Fixture) {
    for step in 0..STEPS {
        let (mut destination, sink) = go(fixture, step).await;
        if let Some(sink) = sink {
            sink.abort().await.expect("abort");
        }
        destination.abandon().await.expect("abandon");
        assert_nothing(fixture).await;
        destination.abandon().await.expect("abandon again");
    }
}

/// After an abort the part is gone, and cannot be published.
pub async fn an_aborted_part_is_gone(fixture: &dyn Fixture) {
    let (mut destination, sink) = go(fixture, 4).await;
    sink.expect("a sink").abort().await.expect("abort");
    assert_nothing(fixture).await;
    let parts = [("", data(6, 3 << 20))];
    let published = destination.publish(&describe("one", &parts), &Context::silent()).await;
    published.expect_err("a part that was aborted cannot be published");
    destination.abandon().await.expect("abandon");
    assert_nothing(fixture).await;
}

/// A commit that promises another length fails, and leaves nothing.
pub async fn a_wrong_length_is_refused(fixture: &dyn Fixture) {
    for promised in [0, 1, 99_999, 100_001, u64::MAX] {
        let mut destination = start(fixture, "one", false).await;
        let mut sink = open(&*destination, None).await;
        let data = data(7, 100_000);
        sink.write(data.clone()).await.expect("write");
        let promised = Content { bytes: promised, ..content(&data) };
        sink.commit(&promised).await.expect_err("the length is wrong");
        assert_invisible(fixture).await;
        destination.abandon().await.expect("abandon");
        assert_nothing(fixture).await;
    }
}

/// Whoever claims to have read the bytes back, or that the store checked them, must notice a wrong digest.
pub async fn a_wrong_digest_is_refused_by_whoever_read_it_back(fixture: &dyn Fixture) {
    let written = data(8, 100_000);
    let mut destination = start(fixture, "one", false).await;
    let mut sink = open(&*destination, None).await;
    sink.write(written.clone()).await.expect("write");
    let other = content(&data(9, 100_000));
    match sink.commit(&other).await {
        Ok(receipt) => assert_ne!(receipt.proof, Proof::ReadBack, "nothing was read back"),
        Err(error) => assert_eq!(error.exit_code(), 6, "{error:?}"),
    }
    destination.abandon().await.expect("abandon");
    assert_nothing(fixture).await;
}

/// A part that is still open, or was dropped, does not count.
pub async fn only_what_was_committed_is_published(fixture: &dyn Fixture) {
    let parts = [("", data(6, 3 << 20))];
    for step in [1, 4] {
        let (mut destination, sink) = go(fixture, step).await;
        drop(sink);
        let published = destination.publish(&describe("one", &parts), &Context::silent()).await;
        published.expect_err("nothing was committed");
        drop(destination);
        assert_nothing(fixture).await;
    }
}

/// A second publish, and one after abandon, is refused and changes nothing.
pub async fn a_run_publishes_once(fixture: &dyn Fixture) {
    let parts = [("", data(6, 3 << 20))];
    let manifest = describe("one", &parts);
    let (mut destination, _) = go(fixture, 5).await;
    destination.abandon().await.expect("abandon");
    destination.publish(&manifest, &Context::silent()).await.expect_err("abandoned");
    assert_nothing(fixture).await;
    let (mut destination, _) = go(fixture, 5).await;
    destination.publish(&manifest, &Context::silent()).await.expect("publish");
    destination.publish(&manifest, &Context::silent()).await.expect_err("published before");
    destination.abandon().await.expect("abandon after publish takes nothing away");
    assert_holds(fixture, "one", &parts).await;
}

/// Polls `future` a few times, then drops it. True when it came to its end before.
async fn cancel_after(polls: u32, future: impl Future) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        let done = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if done {
            return true;
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    false
}

/// A call that is dropped half-way leaves nothing; a publish so dropped leaves all or nothing.
pub async fn cancelled_calls_leave_nothing(fixture: &dyn Fixture) {
    let data = data(10, 5 << 20);
    let parts = [("", data.clone())];
    for polls in [1, 2, 3, 5, 8, 13] {
        let destination = start(fixture, "one", false).await;
        cancel_after(polls, open(&*destination, None)).await;
        drop(destination);
        assert_nothing(fixture).await;

        let destination = start(fixture, "one", false).await;
        let mut sink = open(&*destination, None).await;
        cancel_after(polls, async {
            for piece in data.chunks(100_000) {
                sink.write(Bytes::copy_from_slice(piece)).await.expect("write");
            }
        })
        .await;
        drop(sink);
        drop(destination);
        assert_nothing(fixture).await;

        let destination = start(fixture, "one", false).await;
        let mut sink = open(&*destination, None).await;
        sink.write(data.clone()).await.expect("write");
        let promised = content(&data);
        cancel_after(polls, sink.commit(&promised)).await;
        drop(destination);
        assert_nothing(fixture).await;

        let mut destination = start(fixture, "one", true).await;
        store(&*destination, None, data.clone()).await;
        let manifest = describe("one", &parts);
        let done = cancel_after(polls, destination.publish(&manifest, &Context::silent())).await;
        drop(destination);
        assert_clean(fixture).await;
        if done || whole(&fixture.view().await).is_some() {
            assert_holds(fixture, "one", &parts).await;
            return;
        }
        assert_nothing(fixture).await;
    }
}

/// Parts in nested directories, all open at once.
pub async fn nested_parts_arrive_concurrently(fixture: &dyn Fixture) {
    let paths =
        ["schema.sql", "a/1.sql", "a/2.sql", "a/b/c/d.sql", "a/b/e.sql", "z/1.sql", "schema.sql.2", "empty"];
    let parts: Vec<(&str, Bytes)> = paths
        .iter()
        .enumerate()
        .map(|(index, path)| {
            (*path, data(index as u64, if *path == "empty" { 0 } else { 400_000 * (index + 1) }))
        })
        .collect();
    let mut destination = start(fixture, "one", false).await;
    let mut sinks = Vec::new();
    for (path, data) in &parts {
        sinks.push((open(&*destination, Some(path)).await, data.clone(), data.clone()));
    }
    while sinks.iter().any(|(_, _, rest)| !rest.is_empty()) {
        for (sink, _, rest) in &mut sinks {
            sink.write(rest.split_to(rest.len().min(123_457))).await.expect("write");
        }
        assert_invisible(fixture).await;
    }
    let commits: Vec<_> = sinks
        .into_iter()
        .map(|(sink, data, _)| tokio::spawn(async move { sink.commit(&content(&data)).await }))
        .collect();
    for commit in commits {
        commit.await.expect("no panic").expect("commit");
    }
    assert_invisible(fixture).await;
    destination.publish(&describe("one", &parts), &Context::silent()).await.expect("publish");
    assert_holds(fixture, "one", &parts).await;
}

/// A name is a name, whatever is in it.
pub async fn awkward_names_are_kept(fixture: &dyn Fixture) {
    let paths = [
        "with space",
        "new\nline",
        "ünïcödé/日本",
        "quote'\"`$(x)",
        "-rf",
        "...",
        "per%20cent",
        "back\\slash",
        ".hidden",
    ];
    let parts: Vec<_> = paths.iter().map(|path| (*path, data(path.len() as u64, 100))).collect();
    run(&mut *fixture.destination("one", false), "one", &parts).await.expect("run");
    assert_holds(fixture, "one", &parts).await;
}

/// No part gets out of the archive or into the manifest's place.
pub async fn paths_out_of_the_archive_are_refused(fixture: &dyn Fixture) {
    let mut destination = start(fixture, "one", false).await;
    for path in ["", "/", "/etc/x", "../x", "a/../../x", "a//x", "a/.", "x/", "nul\0", "manifest.json"] {
        let error =
            try_open(&*destination, Some(path)).await.err().unwrap_or_else(|| panic!("{path:?} was opened"));
        assert_eq!(error.stage(), Stage::Sink, "{error:?}");
    }
    destination.abandon().await.expect("abandon");
    assert_nothing(fixture).await;
}

/// Some parts committed, some open, some aborted: dropping or abandoning leaves none of them.
pub async fn many_parts_are_dropped_together(fixture: &dyn Fixture) {
    for abandon in [false, true] {
        let mut destination = start(fixture, "one", false).await;
        store(&*destination, Some("a/1"), data(1, 10_000)).await;
        store(&*destination, Some("b"), data(2, 10_000)).await;
        let mut open_part = open(&*destination, Some("a/2")).await;
        open_part.write(data(3, 2 << 20)).await.expect("write");
        open(&*destination, Some("a/c/3")).await.abort().await.expect("abort");
        drop(open_part);
        if abandon {
            destination.abandon().await.expect("abandon");
        }
        drop(destination);
        assert_nothing(fixture).await;
    }
}

/// Both forms of an archive, for the cases where one replaces another.
fn forms(seed: u64) -> [Vec<(&'static str, Bytes)>; 2] {
    [
        vec![("", data(seed, 150_000))],
        vec![("a", data(seed + 1, 70_000)), ("b/c", data(seed + 2, 80_000)), ("only-in-odd", data(seed, 9))],
    ]
}

/// Without leave to overwrite, the probe refuses and the archive stays.
pub async fn an_existing_archive_is_refused_and_intact(fixture: &dyn Fixture) {
    for old in forms(20) {
        run(&mut *fixture.destination("old", true), "old", &old).await.expect("run");
        let mut destination = fixture.destination("new", false);
        let error = destination.probe(&Context::silent()).await.expect_err("it exists");
        assert_eq!(error.exit_code(), 5, "{error:?}");
        assert!(!error.hints().is_empty(), "{error:?}");
        destination.abandon().await.expect("abandon");
        drop(destination);
        assert_holds(fixture, "old", &old).await;
    }
}

/// Nothing of the old archive stays, whatever its form was.
pub async fn overwriting_replaces_the_whole(fixture: &dyn Fixture) {
    for old in forms(30) {
        for mut new in forms(40) {
            new.retain(|(path, _)| *path != "only-in-odd");
            run(&mut *fixture.destination("old", true), "old", &old).await.expect("run");
            assert_holds(fixture, "old", &old).await;
            run(&mut *fixture.destination("new", true), "new", &new).await.expect("run over it");
            assert_holds(fixture, "new", &new).await;
        }
    }
}

/// A run that overwrites and fails at any step before publish leaves the old archive as it was.
pub async fn overwriting_changes_nothing_before_publish(fixture: &dyn Fixture) {
    for old in forms(50) {
        run(&mut *fixture.destination("old", true), "old", &old).await.expect("run");
        for new in forms(60) {
            let mut destination = start(fixture, "new", true).await;
            for (path, data) in &new {
                store(&*destination, (!path.is_empty()).then_some(*path), data.clone()).await;
            }
            let view = fixture.view().await;
            assert_eq!(whole(&view).expect("the old archive").id, "old");
            destination.abandon().await.expect("abandon");
            drop(destination);
            assert_holds(fixture, "old", &old).await;
        }
    }
}

/// Publishes `runs` copies at once and returns the ids of those that succeeded.
async fn race(fixture: &dyn Fixture, overwrite: bool, form: usize) -> Vec<String> {
    let mut ready = Vec::new();
    for run in 0..4_u64 {
        let (id, parts) = (format!("run-{run}"), forms(100 + 10 * run)[form].clone());
        let destination = start(fixture, &id, overwrite).await;
        for (path, data) in &parts {
            store(&*destination, (!path.is_empty()).then_some(*path), data.clone()).await;
        }
        ready.push((id, parts, destination));
    }
    let publishing: Vec<_> = ready
        .into_iter()
        .map(|(id, parts, mut destination)| {
            tokio::spawn(async move {
                let published = destination.publish(&describe(&id, &parts), &Context::silent()).await;
                published.map(|()| id)
            })
        })
        .collect();
    let mut won = Vec::new();
    for outcome in publishing {
        match outcome.await.expect("no panic") {
            Ok(id) => won.push(id),
            Err(error) => assert_eq!(error.exit_code(), 5, "{error:?}"),
        }
    }
    won
}

/// Of runs that all found the place empty, one publishes and the others get an error of the sink.
pub async fn of_two_racing_runs_one_wins(fixture: &dyn Fixture) {
    let won = race(fixture, false, 0).await;
    assert_eq!(won.len(), 1, "{won:?}");
    let view = fixture.view().await;
    assert_eq!(whole(&view).expect("an archive").id, won[0]);
    assert_clean(fixture).await;
}

/// Of runs that all may overwrite, each may succeed; what stays is one of them, whole.
pub async fn racing_overwrites_leave_one_whole_archive(fixture: &dyn Fixture) {
    for round in 0..6 {
        let won = race(fixture, true, round % 2).await;
        let view = fixture.view().await;
        let id = whole(&view).expect("an archive").id;
        assert!(won.contains(&id), "{id} of {won:?}");
        assert_clean(fixture).await;
    }
}

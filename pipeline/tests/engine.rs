//! What the engine promises, held against stages that end badly, stall, fail and panic.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use pipeline::testing::{
    Action, Cutting, Ending, FaultyDestination, MemoryStore, Random, Step, TestPart, TestSource, View,
    content,
};
use pipeline::{
    Context, Delivery, Destination, Error, Job, Kind, Output, Phase, Report, Result, Settings, Silent,
    Source, Stage, Steps, Transform, TransformReport, no_steps, prepare,
};
use tokio_util::sync::CancellationToken;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn delivery(destination: impl Destination + 'static) -> Delivery {
    Delivery {
        destination: Box::new(destination),
        share: None,
        tail: no_steps(),
        bare: (no_steps(), String::new()),
        compression: "none".into(),
        ending: String::new(),
        optional: false,
    }
}

fn job(source: impl Source + 'static, deliveries: Vec<Delivery>) -> Job {
    Job {
        id: "test".into(),
        source: Box::new(source),
        steps: no_steps(),
        deliveries,
        settings: Settings::default(),
    }
}

async fn run(job: Job) -> Result<Report> {
    within(pipeline::run(job, &Context::silent())).await
}

/// A run that hangs is a failure, not a test that never ends.
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("the run ends")
}

/// Adds 1 to every byte, and holds the last byte back until the end, so that a missing `finish` shows.
#[derive(Default)]
struct Increment(Option<u8>);

impl Transform for Increment {
    fn name(&self) -> &'static str {
        "increment"
    }

    fn memory(&self) -> usize {
        1
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        let mut changed: Vec<u8> =
            self.0.into_iter().chain(input.iter().map(|b| b.wrapping_add(1))).collect();
        self.0 = changed.pop();
        out.emit(changed.into())
    }

    fn finish(self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        out.emit(self.0.into_iter().collect::<Vec<u8>>().into())?;
        Ok(TransformReport::new("increment"))
    }
}

fn increment() -> Steps {
    Arc::new(|_| Ok(vec![Box::new(Increment::default())]))
}

fn incremented(data: &[u8]) -> Vec<u8> {
    data.iter().map(|b| b.wrapping_add(1)).collect()
}

#[tokio::test]
async fn every_cutting_of_a_stream_arrives_whole_and_described() {
    let data = Random::new(1).bytes(700_001);
    for cutting in [Cutting::Every(1000), Cutting::Every(MIB), Cutting::Chaos(3), Cutting::Chaos(4)] {
        let store = MemoryStore::new();
        let mut job = job(
            TestSource::new([TestPart::new(data.clone()).cut(cutting)]),
            vec![Delivery { tail: increment(), ..delivery(store.destination()) }],
        );
        job.steps = increment();
        let report = run(job).await.unwrap();
        let raw = incremented(&data);
        let stored = incremented(&raw);
        assert_eq!(store.part("").unwrap(), stored, "{cutting:?}");
        let manifest = store.manifest().unwrap();
        assert_eq!(manifest.parts[0].source, content(&data));
        assert_eq!(manifest.parts[0].raw, content(&raw));
        assert_eq!(manifest.parts[0].stored, content(&stored));
        assert_eq!(manifest.parts[0].transforms.len(), 2);
        assert_eq!(report.source_bytes(), 700_001);
    }
}

#[tokio::test]
async fn an_empty_stream_is_a_stream() {
    let store = MemoryStore::new();
    run(job(TestSource::of(Bytes::new()), vec![delivery(store.destination())])).await.unwrap();
    assert_eq!(store.part("").unwrap(), b"");
}

#[tokio::test]
async fn a_source_that_does_not_say_whole_publishes_nothing_wherever_it_stops() {
    let data = Random::new(2).bytes(300 * KIB);
    for ending in [Ending::Fail, Ending::Truncated, Ending::Panic] {
        for at in [0, 1, 64 * KIB, 64 * KIB + 1, data.len() - 1, data.len()] {
            let store = MemoryStore::new();
            let source = TestSource::new([TestPart::new(data.clone()).ending_at(at, ending)]);
            let error = run(job(source, vec![delivery(store.destination())])).await.unwrap_err();
            assert_eq!(store.view(), View::default(), "{ending:?} at {at}");
            assert_eq!(store.litter(), Vec::<String>::new(), "{ending:?} at {at}");
            let expected = if ending == Ending::Panic { 1 } else { 3 };
            assert_eq!(error.exit_code(), expected, "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_source_that_takes_back_its_word_publishes_nothing() {
    let store = MemoryStore::new();
    let error = run(job(TestSource::of("abc").refusing_finish(), vec![delivery(store.destination())]))
        .await
        .unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert_eq!((store.view(), store.litter()), (View::default(), Vec::new()));
}

#[tokio::test]
async fn a_failure_of_any_call_leaves_nothing_and_names_the_sink() {
    let data = Random::new(3).bytes(400 * KIB);
    for action in [Action::Fail, Action::Panic] {
        for (step, nth) in [
            (Step::Probe, 0),
            (Step::Open, 0),
            (Step::Write, 0),
            (Step::Write, 3),
            (Step::Commit, 0),
            (Step::Publish, 0),
        ] {
            // Probe and publish run on the caller's own task, where a panic is the caller's.
            if action == Action::Panic && matches!(step, Step::Probe | Step::Publish) {
                continue;
            }
            let store = MemoryStore::new();
            let destination = FaultyDestination::new(store.destination()).at(step, nth, action);
            let source = TestSource::of(data.clone());
            let error = run(job(source, vec![delivery(destination)])).await.unwrap_err();
            assert_eq!((store.view(), store.litter()), (View::default(), Vec::new()), "{step:?} {nth}");
            let expected = if action == Action::Fail { 5 } else { 1 };
            assert_eq!(error.exit_code(), expected, "{step:?}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_failed_clean_up_is_told_beside_the_cause_and_does_not_replace_it() {
    let store = MemoryStore::new();
    let destination = FaultyDestination::new(store.destination())
        .at(Step::Write, 1, Action::Fail)
        .from(Step::Abort, 0, Action::Fail)
        .from(Step::Abandon, 0, Action::Fail);
    let source = TestSource::of(Random::new(4).bytes(300 * KIB));
    let error = run(job(source, vec![delivery(destination)])).await.unwrap_err();
    assert!(error.to_string().contains("Write 1"), "{error}");
    assert_eq!(error.afterwards().len(), 2, "{error:?}");
    assert_eq!(store.view(), View::default());
}

#[tokio::test]
async fn a_transform_that_fails_is_exit_4_and_a_truncation_it_finds_is_the_sources() {
    struct Refuses(Error);
    impl Transform for Refuses {
        fn name(&self) -> &'static str {
            "refuses"
        }
        fn memory(&self) -> usize {
            0
        }
        fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
            out.emit(input)
        }
        fn finish(self: Box<Self>, _: &mut dyn Output) -> Result<TransformReport> {
            Err(self.0)
        }
    }
    for (make, code) in [
        ((|| Error::transform("no")) as fn() -> Error, 4),
        (|| Error::truncated("the trailer is missing"), 3),
    ] {
        for in_tail in [false, true] {
            let store = MemoryStore::new();
            let steps: Steps = Arc::new(move |_| Ok(vec![Box::new(Refuses(make()))]));
            let (steps, tail) = if in_tail { (no_steps(), steps) } else { (steps, no_steps()) };
            let mut job =
                job(TestSource::of("hello"), vec![Delivery { tail, ..delivery(store.destination()) }]);
            job.steps = steps;
            let error = run(job).await.unwrap_err();
            assert_eq!(error.exit_code(), code);
            assert_eq!((store.view(), store.litter()), (View::default(), Vec::new()));
            if code == 3 && !in_tail {
                assert_eq!(error.context(), [("offset", "5".to_owned())]);
            }
        }
    }
}

/// With a stuck sink the source gets exactly as far as the edges, and one piece in each pair of hands, allow.
#[tokio::test]
async fn a_stuck_sink_stops_the_source_after_exactly_the_edges_bytes() {
    const PIECE: usize = 64 * KIB;
    let store = MemoryStore::new();
    let stuck = FaultyDestination::new(store.destination()).from(Step::Write, 0, Action::Hang);
    let source = TestSource::new([TestPart::new(vec![7; MIB]).times(1000).cut(Cutting::Every(PIECE))]);
    let sent = source.sent();
    let cancel = CancellationToken::new();
    let cx = Context::new(cancel.clone(), Arc::new(Silent));
    let mut job = job(source, vec![delivery(stuck)]);
    job.settings.memory = 64 * MIB;
    let prepared = prepare(job, &cx).await.unwrap();
    let edge = prepared.plan.memory.edge;
    assert_eq!(prepared.plan.memory.edges, 2);
    let running = tokio::spawn(async move { prepared.run(&cx).await });

    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = sent.load(SeqCst);
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    let in_edges = 2 * (edge / PIECE);
    let in_hands = 2; // the digest thread, and the sink's write
    assert_eq!(last, ((in_edges + in_hands) * PIECE) as u64, "edges of {edge} bytes");

    cancel.cancel();
    let error = within(running).await.unwrap().unwrap_err();
    assert!(error.is_consequence(), "the caller knows which signal it was: {error:?}");
    assert_eq!((store.view(), store.litter()), (View::default(), Vec::new()));
}

#[tokio::test]
async fn a_slow_sink_slows_the_source_and_loses_nothing() {
    let data = Random::new(5).bytes(3 * MIB);
    let store = MemoryStore::new();
    let slow = FaultyDestination::new(store.destination()).from(
        Step::Write,
        0,
        Action::Delay(Duration::from_millis(5)),
    );
    run(job(TestSource::of(data.clone()), vec![delivery(slow)])).await.unwrap();
    assert_eq!(store.part("").unwrap(), data);
}

#[tokio::test]
async fn cancelled_at_any_moment_nothing_is_visible_that_is_not_whole() {
    let data = Random::new(6).bytes(2 * MIB);
    let mut finished = 0;
    for delay in 0..60 {
        let store = MemoryStore::new();
        let cancel = CancellationToken::new();
        let cx = Context::new(cancel.clone(), Arc::new(Silent));
        let mut job = job(
            TestSource::new([TestPart::new(data.clone()).cut(Cutting::Chaos(delay))]),
            vec![Delivery { tail: increment(), ..delivery(store.destination()) }],
        );
        job.steps = increment();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(delay * 300)).await;
            cancel.cancel();
        });
        match within(pipeline::run(job, &cx)).await {
            Ok(_) => {
                finished += 1;
                assert_eq!(store.part("").unwrap(), incremented(&incremented(&data)));
            }
            Err(error) => {
                assert!(error.is_consequence(), "{error:?}");
                assert_eq!(store.view(), View::default());
            }
        }
        assert_eq!(store.litter(), Vec::<String>::new());
    }
    assert!(finished < 60, "no cancellation came early enough to test anything");
}

/// A publication that was begun is brought to its end: what is then said of the archive must be true.
#[tokio::test]
async fn cancelled_while_publishing_the_word_is_the_truth() {
    let late = Duration::from_millis(100);
    for action in [Action::LateAnswer(late), Action::Delay(late)] {
        for several in [false, true] {
            let (first, second) = (MemoryStore::new(), MemoryStore::new());
            let faulty = FaultyDestination::new(first.destination()).at(Step::Publish, 0, action);
            let calls = faulty.calls();
            let mut deliveries = vec![delivery(faulty)];
            if several {
                deliveries.push(delivery(second.destination()));
            }
            let cancel = CancellationToken::new();
            let cx = Context::new(cancel.clone(), Arc::new(Silent));
            tokio::spawn(async move {
                while calls.of(Step::Publish) == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                cancel.cancel();
            });
            let result = within(pipeline::run(job(TestSource::of("whole"), deliveries), &cx)).await;
            assert_eq!(first.part("").unwrap(), b"whole");
            assert_eq!((second.view(), second.litter()), (View::default(), Vec::new()));
            if several {
                let error = result.unwrap_err();
                assert!(error.is_consequence(), "{error:?}");
                assert!(error.afterwards()[0].contains("already published"), "{error:?}");
            } else {
                assert!(result.unwrap().warnings[0].contains("exists and is whole"));
            }
        }
    }
}

#[tokio::test]
async fn parts_keep_their_phases_and_come_in_the_order_they_began() {
    for jobs in [1, 3, 8] {
        let mut parts = Vec::new();
        let mut expected = Vec::new();
        for (phase, count) in [(Phase::Schema, 2), (Phase::Data, 20), (Phase::Finish, 3)] {
            for n in 0..count {
                let path = format!("{phase:?}/{n}").to_lowercase();
                let data = Random::new(n).bytes(1 + usize::try_from(n).unwrap() * 10_000);
                expected.push((path.clone(), data.clone()));
                parts.push(TestPart::new(data).path(&path).phase(phase).cut(Cutting::Chaos(n)));
            }
        }
        let store = MemoryStore::new();
        let source = TestSource::new(parts);
        let finished = source.finished();
        let mut job = job(source, vec![delivery(store.destination())]);
        job.settings.jobs = jobs;
        run(job).await.unwrap();
        assert!(finished.load(SeqCst));
        let manifest = store.manifest().unwrap();
        let order: Vec<_> = manifest.parts.iter().map(|part| part.path.clone()).collect();
        assert_eq!(order, expected.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>());
        for (path, data) in &expected {
            assert_eq!(store.part(path).as_ref(), Some(data), "{path}");
        }
    }
}

#[tokio::test]
async fn one_bad_part_of_many_fails_the_job() {
    for bad in 0..12 {
        let parts = (0..12).map(|n| {
            let part = TestPart::new(vec![n; 50_000]).path(&format!("p{n}"));
            if n == bad { part.ending(Ending::Truncated) } else { part }
        });
        let store = MemoryStore::new();
        let mut job = job(TestSource::new(parts), vec![delivery(store.destination())]);
        job.settings.jobs = 4;
        let error = run(job).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Truncated);
        assert_eq!((store.view(), store.litter()), (View::default(), Vec::new()));
    }
}

#[tokio::test]
async fn one_source_feeds_several_destinations_each_with_its_own_tail() {
    let data = Random::new(8).bytes(500_000);
    let (plain, changed) = (MemoryStore::new(), MemoryStore::new());
    let deliveries = vec![
        delivery(plain.destination()),
        Delivery { tail: increment(), ending: ".inc".into(), ..delivery(changed.destination()) },
    ];
    run(job(TestSource::of(data.clone()), deliveries)).await.unwrap();
    assert_eq!(plain.part("").unwrap(), data);
    assert_eq!(changed.part("").unwrap(), incremented(&data));
}

#[tokio::test]
async fn a_failing_destination_fails_all_unless_it_is_optional() {
    let data = Random::new(9).bytes(3 * MIB);
    for step in [Step::Probe, Step::Open, Step::Write, Step::Commit, Step::Publish] {
        for optional in [false, true] {
            let (good, bad) = (MemoryStore::new(), MemoryStore::new());
            let faulty = FaultyDestination::new(bad.destination()).at(step, 0, Action::Fail);
            let deliveries = vec![delivery(good.destination()), Delivery { optional, ..delivery(faulty) }];
            let result = run(job(TestSource::of(data.clone()), deliveries)).await;
            assert_eq!((bad.view(), bad.litter()), (View::default(), Vec::new()), "{step:?}");
            match result {
                Ok(report) => {
                    assert!(optional);
                    assert_eq!(good.part("").unwrap(), data);
                    assert!(report.deliveries[0].outcome.is_ok() && report.deliveries[1].outcome.is_err());
                    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
                }
                Err(error) => {
                    assert!(!optional, "{step:?} {error:?}");
                    assert_eq!(error.stage(), Stage::Sink);
                    assert_eq!(good.litter(), Vec::<String>::new());
                    if step == Step::Publish {
                        assert_eq!(good.part("").unwrap(), data, "a whole archive is not taken back");
                        assert!(error.afterwards()[0].contains("already published"));
                    } else {
                        assert_eq!(good.view(), View::default());
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn when_every_destination_was_optional_and_failed_the_run_failed() {
    let faulty = FaultyDestination::new(MemoryStore::new().destination()).at(Step::Write, 0, Action::Fail);
    let error = run(job(TestSource::of("x"), vec![Delivery { optional: true, ..delivery(faulty) }]))
        .await
        .unwrap_err();
    assert_eq!(error.exit_code(), 5);
}

#[tokio::test]
async fn a_source_without_parts_is_not_an_empty_archive() {
    let store = MemoryStore::new();
    let error = run(job(TestSource::new([]), vec![delivery(store.destination())])).await.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert_eq!(store.view(), View::default());
}

/// Random faults at random calls, several destinations and lanes: whatever is visible is whole.
#[tokio::test]
async fn chaos() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let parts: Vec<(String, Vec<u8>)> = (0..=random.below(6))
            .map(|n| {
                let length = random.below(200_000);
                (format!("part{n}"), random.bytes(length))
            })
            .collect();
        let bad = random.below(parts.len() * 2);
        let source = TestSource::new(parts.iter().enumerate().map(|(n, (path, data))| {
            let part = TestPart::new(data.clone()).path(path).cut(Cutting::Chaos(seed));
            if n == bad { part.ending_at(random.below(data.len() + 1), Ending::Fail) } else { part }
        }));
        let stores: Vec<MemoryStore> = (0..=random.below(3)).map(|_| MemoryStore::new()).collect();
        let deliveries = stores
            .iter()
            .map(|store| {
                let steps =
                    [Step::Open, Step::Write, Step::Commit, Step::Publish, Step::Abort, Step::Abandon];
                let mut faulty = FaultyDestination::new(store.destination());
                if random.below(3) == 0 {
                    let nth = random.below(5) as u64;
                    faulty = faulty.at(steps[random.below(steps.len())], nth, Action::Fail);
                }
                let optional = random.below(3) == 0;
                let tail = if random.below(2) == 0 { increment() } else { no_steps() };
                let compression = if tail(None).unwrap().is_empty() { "none" } else { "gzip" };
                Delivery { optional, tail, compression: compression.into(), ..delivery(faulty) }
            })
            .collect();
        let mut job = job(source, deliveries);
        job.settings.jobs = 1 + random.below(4);
        let result = run(job).await;
        for store in &stores {
            if let Some(manifest) = store.manifest() {
                assert_eq!(manifest.parts.len(), parts.len(), "seed {seed}");
                for (path, data) in &parts {
                    let stored = store.part(path).unwrap();
                    let whole = if manifest.parts[0].compression == "none" {
                        data.clone()
                    } else {
                        incremented(data)
                    };
                    assert_eq!(stored, whole, "seed {seed}: {path}");
                }
            } else {
                assert!(store.view().parts.is_empty(), "seed {seed}: parts without a manifest");
            }
        }
        if result.is_ok() {
            assert!(stores.iter().any(|store| store.manifest().is_some()), "seed {seed}");
        }
        if bad < parts.len() {
            assert!(result.is_err(), "seed {seed}: a bad source");
            assert!(stores.iter().all(|store| store.manifest().is_none()), "seed {seed}");
        }
    }
}

//! Carries one part: reader → steps → fork → each delivery's tail → its sink.
//!
//! Sockets and timers live on the runtime; everything that costs CPU runs on a named thread of its own, so that each stage has a core
//! whenever one is free and a profiler shows the stages by name.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::context::Context;
use crate::destination::{Destination, PartHeader, Proof, Sink};
use crate::digest::{Algorithm, Content, Digester};
use crate::error::{Error, Kind, Result};
use crate::frame::{self, Frame, FrameReceiver, FrameSender, StreamEnd};
use crate::job::{PartReport, Share, StoredPart};
use crate::meter::Meter;
use crate::source::{Format, Part, Reader};
use crate::transform::{Chain, Output, TransformReport};

/// Pieces below this are joined before they cross a thread; a wake-up costs about as much as copying this much.
const SMALL: usize = 32 << 10;
/// Size of a joined piece.
const JOINED: usize = 128 << 10;
/// How long a reader may take to let go of children and connections after a cancellation.
const READER_GRACE: Duration = Duration::from_secs(10);
/// How long a destination may take to remove what a failed run left.
pub(crate) const CLEANUP_GRACE: Duration = Duration::from_secs(30);

/// The first error that is not the consequence of another.
#[derive(Debug, Clone, Default)]
pub(crate) struct FirstCause(Arc<Mutex<Option<Error>>>);

impl FirstCause {
    /// Keeps `error` unless a real cause is already there. A consequence is kept only as long as nothing better comes.
    pub(crate) fn record(&self, error: Error) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(kept) if !kept.is_consequence() || error.is_consequence() => {}
            _ => *slot = Some(error),
        }
    }

    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// One delivery as a part sees it.
pub(crate) struct Branch {
    pub(crate) destination: Arc<Box<dyn Destination>>,
    /// Makes the delivery's share of the stream; none when it gets all.
    pub(crate) share: Option<Chain>,
    pub(crate) tail: Chain,
    pub(crate) header: PartHeader,
    /// Where its failure goes: the run's own cause, or the delivery's when it is optional.
    pub(crate) cause: FirstCause,
    pub(crate) optional: bool,
    /// An optional delivery that failed with an earlier part.
    pub(crate) dead: bool,
}

pub(crate) struct Carry {
    pub(crate) part: Part,
    pub(crate) steps: Chain,
    pub(crate) branches: Vec<Branch>,
    pub(crate) edge: usize,
    pub(crate) digests: Vec<Algorithm>,
}

impl Carry {
    /// Runs the part to its end. On failure the cause is recorded, everything is let go of, and `None` returned.
    pub(crate) async fn run(self, cause: FirstCause, cx: Context) -> Option<PartReport> {
        let Self { part, steps, branches, edge, digests } = self;
        let Part { path, phase, format, compressed, counted, reader, .. } = part;

        let read_meter = cx.board().meter("source");
        let steps_name = if steps.is_empty() { "digest".to_owned() } else { steps.name() };
        let steps_meter = cx.board().meter(&steps_name);
        let (source_tx, source_rx) = frame::channel(edge, Arc::clone(&read_meter), Arc::clone(&steps_meter));

        // A delivery that takes the stream as it leaves the steps hashes the very bytes that the steps would: once is enough.
        let witness = branches.iter().position(|branch| {
            !branch.dead && !branch.optional && branch.share.is_none() && branch.tail.is_empty()
        });
        let mut fork = Vec::new();
        let mut tails = Vec::new();
        let mut sinks = Vec::new();
        for branch in branches {
            if branch.dead {
                fork.push(None);
                tails.push(None);
                sinks.push(None);
                continue;
            }
            let Branch { destination, share, tail, header, cause, optional, .. } = branch;
            // Meters in the order of the stages: that is how they are shown.
            let names = share.iter().chain([&tail]).filter(|chain| !chain.is_empty()).map(Chain::name);
            let name = names.collect::<Vec<_>>().join("+");
            let tail_meter = (!name.is_empty()).then(|| cx.board().meter(&name));
            let sink_meter = cx.board().meter(format!("→ {}", destination.endpoint()));
            let (tail_end, sink_rx) = if let Some(meter) = tail_meter {
                let (fork_tx, fork_rx) = frame::channel(edge, Arc::clone(&steps_meter), Arc::clone(&meter));
                let (tx, rx) = frame::channel(edge, Arc::clone(&meter), Arc::clone(&sink_meter));
                fork.push(Some(Way { pieces: Pieces::new(fork_tx), optional }));
                let digests = digests.clone();
                let end = on_thread(&name, meter, cause.clone(), move || {
                    run_tail(fork_rx, share, tail, tx, &digests)
                });
                (Some(end), rx)
            } else {
                let (tx, rx) = frame::channel(edge, Arc::clone(&steps_meter), Arc::clone(&sink_meter));
                fork.push(Some(Way { pieces: Pieces::new(tx), optional }));
                (None, rx)
            };
            tails.push(tail_end);
            sinks.push(Some(tokio::spawn(run_sink(
                destination,
                header,
                sink_rx,
                digests.clone(),
                sink_meter,
                cause,
                optional,
                cx.clone(),
            ))));
        }

        let stream = on_thread(&steps_name, steps_meter, cause.clone(), {
            let digests = digests.clone();
            move || run_steps(source_rx, steps, fork, &digests, witness.is_some())
        });
        // A task of its own, so that a reader that panics is a cause like any other.
        let reading = tokio::spawn({
            let (cause, cx) = (cause.clone(), cx.clone());
            async move { run_reader(reader, source_tx, &cause, &cx).await }
        });
        if let Err(panic) = reading.await {
            cause.record(Error::bug("the reader panicked").caused_by(panic));
            cx.cancellation().cancel();
        }
        read_meter.stop();

        let streamed = stream.await.unwrap_or(None);
        if streamed.is_none() {
            // The thread recorded why. Nobody waits for more: sinks abort on the closed channel, others are told.
            cx.cancellation().cancel();
        }
        let mut stored = Vec::new();
        for (tail, sink) in tails.into_iter().zip(sinks) {
            let transforms = match tail {
                None => Some((None, Vec::new())),
                Some(end) => end.await.unwrap_or(None),
            };
            let outcome = match sink {
                None => None,
                Some(task) => match task.await {
                    Ok(outcome) => outcome,
                    Err(panic) => {
                        cause.record(Error::bug("a sink panicked").caused_by(panic));
                        None
                    }
                },
            };
            stored.push(transforms.zip(outcome).map(|((share, transforms), (content, proof))| StoredPart {
                content,
                share,
                transforms,
                proof,
            }));
        }
        let (source, raw, transforms) = streamed?;
        if cause.is_set() {
            return None;
        }
        let raw = match (raw, witness) {
            (Some(raw), _) => raw,
            (None, witness) => stored.get(witness?)?.as_ref()?.content.clone(),
        };
        let source = source.unwrap_or_else(|| raw.clone());
        let found = transforms.iter().rev().find_map(|report| report.format);
        let mut objects = std::collections::BTreeMap::new();
        for report in &transforms {
            objects.extend(report.objects.clone());
        }
        objects.extend(std::mem::take(&mut *counted.lock().unwrap_or_else(PoisonError::into_inner)));
        // A step that turned it into something else knows better than the source.
        let format = found.or(format).unwrap_or(Format::Opaque);
        Some(PartReport { path, phase, format, compressed, source, raw, transforms, objects, stored })
    }
}

async fn run_reader(reader: Box<dyn Reader>, mut out: FrameSender, cause: &FirstCause, cx: &Context) {
    let overdue = async {
        cx.cancellation().cancelled().await;
        tokio::time::sleep(READER_GRACE).await;
    };
    let result = tokio::select! {
        result = reader.read(&mut out, cx) => result,
        () = overdue => Err(Error::cancelled()),
    };
    // After a cancellation a reader may stop early and say `Ok`, or complain of the child that was killed: neither counts.
    let result = if cx.cancellation().is_cancelled() { Err(Error::cancelled()) } else { result };
    if let Err(error) = result.and_then(|()| out.finish().map(|_| ())) {
        cause.record(error);
        cx.cancellation().cancel();
    }
}

/// Runs `work` on a named thread. Its error, or panic, becomes a cause; the receiver then gets `None`.
fn on_thread<T: Send + 'static>(
    name: &str,
    meter: Arc<Meter>,
    cause: FirstCause,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> oneshot::Receiver<Option<T>> {
    let (tx, rx) = oneshot::channel();
    // Linux shows 15 bytes of a thread's name.
    let thread_name: String = format!("dbf-{name}").chars().take(15).collect();
    let failed = cause.clone();
    let spawned = std::thread::Builder::new().name(thread_name).spawn(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(Error::bug("a stage panicked")));
        meter.stop();
        let value = result.map_err(|error| cause.record(error)).ok();
        // The receiver is gone only when the whole run was dropped.
        drop(tx.send(value));
    });
    if let Err(error) = spawned {
        failed.record(Error::bug("cannot start a thread").caused_by(error));
    }
    rx
}

/// What came and what left the steps, each unless it is the same as what follows, and nothing hashed it twice.
type Streamed = (Option<Content>, Option<Content>, Vec<TransformReport>);

fn run_steps(
    mut input: FrameReceiver,
    mut steps: Chain,
    ways: Vec<Option<Way>>,
    digests: &[Algorithm],
    witnessed: bool,
) -> Result<Streamed> {
    let unchanged = steps.is_empty();
    let mut source = (!unchanged || !witnessed).then(|| Digester::new(digests));
    let mut fork = Fork { ways, digester: (!unchanged && !witnessed).then(|| Digester::new(digests)) };
    let mut bytes = 0;
    while let Frame::Data(data) = input.recv_blocking()? {
        bytes += data.len() as u64;
        if let Some(source) = &mut source {
            source.update(&data);
        }
        steps.push(data, &mut fork)?;
    }
    let source = source.map(Digester::finish);
    let reports = steps.finish(&mut fork).map_err(|e| with_stream_length(e, bytes))?;
    let mut raw = fork.finish()?;
    if unchanged && !witnessed {
        raw.clone_from(&source);
    }
    Ok((source, raw, reports))
}

/// A stream that ended too early is told with the place where it ended, unless the step knew better.
fn with_stream_length(error: Error, bytes: u64) -> Error {
    let told = error.context().iter().any(|(key, _)| *key == "offset");
    if error.kind() == Kind::Truncated && !told { error.with("offset", bytes) } else { error }
}

type Tailed = (Option<Share>, Vec<TransformReport>);

fn run_tail(
    mut input: FrameReceiver,
    share: Option<Chain>,
    mut tail: Chain,
    out: FrameSender,
    digests: &[Algorithm],
) -> Result<Tailed> {
    let mut out = Pieces::new(out);
    let Some(mut own) = share else {
        while let Frame::Data(data) = input.recv_blocking()? {
            tail.push(data, &mut out)?;
        }
        let reports = tail.finish(&mut out)?;
        out.finish()?;
        return Ok((None, reports));
    };
    let mut hashed = Hashed { digester: Digester::new(digests), tail: &mut tail, out: &mut out };
    while let Frame::Data(data) = input.recv_blocking()? {
        own.push(data, &mut hashed)?;
    }
    let mut reports = own.finish(&mut hashed)?;
    let raw = hashed.digester.finish();
    let objects = reports.iter().flat_map(|report| report.objects.clone()).collect();
    reports.extend(tail.finish(&mut out)?);
    out.finish()?;
    Ok((Some(Share { raw, objects }), reports))
}

/// Between a delivery's share and its compression: what passes here is the archive's raw content.
struct Hashed<'a> {
    digester: Digester,
    tail: &'a mut Chain,
    out: &'a mut Pieces,
}

impl Output for Hashed<'_> {
    fn emit(&mut self, data: Bytes) -> Result<()> {
        self.digester.update(&data);
        self.tail.push(data, self.out)
    }
}

#[allow(clippy::too_many_arguments, reason = "a task's whole world, moved in once")]
async fn run_sink(
    destination: Arc<Box<dyn Destination>>,
    header: PartHeader,
    input: FrameReceiver,
    digests: Vec<Algorithm>,
    meter: Arc<Meter>,
    cause: FirstCause,
    optional: bool,
    cx: Context,
) -> Option<(Content, Proof)> {
    let result = fill_sink(&**destination, &header, input, &digests, &meter, &cx).await;
    meter.stop();
    result
        .map_err(|error| {
            cause.record(error);
            if !optional {
                cx.cancellation().cancel();
            }
        })
        .ok()
}

async fn fill_sink(
    destination: &dyn Destination,
    header: &PartHeader,
    mut input: FrameReceiver,
    digests: &[Algorithm],
    meter: &Meter,
    cx: &Context,
) -> Result<(Content, Proof)> {
    let cancelled = cx.cancellation();
    let mut sink = tokio::select! {
        sink = destination.open(header, cx) => sink?,
        () = cancelled.cancelled() => return Err(Error::cancelled()),
    };
    let mut digester = Digester::new(digests);
    loop {
        let frame = tokio::select! {
            frame = input.recv() => frame,
            () = cancelled.cancelled() => Err(Error::cancelled()),
        };
        match frame {
            Ok(Frame::Data(data)) => {
                digester.update(&data);
                let len = data.len();
                tokio::select! {
                    written = sink.write(data) => match written {
                        Ok(()) => meter.sent(len),
                        Err(error) => return Err(abort(sink, error).await),
                    },
                    // A write dropped half-way leaves a sink that may only be dropped.
                    () = cancelled.cancelled() => return Err(Error::cancelled()),
                }
            }
            Ok(Frame::End(_)) => break,
            Err(error) => return Err(abort(sink, error).await),
        }
    }
    let content = digester.finish();
    let receipt = tokio::select! {
        receipt = sink.commit(&content) => receipt?,
        () = cancelled.cancelled() => return Err(Error::cancelled()),
    };
    if receipt.bytes != content.bytes {
        return Err(Error::mismatch("the destination holds another number of bytes than were sent")
            .with("sent", content.bytes)
            .with("held", receipt.bytes));
    }
    Ok((content, receipt.proof))
}

async fn abort(sink: Box<dyn Sink>, why: Error) -> Error {
    match tokio::time::timeout(CLEANUP_GRACE, sink.abort()).await {
        Ok(Ok(())) => why,
        Ok(Err(error)) => why.also(format!("clean-up failed: {error}")),
        Err(_) => why.also("clean-up did not end in time and was left"),
    }
}

/// Joins small pieces in front of a channel.
struct Pieces {
    tx: FrameSender,
    small: BytesMut,
}

impl Pieces {
    fn new(tx: FrameSender) -> Self {
        Self { tx, small: BytesMut::new() }
    }

    fn flush(&mut self) -> Result<()> {
        if self.small.is_empty() { Ok(()) } else { self.tx.send_blocking(self.small.split().freeze()) }
    }

    fn finish(mut self) -> Result<StreamEnd> {
        self.flush()?;
        self.tx.finish()
    }
}

impl Output for Pieces {
    fn emit(&mut self, data: Bytes) -> Result<()> {
        if data.len() >= SMALL {
            self.flush()?;
            return self.tx.send_blocking(data);
        }
        if self.small.len() + data.len() > self.small.capacity() {
            self.flush()?;
            self.small.reserve(JOINED);
        }
        self.small.extend_from_slice(&data);
        Ok(())
    }
}

struct Way {
    pieces: Pieces,
    optional: bool,
}

/// Hands every piece to every delivery.
struct Fork {
    ways: Vec<Option<Way>>,
    /// Digest of what comes out of the steps; absent when somebody else has it.
    digester: Option<Digester>,
}

impl Fork {
    fn finish(self) -> Result<Option<Content>> {
        for way in self.ways.into_iter().flatten() {
            match way.pieces.finish() {
                Err(error) if !(way.optional && error.is_consequence()) => return Err(error),
                _ => {}
            }
        }
        Ok(self.digester.map(Digester::finish))
    }
}

impl Output for Fork {
    fn emit(&mut self, data: Bytes) -> Result<()> {
        if let Some(digester) = &mut self.digester {
            digester.update(&data);
        }
        for slot in &mut self.ways {
            let Some(way) = slot else { continue };
            match way.pieces.emit(data.clone()) {
                Ok(()) => {}
                // The delivery's own task has said why it stopped.
                Err(error) if way.optional && error.is_consequence() => *slot = None,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

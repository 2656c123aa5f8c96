//! One part of an archive on its way up: cut into buffered pieces, several in flight.
//!
//! A piece is sent from its buffer, so it can be sent again, and nothing is open towards the store while the source is silent. Buffers are used again.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pipeline::{Content, Error, PartHeader, Proof, Receipt, Result, Sink, Stage};
use stores::s3::checksum::Crc64;
use stores::s3::{Class, Failure, Kind, PartTag, Sum, Upload};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::ladder::Ladder;
use super::run::{Run, Stored};

/// A part is sent again when its bytes were changed on the way; not for ever.
const SENT_AT_MOST: u32 = 3;
/// Unit in which the buffers are counted: a semaphore counts up to 2^32.
const UNIT: u64 = 1 << 10;

/// Bytes of one upload's part that are acknowledged.
struct Sent {
    tag: PartTag,
    crc: Crc64,
    buffer: Bytes,
}

/// A buffer being filled, and its share of the room.
struct Filling {
    buffer: BytesMut,
    size: usize,
    room: OwnedSemaphorePermit,
}

pub(crate) struct S3Sink {
    run: Arc<Run>,
    key: String,
    /// It may be put in one piece: the only object of its archive.
    alone: bool,
    ladder: Ladder,
    room: Arc<Semaphore>,
    filling: Option<Filling>,
    spare: Vec<BytesMut>,
    upload: Option<Upload>,
    begun: u64,
    in_flight: JoinSet<Result<Sent>>,
    sent: Vec<(PartTag, Crc64)>,
    written: u64,
}

impl S3Sink {
    pub(crate) fn new(run: &Arc<Run>, header: &PartHeader) -> Result<Self> {
        let key = run.key(header.path.as_deref())?;
        let url = run.bucket.url();
        let budget = run.options.buffer as u64;
        let ladder =
            Ladder::new(header.expected_bytes, url.part_size, url.equal_parts, url.max_parts, budget);
        Ok(Self {
            key,
            alone: header.path.is_none(),
            ladder,
            room: Arc::new(Semaphore::new(units(budget) as usize)),
            filling: None,
            spare: Vec::new(),
            upload: None,
            begun: 0,
            in_flight: JoinSet::new(),
            sent: Vec::new(),
            written: 0,
            run: Arc::clone(run),
        })
    }

    /// The longest stream that fits.
    pub(crate) fn capacity(&self) -> u64 {
        self.ladder.capacity()
    }

    /// A buffer for the next part, as soon as there is room for it.
    async fn make_room(&mut self) -> Result<Filling> {
        let Some(size) = self.ladder.size(self.begun + 1) else {
            return Err(Error::sink(format!(
                "the stream is longer than an object of {} parts can be",
                self.run.bucket.url().max_parts
            ))
            .with("bytes", self.written)
            .hint(
                "a larger --memory allows larger parts; part_size= in the address sets them from the start",
            ));
        };
        let room = loop {
            let wanted = Arc::clone(&self.room).acquire_many_owned(units(size));
            tokio::select! {
                room = wanted => break room.map_err(|_| Error::bug("the room of an upload was closed"))?,
                Some(done) = self.in_flight.join_next() => self.take(done)?,
            }
        };
        while let Some(done) = self.in_flight.try_join_next() {
            self.take(done)?;
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.spare.retain(|buffer| buffer.capacity() >= size && buffer.capacity() <= size + size / 2);
        let buffer = self.spare.pop().unwrap_or_else(|| BytesMut::with_capacity(size));
        Ok(Filling { buffer, size, room })
    }

    fn take(&mut self, done: std::result::Result<Result<Sent>, tokio::task::JoinError>) -> Result<()> {
        let sent = done.map_err(|panic| Error::bug("sending a part panicked").caused_by(panic))??;
        self.sent.push((sent.tag, sent.crc));
        if let Ok(mut buffer) = sent.buffer.try_into_mut() {
            buffer.clear();
            self.spare.push(buffer);
        }
        Ok(())
    }

    /// Sends what is filled.
    async fn send(&mut self, filled: Filling) -> Result<()> {
        if self.upload.is_none() {
            self.upload = Some(self.run.begin(&self.key).await?);
        }
        let Some(upload) = self.upload.clone() else { return Err(Error::bug("an upload was not begun")) };
        self.begun += 1;
        let number = i32::try_from(self.begun).map_err(|_| Error::bug("too many parts"))?;
        let run = Arc::clone(&self.run);
        self.in_flight.spawn(async move {
            let Filling { buffer, room, .. } = filled;
            let sent = send(&run, &upload, number, buffer.freeze()).await;
            drop(room);
            sent
        });
        Ok(())
    }

    async fn finish(&mut self, content: &Content) -> Result<Receipt> {
        if self.written != content.bytes {
            return Err(Error::mismatch("another number of bytes was written than the stream had")
                .with("written", self.written)
                .with("promised", content.bytes));
        }
        let last = self.filling.take();
        let small = self.upload.is_none() && (self.alone || last.is_none());
        let (stored, whole) = if small {
            let data = last.map(|filling| filling.buffer.freeze()).unwrap_or_default();
            let whole = Sum::of(self.run.kind, &data);
            (Stored::Held(data), whole.value)
        } else {
            if let Some(last) = last {
                self.send(last).await?;
            }
            while let Some(done) = self.in_flight.join_next().await {
                self.take(done)?;
            }
            self.sent.sort_by_key(|(tag, _)| tag.number);
            let whole = self.sent.iter().fold(Crc64::default(), |all, (_, crc)| all.then(*crc));
            let parts: Vec<PartTag> = self.sent.drain(..).map(|(tag, _)| tag).collect();
            let upload = self.upload.clone().ok_or_else(|| Error::bug("an upload was not begun"))?;
            let told = match self.run.kind {
                Kind::Crc64Nvme => whole.sum().value,
                kind => format!("{} of {} parts", kind.as_str(), parts.len()),
            };
            let whole = (self.run.kind == Kind::Crc64Nvme).then_some(whole);
            (Stored::Uploaded { upload, parts, whole, bytes: self.written }, told)
        };
        self.run.keep(self.key.clone(), stored)?;
        // From here on the upload belongs to the run.
        self.upload = None;
        let proof = match self.run.kind {
            Kind::None => Proof::Unverified,
            kind => Proof::StoreChecksum { algorithm: kind.as_str().to_owned(), value: whole },
        };
        Ok(Receipt { bytes: self.written, proof })
    }

    async fn remove(&mut self) -> Result<()> {
        self.in_flight.abort_all();
        match self.upload.take() {
            Some(upload) => self.run.discard(&upload).await,
            None => Ok(()),
        }
    }
}

/// Sends one part until the store has acknowledged it.
async fn send(run: &Run, upload: &Upload, number: i32, data: Bytes) -> Result<Sent> {
    let kind = run.kind;
    let (crc, sum, data) = tokio::task::spawn_blocking(move || {
        // An object's CRC64NVME is combined of its parts'; where another checksum goes along, only that is computed.
        let crc = if kind == Kind::Crc64Nvme { Crc64::of(&data) } else { Crc64::default() };
        let sum = if kind == Kind::Crc64Nvme { crc.sum() } else { Sum::of(kind, &data) };
        (crc, sum, data)
    })
    .await
    .map_err(|panic| Error::bug("a checksum panicked").caused_by(panic))?;
    let mut attempt = 1;
    let tag = loop {
        match run.bucket.upload_part(upload, number, data.clone(), &sum).await {
            Ok(tag) => break tag,
            Err(failure) if failure.class == Class::Checksum && attempt < SENT_AT_MOST => attempt += 1,
            Err(failure) => return Err(refused(run, failure, number)),
        }
    };
    Ok(Sent { tag, crc, buffer: data })
}

fn refused(run: &Run, failure: Failure, number: i32) -> Error {
    let gone = failure.class == Class::NoUpload;
    let error = failure
        .into_error(Stage::Sink, &format!("cannot store a part of {}", run.bucket.url()))
        .with("part", number);
    if gone {
        return error
            .hint("somebody aborted the upload: a lifecycle rule for incomplete uploads, or `dbferry gc`");
    }
    error
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[async_trait]
impl Sink for S3Sink {
    async fn write(&mut self, mut data: Bytes) -> Result<()> {
        while !data.is_empty() {
            // A full buffer waits for the next byte: only then is it known not to be the last.
            let mut filling = match self.filling.take() {
                Some(filling) if filling.buffer.len() < filling.size => filling,
                Some(full) => {
                    self.send(full).await?;
                    self.make_room().await?
                }
                None => self.make_room().await?,
            };
            let taken = data.split_to(data.len().min(filling.size - filling.buffer.len()));
            filling.buffer.extend_from_slice(&taken);
            self.written += taken.len() as u64;
            self.filling = Some(filling);
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>, content: &Content) -> Result<Receipt> {
        match self.finish(content).await {
            Ok(receipt) => Ok(receipt),
            Err(error) => match self.remove().await {
                Ok(()) => Err(error),
                Err(cleanup) => Err(error.also(format!("clean-up failed: {cleanup}"))),
            },
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.remove().await
    }
}

impl Drop for S3Sink {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        // The run knows the upload as well and removes it when it is abandoned; this only makes it sooner.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let run = Arc::clone(&self.run);
            let abort = run.tasks.track_future({
                let run = Arc::clone(&run);
                async move { run.discard(&upload).await.ok() }
            });
            runtime.spawn(abort);
        }
    }
}

//! An object in S3, or the archive below a prefix, as a source.
//!
//! Ranges of an object are read at once and handed on in order. Each is read again from the byte where a connection broke, on the condition that the object is
//! still the same; at the end the CRC64NVME of all that was read is held against the store's, where the store has one, else its digest against the manifest's, where there
//! is one.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pipeline::manifest::{ENDING, IN_DIRECTORY, check_part_path};
use pipeline::{
    Algorithm, Content, Context, Digester, Error, Format, FrameSender, Manifest, Part, Reader, Result,
    Source, SourceInfo, Stage,
};
use stores::s3::checksum::Crc64;
use stores::s3::{Bucket, Class, Failure, Head, Patience, S3Url};
use tokio::task::JoinHandle;

/// Ranges of an object that are read at once; a connection to AWS gives about 85 MB/s.
const AT_ONCE: usize = 4;
/// Besides those: one being handed on, one that still lies in the channel.
const HELD: usize = 2;
const RANGE_MAX: usize = 8 << 20;
const RANGE_MIN: usize = 256 << 10;
/// What is handed on at once.
const PIECE: usize = 256 << 10;
/// A connection that gives nothing for this long is given up and opened again.
const SILENCE: Duration = Duration::from_secs(30);
const MANIFEST_MAX: u64 = 256 << 20;
/// How long the first look tries to reach the store.
const PROBE_WITHIN: Duration = Duration::from_secs(10);

/// An object, or an archive of many parts.
#[derive(Debug)]
pub struct S3Source {
    url: S3Url,
    format: Option<Format>,
    range: usize,
    bucket: Option<Bucket>,
    left: VecDeque<Waiting>,
}

/// A part that is still to be read.
#[derive(Debug)]
struct Waiting {
    key: String,
    head: Option<Head>,
    path: Option<String>,
    phase: pipeline::Phase,
    format: Option<Format>,
    expected: u64,
    /// What the manifest says of it.
    promised: Option<Content>,
}

impl S3Source {
    /// A source at this address that holds at most `memory` bytes; less than 1.5 MiB is not enough.
    pub fn new(mut url: S3Url, memory: usize) -> Self {
        while url.key.ends_with('/') {
            url.key.pop();
        }
        let range = (memory / (AT_ONCE + HELD)).clamp(RANGE_MIN, RANGE_MAX);
        Self { url, format: None, range, bucket: None, left: VecDeque::new() }
    }

    /// Says what the bytes are; otherwise the content tells.
    #[must_use]
    pub fn with_format(mut self, format: Option<Format>) -> Self {
        self.format = format;
        self
    }

    async fn parts(&self, bucket: &Bucket) -> Result<Vec<Waiting>> {
        let failed =
            |failure: Failure| failure.into_error(Stage::Source, &format!("cannot read {}", self.url));
        if !self.url.key.is_empty()
            && let Some(head) = bucket.head(&self.url.key).await.map_err(failed)?
        {
            // Where the store tells no checksum, a manifest beside the object may.
            let promised = match head.crc64 {
                Some(_) => None,
                None => self.beside(bucket, head.bytes).await?,
            };
            return Ok(vec![Waiting {
                key: self.url.key.clone(),
                expected: head.bytes,
                promised,
                head: Some(head),
                path: None,
                phase: pipeline::Phase::Data,
                format: self.format,
            }]);
        }
        let root = if self.url.key.is_empty() { String::new() } else { format!("{}/", self.url.key) };
        let manifest = format!("{root}{IN_DIRECTORY}");
        let Some(json) = bucket.read_small(&manifest, MANIFEST_MAX).await.map_err(failed)? else {
            return Err(self.missing(bucket, &root).await);
        };
        let manifest =
            Manifest::parse(&json).map_err(|error| error.with("manifest", self.url.at(&manifest)))?;
        manifest
            .parts
            .into_iter()
            .map(|part| {
                if let Err(why) = check_part_path(&part.path) {
                    return Err(Error::source("the manifest names a part that cannot be")
                        .with("part", format!("{:?}", part.path))
                        .with("why", why));
                }
                let ending = match part.compression.as_str() {
                    "gzip" => ".gz",
                    "zstd" => ".zst",
                    "lz4" => ".lz4",
                    _ => "",
                };
                Ok(Waiting {
                    key: format!("{root}{}", part.path),
                    head: None,
                    path: Some(part.path.strip_suffix(ending).unwrap_or(&part.path).to_owned()),
                    phase: part.phase,
                    format: Some(part.format),
                    expected: part.stored.bytes,
                    promised: Some(part.stored),
                })
            })
            .collect()
    }

    /// What the manifest beside an object of `bytes` bytes promises of it; `None` without a manifest, and for an account that may not read it. One that is
    /// there and promises nothing of this object is an error: it would be the only thing that the bytes can be held against.
    async fn beside(&self, bucket: &Bucket, bytes: u64) -> Result<Option<Content>> {
        let key = format!("{}{ENDING}", self.url.key);
        let place = self.url.at(&key);
        let json = match bucket.read_small(&key, MANIFEST_MAX).await {
            Err(failure) if failure.class == Class::Denied => None,
            read => read.map_err(|f| f.into_error(Stage::Source, &format!("cannot read {place}")))?,
        };
        let Some(json) = json else { return Ok(None) };
        let useless = |error: Error| {
            error.with("manifest", &place).hint(
                "if the manifest belongs to something else, put the object under another name; if it does not, one of the two is damaged",
            )
        };
        let mut manifest = Manifest::parse(&json).map_err(useless)?;
        let parts = manifest.parts.len();
        match manifest.parts.pop() {
            Some(part) if parts == 1 && part.stored.bytes == bytes => Ok(Some(part.stored)),
            Some(part) if parts == 1 => {
                Err(useless(Error::mismatch("the object has another length than its manifest says"))
                    .with("promised", part.stored.bytes)
                    .with("found", bytes))
            }
            _ => Err(useless(Error::mismatch("the manifest beside the object describes another archive"))
                .with("parts", parts)),
        }
    }

    /// Neither an object nor an archive: says what there is instead.
    async fn missing(&self, bucket: &Bucket, root: &str) -> Error {
        match bucket.list(root, None).await {
            Err(failure) => failure.into_error(Stage::Source, &format!("cannot read {}", self.url)),
            Ok((page, _)) if page.is_empty() => {
                Error::source(format!("{} is not there", self.url)).hint("look at bucket and key")
            }
            Ok((page, _)) => Error::source(format!(
                "{} is neither an object nor an archive: there is no {IN_DIRECTORY} below it",
                self.url
            ))
            .hint(format!("name one of the objects below it, such as {}", self.url.at(&page[0].key))),
        }
    }
}

#[async_trait]
impl Source for S3Source {
    fn endpoint(&self) -> String {
        self.url.to_string()
    }

    async fn probe(&mut self, _: &Context) -> Result<SourceInfo> {
        let bucket = Bucket::connect(&self.url).await.map_err(|error| error.at(Stage::Source))?;
        let hasty = bucket.with_patience(Patience::new(PROBE_WITHIN.min(self.url.retry)));
        self.left = self.parts(&hasty).await?.into();
        self.bucket = Some(bucket);
        Ok(SourceInfo {
            endpoint: self.endpoint(),
            kind: "s3".to_owned(),
            expected_bytes: Some(self.left.iter().map(|part| part.expected).sum()),
            ..SourceInfo::default()
        })
    }

    async fn next_part(&mut self, _: &Context) -> Result<Option<Part>> {
        let bucket =
            self.bucket.clone().ok_or_else(|| Error::bug("a source was read before it was probed"))?;
        let Some(next) = self.left.pop_front() else { return Ok(None) };
        let range = self.range;
        let reader = S3Reader {
            bucket,
            key: next.key,
            head: next.head,
            expected: next.expected,
            promised: next.promised,
            range,
        };
        Ok(Some(Part {
            phase: next.phase,
            expected_bytes: Some(next.expected),
            ..Part::new(next.path, next.format, Box::new(reader))
        }))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        Ok(BTreeMap::new())
    }
}

struct S3Reader {
    bucket: Bucket,
    key: String,
    head: Option<Head>,
    expected: u64,
    promised: Option<Content>,
    range: usize,
}

/// Ends its task with itself.
struct Range(JoinHandle<Result<Bytes>>);

impl Drop for Range {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[async_trait]
impl Reader for S3Reader {
    fn memory(&self) -> usize {
        self.range * (AT_ONCE + HELD)
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        tokio::select! {
            result = self.carry(out) => result,
            () = cx.cancellation().cancelled() => Err(Error::cancelled()),
        }
    }
}

impl S3Reader {
    async fn carry(&self, out: &mut FrameSender) -> Result<()> {
        let place = self.bucket.url().at(&self.key);
        let head = match &self.head {
            Some(head) => head.clone(),
            None => self
                .bucket
                .head(&self.key)
                .await
                .map_err(|failure| failure.into_error(Stage::Source, &format!("cannot read {place}")))?
                .ok_or_else(|| Error::source(format!("{place} is not there, and the manifest names it")))?,
        };
        if head.bytes != self.expected {
            return Err(Error::source(format!("{place} has another length than its manifest says"))
                .with("promised", self.expected)
                .with("found", head.bytes));
        }
        let (mut asked, mut crc) = (0, Crc64::default());
        let promised = self.promised.as_ref().filter(|_| head.crc64.is_none());
        let algorithms = promised.map(|content| content.digests.keys().filter_map(|name| name.parse().ok()));
        let mut digester = Digester::new(&algorithms.map_or(Vec::new(), Iterator::collect::<Vec<Algorithm>>));
        let mut ranges: VecDeque<Range> = VecDeque::new();
        loop {
            while ranges.len() < AT_ONCE && asked < head.bytes {
                let end = (asked + self.range as u64).min(head.bytes);
                let (bucket, key, etag) = (self.bucket.clone(), self.key.clone(), head.etag.clone());
                ranges.push_back(Range(tokio::spawn(async move {
                    range(&bucket, &key, &etag, asked, end).await
                })));
                asked = end;
            }
            let Some(next) = ranges.front_mut() else { break };
            let data =
                (&mut next.0).await.map_err(|panic| Error::bug("a range panicked").caused_by(panic))??;
            ranges.pop_front();
            if head.crc64.is_some() {
                crc = crc.then(Crc64::of(&data));
            } else if promised.is_some() {
                digester.update(&data);
            }
            let mut rest = data;
            while !rest.is_empty() {
                out.send(rest.split_to(rest.len().min(PIECE))).await?;
            }
        }
        if let Some(promised) = promised
            && let Some(difference) = promised.difference(&digester.finish())
        {
            return Err(Error::mismatch(format!(
                "{place} gives other bytes than its manifest promises: {difference}"
            )));
        }
        match &head.crc64 {
            Some(told) if *told != crc.sum().value => {
                Err(Error::mismatch(format!("{place} gives other bytes than the store says it holds"))
                    .with("crc64nvme held", told)
                    .with("read", crc.sum().value))
            }
            _ => Ok(()),
        }
    }
}

/// Bytes `first` to `end` of an object, however often the connection breaks.
async fn range(bucket: &Bucket, key: &str, etag: &str, first: u64, end: u64) -> Result<Bytes> {
    let place = || bucket.url().at(key);
    let length = usize::try_from(end - first).unwrap_or(usize::MAX);
    let mut data = BytesMut::with_capacity(length);
    let mut wait = Duration::from_millis(200);
    // Patience counts from the last byte that came: a slow link is no broken one.
    let mut progress = Instant::now();
    loop {
        let from = first + data.len() as u64;
        let before = data.len();
        let Some(failure) = fill(bucket, key, etag, from, end, length, &mut data).await else {
            return Ok(data.freeze());
        };
        if data.len() > before {
            progress = Instant::now();
            wait = Duration::from_millis(200);
        }
        if failure.class == Class::Exists {
            return Err(
                Error::source(format!("{} was replaced while it was read", place())).hint("run it again")
            );
        }
        if failure.class != Class::Passing || progress.elapsed() > bucket.url().retry {
            let error = failure.into_error(Stage::Source, &format!("cannot read {}", place()));
            return Err(error.with("offset", first + data.len() as u64));
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(10));
    }
}

/// Reads on until `data` has `length` bytes; `None` when it has.
async fn fill(
    bucket: &Bucket,
    key: &str,
    etag: &str,
    from: u64,
    end: u64,
    length: usize,
    data: &mut BytesMut,
) -> Option<Failure> {
    let etag = Some(etag).filter(|etag| !etag.is_empty());
    let mut body = match bucket.get(key, Some((from, end - 1)), etag).await {
        Ok(body) => body,
        Err(failure) => return Some(failure),
    };
    while data.len() < length {
        match tokio::time::timeout(SILENCE, body.next()).await {
            Ok(Some(Ok(piece))) if data.len() + piece.len() <= length => data.extend_from_slice(&piece),
            Ok(Some(Ok(_))) => return Some(Failure::nonsense("the store sent more than was asked for")),
            Ok(Some(Err(failure))) => return Some(failure),
            Ok(None) => return Some(Failure::broken("the answer ended early")),
            Err(_) => return Some(Failure::broken("the store sent nothing for 30 s")),
        }
    }
    None
}

#[cfg(test)]
mod campaign;
#[cfg(test)]
mod tests;

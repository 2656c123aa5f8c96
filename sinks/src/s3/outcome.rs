//! Makes one object visible, and finds out whether it is when the store's answer was lost.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pipeline::{Error, Kind as ErrorKind, Result, Stage};
use stores::s3::checksum::Crc64;
use stores::s3::{Class, Dress, Failure, Head, Kind, PartTag, Put, Sum, Upload};

use super::run::{Run, Stored};

/// Between two attempts to complete an upload.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Attempts against a store that says that another request got in between.
const CONFLICTS: u32 = 5;

/// An object that this run made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) key: String,
    pub(crate) bytes: u64,
    pub(crate) version: Option<String>,
}

/// Makes what was committed an object. An `Err` means that it is not there, unless it says that this is not known.
pub(crate) async fn make(run: &Run, key: &str, stored: &Stored, only_new: bool) -> Result<Made> {
    match stored {
        Stored::Held(data) => put(run, key, data.clone(), only_new, Dress::Full).await,
        Stored::Uploaded { upload, parts, whole, bytes } => {
            let made = complete(run, upload, parts, *whole, *bytes, only_new).await?;
            run.closed(upload);
            Ok(made)
        }
    }
}

/// Puts a whole object.
pub(crate) async fn put(run: &Run, key: &str, data: Bytes, only_new: bool, dress: Dress) -> Result<Made> {
    let bytes = data.len() as u64;
    let content_type = if dress == Dress::Readable { "application/json" } else { "application/octet-stream" };
    let request = Put { key, run: &run.options.id, kind: run.kind, only_new, dress, content_type };
    let mut attempt = 1;
    loop {
        let failure = match run.bucket.put(&request, data.clone()).await {
            Ok(head) => {
                let made = Made { key: key.to_owned(), bytes, version: head.version };
                return confirm(run, made, &data).await;
            }
            Err(failure) => failure,
        };
        // A request that was repeated after a lost answer meets its own object.
        match failure.class {
            Class::Exists | Class::Passing | Class::Conflict => {
                if let Some(found) = ours(run, key, bytes, &failure).await? {
                    let made = Made { key: key.to_owned(), bytes, version: found.version };
                    return confirm(run, made, &data).await;
                }
            }
            _ => {}
        }
        let again = match failure.class {
            Class::Conflict => attempt < CONFLICTS,
            Class::Checksum => attempt < 3,
            _ => false,
        };
        if !again {
            return Err(told(run, failure, key));
        }
        attempt += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Holds what the store has against what was put: its answer to the request says what it received, and not what it holds.
///
/// By the CRC64NVME or the MD5 that the store tells; where it tells neither, which is so with KMS, by reading the object.
async fn confirm(run: &Run, made: Made, data: &Bytes) -> Result<Made> {
    let found = match run.bucket.head(&made.key).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Err(Error::mismatch("the store acknowledged an object and does not have it")
                .with("key", &made.key));
        }
        // An account that may only write: then the checksum that the store checked on receipt must do.
        Err(failure) if failure.class == Class::Denied && run.kind != Kind::None => return Ok(made),
        Err(failure) => return Err(told(run, failure, &made.key)),
    };
    if let Some(held) = &found.crc64 {
        let sent = Crc64::of(data).sum().value;
        return if *held == sent { Ok(made) } else { Err(wrong(run, &made, &sent, held).await) };
    }
    let copy = data.clone();
    let sum = tokio::task::spawn_blocking(move || Sum::of(Kind::Md5, &copy))
        .await
        .map_err(|panic| Error::bug("a checksum panicked").caused_by(panic))?;
    if sum.is_etag(&found.etag) || (run.kind == Kind::None && run.options.no_verify) {
        return Ok(made);
    }
    if found.bytes != made.bytes {
        return Err(differs(run, &made).await.with("bytes sent", made.bytes).with("held", found.bytes));
    }
    match run.bucket.read_small(&made.key, made.bytes).await {
        Ok(Some(held)) if held == data => Ok(made),
        Ok(_) => Err(differs(run, &made).await),
        Err(failure) => Err(told(run, failure, &made.key)),
    }
}

async fn complete(
    run: &Run,
    upload: &Upload,
    parts: &[PartTag],
    whole: Option<Crc64>,
    bytes: u64,
    only_new: bool,
) -> Result<Made> {
    let sum = whole.map(Crc64::sum);
    let begun = Instant::now();
    let mut pause = PAUSE;
    let mut conflicts = 0;
    loop {
        let answer = run.bucket.complete(upload, parts, sum.as_ref(), bytes, only_new).await;
        let failure = match answer {
            Ok((version, told)) => {
                let made = Made { key: upload.key.clone(), bytes, version };
                if let (Some(sum), Some(told)) = (&sum, &told)
                    && &sum.value != told
                {
                    return Err(wrong(run, &made, &sum.value, told).await);
                }
                if told.is_none() {
                    examine(run, &made, sum.as_ref().map(|sum| sum.value.as_str())).await?;
                }
                return Ok(made);
            }
            Err(failure) => failure,
        };
        if let Some(found) = ours(run, &upload.key, bytes, &failure).await? {
            let made = Made { key: upload.key.clone(), bytes, version: found.version };
            if let (Some(sum), Some(told)) = (&sum, &found.crc64)
                && &sum.value != told
            {
                return Err(wrong(run, &made, &sum.value, told).await);
            }
            return Ok(made);
        }
        let again = match failure.class {
            Class::Passing => begun.elapsed() < run.bucket.url().retry,
            Class::Conflict => {
                conflicts += 1;
                conflicts < CONFLICTS
            }
            _ => false,
        };
        if !again {
            let gone = failure.class == Class::NoUpload;
            let conflict = failure.class == Class::Conflict;
            let error = told(run, failure, &upload.key);
            return Err(if gone {
                error.hint(
                    "somebody aborted the upload: a lifecycle rule that is too eager, `dbferry gc`, or the store itself, because another run \
                     published in the same place meanwhile",
                )
            } else if conflict {
                error.of_kind(ErrorKind::Temporary)
            } else {
                error
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The object, if this run's own is there: then the answer was lost and not the request.
async fn ours(run: &Run, key: &str, bytes: u64, lost: &Failure) -> Result<Option<Head>> {
    match run.bucket.head(key).await {
        Ok(found) => {
            Ok(found.filter(|head| head.run.as_deref() == Some(&run.options.id) && head.bytes == bytes))
        }
        Err(failure) => Err(Error::sink(format!(
            "the store's answer was lost and its state cannot be found out: {failure}"
        ))
        .of_kind(ErrorKind::OutcomeUnknown)
        .with("key", key)
        .with("lost", lost)
        .hint("look whether the manifest is there: `dbferry verify` with this address")),
    }
}

/// Holds what the store says of a new object against what it must be.
async fn examine(run: &Run, made: &Made, sum: Option<&str>) -> Result<()> {
    let found = match run.bucket.head(&made.key).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Err(Error::mismatch("the store acknowledged an object and does not have it")
                .with("key", &made.key));
        }
        Err(failure) => return Err(told(run, failure, &made.key)),
    };
    if found.bytes != made.bytes {
        remove(run, made).await;
        return Err(Error::mismatch("the store holds another number of bytes than were sent")
            .with("key", &made.key)
            .with("sent", made.bytes)
            .with("held", found.bytes));
    }
    match (sum, &found.crc64) {
        (Some(sum), Some(told)) if sum != told => Err(wrong(run, made, sum, told).await),
        _ => Ok(()),
    }
}

async fn wrong(run: &Run, made: &Made, sent: &str, held: &str) -> Error {
    differs(run, made).await.with("crc64nvme sent", sent).with("held", held)
}

async fn differs(run: &Run, made: &Made) -> Error {
    remove(run, made).await;
    Error::mismatch("the store holds other bytes than were sent").with("key", &made.key)
}

/// Removes an object that must not stay. A failure is told by nobody: the cause is already on its way, and `gc` finds the rest.
pub(crate) async fn remove(run: &Run, made: &Made) {
    run.bucket.delete(&made.key, made.version.as_deref()).await.ok();
}

fn told(run: &Run, failure: Failure, key: &str) -> Error {
    if failure.class == Class::Exists {
        return super::exists(&run.bucket.url().at(key), false);
    }
    failure.into_error(Stage::Sink, &format!("cannot store {}", run.bucket.url().at(key)))
}

//! Which checksums a store truly checks: it is sent a part with a wrong one.
//!
//! Acceptance of a right checksum proves nothing, since many stores ignore headers that they do not know. The part belongs to an upload that is
//! aborted, so that nothing is ever visible.

use bytes::Bytes;
use pipeline::{Context, Error, Result, Stage};

use super::bucket::{Bucket, Upload};
use super::checksum::{Kind, Sum};
use super::failure::{Class, Failure};
use super::url::ChecksumChoice;

/// What a store did with one kind of checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It refuses a wrong one and takes a right one.
    Checked,
    /// It takes a wrong one: the header means nothing to it.
    Ignored,
    /// It refuses a right one.
    Refused,
}

/// Finds the checksum to use for objects at `key`, and that uploads can be begun, filled and aborted there.
pub async fn settle(bucket: &Bucket, key: &str, cx: &Context) -> Result<Kind> {
    let choice = bucket.url().checksum;
    let candidates: &[Kind] = match &choice {
        ChecksumChoice::Fixed(Kind::None) => &[],
        ChecksumChoice::Fixed(kind) => std::slice::from_ref(kind),
        ChecksumChoice::Auto => &Kind::LADDER,
    };
    let mut seen = Vec::new();
    for &kind in candidates {
        let verdict = try_kind(bucket, key, kind).await.map_err(|f| denied(f, bucket))?;
        if verdict == Verdict::Checked {
            if !seen.is_empty() {
                cx.info(format!("{}: {}, so {} is used", bucket.url(), told(&seen), kind.as_str()));
            }
            return Ok(kind);
        }
        seen.push((kind, verdict));
    }
    match choice {
        ChecksumChoice::Fixed(Kind::None) => {
            try_kind(bucket, key, Kind::None).await.map_err(|f| denied(f, bucket))?;
            Ok(Kind::None)
        }
        ChecksumChoice::Fixed(kind) => {
            Err(Error::sink(format!("the store does not check {}", kind.as_str()))
                .with("store", bucket.url())
                .with("seen", told(&seen))
                .hint("leave `--s3-checksum` out, and the best that the store checks is used"))
        }
        ChecksumChoice::Auto => {
            let text = format!("{}: {}; the archive will be read back and hashed", bucket.url(), told(&seen));
            cx.warn(text);
            Ok(Kind::None)
        }
    }
}

fn told(seen: &[(Kind, Verdict)]) -> String {
    let words: Vec<String> = seen
        .iter()
        .map(|(kind, verdict)| {
            let verdict = if *verdict == Verdict::Ignored { "ignored" } else { "refused" };
            format!("{} is {verdict}", kind.as_str())
        })
        .collect();
    words.join(", ")
}

fn denied(failure: Failure, bucket: &Bucket) -> Error {
    failure.into_error(Stage::Sink, &format!("cannot write to {}", bucket.url()))
}

/// Tries one kind with an upload of its own, which is gone afterwards. [`Kind::None`] only tries whether an upload works.
pub async fn try_kind(bucket: &Bucket, key: &str, kind: Kind) -> std::result::Result<Verdict, Failure> {
    let upload = match bucket.create(key, kind, "probe").await {
        Ok(upload) => upload,
        Err(failure) if kind != Kind::None && is_refusal(&failure) => return Ok(Verdict::Refused),
        Err(failure) => return Err(failure),
    };
    let verdict = try_parts(bucket, &upload, kind).await;
    let aborted = bucket.abort(&upload).await;
    let verdict = verdict?;
    aborted
        .map_err(|failure| failure.adding("the upload that tried it is left, and `dbferry gc` removes it"))?;
    Ok(verdict)
}

async fn try_parts(bucket: &Bucket, upload: &Upload, kind: Kind) -> std::result::Result<Verdict, Failure> {
    let data = Bytes::from_static(b"dbferry looks which checksums are checked here");
    let right = Sum::of(kind, &data);
    if kind != Kind::None {
        match bucket.upload_part(upload, 1, data.clone(), &right.wrong()).await {
            Ok(_) => return Ok(Verdict::Ignored),
            Err(failure) if is_refusal(&failure) => {}
            Err(failure) => return Err(failure),
        }
    }
    match bucket.upload_part(upload, 1, data, &right).await {
        Ok(_) => Ok(Verdict::Checked),
        Err(failure) if kind != Kind::None && is_refusal(&failure) => Ok(Verdict::Refused),
        Err(failure) => Err(failure),
    }
}

fn is_refusal(failure: &Failure) -> bool {
    matches!(failure.class, Class::Checksum | Class::Unsupported)
}

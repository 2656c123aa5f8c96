//! What an endpoint can and an account may, found out with small objects below the user's own key, which are removed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use pipeline::Context;

use super::bucket::{Bucket, Dress, Put, Upload};
use super::checksum::{Crc64, Kind, Sum};
use super::failure::{Class, Failure};
use super::probe::{self, Verdict};
use super::retry::Patience;

/// How a single question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As a run wants it.
    Yes,
    /// A run works without it.
    No,
    /// A run does not work without it.
    Needed,
}

/// One line of the answer.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was asked.
    pub what: &'static str,
    /// How it was answered.
    pub state: State,
    /// In words.
    pub note: String,
}

/// Bytes of the parts that show whether parts may differ; the least that S3 takes, and another size.
const PARTS: [usize; 3] = [5 << 20, 6 << 20, 1 << 10];
const HASTE: Duration = Duration::from_secs(10);

/// Asks everything.
pub async fn check(bucket: &Bucket, id: &str, cx: &Context) -> Vec<Row> {
    let bucket = &bucket.with_patience(Patience::new(HASTE));
    let key = format!("{}.{id}.dbferry-check", bucket.url().key.trim_end_matches('/'));
    let mut rows = Rows(Vec::new());
    rows.ask("list objects", "s3:ListBucket", State::No, bucket.list(&key, None).await);
    let mut best = Kind::None;
    let mut usable = true;
    for kind in [Kind::Crc64Nvme, Kind::Crc32c, Kind::Md5] {
        let what = match kind {
            Kind::Crc64Nvme => "checksum crc64nvme",
            Kind::Crc32c => "checksum crc32c",
            _ => "checksum md5",
        };
        match probe::try_kind(bucket, &key, kind).await {
            Ok(Verdict::Checked) => {
                if best == Kind::None {
                    best = kind;
                }
                rows.say(what, State::Yes, "a wrong one is refused");
            }
            Ok(Verdict::Ignored) => {
                rows.say(what, State::No, "the header is ignored");
            }
            Ok(Verdict::Refused) => {
                rows.say(what, State::No, "the header is refused");
            }
            Err(failure) => {
                usable = false;
                rows.fail(
                    "upload of parts",
                    "s3:PutObject, s3:AbortMultipartUpload",
                    State::Needed,
                    &failure,
                );
                break;
            }
        }
    }
    if usable {
        parts(bucket, &key, best, &mut rows, cx).await;
        objects(bucket, &key, id, best, &mut rows).await;
        rows.ask(
            "list incomplete uploads",
            "s3:ListBucketMultipartUploads, for `dbferry gc`",
            State::No,
            bucket.uploads(&key).await,
        );
    }
    settings(bucket, &mut rows).await;
    rows.0
}

struct Rows(Vec<Row>);

impl Rows {
    fn say(&mut self, what: &'static str, state: State, note: impl Into<String>) {
        self.0.push(Row { what, state, note: note.into() });
    }

    fn fail(&mut self, what: &'static str, permission: &str, otherwise: State, failure: &Failure) {
        let note = match failure.class {
            Class::Denied => format!("{failure}; the permission is {permission}"),
            _ => failure.to_string(),
        };
        self.say(what, otherwise, note);
    }

    fn ask<T>(
        &mut self,
        what: &'static str,
        permission: &str,
        otherwise: State,
        answer: Result<T, Failure>,
    ) -> Option<T> {
        match answer {
            Ok(value) => {
                self.say(what, State::Yes, "works");
                Some(value)
            }
            Err(failure) => {
                self.fail(what, permission, otherwise, &failure);
                None
            }
        }
    }
}

/// An upload of unequal parts, timed, completed and removed.
async fn parts(bucket: &Bucket, key: &str, kind: Kind, rows: &mut Rows, cx: &Context) {
    let Some(upload) =
        rows.ask("upload of parts", "s3:PutObject", State::Needed, bucket.create(key, kind, "check").await)
    else {
        return;
    };
    match bucket.parts_of(&upload).await {
        Ok(_) => {
            rows.say("list parts", State::Yes, "works");
        }
        Err(failure) => {
            rows.fail("list parts", "s3:ListMultipartUploadParts", State::No, &failure);
        }
    }
    let mut tags = Vec::new();
    let mut whole = Crc64::default();
    let begun = Instant::now();
    for (number, length) in (1..).zip(PARTS) {
        let data = Bytes::from(vec![0xA5; length]);
        let sum = Sum::of(kind, &data);
        whole = whole.then(Crc64::of(&data));
        match bucket.upload_part(&upload, number, data, &sum).await {
            Ok(tag) => tags.push(tag),
            Err(failure) => {
                rows.fail("upload of parts", "s3:PutObject", State::Needed, &failure);
                abort(bucket, &upload, rows).await;
                return;
            }
        }
    }
    rates(bucket, &upload, kind, begun.elapsed(), rows, cx).await;
    let bytes = PARTS.iter().map(|length| *length as u64).sum();
    match bucket
        .complete(&upload, &tags, Some(&whole.sum()).filter(|_| kind == Kind::Crc64Nvme), bytes, false)
        .await
    {
        Ok(_) => {
            rows.say("parts of different sizes", State::Yes, "are taken");
        }
        Err(failure) => {
            let note = format!("{failure}; add equal_parts=true to the address");
            rows.say("parts of different sizes", State::No, note);
            abort(bucket, &upload, rows).await;
        }
    }
    rows.ask(
        "delete objects",
        "s3:DeleteObject, for --overwrite and after failures",
        State::No,
        bucket.delete(key, None).await,
    );
}

async fn abort(bucket: &Bucket, upload: &Upload, rows: &mut Rows) {
    rows.ask("abort an upload", "s3:AbortMultipartUpload", State::No, bucket.abort(upload).await);
}

/// The rate of one connection and of four, with parts of an upload that is then completed without them.
async fn rates(bucket: &Bucket, upload: &Upload, kind: Kind, alone: Duration, rows: &mut Rows, cx: &Context) {
    let rate = |bytes: usize, time: Duration| bytes as f64 / 1e6 / time.as_secs_f64().max(1e-6);
    let one = rate(PARTS.iter().sum(), alone);
    let data = Bytes::from(vec![0x5A; PARTS[0]]);
    let sum = Sum::of(kind, &data);
    let mut going = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for number in 101..=108 {
        if cx.cancellation().is_cancelled() {
            return;
        }
        if going.len() >= 4 {
            going.join_next().await;
        }
        let (bucket, upload, data, sum) = (bucket.clone(), upload.clone(), data.clone(), sum.clone());
        going.spawn(async move { bucket.upload_part(&upload, number, data, &sum).await.is_ok() });
    }
    let mut fine = true;
    while let Some(done) = going.join_next().await {
        fine &= done.unwrap_or(false);
    }
    if fine {
        let four = rate(8 * PARTS[0], begun.elapsed());
        rows.say("rate", State::Yes, format!("{one:.0} MB/s over one connection, {four:.0} MB/s over four"));
    }
}

/// Whole objects: conditions, what the address asks for, the clock.
async fn objects(bucket: &Bucket, key: &str, id: &str, kind: Kind, rows: &mut Rows) {
    let put = Put { key, run: id, kind, only_new: true, dress: Dress::Bare, content_type: "text/plain" };
    let data = Bytes::from_static(b"dbferry check\n");
    match bucket.put(&put, data.clone()).await {
        Ok(_) => match bucket.put(&put, data.clone()).await {
            Err(failure) if failure.class == Class::Exists => {
                rows.say("If-None-Match", State::Yes, "is enforced: no run replaces another's archive");
            }
            Ok(_) => {
                rows.say(
                    "If-None-Match",
                    State::No,
                    "is taken and not enforced: what exists is looked for before and after instead",
                );
            }
            Err(failure) => {
                rows.fail("If-None-Match", "s3:PutObject", State::No, &failure);
            }
        },
        Err(failure) => {
            rows.fail("If-None-Match", "s3:PutObject", State::Needed, &failure);
        }
    }
    let url = bucket.url();
    let dressed = url.sse.is_some()
        || url.storage_class.is_some()
        || url.tags.is_some()
        || url.acl.is_some()
        || !url.grants.is_empty();
    // A lock would keep the object from being removed.
    if dressed && url.lock_mode.is_none() && !url.legal_hold {
        let put = Put { only_new: false, dress: Dress::Full, ..put };
        let permission = "s3:PutObject, s3:PutObjectTagging for tags, s3:PutObjectAcl for ACLs, kms:GenerateDataKey and kms:Decrypt for KMS";
        rows.ask("encryption, class, tags, ACL", permission, State::Needed, bucket.put(&put, data).await);
    }
    match bucket.head(key).await {
        Ok(Some(head)) => {
            rows.say("read objects", State::Yes, "works");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let skew = head.modified - i64::try_from(now).unwrap_or(0);
            let state = if skew.abs() < 300 { State::Yes } else { State::No };
            rows.say("clocks", state, format!("the store's is {skew} s ahead"));
        }
        Ok(None) => {
            rows.say("read objects", State::Needed, "an object that was stored is not there");
        }
        Err(failure) => {
            rows.fail("read objects", "s3:GetObject", State::Needed, &failure);
        }
    }
    if let Err(failure) = bucket.delete(key, None).await {
        rows.fail("delete objects", "s3:DeleteObject", State::No, &failure);
    }
}

/// What the bucket is set to.
async fn settings(bucket: &Bucket, rows: &mut Rows) {
    match bucket.versioning().await {
        Ok(true) => {
            rows.say("versions", State::Yes, "are kept: a replaced archive stays as an older version");
        }
        Ok(false) => {
            rows.say("versions", State::Yes, "are not kept");
        }
        Err(failure) => {
            rows.fail("versions", "s3:GetBucketVersioning", State::No, &failure);
        }
    }
    match bucket.aborts_incomplete_uploads().await {
        Ok(true) => {
            rows.say("lifecycle", State::Yes, "incomplete uploads are removed by a rule");
        }
        Ok(false) => {
            rows.say(
                "lifecycle",
                State::No,
                "no rule removes incomplete uploads: add AbortIncompleteMultipartUpload, or run `dbferry gc`",
            );
        }
        Err(failure) => {
            rows.fail("lifecycle", "s3:GetLifecycleConfiguration", State::No, &failure);
        }
    }
}

//! What an endpoint can and an account may, found out with small objects below the user's own key, which are removed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use pipeline::Context;

use super::bucket::{Bucket, Dress, Put, Upload};
use super::checksum::{Crc64, Kind, Sum};
use super::failure::{Class, Failure};
use super::probe::{self, Verdict};
use super::retry::Patience;
use super::url::S3Url;

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
    /// Permissions that are missing for it, as AWS names them.
    pub missing: Vec<String>,
}

/// The policy that would give what is missing; `None` when nothing is.
pub fn policy(url: &S3Url, rows: &[Row]) -> Option<serde_json::Value> {
    let missing: BTreeSet<&str> = rows.iter().flat_map(|row| &row.missing).map(String::as_str).collect();
    let arn = if url.bucket.starts_with("arn:") {
        url.bucket.clone()
    } else {
        format!("arn:aws:s3:::{}", url.bucket)
    };
    let folder = url.key.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let slash = if url.bucket.starts_with("arn:") { "/object/" } else { "/" };
    let of_bucket = |action: &&str| OF_BUCKETS.contains(action);
    let mut statements = Vec::new();
    for (resource, actions) in [
        (
            format!("{arn}{slash}{folder}*"),
            missing.iter().filter(|a| a.starts_with("s3:") && !of_bucket(a)).collect(),
        ),
        (arn.clone(), missing.iter().filter(|a| of_bucket(a)).collect()),
        (
            url.sse_kms_key_id.clone().unwrap_or_else(|| "*".to_owned()),
            missing.iter().filter(|a| a.starts_with("kms:")).collect::<Vec<_>>(),
        ),
    ] {
        if !actions.is_empty() {
            statements
                .push(serde_json::json!({ "Effect": "Allow", "Action": actions, "Resource": resource }));
        }
    }
    (!statements.is_empty()).then(|| serde_json::json!({ "Version": "2012-10-17", "Statement": statements }))
}

/// Permissions that are given for a bucket and not for its objects.
const OF_BUCKETS: [&str; 5] = [
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetLifecycleConfiguration",
];

/// Bytes of the parts that show whether parts may differ; the least that S3 takes, and another size.
const PARTS: [usize; 3] = [5 << 20, 6 << 20, 1 << 10];
/// A measurement that takes longer is the last one.
const ENOUGH: Duration = Duration::from_secs(5);
/// How long the object that tries the lock is kept.
const LOCKED_FOR: Duration = Duration::from_secs(3);
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
    let locks = locks(bucket, &mut rows).await;
    if usable {
        // Where the bucket itself locks every object, none of some megabytes is made that nobody could remove.
        parts(bucket, &key, best, locks != Locks::Everything, &mut rows, cx).await;
        objects(bucket, &key, id, best, &mut rows).await;
        if locks != Locks::Nothing {
            locked(bucket, &key, id, best, &mut rows).await;
        }
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
        self.0.push(Row { what, state, note: note.into(), missing: Vec::new() });
    }

    fn fail(&mut self, what: &'static str, permission: &str, otherwise: State, failure: &Failure) {
        let denied = failure.class == Class::Denied;
        let note =
            if denied { format!("{failure}; the permission is {permission}") } else { failure.to_string() };
        let names = permission.split([',', ' ']).filter(|word| word.contains(':') && denied);
        self.0.push(Row { what, state: otherwise, note, missing: names.map(str::to_owned).collect() });
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
async fn parts(bucket: &Bucket, key: &str, kind: Kind, to_the_end: bool, rows: &mut Rows, cx: &Context) {
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
    if !to_the_end {
        abort(bucket, &upload, rows).await;
        return;
    }
    let bytes = PARTS.iter().map(|length| *length as u64).sum();
    let mut version = None;
    match bucket
        .complete(&upload, &tags, Some(&whole.sum()).filter(|_| kind == Kind::Crc64Nvme), bytes, false)
        .await
    {
        Ok((made, _)) => {
            version = made;
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
        bucket.delete(key, version.as_deref()).await,
    );
}

async fn abort(bucket: &Bucket, upload: &Upload, rows: &mut Rows) {
    rows.ask("abort an upload", "s3:AbortMultipartUpload", State::No, bucket.abort(upload).await);
}

/// The rate by how many connections carry it, with parts that the upload is then completed without.
async fn rates(bucket: &Bucket, upload: &Upload, kind: Kind, alone: Duration, rows: &mut Rows, cx: &Context) {
    let rate = |bytes: usize, time: Duration| bytes as f64 / 1e6 / time.as_secs_f64().max(1e-6);
    let mut told = vec![format!("{:.0} MB/s over 1 connection", rate(PARTS.iter().sum(), alone))];
    let data = Bytes::from(vec![0x5A; PARTS[0]]);
    let sum = Sum::of(kind, &data);
    let mut numbers = 101..;
    for at_once in [4, 16] {
        let mut going = tokio::task::JoinSet::new();
        let begun = Instant::now();
        let parts = at_once.max(8);
        let mut fine = true;
        for number in numbers.by_ref().take(parts) {
            if cx.cancellation().is_cancelled() {
                return;
            }
            if going.len() >= at_once {
                fine &= going.join_next().await.is_some_and(|done| done.unwrap_or(false));
            }
            let (bucket, upload, data, sum) = (bucket.clone(), upload.clone(), data.clone(), sum.clone());
            going.spawn(async move { bucket.upload_part(&upload, number, data, &sum).await.is_ok() });
        }
        while let Some(done) = going.join_next().await {
            fine &= done.unwrap_or(false);
        }
        if !fine {
            break;
        }
        told.push(format!("{:.0} over {at_once}", rate(parts * PARTS[0], begun.elapsed())));
        // A slow link is known by now.
        if begun.elapsed() > ENOUGH {
            break;
        }
    }
    rows.say("rate", State::Yes, told.join(", "));
}

/// Whole objects: conditions, what the address asks for, the clock.
async fn objects(bucket: &Bucket, key: &str, id: &str, kind: Kind, rows: &mut Rows) {
    let put = Put { key, run: id, kind, only_new: true, dress: Dress::Bare, content_type: "text/plain" };
    let data = Bytes::from_static(b"dbferry check\n");
    let mut versions = Vec::new();
    let first = bucket.put(&put, data.clone()).await;
    versions.extend(first.as_ref().ok().map(|head| head.version.clone()));
    let second = if first.is_ok() { Some(bucket.put(&put, data.clone()).await) } else { None };
    if let Some(Ok(head)) = &second {
        versions.push(head.version.clone());
    }
    match (first, second) {
        (Ok(_), Some(second)) => match second {
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
        (Err(failure), _) => {
            rows.fail("If-None-Match", "s3:PutObject", State::Needed, &failure);
        }
        (Ok(_), None) => {}
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
        let made = bucket.put(&put, data).await;
        versions.extend(made.as_ref().ok().map(|head| head.version.clone()));
        rows.ask("encryption, class, tags, ACL", permission, State::Needed, made);
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
    for version in versions {
        if let Err(failure) = bucket.delete(key, version.as_deref()).await {
            let permission = "s3:DeleteObject, s3:DeleteObjectVersion where versions are kept";
            rows.fail("delete objects", permission, State::No, &failure);
            return;
        }
    }
}

/// What the bucket locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Locks {
    Nothing,
    WhatIsAsked,
    Everything,
}

async fn locks(bucket: &Bucket, rows: &mut Rows) -> Locks {
    let wanted = bucket.url().lock_mode.is_some() || bucket.url().legal_hold;
    match bucket.object_lock().await {
        Ok(Some(None)) => {
            rows.say("Object Lock", State::Yes, "is on, for objects that ask for it");
            Locks::WhatIsAsked
        }
        Ok(Some(Some(rule))) => {
            let note = format!("is on: every object is kept, {rule}; the small ones of this check as well");
            rows.say("Object Lock", State::Yes, note);
            Locks::Everything
        }
        Ok(None) if wanted => {
            rows.say("Object Lock", State::Needed, "is off, and the address asks for a lock");
            Locks::Nothing
        }
        Ok(None) => {
            rows.say("Object Lock", State::Yes, "is off");
            Locks::Nothing
        }
        Err(failure) => {
            rows.fail("Object Lock", "s3:GetBucketObjectLockConfiguration", State::No, &failure);
            if wanted { Locks::WhatIsAsked } else { Locks::Nothing }
        }
    }
}

/// An object with the lock that the address asks for, kept for seconds instead, and removed when they are over.
async fn locked(bucket: &Bucket, key: &str, id: &str, kind: Kind, rows: &mut Rows) {
    if bucket.url().lock_mode.is_none() && !bucket.url().legal_hold {
        return;
    }
    let until = SystemTime::now() + LOCKED_FOR;
    let brief = bucket.with_url(|url| {
        if url.lock_mode.is_some() {
            url.lock_until = jiff::Timestamp::try_from(until).ok().map(|until| until.to_string());
        }
    });
    let put = Put { key, run: id, kind, only_new: false, dress: Dress::Full, content_type: "text/plain" };
    let permission = "s3:PutObjectRetention, s3:PutObjectLegalHold for legal holds";
    let made = brief.put(&put, Bytes::from_static(b"dbferry check\n")).await;
    let Some(made) = rows.ask("lock objects", permission, State::Needed, made) else { return };
    if bucket.url().legal_hold {
        rows.ask(
            "end a legal hold",
            "s3:PutObjectLegalHold",
            State::No,
            bucket.release(key, made.version.as_deref()).await,
        );
    }
    // The store's clock decides.
    tokio::time::sleep(LOCKED_FOR + Duration::from_secs(2)).await;
    if let Err(failure) = bucket.delete(key, made.version.as_deref()).await {
        rows.fail("delete objects", "s3:DeleteObjectVersion", State::No, &failure);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_what_is_missing_and_nothing_else() {
        let url =
            S3Url::parse("s3://b/a/k.sql?sse=aws:kms&sse_kms_key_id=arn:aws:kms:eu-west-1:1:key/x").unwrap();
        let mut rows = Rows(Vec::new());
        let mut denied = Failure::nonsense("no");
        rows.fail("a", "s3:GetObject", State::No, &denied);
        assert_eq!(policy(&url, &rows.0), None);
        denied.class = Class::Denied;
        rows.fail(
            "b",
            "s3:PutObject, s3:PutObjectTagging for tags, kms:Decrypt for KMS",
            State::Needed,
            &denied,
        );
        rows.fail("c", "s3:ListBucketMultipartUploads, for `dbferry gc`", State::No, &denied);
        let policy = policy(&url, &rows.0).unwrap();
        let statements = policy["Statement"].as_array().unwrap();
        let shown: Vec<String> =
            statements.iter().map(|one| format!("{} {}", one["Resource"], one["Action"])).collect();
        assert_eq!(
            shown,
            [
                r#""arn:aws:s3:::b/a/*" ["s3:PutObject","s3:PutObjectTagging"]"#,
                r#""arn:aws:s3:::b" ["s3:ListBucketMultipartUploads"]"#,
                r#""arn:aws:kms:eu-west-1:1:key/x" ["kms:Decrypt"]"#,
            ]
        );
    }
}

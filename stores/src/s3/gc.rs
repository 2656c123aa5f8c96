//! What killed runs leave: uploads that were never completed, objects whose manifest was never written, and locks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pipeline::manifest::{ENDING, IN_DIRECTORY, RECORD_ENDING};
use pipeline::{Error, Manifest, Result, Stage};

use super::bucket::{Bucket, Listed, Upload};
use super::failure::{Class, Failure};

/// The ending of a lock: `KEY.dbferry-lock`.
pub const LOCK: &str = ".dbferry-lock";
/// A manifest of some ten thousand parts has a few MiB.
const MANIFEST_MAX: u64 = 256 << 20;

/// What may be removed.
#[derive(Debug, Default)]
pub struct Garbage {
    /// Incomplete uploads, with their beginning in seconds since the epoch.
    pub uploads: Vec<(Upload, i64)>,
    /// Objects that a run of dbferry wrote, without a manifest, and locks.
    pub objects: Vec<Listed>,
}

fn failed(failure: Failure, doing: &str) -> Error {
    failure.into_error(Stage::Sink, doing)
}

/// Looks below the address' key, as a prefix, for what is older than `age`. Changes nothing.
///
/// Of objects only those are garbage that carry the mark of a run; whatever else lies there is somebody's.
pub async fn find(bucket: &Bucket, age: Duration) -> Result<Garbage> {
    let prefix = bucket.url().key.clone();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Of no age is everything, also what a store whose clock is ahead has dated.
    let before = if age.is_zero() {
        i64::MAX
    } else {
        i64::try_from(now.saturating_sub(age).as_secs()).unwrap_or(i64::MAX)
    };
    let mut garbage = Garbage::default();
    match bucket.uploads(&prefix).await {
        Ok(uploads) => garbage.uploads = uploads.into_iter().filter(|(_, at)| *at <= before).collect(),
        Err(failure) => {
            let missing = failure.class == Class::Denied;
            let error = failed(failure, "cannot list incomplete uploads");
            return Err(if missing {
                error.hint("the permission is s3:ListBucketMultipartUploads")
            } else {
                error
            });
        }
    }
    let listed =
        bucket.list_all(&prefix).await.map_err(|failure| failed(failure, "cannot list the objects"))?;
    let keys: BTreeSet<String> = listed.iter().map(|object| object.key.clone()).collect();
    let mut manifests = BTreeMap::new();
    for object in listed {
        // The record of a check belongs to the stream that it is named after.
        let stream = object.key.strip_suffix(RECORD_ENDING).unwrap_or(&object.key);
        if object.at > before || is_manifest(&object.key) || keys.contains(&format!("{stream}{ENDING}")) {
            continue;
        }
        if !object.key.ends_with(LOCK) && in_archive(bucket, &object.key, &mut manifests).await? {
            continue;
        }
        let head =
            bucket.head(&object.key).await.map_err(|failure| failed(failure, "cannot look at an object"))?;
        // Asked once more by its own name: a listing may be older than a manifest, and some stores leave names out.
        if head.is_some_and(|head| head.run.is_some()) && !has_manifest(bucket, stream).await? {
            garbage.objects.push(object);
        }
    }
    Ok(garbage)
}

async fn has_manifest(bucket: &Bucket, stream: &str) -> Result<bool> {
    let head = bucket.head(&format!("{stream}{ENDING}")).await;
    Ok(head.map_err(|failure| failed(failure, "cannot look for a manifest"))?.is_some())
}

fn is_manifest(key: &str) -> bool {
    key.ends_with(ENDING) || key.rsplit('/').next() == Some(IN_DIRECTORY)
}

/// The paths that a manifest names; `None` where there is none. One that cannot be read names everything: whatever lies there may be its.
enum Named {
    Nothing,
    These(BTreeSet<String>),
    Everything,
}

/// Whether the manifest of some folder above `key` names it.
async fn in_archive(bucket: &Bucket, key: &str, known: &mut BTreeMap<String, Named>) -> Result<bool> {
    let mut folder = key;
    while let Some((above, _)) = folder.rsplit_once('/') {
        let manifest = format!("{above}/{IN_DIRECTORY}");
        if !known.contains_key(&manifest) {
            let json = bucket.read_small(&manifest, MANIFEST_MAX).await;
            let json = json.map_err(|failure| failed(failure, "cannot look for a manifest"))?;
            let named = match json.as_deref().map(Manifest::parse) {
                None => Named::Nothing,
                Some(Err(_)) => Named::Everything,
                Some(Ok(manifest)) => {
                    Named::These(manifest.parts.into_iter().map(|part| part.path).collect())
                }
            };
            known.insert(manifest.clone(), named);
        }
        let named = match &known[&manifest] {
            Named::Nothing => false,
            Named::These(paths) => paths.contains(&key[above.len() + 1..]),
            Named::Everything => true,
        };
        if named {
            return Ok(true);
        }
        folder = above;
    }
    Ok(false)
}

/// Removes what was found. Returns what could not be removed, and why.
pub async fn remove(bucket: &Bucket, garbage: &Garbage) -> Vec<(String, Failure)> {
    let mut left = Vec::new();
    for (upload, _) in &garbage.uploads {
        if let Err(failure) = bucket.abort(upload).await {
            left.push((format!("upload {} of {}", upload.id, upload.key), failure));
        }
    }
    for object in &garbage.objects {
        if let Err(failure) = bucket.delete(&object.key, None).await {
            left.push((object.key.clone(), failure));
        }
    }
    left
}

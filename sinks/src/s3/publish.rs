//! Makes an archive exist: its objects, then the manifest.
//!
//! What is replaced loses its manifest first, so that at no moment a manifest describes other objects than are there. When the run fails before an object was
//! replaced, that manifest is put back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use pipeline::manifest::{ENDING, IN_DIRECTORY};
use pipeline::{Algorithm, Content, Context, Digester, Error, Kind as ErrorKind, Manifest, Result, Stage};
use stores::s3::{Dress, Failure, Kind};
use tokio::task::JoinSet;

use super::lock::Lock;
use super::outcome::{self, Made};
use super::run::{Form, Run, Stored};

/// Objects that are completed at once.
const AT_ONCE: usize = 8;
/// A manifest of some ten thousand parts has a few MiB.
const MANIFEST_MAX: u64 = 256 << 20;

/// Publishes what `run` has stored. Runs to its end even if nobody waits for it any more; `run.stop` makes it turn back.
pub(crate) async fn publish(run: &Arc<Run>, mut manifest: Manifest, cx: &Context) -> Result<()> {
    let (form, stored) = run.close()?;
    check(&manifest, &stored)?;
    if form == Form::Stream
        && let [part] = manifest.parts.as_mut_slice()
        && part.path.is_empty()
    {
        // The engine does not know what a single stream is called here.
        let name = run.root().rsplit('/').next().unwrap_or_default();
        name.clone_into(&mut part.path);
    }
    let alone = !run.options.overwrite && form == Form::Stream && run.bucket.url().has_conditions();
    let lock = if alone { None } else { Some(Lock::take(run, cx).await?) };
    let result = locked(run, form, stored, &mut manifest, lock.as_ref(), cx).await;
    if let Some(lock) = lock {
        lock.release(run, cx).await;
    }
    result
}

fn check(manifest: &Manifest, stored: &BTreeMap<String, Stored>) -> Result<()> {
    let described = (manifest.parts.len(), manifest.parts.iter().map(|part| part.stored.bytes).sum::<u64>());
    let held = (stored.len(), stored.values().map(Stored::bytes).sum::<u64>());
    if described != held {
        return Err(Error::bug("the manifest does not describe what was stored")
            .with("described", format!("{} parts, {} bytes", described.0, described.1))
            .with("stored", format!("{} parts, {} bytes", held.0, held.1)));
    }
    Ok(())
}

fn manifest_key(root: &str, form: Form) -> String {
    match form {
        Form::Stream => format!("{root}{ENDING}"),
        Form::Parts => format!("{root}/{IN_DIRECTORY}"),
    }
}

/// An archive that was there before.
struct Old {
    manifest_key: String,
    json: Bytes,
    /// Keys of its objects.
    keys: BTreeSet<String>,
}

async fn locked(
    run: &Arc<Run>,
    form: Form,
    stored: BTreeMap<String, Stored>,
    manifest: &mut Manifest,
    lock: Option<&Lock>,
    cx: &Context,
) -> Result<()> {
    let overwrite = run.options.overwrite;
    let old = if lock.is_some() { existing(run).await? } else { Vec::new() };
    if !overwrite && !old.is_empty() {
        return Err(super::exists(run.bucket.url(), true));
    }
    // Only looking keeps a foreign object where the store overwrites in spite of the condition.
    if !overwrite && lock.is_some_and(|lock| !lock.enforced) {
        look_for_others(run, &stored).await?;
    }
    for archive in &old {
        remove_manifest(run, &archive.manifest_key).await?;
    }
    let new_keys: BTreeSet<String> = stored.keys().cloned().collect();
    // A store that does not know the condition refuses requests that have it.
    let only_new = !overwrite && lock.is_none_or(|lock| lock.enforced);
    let (made, outcome) = make_all(run, stored, only_new).await;
    let outcome = match outcome {
        Ok(()) => finish(run, form, manifest, only_new, cx).await,
        failed => failed,
    };
    if let Err(error) = outcome {
        return Err(turn_back(run, form, &old, &made, error).await);
    }
    for key in old.iter().flat_map(|archive| &archive.keys).filter(|key| !new_keys.contains(*key)) {
        if let Err(failure) = run.bucket.delete(key, None).await {
            cx.warn(format!("{} of the replaced archive is left: {failure}", run.bucket.url().at(key)));
        }
    }
    Ok(())
}

/// The archives that are in the place; of either form there can be one.
async fn existing(run: &Run) -> Result<Vec<Old>> {
    let root = run.root();
    let mut found = Vec::new();
    for form in [Form::Stream, Form::Parts] {
        let manifest_key = manifest_key(root, form);
        let json = run.bucket.read_small(&manifest_key, MANIFEST_MAX).await.map_err(|failure| {
            failure.into_error(Stage::Sink, &format!("cannot look for an archive at {}", run.bucket.url()))
        })?;
        let Some(json) = json else { continue };
        // One that cannot be read is replaced like any other; only what it had is then unknown.
        let keys = Manifest::parse(&json).map(|manifest| match form {
            Form::Stream => BTreeSet::from([root.to_owned()]),
            Form::Parts => manifest.parts.iter().map(|part| format!("{root}/{}", part.path)).collect(),
        });
        found.push(Old { manifest_key, json, keys: keys.unwrap_or_default() });
    }
    Ok(found)
}

/// Refuses when one of the objects to be made is there.
async fn look_for_others(run: &Run, stored: &BTreeMap<String, Stored>) -> Result<()> {
    // One listing, and not a look for each of some thousand objects.
    let listed = run.bucket.list_all(run.root()).await.map_err(|failure| {
        failure.into_error(Stage::Sink, &format!("cannot look for objects at {}", run.bucket.url()))
    })?;
    match listed.iter().find(|object| stored.contains_key(&object.key)) {
        Some(object) => Err(super::exists(&run.bucket.url().at(&object.key), false)),
        None => Ok(()),
    }
}

async fn remove_manifest(run: &Run, key: &str) -> Result<()> {
    run.bucket.delete(key, None).await.map_err(|failure| {
        failure
            .into_error(Stage::Sink, "cannot remove the manifest of the archive that is to be replaced")
            .hint("`--overwrite` needs s3:DeleteObject")
    })
}

/// Makes every object, some at once; what was made is told also when one failed.
async fn make_all(
    run: &Arc<Run>,
    stored: BTreeMap<String, Stored>,
    only_new: bool,
) -> (Vec<Made>, Result<()>) {
    let (mut made, mut outcome) = (Vec::new(), Ok(()));
    let mut making = JoinSet::new();
    let mut waiting = stored.into_iter();
    loop {
        while making.len() < AT_ONCE && outcome.is_ok() {
            if run.stop.is_cancelled() {
                outcome = Err(Error::cancelled());
                break;
            }
            let Some((key, stored)) = waiting.next() else { break };
            let run = Arc::clone(run);
            making.spawn(async move {
                let result = outcome::make(&run, &key, &stored, only_new).await;
                (key, stored.bytes(), result)
            });
        }
        match making.join_next().await {
            None => return (made, outcome),
            Some(Ok((_, _, Ok(object)))) => made.push(object),
            Some(Ok((key, bytes, Err(error)))) => {
                // Whatever went wrong, the object may have been made, or may arrive yet: then it is this run's and goes with the rest.
                made.push(Made { key, bytes, version: None });
                if outcome.is_ok() {
                    outcome = Err(error);
                }
            }
            Some(Err(panic)) => {
                outcome = Err(Error::bug("making an object panicked").caused_by(panic));
            }
        }
    }
}

/// Reads back what must be read back, and puts the manifest.
async fn finish(run: &Run, form: Form, manifest: &mut Manifest, only_new: bool, cx: &Context) -> Result<()> {
    let unchecked = run.kind == Kind::None && !run.options.no_verify;
    if run.options.read_back || unchecked {
        let root = run.root().to_owned();
        for part in &mut manifest.parts {
            let key = match form {
                Form::Stream => root.clone(),
                Form::Parts => format!("{root}/{}", part.path),
            };
            cx.info(format!("reading {} back", run.bucket.url().at(&key)));
            read_back(run, &key, &part.stored).await?;
            part.verified = pipeline::Proof::ReadBack;
        }
    }
    if run.stop.is_cancelled() {
        return Err(Error::cancelled());
    }
    let json = Bytes::from(manifest.to_json()?);
    let key = manifest_key(run.root(), form);
    outcome::put(run, &key, json, only_new, Dress::Readable).await.map(|_| ())
}

async fn read_back(run: &Run, key: &str, promised: &Content) -> Result<()> {
    let algorithms: Vec<Algorithm> = promised.digests.keys().filter_map(|name| name.parse().ok()).collect();
    let doing = || format!("cannot read {} back", run.bucket.url().at(key));
    let mut digester = Digester::new(&algorithms);
    let mut etag: Option<String> = None;
    let begun = std::time::Instant::now();
    while digester.bytes() < promised.bytes {
        if run.stop.is_cancelled() {
            return Err(Error::cancelled());
        }
        let range = Some((digester.bytes(), promised.bytes - 1));
        let mut lost = None;
        match run.bucket.get(key, range, etag.as_deref()).await {
            Ok(mut body) => {
                etag.get_or_insert_with(|| body.etag.clone());
                while let Some(piece) = body.next().await {
                    match piece {
                        Ok(piece) => digester.update(&piece),
                        Err(failure) => {
                            lost = Some(failure);
                            break;
                        }
                    }
                }
            }
            Err(failure) => lost = Some(failure),
        }
        if let Some(failure) = lost {
            let passing = failure.class == stores::s3::Class::Passing;
            if !passing || begun.elapsed() > run.bucket.url().retry {
                return Err(failure.into_error(Stage::Sink, &doing()));
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }
    match promised.difference(&digester.finish()) {
        None => Ok(()),
        Some(difference) => {
            Err(Error::mismatch(format!("what the store gives back is not what was sent: {difference}"))
                .with("key", key))
        }
    }
}

/// Takes back what became visible, and puts the old manifest back where its objects are still those it describes.
///
/// The new manifest goes first: as long as it may be there, nothing that it describes is touched.
async fn turn_back(run: &Run, form: Form, old: &[Old], made: &[Made], error: Error) -> Error {
    let mut error = match take_back_manifest(run, &manifest_key(run.root(), form)).await {
        Ok(()) => error,
        Err(failure) => {
            return error
                .of_kind(ErrorKind::OutcomeUnknown)
                .also(format!("whether the manifest was written cannot be found out: {failure}"))
                .hint("look whether the archive is there: `dbferry verify` with this address");
        }
    };
    let mut touched = BTreeSet::new();
    for object in made {
        let ours = match run.bucket.head(&object.key).await {
            // Never somebody else's: a run that lost a race has made nothing, and what was there is there still.
            Ok(Some(found)) if found.run.as_deref() != Some(&run.options.id) => continue,
            // Made and removed again, because it was not what it must be: then what was there is gone as well.
            Ok(None) => {
                touched.insert(object.key.clone());
                continue;
            }
            Ok(Some(found)) => found,
            Err(failure) => {
                error = error.also(format!("{} may be left: {failure}", run.bucket.url().at(&object.key)));
                touched.insert(object.key.clone());
                continue;
            }
        };
        touched.insert(object.key.clone());
        let version = object.version.clone().or(ours.version);
        if let Err(failure) = run.bucket.delete(&object.key, version.as_deref()).await {
            error = error
                .also(format!("{} is left, without a manifest: {failure}", run.bucket.url().at(&object.key)))
                .hint("`dbferry gc` removes it");
        }
    }
    for archive in old {
        if archive.keys.is_disjoint(&touched) {
            let put = outcome::put(run, &archive.manifest_key, archive.json.clone(), false, Dress::Readable);
            if let Err(failed) = put.await {
                error = error.also(format!(
                    "the manifest of the archive that was there could not be put back: {failed}"
                ));
            }
        } else {
            error =
                error.also("the archive that was to be replaced is gone: its objects were replaced already");
        }
    }
    error
}

/// Removes the manifest if this run wrote it.
async fn take_back_manifest(run: &Run, key: &str) -> std::result::Result<(), Failure> {
    match run.bucket.head(key).await? {
        Some(found) if found.run.as_deref() == Some(&run.options.id) => {
            run.bucket.delete(key, found.version.as_deref()).await
        }
        _ => Ok(()),
    }
}

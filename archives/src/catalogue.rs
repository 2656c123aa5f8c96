//! What archives there are, by their manifests.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use pipeline::destination::Proof;
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::manifest::{ARGUMENTS, SCHEMA, check_part_path};
use pipeline::{Manifest, PartManifest, Result};

use crate::place::{Place, Scan, stream_of};
use crate::record::{self, Record};

/// Manifests that are read at once: a store answers in tens of milliseconds, and there are thousands.
const AT_ONCE: usize = 16;

/// Everything that lies in one place.
#[derive(Debug)]
pub struct Catalogue {
    /// Where.
    pub place: Place,
    /// The archives, oldest first.
    pub archives: Vec<Archive>,
    /// What looks like a manifest and cannot be used, and what could not be looked at. It is named and never touched.
    pub strange: Vec<Strange>,
}

/// An archive, as its manifest tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Archive {
    /// The stream or the directory, relative to the place; empty for a place that itself is the archive.
    pub name: String,
    /// The manifest, relative to the place.
    pub manifest: String,
    /// The run that made it.
    pub id: String,
    /// When that run began.
    pub started: Timestamp,
    /// The source without its secrets, as the manifest has it.
    pub source: String,
    /// The server: the source without account, databases and parameters.
    pub server: String,
    /// The databases; empty when there are none to speak of.
    pub databases: String,
    /// What was chosen of them: keys, cluster slots, arguments of the dump program. Empty for everything.
    pub selection: String,
    /// A person said that its size is right.
    pub accepted: bool,
    /// What it carries: `mysql`, `tar` and so on.
    pub format: String,
    /// Bytes behind the rewriting, before compression.
    pub raw_bytes: u64,
    /// Bytes in the store.
    pub stored_bytes: u64,
    /// Its pieces: names relative to the place, and their bytes.
    pub pieces: Vec<(String, u64)>,
    /// Whom it is encrypted for.
    pub encrypted: Option<String>,
    /// What is known of its soundness.
    pub standing: Standing,
}

/// What is known of an archive's soundness without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Proven.
    Verified {
        /// When.
        at: Timestamp,
        /// By what: the destination's proof, `verify`, or `drill`.
        by: String,
    },
    /// Nothing proves it, and nothing speaks against it.
    Unverified,
    /// A later check found a fault, or a piece is missing or has another length.
    Failed {
        /// What was found.
        why: String,
    },
}

impl Standing {
    /// True when it is proven.
    pub fn is_verified(&self) -> bool {
        matches!(self, Self::Verified { .. })
    }
}

/// Something that is no archive that this version could use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strange {
    /// Its name, relative to the place.
    pub name: String,
    /// Why.
    pub why: String,
}

enum Read {
    Archive(Box<Archive>),
    Strange(Strange),
    /// It went away between the listing and the reading.
    Gone,
}

impl Catalogue {
    /// Looks at everything below the place. Changes nothing.
    pub async fn read(place: Place) -> Result<Self> {
        let scan = place.scan().await?;
        let reads: Vec<Result<Read>> = futures_util::stream::iter(&scan.manifests)
            .map(|name| read(&place, &scan, name))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let (mut archives, mut strange) = (Vec::new(), Vec::new());
        for read in reads {
            match read? {
                Read::Archive(archive) => archives.push(*archive),
                Read::Strange(odd) => strange.push(odd),
                Read::Gone => {}
            }
        }
        strange.extend(scan.unreadable.into_iter().map(|(name, why)| Strange { name, why }));
        archives.sort_by(|a, b| (a.started, &a.id, &a.name).cmp(&(b.started, &b.id, &b.name)));
        strange.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { place, archives, strange })
    }
}

async fn read(place: &Place, scan: &Scan, name: &str) -> Result<Read> {
    let strange = |why: String| Ok(Read::Strange(Strange { name: name.to_owned(), why }));
    let json = match place.read(name).await {
        Ok(Some(json)) => json,
        Ok(None) => return Ok(Read::Gone),
        // A store that is away is no property of this manifest.
        Err(error) if error.kind() == pipeline::Kind::Temporary => return Err(error),
        Err(error) => return strange(error.to_string()),
    };
    let manifest = match understand(&json) {
        Ok(manifest) => manifest,
        Err(why) => return strange(why),
    };
    let record = read_record(place, scan, name).await?;
    Ok(match Archive::new(&manifest, name, record.as_ref()) {
        Ok(mut archive) => {
            for (piece, bytes) in &archive.pieces {
                let why = match place.length(piece, scan) {
                    Some(found) if found == *bytes => continue,
                    Some(found) => format!("{piece} has {found} bytes, the manifest says {bytes}"),
                    None => format!("{piece} is missing"),
                };
                archive.standing = Standing::Failed { why };
                break;
            }
            Read::Archive(Box::new(archive))
        }
        Err(why) => Read::Strange(Strange { name: name.to_owned(), why }),
    })
}

async fn read_record(place: &Place, scan: &Scan, manifest: &str) -> Result<Option<Record>> {
    let name = record::name_for(manifest);
    if scan.lengths.as_ref().is_some_and(|lengths| !lengths.contains_key(&name)) {
        return Ok(None);
    }
    let json = match place.read(&name).await {
        Err(error) if error.kind() == pipeline::Kind::Temporary => return Err(error),
        // What cannot be read proves nothing; the manifest stands by itself.
        Err(_) => None,
        Ok(json) => json,
    };
    Ok(json.and_then(|json| Record::parse(&json)))
}

/// A manifest, or what it is instead.
fn understand(json: &[u8]) -> std::result::Result<Manifest, String> {
    let value: serde_json::Value = match serde_json::from_slice(json) {
        Ok(value) => value,
        Err(_) if json.is_empty() => return Err("corrupt: it is empty".to_owned()),
        Err(error) => return Err(format!("corrupt: {error}")),
    };
    let schema = value.get("schema").and_then(serde_json::Value::as_u64);
    let ours =
        value.get("tool").and_then(serde_json::Value::as_str).is_some_and(|t| t.starts_with("dbferry"));
    match schema {
        Some(schema) if ours && schema > u64::from(SCHEMA) => {
            Err(format!("newer: it has schema {schema}, this version reads up to {SCHEMA}"))
        }
        Some(_) if ours => Manifest::parse(json).map_err(|error| format!("corrupt: {error}")),
        _ => Err("foreign: dbferry did not write it".to_owned()),
    }
}

impl Archive {
    /// The archive of a manifest. `Err` says why it cannot be one.
    fn new(manifest: &Manifest, name: &str, record: Option<&Record>) -> std::result::Result<Self, String> {
        let time =
            |text: &str| text.parse::<Timestamp>().map_err(|_| format!("corrupt: `{text}` is no time"));
        let started = time(&manifest.started)?;
        let finished = time(&manifest.finished)?;
        let Some(first) = manifest.parts.first() else {
            return Err("corrupt: it lists no part".to_owned());
        };
        let stream = stream_of(name);
        let archive = match stream {
            Some(stream) => stream.to_owned(),
            None => name.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned()),
        };
        let mut pieces = Vec::with_capacity(manifest.parts.len());
        for part in &manifest.parts {
            let piece = match stream {
                Some(stream) if manifest.parts.len() == 1 => stream.to_owned(),
                // Two names for one thing would make a removal hit what is not meant.
                Some(_) => return Err("corrupt: a stream has several parts".to_owned()),
                None => {
                    check_part_path(&part.path)
                        .map_err(|why| format!("corrupt: the part `{}` cannot be: {why}", part.path))?;
                    if archive.is_empty() { part.path.clone() } else { format!("{archive}/{}", part.path) }
                }
            };
            pieces.push((piece, part.stored.bytes));
        }
        let (server, databases) = origin(manifest);
        Ok(Self {
            name: archive,
            manifest: name.to_owned(),
            id: manifest.id.clone(),
            started,
            source: manifest.source.endpoint.clone(),
            server,
            databases,
            selection: selection(manifest),
            accepted: record.is_some_and(|record| record.archive == manifest.id && record.accepted),
            format: first.format.to_string(),
            raw_bytes: manifest.parts.iter().map(|part| part.raw.bytes).sum(),
            stored_bytes: manifest.parts.iter().map(|part| part.stored.bytes).sum(),
            pieces,
            encrypted: encrypted(first),
            standing: standing(manifest, finished, record),
        })
    }
}

fn standing(manifest: &Manifest, finished: Timestamp, record: Option<&Record>) -> Standing {
    // A record that outlived the archive that it was made for says nothing about this one.
    let record = record.filter(|record| record.archive == manifest.id);
    if let Some(record) = record {
        let at = record.at.parse().unwrap_or(finished);
        let by = record.check.as_str();
        return if record.passed {
            Standing::Verified { at, by: by.to_owned() }
        } else {
            Standing::Failed { why: format!("{by} on {}: {}", record.at, record.found) }
        };
    }
    if manifest.parts.iter().any(|part| part.verified == Proof::Unverified) {
        return Standing::Unverified;
    }
    let by = manifest.parts.first().map_or_else(String::new, |part| part.verified.to_string());
    Standing::Verified { at: finished, by }
}

/// Whom a part is encrypted for.
pub fn encrypted(part: &PartManifest) -> Option<String> {
    let step = part.transforms.iter().find(|step| step.name == "age")?;
    Some(step.settings.get("recipients").cloned().unwrap_or_default())
}

/// What an archive holds of its databases. Two that differ in it do not replace one another: of a Redis server that goes into three files, each has a third.
fn selection(manifest: &Manifest) -> String {
    const CHOOSE: [&str; 5] = ["keys", "drop-keys", "types", "slots", "ttl-min-seconds"];
    let steps = manifest.parts.iter().take(1).flat_map(|part| &part.transforms);
    let chosen =
        steps.flat_map(|step| CHOOSE.iter().filter_map(|name| Some((*name, step.settings.get(*name)?))));
    let arguments = manifest.source.facts.get(ARGUMENTS).map(|value| (ARGUMENTS, value));
    chosen.chain(arguments).map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// The server and the databases of a manifest's source.
fn origin(manifest: &Manifest) -> (String, String) {
    let source = &manifest.source;
    if !DatabaseUrl::recognizes(&source.endpoint) {
        return (source.endpoint.clone(), String::new());
    }
    let Ok(url) = DatabaseUrl::parse(&source.endpoint) else {
        return (source.endpoint.clone(), String::new());
    };
    let mut databases = url.databases.join(",");
    // Of a Redis server, one archive may hold one logical database and the next another.
    let chosen = |settings: &BTreeMap<String, String>| settings.get("databases").cloned();
    if let Some(kept) = manifest.parts.iter().flat_map(|p| &p.transforms).find_map(|t| chosen(&t.settings)) {
        databases = kept;
    }
    if databases.is_empty() {
        "all".clone_into(&mut databases);
    }
    let engine = match url.engine {
        Engine::Mysql => "mysql",
        Engine::Postgres => "postgres",
        Engine::Redis => "redis",
    };
    (format!("{engine}://{}", url.place()), databases)
}

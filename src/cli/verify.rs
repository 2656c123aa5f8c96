//! `dbferry verify`: reads an archive back and holds it against its manifest, its compression and its format. Needs no source.

use std::sync::Arc;

use archives::record::Check;
use pipeline::{
    Algorithm, Content, Context, Error, Format, Job, Kind, PartManifest, Report, Result, Settings, Stage,
    Steps, Transform, no_steps,
};
use serde_json::json;
use transforms::codec::Decompress;
use transforms::crypt::{Decrypt, Identities};
use transforms::interpret::{Interpret, Interpretation};

use super::archive::{Archive, Place};
use super::args::VerifyArgs;
use super::{passwords, render, size};

/// Runs the command.
pub(crate) async fn run(args: VerifyArgs, cx: &Context) -> Result<()> {
    let memory = size::parse("--memory", &args.memory)?;
    let named = Place::of(&args.archive)?;
    let identities = passwords::identities(&args.key)?;
    let mut checked = Vec::new();
    if args.without_manifest {
        let report = read(
            &named,
            grammar(None, true, Decrypt::detect, &identities, memory),
            &[Algorithm::Blake3],
            memory,
            cx,
        )
        .await
        .map_err(damaged)?;
        checked.push(Checked::new(named.to_string(), &report, false));
    } else {
        let archive = Archive::find(&named, args.manifest.as_deref()).await?;
        let found = check_all(&archive, &identities, memory, cx).await;
        if args.record || args.accept {
            record(&archive, &found, args.accept).await?;
        }
        checked = found?;
    }
    if args.output.json {
        let parts: Vec<_> = checked.iter().map(Checked::json).collect();
        let document =
            json!({ "type": "verified", "exit_code": 0, "manifest": !args.without_manifest, "parts": parts });
        return render::print(&format!("{document}\n"));
    }
    if args.output.talks() {
        for part in &checked {
            part.say();
        }
        let what = if args.without_manifest {
            "whole, as far as a file alone can tell"
        } else if checked.iter().any(|part| part.sealed) {
            "stored bytes verified"
        } else {
            "verified"
        };
        render::say(&format!("{what}: {}", args.archive));
    }
    Ok(())
}

/// Checks every part of an archive.
pub(crate) async fn check_all(
    archive: &Archive,
    identities: &Identities,
    memory: usize,
    cx: &Context,
) -> Result<Vec<Checked>> {
    if archive.manifest.parts.is_empty() {
        return Err(Error::mismatch("the manifest lists no part").with("manifest", &archive.manifest_place));
    }
    let mut checked = Vec::new();
    for part in &archive.manifest.parts {
        let file = archive.part(part)?;
        checked.push(check(&file, part, identities, memory, cx).await?);
    }
    Ok(checked)
}

/// Writes down what was found. Only a mismatch speaks against the archive; a store that was away does not.
async fn record(archive: &Archive, found: &Result<Vec<Checked>>, accepted: bool) -> Result<()> {
    match found {
        Ok(checked) if checked.iter().any(|part| part.sealed) => {
            let found = "the stored bytes are whole; no key to look at the content";
            archive.write_down(Check::Stored, Ok(found), accepted).await
        }
        Ok(_) => {
            let found = "digests, compression and content are whole";
            archive.write_down(Check::Verify, Ok(found), accepted).await
        }
        Err(error) if error.exit_code() == 6 => archive.write_record(Check::Verify, Err(error)).await,
        Err(_) => Ok(()),
    }
}

async fn check(
    file: &Place,
    part: &PartManifest,
    identities: &Identities,
    memory: usize,
    cx: &Context,
) -> Result<Checked> {
    let length = file.length().await?;
    let length =
        length.ok_or_else(|| Error::mismatch("a part of the archive is missing").with("part", file))?;
    if length != part.stored.bytes {
        return Err(Error::mismatch("a part of the archive has another length than its manifest says")
            .with("part", file)
            .with("promised", part.stored.bytes)
            .with("found", length));
    }
    let trailer =
        part.transforms.iter().all(|t| t.settings.get("trailer").is_none_or(|rule| rule != "waived"));
    let digests: Vec<Algorithm> = part.stored.digests.keys().filter_map(|name| name.parse().ok()).collect();
    let encrypted = archives::catalogue::encrypted(part).is_some();
    if encrypted && identities.is_empty() {
        // What can be said without the key: these are the bytes that were written.
        let report = read(file, no_steps(), &digests, memory, cx).await.map_err(damaged)?;
        compare(file, "stored", &part.stored, &report.parts[0].source)?;
        return Ok(Checked::new(file.to_string(), &report, true).sealed(part));
    }
    let steps = if encrypted {
        grammar(Some(part.format), trailer, Decrypt::required, identities, memory)
    } else if part.format == Format::Opaque && part.compression == "none" {
        no_steps()
    } else {
        grammar(Some(part.format), trailer, Decrypt::detect, identities, memory)
    };
    match read(file, steps, &digests, memory, cx).await {
        Ok(report) => {
            let found = &report.parts[0];
            compare(file, "stored", &part.stored, &found.source)?;
            compare(file, "raw", &part.raw, &found.raw)?;
            if part.format == Format::Rdb && found.objects != part.objects {
                return Err(Error::mismatch(
                    "the snapshot holds other numbers of keys than its manifest says",
                )
                .with("part", file)
                .with("promised", counted(&part.objects))
                .with("found", counted(&found.objects)));
            }
            Ok(Checked::new(file.to_string(), &report, true))
        }
        Err(error) if error.is_consequence() => Err(error),
        // The digest tells more than the place where the decoder stumbled; and if it agrees, the archive was made so.
        Err(error) => {
            let stored = read(file, no_steps(), &digests, memory, cx).await?;
            compare(file, "stored", &part.stored, &stored.parts[0].source)
                .map_err(|difference| difference.also(error.to_string()))?;
            Err(damaged(error)
                .with("part", file)
                .hint("the stored bytes are the ones that were written: the archive was made this way"))
        }
    }
}

fn compare(file: &Place, which: &str, promised: &Content, found: &Content) -> Result<()> {
    match promised.difference(found) {
        None => Ok(()),
        Some(difference) => {
            Err(Error::mismatch(format!("the {which} bytes are not those of the manifest: {difference}"))
                .with("part", file))
        }
    }
}

/// Whatever is wrong with a file that should be an archive is a mismatch.
fn damaged(error: Error) -> Error {
    // A store that is away for a while says nothing about the archive.
    if error.kind() != Kind::Temporary && matches!(error.stage(), Stage::Source | Stage::Transform) {
        error.at(Stage::Verify).of_kind(Kind::Mismatch)
    } else {
        error
    }
}

fn grammar(
    format: Option<Format>,
    require_trailer: bool,
    decrypt: fn(Identities) -> Decrypt,
    identities: &Identities,
    memory: usize,
) -> Steps {
    let identities = identities.clone();
    Arc::new(move |_| {
        let mut wanted = Interpretation { format, ..Interpretation::default() };
        wanted.mysql.require_trailer = require_trailer;
        wanted.postgres.require_trailer = require_trailer;
        Ok(vec![
            Box::new(decrypt(identities.clone())) as Box<dyn Transform>,
            Box::new(Decompress::detect().within(memory)),
            Box::new(Interpret::new(wanted)),
        ])
    })
}

async fn read(
    file: &Place,
    steps: Steps,
    digests: &[Algorithm],
    memory: usize,
    cx: &Context,
) -> Result<Report> {
    let job = Job {
        id: "verify".to_owned(),
        source: file.source(super::copy::object_reader(memory)),
        steps,
        deliveries: Vec::new(),
        settings: Settings {
            memory,
            digests: digests.to_vec(),
            reader: super::copy::object_reader(memory),
            ..Settings::default()
        },
    };
    pipeline::run(job, cx).await
}

/// What was checked of one part.
pub(crate) struct Checked {
    part: String,
    format: Format,
    stored: Content,
    raw: Content,
    against_manifest: bool,
    counts: Vec<(String, u64)>,
    /// What became of a snapshot's own checksum.
    checksum: String,
    /// It is encrypted, and there was no key: only the stored bytes could be looked at.
    sealed: bool,
}

/// `db0 12, db1 3`.
fn counted(objects: &std::collections::BTreeMap<String, u64>) -> String {
    let each: Vec<String> = objects.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

impl Checked {
    fn new(part: String, report: &Report, against_manifest: bool) -> Self {
        let found = &report.parts[0];
        let counts =
            found.transforms.iter().flat_map(|t| t.counts.iter().map(|(k, v)| (k.clone(), *v))).collect();
        Self {
            part,
            format: found.format,
            stored: found.source.clone(),
            raw: found.raw.clone(),
            against_manifest,
            counts,
            checksum: found
                .transforms
                .iter()
                .find_map(|t| t.settings.get("source-crc64").cloned())
                .unwrap_or_default(),
            sealed: false,
        }
    }

    fn sealed(self, part: &PartManifest) -> Self {
        Self { sealed: true, format: part.format, raw: part.raw.clone(), counts: Vec::new(), ..self }
    }

    fn say(&self) {
        let digests = |content: &Content| {
            let names: Vec<_> = content.digests.keys().map(String::as_str).collect();
            if self.against_manifest {
                format!("{} agree", names.join(" and "))
            } else {
                "nothing to compare with".to_owned()
            }
        };
        render::say(&format!("part: {}", self.part));
        render::say(&format!(
            "  stored: {}, length and {}",
            size::show(self.stored.bytes),
            digests(&self.stored)
        ));
        if self.sealed {
            render::say("  encrypted: the content was not looked at, which takes the key: `--identity FILE`");
            return;
        }
        render::say(&format!("  raw: {}, length and {}", size::show(self.raw.bytes), digests(&self.raw)));
        let grammar = match self.format {
            Format::Opaque => "content of unknown kind, carried as it is".to_owned(),
            Format::PostgresRows => "rows for COPY, carried as they are".to_owned(),
            Format::Resp | Format::JsonLines => {
                format!("{}, made of a snapshot, carried as it is", self.format)
            }
            Format::Rdb => format!("Redis snapshot, grammar is whole, CRC64 {}", self.checksum),
            format => format!("{format}, grammar and trailer are whole"),
        };
        render::say(&format!("  content: {grammar}"));
        let counts: Vec<_> = self.counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        if !counts.is_empty() {
            render::say(&format!("  counted: {}", counts.join(", ")));
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "part": self.part,
            "format": self.format,
            "content_checked": !self.sealed,
            "stored": self.stored,
            "raw": self.raw,
            "counts": self.counts.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })
    }
}

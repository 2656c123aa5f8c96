//! `dbferry verify`: reads an archive back and holds it against its manifest, its compression and its format. Needs no source.

use std::sync::Arc;

use pipeline::{
    Algorithm, Content, Context, Error, Format, Job, Kind, PartManifest, Report, Result, Settings, Stage,
    Steps, Transform, no_steps,
};
use serde_json::json;
use transforms::codec::Decompress;
use transforms::interpret::{Interpret, Interpretation};

use super::archive::{Archive, Place};
use super::args::VerifyArgs;
use super::{render, size};

/// Runs the command.
pub(crate) async fn run(args: VerifyArgs, cx: &Context) -> Result<()> {
    let memory = size::parse("--memory", &args.memory)?;
    let named = Place::of(&args.archive)?;
    let mut checked = Vec::new();
    if args.without_manifest {
        let report = read(&named, grammar(None, true, memory), &[Algorithm::Blake3], memory, cx)
            .await
            .map_err(damaged)?;
        checked.push(Checked::new(named.to_string(), &report, false));
    } else {
        let archive = Archive::find(&named, args.manifest.as_deref()).await?;
        if archive.manifest.parts.is_empty() {
            return Err(
                Error::mismatch("the manifest lists no part").with("manifest", archive.manifest_place)
            );
        }
        for part in &archive.manifest.parts {
            let file = archive.part(part)?;
            checked.push(check(&file, part, memory, cx).await?);
        }
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
        let what = if args.without_manifest { "whole, as far as a file alone can tell" } else { "verified" };
        render::say(&format!("{what}: {}", args.archive));
    }
    Ok(())
}

async fn check(file: &Place, part: &PartManifest, memory: usize, cx: &Context) -> Result<Checked> {
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
    let steps = if part.format == Format::Opaque && part.compression == "none" {
        no_steps()
    } else {
        grammar(Some(part.format), trailer, memory)
    };
    let digests: Vec<Algorithm> = part.stored.digests.keys().filter_map(|name| name.parse().ok()).collect();
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

fn grammar(format: Option<Format>, require_trailer: bool, memory: usize) -> Steps {
    Arc::new(move |_| {
        let mut wanted = Interpretation { format, ..Interpretation::default() };
        wanted.mysql.require_trailer = require_trailer;
        wanted.postgres.require_trailer = require_trailer;
        Ok(vec![
            Box::new(Decompress::detect().within(memory)) as Box<dyn Transform>,
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
struct Checked {
    part: String,
    format: Format,
    stored: Content,
    raw: Content,
    against_manifest: bool,
    counts: Vec<(String, u64)>,
    /// What became of a snapshot's own checksum.
    checksum: String,
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
        }
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
        render::say(&format!("  raw: {}, length and {}", size::show(self.raw.bytes), digests(&self.raw)));
        let grammar = match self.format {
            Format::Opaque => "content of unknown kind, carried as it is".to_owned(),
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
            "stored": self.stored,
            "raw": self.raw,
            "counts": self.counts.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })
    }
}

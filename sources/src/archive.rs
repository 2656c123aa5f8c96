//! A directory of many SQL files with its manifest, read as the one stream that they are together.
//!
//! The files are handed on as they are stored, one behind the other, in the order in which they load: compressed ones are members of one compressed
//! stream then, and whoever decompresses that finds the text.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pipeline::manifest::{IN_DIRECTORY, check_part_path};
use pipeline::{
    Context, Error, Format, FrameSender, Manifest, Part, PartManifest, Reader, Result, Source, SourceInfo,
};

use crate::{file, thread, whole};

/// An archive of SQL files as a source.
#[derive(Debug)]
pub(crate) struct ArchiveSource {
    path: PathBuf,
    parts: Option<Vec<PartManifest>>,
}

impl ArchiveSource {
    /// The archive whose manifest is in this directory.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, parts: None }
    }

    fn manifest(&self) -> Result<Manifest> {
        let place = self.path.join(IN_DIRECTORY);
        let json = std::fs::read(&place).map_err(|error| {
            Error::source("the manifest cannot be read").with("file", place.display()).caused_by(error)
        })?;
        Manifest::parse(&json).map_err(|error| error.with("file", place.display()))
    }

    /// The parts that a client loads, in the order in which they load.
    fn parts(&self, manifest: Manifest) -> Result<Vec<PartManifest>> {
        let tar = "`--format tar` carries the directory as a tar stream";
        let mut parts = manifest.parts;
        if parts.iter().all(|part| part.format != Format::Mysql) {
            return Err(Error::usage(format!(
                "{} is an archive of files that are no one stream",
                self.path.display()
            ))
            .hint(tar)
            .hint("restore it with the client that its documentation names"));
        }
        // What tells a stock tool about the others is for nobody else.
        parts.retain(|part| part.format == Format::Mysql);
        parts.sort_by_key(|part| part.phase);
        for part in &parts {
            if let Err(why) = check_part_path(&part.path) {
                return Err(Error::source("the manifest names a part that cannot be")
                    .with("part", format!("{:?}", part.path))
                    .with("why", why));
            }
            if Path::new(&part.path).extension().is_some_and(|ending| ending == "age") {
                return Err(Error::usage("an encrypted archive of many files cannot be read as one stream")
                    .hint("decrypt its files with age, or with `dbferry copy` one by one")
                    .hint(tar));
            }
        }
        Ok(parts)
    }
}

#[async_trait]
impl Source for ArchiveSource {
    fn endpoint(&self) -> String {
        self.path.display().to_string()
    }

    async fn probe(&mut self, _: &Context) -> Result<SourceInfo> {
        let manifest = self.manifest()?;
        let (server, facts) = (manifest.source.server.clone(), manifest.source.facts.clone());
        let parts = self.parts(manifest)?;
        let expected = parts.iter().map(|part| part.stored.bytes).sum();
        self.parts = Some(parts);
        Ok(SourceInfo {
            endpoint: self.endpoint(),
            kind: "directory".to_owned(),
            server,
            expected_bytes: Some(expected),
            facts,
            ..SourceInfo::default()
        })
    }

    async fn next_part(&mut self, _: &Context) -> Result<Option<Part>> {
        let Some(parts) = self.parts.take() else { return Ok(None) };
        let expected = parts.iter().map(|part| part.stored.bytes).sum();
        let reader = ArchiveReader { path: self.path.clone(), parts };
        Ok(Some(whole(Some(Format::Mysql), Some(expected), Box::new(reader))))
    }

    async fn finish(self: Box<Self>, _: &Context) -> Result<BTreeMap<String, String>> {
        Ok(BTreeMap::new())
    }
}

struct ArchiveReader {
    path: PathBuf,
    parts: Vec<PartManifest>,
}

#[async_trait]
impl Reader for ArchiveReader {
    fn memory(&self) -> usize {
        file::READ * thread::PIECES
    }

    async fn read(self: Box<Self>, out: &mut FrameSender, cx: &Context) -> Result<()> {
        thread::stream("read files", out, cx, move |outlet| {
            for part in &self.parts {
                let place = self.path.join(&part.path);
                let shown = place.display().to_string();
                let file = File::open(&place).map_err(|error| file::cannot_open(&place, error))?;
                let found = file.metadata().map(|meta| meta.len());
                let found = found.map_err(|error| file::cannot_open(&place, error))?;
                if found != part.stored.bytes {
                    return Err(Error::source(format!("{shown} has another length than its manifest says"))
                        .with("promised", part.stored.bytes)
                        .with("found", found)
                        .hint("`dbferry verify` looks at all of the archive"));
                }
                file::copy(file.as_fd(), &shown, outlet)?;
            }
            Ok(())
        })
        .await
    }
}

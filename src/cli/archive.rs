//! Where an archive's pieces are: files or objects. What `verify` must know of either.

use std::fmt;
use std::path::{Path, PathBuf};

use archives::record::{Check, Record};
use pipeline::{Error, Manifest, PartManifest, Result, Source, Stage, manifest};
use sources::{FileSource, S3Source};
use stores::s3::{Bucket, S3Url};

use super::endpoint::From;

/// A manifest of some ten thousand parts has a few MiB.
const MANIFEST_MAX: u64 = 256 << 20;

/// One file or object.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    File(PathBuf),
    Object(Box<S3Url>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Object(url) => url.fmt(f),
        }
    }
}

impl Place {
    /// What was typed, if an archive can be there.
    pub(crate) fn of(typed: &str) -> Result<Self> {
        match From::parse(typed)? {
            From::Path(path) => Ok(Self::File(path)),
            From::S3(url) => Ok(Self::Object(url)),
            _ => Err(Error::usage(format!("`{typed}` is no archive"))
                .hint("verify takes the path or s3:// address of an archive, its directory or its manifest")),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Object(url) => url.key.clone(),
        }
    }

    fn at(&self, text: &str) -> Self {
        match self {
            Self::File(_) => Self::File(PathBuf::from(text)),
            Self::Object(url) => Self::Object(Box::new(url.at(text))),
        }
    }

    /// The place of `relative` beside this one.
    fn beside(&self, relative: &str) -> Self {
        match self {
            Self::File(path) => Self::File(path.parent().unwrap_or(Path::new("")).join(relative)),
            Self::Object(url) => {
                let folder =
                    url.key.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
                Self::Object(Box::new(url.at(format!("{folder}{relative}"))))
            }
        }
    }

    /// Its length in bytes, if it is there.
    pub(crate) async fn length(&self) -> Result<Option<u64>> {
        match self {
            Self::File(path) => match std::fs::metadata(path) {
                Ok(meta) => Ok(Some(meta.len())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::source("cannot look at a file").with("file", self).caused_by(error)),
            },
            Self::Object(url) => {
                let head = Bucket::connect(url).await?.head(&url.key).await;
                let head = head.map_err(|f| f.into_error(Stage::Source, &format!("cannot look at {url}")))?;
                Ok(head.map(|head| head.bytes))
            }
        }
    }

    async fn small(&self) -> Result<Option<Vec<u8>>> {
        match self {
            Self::File(path) => match std::fs::read(path) {
                Ok(json) => Ok(Some(json)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => {
                    Err(Error::source("cannot read the manifest").with("manifest", self).caused_by(error))
                }
            },
            Self::Object(url) => {
                let read = Bucket::connect(url).await?.read_small(&url.key, MANIFEST_MAX).await;
                let read = read.map_err(|f| f.into_error(Stage::Source, &format!("cannot read {url}")))?;
                Ok(read.map(|json| json.to_vec()))
            }
        }
    }

    /// Reads it; at most `memory` bytes are held.
    pub(crate) fn source(&self, memory: usize) -> Box<dyn Source> {
        match self {
            Self::File(path) => Box::new(FileSource::new(path)),
            Self::Object(url) => Box::new(S3Source::new((**url).clone(), memory)),
        }
    }
}

/// An archive: its manifest, and where its pieces are.
pub(crate) struct Archive {
    pub(crate) manifest: Manifest,
    pub(crate) manifest_place: Place,
    /// The place of an archive that is one stream.
    stream: Option<Place>,
}

impl Archive {
    /// The archive that is named by its stream, its directory or its manifest.
    pub(crate) async fn find(named: &Place, told: Option<&Path>) -> Result<Self> {
        let text = named.text();
        let last = text.rsplit('/').next().unwrap_or_default();
        let inside = |folder: &str| match folder.trim_end_matches('/') {
            "" => named.at(manifest::IN_DIRECTORY),
            folder => named.at(&format!("{folder}/{}", manifest::IN_DIRECTORY)),
        };
        let is_folder = match named {
            Place::File(path) => path.is_dir(),
            Place::Object(_) => text.is_empty() || text.ends_with('/'),
        };
        let mut candidates = Vec::new();
        if is_folder {
            candidates.push((inside(&text), None));
        } else if last == manifest::IN_DIRECTORY {
            candidates.push((named.clone(), None));
        } else if let Some(stream) = text.strip_suffix(manifest::ENDING) {
            candidates.push((named.clone(), Some(named.at(stream))));
        } else {
            candidates.push((named.at(&format!("{text}{}", manifest::ENDING)), Some(named.clone())));
            if matches!(named, Place::Object(_)) {
                candidates.push((inside(&text), None));
            }
        }
        if let Some(told) = told {
            // The manifest is elsewhere; the pieces are where they are.
            candidates = vec![(Place::File(told.to_owned()), candidates.swap_remove(0).1)];
        }
        for (manifest_place, stream) in &candidates {
            let Some(json) = manifest_place.small().await? else { continue };
            let manifest = Manifest::parse(&json)?;
            let stream = stream.clone().filter(|_| manifest.parts.len() == 1);
            return Ok(Self { manifest, manifest_place: manifest_place.clone(), stream });
        }
        let error = Error::mismatch("there is no manifest, so there is no archive")
            .with("manifest", &candidates[0].0);
        if named.length().await.is_ok_and(|length| length.is_some()) && !is_folder {
            return Err(error.hint("a manifest that was moved: --manifest FILE").hint(
                "a file that never had one: --without-manifest checks compression, grammar and trailer",
            ));
        }
        Err(error)
    }

    /// The folder or prefix that the manifest lies in, and its name there.
    async fn beside(&self) -> Result<(archives::Place, String)> {
        match &self.manifest_place {
            Place::File(path) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Ok((archives::Place::Folder(folder.unwrap_or(Path::new(".")).to_owned()), name))
            }
            Place::Object(url) => {
                let (folder, name) = url.key.rsplit_once('/').unwrap_or(("", &url.key));
                Ok((archives::Place::of_address(&url.at(folder.to_owned())).await?, name.to_owned()))
            }
        }
    }

    /// The last check that was recorded.
    pub(crate) async fn record(&self) -> Result<Option<Record>> {
        let (place, manifest) = self.beside().await?;
        let record = Record::of(&place, &manifest).await?;
        Ok(record.filter(|record| record.archive == self.manifest.id))
    }

    /// Writes down what a check found, unless an earlier one that looked at more found a fault.
    pub(crate) async fn write_record(&self, check: Check, found: Result<&str, &Error>) -> Result<()> {
        self.write_down(check, found, false).await
    }

    /// The same, and whether a person says that the archive's size is right.
    pub(crate) async fn write_down(
        &self,
        check: Check,
        found: Result<&str, &Error>,
        accepted: bool,
    ) -> Result<()> {
        let (place, manifest) = self.beside().await?;
        let text = found.map_or_else(ToString::to_string, str::to_owned);
        let record = Record { accepted, ..Record::new(&self.manifest, check, found.is_ok(), text) };
        record.store(&place, &manifest).await
    }

    /// Where a part is.
    pub(crate) fn part(&self, part: &PartManifest) -> Result<Place> {
        if let Some(stream) = &self.stream {
            return Ok(stream.clone());
        }
        if let Err(why) = manifest::check_part_path(&part.path) {
            return Err(Error::mismatch("the manifest names a part that cannot be")
                .with("part", format!("{:?}", part.path))
                .with("why", why));
        }
        Ok(self.manifest_place.beside(&part.path))
    }
}

//! The destination against a server in this process: the suite of every destination, stores of several kinds, and faults.

mod campaign;
mod stores_differ;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use pipeline::Destination;
use pipeline::endpoint::Secret;
use pipeline::manifest::{ENDING, IN_DIRECTORY};
use pipeline::testing::View;
use pipeline::testing::conformance::Fixture;
use stores::s3::{Keys, S3Url};
use test_servers::s3::{ACCESS_KEY, Care, FakeS3, Quirks, SECRET_KEY};

use super::{S3Destination, S3Options};

/// Where the archive goes: with what a key may hold.
const KEY: &str = "some where/ünï+code%20/shop.sql.zst";

/// A server with one place for an archive.
pub(crate) struct Place {
    pub(crate) server: FakeS3,
    /// Seconds that a request is tried again.
    pub(crate) patience: u64,
    /// Whether it is taken for granted that the store enforces conditions.
    conditions: bool,
}

impl Place {
    pub(crate) fn new(quirks: Quirks) -> Self {
        let conditions = quirks.conditions == Care::Checked;
        let server = FakeS3::start(quirks).expect("a server");
        server.plant("some where/else", b"not ours");
        Self { server, patience: 20, conditions }
    }

    pub(crate) fn url(&self) -> S3Url {
        let mut url = S3Url::parse(&self.server.url("x")).expect("a good address").at(KEY);
        url.keys = Some(Keys { id: ACCESS_KEY.to_owned(), secret: Secret::new(SECRET_KEY) });
        url.retry = Duration::from_secs(self.patience);
        url.conditional_writes = self.conditions.then_some(true);
        url
    }

    pub(crate) fn s3(&self, id: &str, overwrite: bool) -> S3Destination {
        // Room for two of the smallest parts: everything longer than one goes up in several.
        let options = S3Options { overwrite, buffer: 10 << 20, ..S3Options::new(id) };
        S3Destination::new(self.url(), options).expect("a good address")
    }

    /// What an outsider sees: an archive is what has a manifest.
    pub(crate) fn view_now(&self) -> View {
        let objects = self.server.objects();
        let mut view = View::default();
        if let Some(manifest) = objects.get(&format!("{KEY}{ENDING}")) {
            view.manifest = Some(manifest.data.clone());
            if let Some(stream) = objects.get(KEY) {
                view.parts.insert(String::new(), stream.data.clone());
            }
        }
        let folder = format!("{KEY}/");
        if let Some(manifest) = objects.get(&format!("{folder}{IN_DIRECTORY}")) {
            assert!(view.manifest.is_none(), "archives of both forms at once");
            view.manifest = Some(manifest.data.clone());
            view.parts = objects
                .iter()
                .filter_map(|(key, object)| Some((key.strip_prefix(&folder)?, object)))
                .filter(|(path, _)| *path != IN_DIRECTORY)
                .map(|(path, object)| (path.to_owned(), object.data.clone()))
                .collect::<BTreeMap<_, _>>();
        }
        view
    }

    /// Uploads, locks, and objects that belong to no archive.
    pub(crate) fn litter_now(&self) -> Vec<String> {
        let mut litter = self.server.uploads();
        let view = self.view_now();
        for key in self.server.objects().into_keys() {
            let path = key.strip_prefix(KEY);
            let belongs = match path {
                None => key == "some where/else",
                Some("") => view.parts.contains_key(""),
                Some(path) => {
                    let inner = path.strip_prefix('/').unwrap_or_default();
                    path == ENDING || inner == IN_DIRECTORY || view.parts.contains_key(inner)
                }
            };
            if !belongs {
                litter.push(key);
            }
        }
        litter
    }
}

#[async_trait]
impl Fixture for Place {
    fn destination(&self, id: &str, overwrite: bool) -> Box<dyn Destination> {
        Box::new(self.s3(id, overwrite))
    }

    async fn view(&self) -> View {
        self.view_now()
    }

    async fn litter(&self) -> Vec<String> {
        self.litter_now()
    }
}

mod stream {
    use super::*;
    pipeline::conformance!(stream, Place::new(Quirks::default()));
}

mod parts {
    use super::*;
    pipeline::conformance!(parts, Place::new(Quirks::default()));
}

mod replace {
    use super::*;
    pipeline::conformance!(replace, Place::new(Quirks::default()));
}

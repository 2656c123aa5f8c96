//! The suite of every destination against real stores.
//!
//! One trial for each group of cases, because a store takes seconds to start; every case has a key of its own.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use pipeline::Destination;
use pipeline::endpoint::Secret;
use pipeline::manifest::{ENDING, IN_DIRECTORY};
use pipeline::testing::View;
use pipeline::testing::conformance::{Fixture, cases};
use sinks::{S3Destination, S3Options};
use stores::s3::{Bucket, Keys, S3Url};
use test_servers::{Needs, Result, StoreServer, TestResult, Trials};

/// What a store cannot do, whoever asks: moto answers 404 to every request for a key with a line break; garage drops an upload when an object that was begun
/// later is completed under its key, so that of racing runs those that began first lose what they uploaded.
const CANNOT: [(&str, &str); 2] =
    [("moto", "awkward_names_are_kept"), ("garage", "racing_overwrites_leave_one_whole_archive")];

fn main() -> ExitCode {
    let mut trials = Trials::new();
    for group in ["stream", "parts", "replace"] {
        trials = trials
            .with(&format!("moto_keeps_the_contract::{group}"), &[Needs::Moto], move || {
                suite("moto", test_servers::moto, group)
            })
            .with(&format!("garage_keeps_the_contract::{group}"), &[Needs::Garage], move || {
                suite("garage", test_servers::garage, group)
            });
    }
    trials.run()
}

fn suite(store: &str, start: fn() -> Result<StoreServer>, group: &str) -> TestResult {
    let server = start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut broken = Vec::new();
    for (name, case) in cases(group) {
        if CANNOT.contains(&(store, name)) {
            continue;
        }
        let place = runtime.block_on(Place::new(&server, name))?;
        let begun = Instant::now();
        let ran = runtime.block_on(AssertUnwindSafe(case(&place)).catch_unwind());
        if let Err(panic) = ran {
            let said = panic.downcast_ref::<String>().cloned();
            broken.push(format!("{name}: {}", said.unwrap_or_else(|| "panicked".to_owned())));
        }
        tell(&format!("{name}: {:.1} s", begun.elapsed().as_secs_f64()));
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}

#[allow(clippy::print_stderr, reason = "what a trial prints is shown when it fails")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// A place for an archive below a prefix of its own.
struct Place {
    url: S3Url,
    bucket: Bucket,
}

impl Place {
    async fn new(server: &StoreServer, name: &str) -> pipeline::Result<Self> {
        let mut url =
            S3Url::parse(&server.url("x"))?.at(format!("{name}/some where/ünï+code%20/shop.sql.zst"));
        url.keys = Some(Keys { id: server.keys.0.clone(), secret: Secret::new(&server.keys.1) });
        url.retry = Duration::from_secs(20);
        Ok(Self { bucket: Bucket::connect(&url).await?, url })
    }

    async fn read(&self, key: &str) -> Option<Vec<u8>> {
        let read = self.bucket.read_small(key, 1 << 30).await;
        read.expect("the store can be read").map(|data| data.to_vec())
    }

    async fn keys(&self) -> Vec<String> {
        let prefix = &self.url.key[..=self.url.key.find('/').expect("a folder")];
        let listed = self.bucket.list_all(prefix).await.expect("the store can be listed");
        listed.into_iter().map(|object| object.key).collect()
    }
}

#[async_trait]
impl Fixture for Place {
    fn destination(&self, id: &str, overwrite: bool) -> Box<dyn Destination> {
        // Room for two of the smallest parts: everything longer than one goes up in several.
        let options = S3Options { overwrite, buffer: 10 << 20, ..S3Options::new(id) };
        Box::new(S3Destination::new(self.url.clone(), options).expect("a good address"))
    }

    async fn view(&self) -> View {
        let key = &self.url.key;
        if let Some(manifest) = self.read(&format!("{key}{ENDING}")).await {
            let stream = self.read(key).await.map(|data| (String::new(), data));
            return View { manifest: Some(manifest), parts: stream.into_iter().collect() };
        }
        let folder = format!("{key}/");
        let Some(manifest) = self.read(&format!("{folder}{IN_DIRECTORY}")).await else {
            return View::default();
        };
        let mut parts = BTreeMap::new();
        for found in self.keys().await {
            let Some(path) = found.strip_prefix(&folder).filter(|path| *path != IN_DIRECTORY) else {
                continue;
            };
            if let Some(data) = self.read(&found).await {
                parts.insert(path.to_owned(), data);
            }
        }
        View { manifest: Some(manifest), parts }
    }

    async fn litter(&self) -> Vec<String> {
        let prefix = &self.url.key[..=self.url.key.find('/').expect("a folder")];
        let uploads = self.bucket.uploads(prefix).await.expect("uploads can be listed");
        let mut litter: Vec<String> =
            uploads.into_iter().map(|(upload, _)| format!("{} {}", upload.key, upload.id)).collect();
        let view = self.view().await;
        for key in self.keys().await {
            let path = key.strip_prefix(&self.url.key);
            let belongs = match path {
                Some("") => view.parts.contains_key(""),
                Some(ENDING) => true,
                Some(path) => {
                    let inner = path.strip_prefix('/').unwrap_or_default();
                    inner == IN_DIRECTORY || view.parts.contains_key(inner)
                }
                None => false,
            };
            if !belongs {
                litter.push(key);
            }
        }
        litter
    }
}

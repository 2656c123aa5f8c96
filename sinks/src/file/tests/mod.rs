//! Tests of the file destinations: the suite of all destinations, then what only files can get wrong.

pub(crate) mod faults;
mod sweep;
mod targets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pipeline::Destination;
use pipeline::testing::View;
use pipeline::testing::conformance::Fixture;

use self::faults::Faults;
use super::sys::Sys;
use super::{FileDestination, FileOptions};

/// A target in a directory of its own, beside files that are nobody's business.
pub(crate) struct Place {
    _temporary: Option<tempfile::TempDir>,
    target: PathBuf,
    read_back: bool,
    faults: Option<Arc<Faults>>,
}

/// What lies beside the target, and must lie there in the end: names that a careless clean-up would take.
const BYSTANDERS: [&str; 4] = ["other.manifest.json", ".other.x.partial", "dump.sq", ".hidden"];

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        Self::in_directory(&std::env::temp_dir(), name)
    }

    /// For thousands of runs: a sync on a disk takes milliseconds.
    pub(crate) fn in_memory(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        Self::in_directory(if memory.is_dir() { memory } else { Path::new("/tmp") }, name)
    }

    fn in_directory(directory: &Path, name: &str) -> Self {
        let temporary = tempfile::tempdir_in(directory).expect("a temporary directory");
        for name in BYSTANDERS {
            std::fs::write(temporary.path().join(name), name).expect("write");
        }
        let target = temporary.path().join(name);
        Self { _temporary: Some(temporary), target, read_back: false, faults: None }
    }

    pub(crate) fn reading_back(self) -> Self {
        Self { read_back: true, ..self }
    }

    /// Lets calls of the runs from now on fail.
    pub(crate) fn arm(&mut self, faults: Option<Arc<Faults>>) {
        self.faults = faults;
    }

    pub(crate) fn parent(&self) -> &Path {
        self.target.parent().expect("a parent")
    }

    pub(crate) fn file(&self, id: &str, overwrite: bool) -> FileDestination {
        let options = FileOptions { overwrite, read_back: self.read_back, ..FileOptions::new(id) };
        let mut destination = FileDestination::new(&self.target, options).expect("a good path");
        destination.sys = Sys { faults: self.faults.clone() };
        destination
    }

    /// Names in the directory of the target that a run made, the archive's own excepted.
    pub(crate) fn litter_now(&self) -> Vec<String> {
        let mut litter = Vec::new();
        let mut bystanders = 0;
        for entry in std::fs::read_dir(self.parent()).expect("list") {
            let name = entry.expect("entry").file_name().to_string_lossy().into_owned();
            let own = self.target.file_name().expect("a name").to_string_lossy();
            if BYSTANDERS.contains(&name.as_str()) {
                bystanders += 1;
            } else if name != own && name != format!("{own}.manifest.json") {
                litter.push(name);
            }
        }
        assert_eq!(bystanders, BYSTANDERS.len(), "somebody else's file is gone");
        litter
    }
}

#[async_trait]
impl Fixture for Place {
    fn destination(&self, id: &str, overwrite: bool) -> Box<dyn Destination> {
        Box::new(self.file(id, overwrite))
    }

    async fn view(&self) -> View {
        view(&self.target)
    }

    async fn litter(&self) -> Vec<String> {
        self.litter_now()
    }
}

/// What an outsider sees at this path.
pub(crate) fn view(target: &Path) -> View {
    let mut view = View::default();
    if target.is_dir() {
        view.manifest = std::fs::read(target.join("manifest.json")).ok();
        walk(target, "", &mut view.parts);
        view.parts.remove("manifest.json");
    } else {
        view.manifest = std::fs::read(format!("{}.manifest.json", target.display())).ok();
        if let Ok(data) = std::fs::read(target) {
            view.parts.insert(String::new(), data);
        }
    }
    view
}

fn walk(directory: &Path, prefix: &str, parts: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).expect("list") {
        let entry = entry.expect("entry");
        let name = format!("{prefix}{}", entry.file_name().to_str().expect("the tests' names are UTF-8"));
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{name}/"), parts);
        } else {
            parts.insert(name, std::fs::read(entry.path()).expect("read"));
        }
    }
}

mod synced {
    use super::Place;
    pipeline::conformance!(stream, Place::new("dump.sql"));
    pipeline::conformance!(parts, Place::new("dump.sql"));
    pipeline::conformance!(replace, Place::new("dump.sql"));
}

mod read_back {
    use super::Place;
    pipeline::conformance!(stream, Place::new("dump.sql").reading_back());
    pipeline::conformance!(parts, Place::new("dump.sql").reading_back());
}

mod awkward_name {
    use super::Place;
    pipeline::conformance!(stream, Place::new(" ü\n'\"$(x) {date}%20"));
    pipeline::conformance!(replace, Place::new("-rf .."));
}

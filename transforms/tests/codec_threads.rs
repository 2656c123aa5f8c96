//! Worker threads end with the transform. Alone in its process, so that the threads it counts are its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    time::{Duration, Instant},
};

use bytes::Bytes;
use transforms::codec::{Codec, Compression};

fn threads() -> Vec<String> {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// Waits until it is so, or for five seconds.
fn eventually(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_so() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn no_thread_is_left_whatever_the_end() {
    let before = threads().len();
    let input = Bytes::from(vec![b'x'; 3 << 20]);
    for codec in [Codec::Gzip, Codec::Zstd] {
        for end in ["unused", "dropped", "finished"] {
            let mut encoder = Compression::new(codec).with_threads(3).encoder().unwrap().unwrap();
            if codec == Codec::Gzip {
                // A thread gives itself its name, some time after it was started.
                let named = || {
                    let mut names: Vec<String> =
                        threads().into_iter().filter(|name| name.starts_with("dbferry")).collect();
                    names.sort();
                    names
                };
                eventually(|| named().len() == 3);
                assert_eq!(named(), ["dbferry-gzip-1", "dbferry-gzip-2", "dbferry-gzip-3"]);
            }
            if end != "unused" {
                encoder.push(input.clone(), &mut Vec::new()).unwrap();
            }
            if end == "finished" {
                encoder.finish(&mut Vec::new()).unwrap();
            } else {
                drop(encoder);
            }
            // A joined thread's entry in /proc may outlive it for a moment.
            eventually(|| threads().len() == before);
            assert_eq!(threads().len(), before, "{codec} {end}: {:?}", threads());
        }
    }
}

//! What holds for the workspace as a whole: the arrows between its members, and the licences of what it stands on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

fn metadata() -> Value {
    // Only what is built here: crates for other platforms are not on this machine.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_arrows_point_one_way() {
    let metadata = metadata();
    let allowed = BTreeMap::from([
        ("dbferry-formats", &[][..]),
        ("dbferry-pipeline", &[]),
        ("dbferry-connections", &["dbferry-pipeline"]),
        ("dbferry-audit", &["dbferry-pipeline", "dbferry-connections", "dbferry-formats"]),
        ("dbferry-stores", &["dbferry-pipeline"]),
        ("dbferry-archives", &["dbferry-pipeline", "dbferry-stores"]),
        (
            "dbferry-sources",
            &["dbferry-pipeline", "dbferry-formats", "dbferry-connections", "dbferry-stores"],
        ),
        ("dbferry-transforms", &["dbferry-pipeline", "dbferry-formats"]),
        ("dbferry-sinks", &["dbferry-pipeline", "dbferry-formats", "dbferry-connections", "dbferry-stores"]),
    ]);
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(allowed) = allowed.get(name) else { continue };
        for dependency in package["dependencies"].as_array().unwrap() {
            // Tests may use more; a crate's own name is how its tests switch a feature on.
            if dependency["kind"] == "dev" {
                continue;
            }
            let on = dependency["name"].as_str().unwrap();
            assert!(!on.starts_with("dbferry") || allowed.contains(&on), "{name} must not depend on {on}");
            assert!(name != "dbferry-formats" || on != "tokio", "formats are sans-IO");
        }
    }
}

#[test]
fn every_dependency_may_be_shipped() {
    const ACCEPTED: [&str; 12] = [
        "MIT",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "Unicode-3.0",
        "0BSD",
        "CC0-1.0",
        "Unlicense",
        "BSL-1.0",
    ];
    // The data of Mozilla's list of authorities.
    const BY_NAME: [(&str, &str); 1] = [("webpki-roots", "CDLA-Permissive-2.0")];
    let mut refused = Vec::new();
    for package in metadata()["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_default().replace('/', " OR ");
        let listed = BY_NAME.iter().any(|(crate_name, text)| *crate_name == name && *text == licence);
        // `A OR B`: one is enough; `A AND B`: all are needed. Parentheses only group.
        let fits = licence.split(" OR ").any(|choice| {
            choice.split(" AND ").all(|part| ACCEPTED.contains(&part.trim_matches(['(', ')', ' '])))
        });
        if !fits && !listed {
            refused.push(format!("{name}: {licence}"));
        }
    }
    assert!(refused.is_empty(), "{refused:?}");
}

//! `dbferry bench`: figures that agree with each other, a page that holds them, and nothing left behind.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::run::{Ended, Place, mysql_dump};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Whether the tags of a page close each other in order; text and attributes hold no stray bracket then.
fn well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').unwrap_or_else(|| panic!("a tag does not end: {rest:.80}"));
        let (tag, behind) = (&rest[..end], &rest[end + 1..]);
        assert!(!tag.contains('<'), "`<` within a tag: {tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes of {tag}");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        rest = behind;
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.starts_with('!') && !tag.ends_with('/') && name != "meta" {
            open.push(name);
            if name == "style" || name == "script" {
                rest = &rest[rest.find("</").unwrap()..];
            }
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "not closed");
}

/// The page holds every figure that its plots are made of, and asks nobody for anything.
fn page_shows(page: &str, document: &Value) {
    well_formed(page);
    for foreign in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign} in the page");
    }
    assert!(page.matches("<svg").count() >= 5);
    for measured in document["measurements"].as_array().unwrap() {
        if measured["kind"] == "together" {
            let rate = number(&measured["raw_bytes_per_second"]) / 1e6;
            assert!(page.contains(&format!("data-value=\"{rate}\"")), "{rate} of {}", measured["name"]);
        }
    }
    let (_, json) = page.split_once("id=\"figures\">").unwrap();
    let inside: Value = serde_json::from_str(json.split_once("</script>").unwrap().0).unwrap();
    assert_eq!(&inside, document);
}

/// Figures that contradict each other would be worth nothing.
fn consistent(document: &Value) {
    assert_eq!((document["type"].as_str(), document["schema"].as_u64()), (Some("bench"), Some(1)));
    let measurements = document["measurements"].as_array().unwrap();
    for m in measurements {
        assert!(m["error"].is_null(), "{m}");
        let (raw, seconds) = (number(&m["raw_bytes"]), number(&m["seconds"]));
        let rate = number(&m["raw_bytes_per_second"]);
        assert!(raw > 0.0 && seconds > 0.0, "{m}");
        assert!((rate - raw / seconds.max(1e-3)).abs() <= rate * 0.01, "{m}");
        let compress = m["setting"]["compress"].as_str().unwrap_or("none");
        if compress != "none" {
            assert!(number(&m["stored_bytes"]) <= raw, "{m}");
        }
        let parts: f64 = m["cpu_by_stage"].as_object().unwrap().values().map(number).sum();
        assert!(parts <= number(&m["cpu_seconds"]) * 1.2 + 0.1, "{m}");
    }
    let choice = &document["choice"];
    let named = measurements.iter().find(|m| m["name"] == choice["measurement"]).unwrap();
    assert_eq!(named["raw_bytes_per_second"], choice["raw_bytes_per_second"]);
    assert_eq!(named["setting"], choice["setting"]);
    assert!(choice["command"].as_str().unwrap().starts_with("dbferry copy "));
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:#?}"))
}

#[test]
fn a_file_is_measured_into_a_folder_that_stays_empty() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(60_000));
    fs::create_dir(place.join("out")).unwrap();
    let before = place.read("a.sql");
    let ended =
        place.run(&["bench", "a.sql", "out/", "--time", "5s", "--json", "--html", "page.html"]).expect(0);
    let document = json(&ended);
    consistent(&document);
    let kinds: Vec<&str> =
        document["measurements"].as_array().unwrap().iter().filter_map(|m| m["kind"].as_str()).collect();
    for kind in ["first", "source", "check", "compress", "sink", "together", "chosen"] {
        assert!(kinds.contains(&kind), "{kind} of {kinds:?}");
    }
    assert_eq!(document["size"]["basis"], "counted");
    assert_eq!(document["size"]["bytes"].as_u64(), Some(before.len() as u64));
    assert!(number(&document["choice"]["rows_per_second"]) > 0.0);
    page_shows(&String::from_utf8(place.read("page.html")).unwrap(), &document);
    assert_eq!(place.names(), ["a.sql", "out", "page.html"]);
    assert_eq!(place.read("a.sql"), before);
    assert_eq!(fs::read_dir(place.join("out")).unwrap().count(), 0, "something was left");
}

#[test]
fn what_is_recommended_works_as_it_stands() {
    let place = Place::new();
    place.write("a b.sql", mysql_dump(20_000));
    let ended = place.run(&["bench", "a b.sql", "x.sql.zst", "--time", "4s", "--json"]).expect(0);
    let command = json(&ended)["choice"]["command"].as_str().unwrap().to_owned();
    let shell = std::process::Command::new("sh")
        .args(["-c", &command.replace("dbferry", env!("CARGO_BIN_EXE_dbferry"))])
        .current_dir(place.path())
        .output()
        .unwrap();
    Ended::of(&shell).expect(0);
    assert_eq!(place.names().len(), 3, "an archive and its manifest, and nothing else: {:?}", place.names());
}

#[test]
fn names_do_not_get_out_of_their_place() {
    let place = Place::new();
    let name = "<img src=x onerror=alert(1)> '\"&.sql";
    place.write(name, mysql_dump(20_000));
    let ended = place.run(&["bench", name, "--time", "3s", "--json", "--html", "page.html"]).expect(0);
    let page = String::from_utf8(place.read("page.html")).unwrap();
    well_formed(&page);
    assert!(!page.contains("<img") && page.contains("&lt;img"), "{page}");
    assert_eq!(json(&ended)["source"]["endpoint"].as_str(), Some(name));
}

#[test]
fn wrong_usage_is_refused_before_anything_is_read() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(3));
    for (args, word) in [
        (&["bench"][..], "Usage"),
        (&["bench", "-"], "standard input"),
        (&["bench", "a.sql", "-"], "standard output"),
        (&["bench", "a.sql", "mysql://u@h/db"], "database"),
        (&["bench", "a.sql", "ftp://x/y"], "ftp"),
        (&["bench", "a.sql", "--time", "1s"], "too short"),
        (&["bench", "a.sql", "--time", "soon"], "no time"),
        (&["bench", "a.sql", "--html", "no/such/folder.html"], "folder"),
        (&["bench", "a.sql", "--no-such-flag"], "--no-such-flag"),
        (&["bench", "a.sql", "--", "--no-such-flag"], "--no-such-flag"),
        (&["bench", "a.sql", "--", "--dry-run"], "--dry-run"),
        (&["bench", "a.sql", "--", "--compress", "rar"], "rar"),
        (&["bench", "a.sql", "--", "--for", "rds-postgres"], "rds-postgres"),
    ] {
        let ended = place.run(args).expect(2).says(&[word]);
        assert!(ended.err.contains("hint:") || ended.err.contains("--help"), "{args:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{args:?}");
    }
    place.run(&["bench", "nothing-here.sql", "--time", "3s"]).expect(3);
    place.run(&["bench", "a.sql", "no/such/folder/", "--time", "3s"]).expect(5);
    assert_eq!(place.names(), ["a.sql"]);
}

#[test]
fn a_run_that_is_interrupted_leaves_nothing() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(300_000));
    fs::create_dir(place.join("out")).unwrap();
    // At whatever moment: with a staged file there, and before and after that.
    for (number, wait) in [0, 900, 2500].into_iter().enumerate() {
        let signal = if number == 1 { Signal::TERM } else { Signal::INT };
        let mut child = place.command(&["bench", "a.sql", "out/", "--time", "40s", "-q"]).spawn().unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            let staged = fs::read_dir(place.join("out")).unwrap().count() > 0;
            if began.elapsed() > Duration::from_millis(200 + wait) && (staged || number == 0) {
                break;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(if signal == Signal::TERM { 143 } else { 130 }), "moment {number}");
        assert_eq!(
            fs::read_dir(place.join("out")).unwrap().count(),
            0,
            "moment {number}: something was left"
        );
        assert_eq!(place.names(), ["a.sql", "out"]);
    }
}

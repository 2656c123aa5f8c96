//! Job files: what is wrong with one, what a run does, who is told.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::{Place, mysql_dump};

fn place() -> Place {
    let place = Place::new();
    place.write("a.sql", mysql_dump(300));
    place.write("b.sql", mysql_dump(30));
    fs::create_dir(place.join("out")).unwrap();
    place
}

fn archives(place: &Place) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(place.join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".manifest.json"))
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_wrong_with_a_job_file_is_exit_2_before_anything_begins() {
    let place = place();
    let good = "[jobs.good]\nfrom = 'a.sql'\nto = 'out/{id}.sql'\n";
    for (text, words) in [
        ("parralel = 2\n", &["parralel", "line", "did you mean `parallel`?"][..]),
        ("[jobs.good]\nfrom = 'x'\n", &["duplicate"]),
        ("[jobs.x]\nto = 'out/'\n", &["no source", "job: x"]),
        ("[jobs.x]\nfrom = 'a.sql'\n", &["no destination"]),
        (
            "[jobs.x]\nfrom = 'mysql://u:hunter2secret@h/db'\nto = 'out/'\n",
            &["a password stands in the job file"],
        ),
        ("[jobs.x]\nfrom = 'mysql://u@h/db'\npassword = 'hunter2secret'\nto = 'out/'\n", &["env:NAME"]),
        (
            "[jobs.x]\nfrom = 'mysql://u@h/db'\npassword = 'env:UNSET_ANYWHERE'\nto = 'out/'\n",
            &["UNSET_ANYWHERE"],
        ),
        ("[jobs.x]\nfrom = 'env:UNSET_ANYWHERE'\nto = 'out/'\n", &["UNSET_ANYWHERE"]),
        ("[jobs.x]\nfrom = 'a.sql'\nto = 'out/'\noptions = ['--no-such-flag']\n", &["--no-such-flag"]),
        ("[jobs.x]\nfrom = 'a.sql'\nto = 'out/'\nkeep = { daily = 0 }\n", &["no rule"]),
        ("[jobs.x]\nfrom = 'a.sql'\nto = 'out/'\ntimeout = 'soon'\n", &["soon"]),
        ("[jobs.'../x']\nfrom = 'a.sql'\nto = 'out/'\n", &["letters"]),
        ("[report]\nwebhook = 'https://hooks.example/hunter2secret'\n", &["env:NAME"]),
        ("jobs = 3\n", &["wrong"]),
    ] {
        let file = if text.starts_with('[') { format!("{good}{text}") } else { format!("{text}{good}") };
        place.write("jobs.toml", file);
        let ended = place.run(&["run", "jobs.toml"]).expect(2).says(words).says(&["hint:"]);
        assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
        assert!(archives(&place).is_empty(), "{text}");
    }
    place.write("jobs.toml", good);
    place.run(&["run", "jobs.toml", "other"]).expect(2).says(&["no job `other`", "good"]);
    place.run(&["run", "missing.toml"]).expect(2).says(&["missing.toml"]);
}

#[test]
fn one_jobs_failure_does_not_stop_the_others_and_the_exit_code_tells() {
    let place = place();
    place.write(
        "jobs.toml",
        "parallel = 2\nmemory = '300MiB'\n[defaults]\nto = 'out/{job}-{id}.sql.zst'\n\
         [jobs.one]\nfrom = 'a.sql'\n[jobs.two]\nfrom = 'b.sql'\n\
         [jobs.broken]\nfrom = 'cmd:cat a.sql; exit 9'\n[jobs.missing]\nfrom = 'no-such.sql'\n",
    );
    let ended = place.run(&["run", "jobs.toml", "--json"]).expect(3);
    let summary: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(summary["exit_code"], 3);
    let codes: Vec<_> = summary["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|j| (j["job"].as_str().unwrap(), j["exit_code"].as_i64().unwrap()))
        .collect();
    assert_eq!(codes, [("broken", 3), ("missing", 3), ("one", 0), ("two", 0)]);
    assert_eq!(summary["jobs"][2]["raw_bytes"], mysql_dump(300).len());
    assert!(summary["jobs"][0]["error"]["message"].to_string().contains('9'), "{summary}");
    let made = archives(&place);
    assert_eq!(made.len(), 2, "{made:?}");
    for name in made {
        place.run(&["verify", &format!("out/{name}")]).expect(0);
    }
    place.run(&["run", "jobs.toml", "one"]).expect(0).says(&["one: done"]);
    let shown: Value =
        serde_json::from_str(&place.run(&["config", "show", "jobs.toml"]).expect(0).out).unwrap();
    assert_eq!(shown["jobs"]["two"]["to"], "out/{job}-{id}.sql.zst");
    let schema = place.run(&["config", "schema"]).expect(0).out;
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["properties"]["jobs"].is_object(), "{schema}");
}

#[test]
fn retention_of_a_job_touches_its_own_archives_alone() {
    let place = place();
    place.write(
        "jobs.toml",
        "[defaults]\nto = 'out/{job}-{id}.sql'\n[jobs.a]\nfrom = 'a.sql'\nkeep = { last = 2 }\n[jobs.b]\nfrom = 'b.sql'\n",
    );
    for _ in 0..4 {
        place.run(&["run", "jobs.toml"]).expect(0);
    }
    let made = archives(&place);
    let of = |job: &str| made.iter().filter(|name| name.starts_with(job)).count();
    assert_eq!((of("a-"), of("b-")), (2, 4), "{made:?}");
    // Manifests tell seconds, and the newest is the newest by them.
    std::thread::sleep(Duration::from_millis(1100));
    // A dump that shrank is kept, and so is everything else; the job says so, and its archive is whole.
    place.write("a.sql", mysql_dump(3));
    let ended = place.run(&["run", "jobs.toml", "a"]).expect(6);
    assert!(ended.err.contains("archive is whole") && ended.err.contains("less than"), "{}", ended.err);
    assert_eq!(archives(&place).iter().filter(|name| name.starts_with("a-")).count(), 3);
}

#[test]
fn hooks_run_around_the_copy_and_one_that_hangs_is_ended() {
    let place = place();
    let job =
        |hooks: &str| format!("[jobs.a]\nfrom = 'a.sql'\nto = 'out/{{id}}.sql'\n[jobs.a.hooks]\n{hooks}");
    place.write(
        "jobs.toml",
        job("before = 'echo before $DBFERRY_JOB >> log'\nafter = ['sh', '-c', 'echo after $DBFERRY_ARCHIVE >> log']\non_failure = 'echo failed $DBFERRY_EXIT_CODE >> log'\n"),
    );
    place.run(&["run", "jobs.toml"]).expect(0);
    let log = String::from_utf8(place.read("log")).unwrap();
    assert!(log.starts_with("before a\nafter file:///") && !log.contains("failed"), "{log}");
    place.write(
        "jobs.toml",
        job("before = 'echo no >&2; exit 4'\non_failure = 'echo failed $DBFERRY_EXIT_CODE >> log'\n"),
    );
    place.run(&["run", "jobs.toml"]).expect(3).says(&["the hook `before` failed", "no"]);
    assert!(String::from_utf8(place.read("log")).unwrap().ends_with("failed 3\n"));
    assert_eq!(archives(&place).len(), 1, "nothing was copied");
    // The sleeper is a grandchild that ignores the signal of its parent.
    place.write("jobs.toml", job("before = 'sleep 300 & wait'\ntimeout = '1s'\n"));
    let begun = Instant::now();
    place.run(&["run", "jobs.toml"]).expect(3).says(&["longer than it may"]);
    assert!(begun.elapsed() < Duration::from_secs(60));
    place.write("jobs.toml", job("after = 'exit 1'\n"));
    place.run(&["run", "jobs.toml"]).expect(3).says(&["archive is whole", "the hook `after` failed"]);
}

#[test]
fn time_that_is_over_ends_a_copy_and_leaves_nothing() {
    let place = place();
    place.write(
        "jobs.toml",
        "[jobs.slow]\nfrom = 'cmd:cat a.sql; sleep 300'\nto = 'out/{id}.sql'\ntimeout = '1s'\n",
    );
    place.run(&["run", "jobs.toml"]).expect(75).says(&["longer than it may"]);
    place.write(
        "jobs.toml",
        "deadline = '1s'\n[jobs.slow]\nfrom = 'cmd:cat a.sql; sleep 300'\nto = 'out/{id}.sql'\n[jobs.late]\nfrom = 'cmd:sleep 300'\nto = 'out/{id}.sql'\n",
    );
    place.run(&["run", "jobs.toml"]).expect(75).says(&["deadline", "it was not begun"]);
    assert!(archives(&place).is_empty(), "{:?}", archives(&place));
}

#[test]
fn two_runs_of_one_job_do_not_meet() {
    let place = place();
    place.write("jobs.toml", "[jobs.a]\nfrom = 'cmd:cat a.sql; touch begun; sleep 3'\nto = 'out/{id}.sql'\n");
    let mut first = place.command(&["run", "jobs.toml", "-q"]).spawn().unwrap();
    while !place.join("begun").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    place.run(&["run", "jobs.toml"]).expect(75).says(&["at work already", "process"]);
    assert!(first.wait().unwrap().success());
    place.run(&["run", "jobs.toml", "-q"]).expect(0);
    // A holder that was killed blocks nobody.
    fs::remove_file(place.join("begun")).unwrap();
    let mut killed = place.command(&["run", "jobs.toml", "-q"]).spawn().unwrap();
    while !place.join("begun").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    place.run(&["run", "jobs.toml", "-q"]).expect(0);
    assert!(!archives(&place).iter().any(|name| name.contains("lock")), "{:?}", archives(&place));
}

/// Answers every request with `answer`, and keeps what was asked.
fn server(answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let (mut text, mut piece) = (Vec::new(), [0; 4096]);
            while let Ok(bytes) = stream.read(&mut piece) {
                text.extend_from_slice(&piece[..bytes]);
                if bytes == 0 {
                    break;
                }
            }
            into.lock().unwrap().push(String::from_utf8_lossy(&text).into_owned());
            if answer.is_empty() {
                // It takes the request and never answers.
                std::mem::forget(stream);
            } else {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    (address, asked)
}

const REPORT: &str = "[report]\nfile = 'summary.json'\nmetrics_file = 'dbferry.prom'\npushgateway = 'env:HUB'\nping = 'env:PING'\nwebhook = 'env:HOOK'\n";

#[test]
fn those_who_watch_are_told() {
    let place = place();
    let (address, asked) = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    place.write("termination", "");
    let go = |from: &str, code: i32| {
        place.write("jobs.toml", format!("{REPORT}[jobs.a]\nfrom = \"{from}\"\nto = 'out/{{id}}.sql'\n"));
        let mut command = place.command(&["run", "jobs.toml"]);
        command
            .env("HUB", &address)
            .env("PING", format!("{address}/uuid-1"))
            .env("HOOK", format!("{address}/hook"));
        command.env("DBFERRY_TERMINATION_LOG", place.join("termination"));
        crate::run::Ended::of(&command.output().unwrap()).expect(code);
        std::mem::take(&mut *asked.lock().unwrap())
    };
    let requests = go("a.sql", 0);
    let heads: Vec<&str> =
        requests.iter().map(|request| request.lines().next().unwrap_or_default()).collect();
    assert_eq!(
        heads,
        ["POST /uuid-1/start HTTP/1.1", "POST /metrics/job/dbferry HTTP/1.1", "POST /uuid-1 HTTP/1.1"],
        "the webhook is told of failures alone"
    );
    assert!(
        requests[1].contains("dbferry_last_success_timestamp_seconds{job_name=\"a\"}"),
        "{}",
        requests[1]
    );
    let metrics = String::from_utf8(place.read("dbferry.prom")).unwrap();
    let raw = format!("dbferry_bytes{{job_name=\"a\",stage=\"raw\"}} {}\n", mysql_dump(300).len());
    assert!(
        metrics.contains(&raw) && metrics.contains("dbferry_last_exit_code{job_name=\"a\"} 0\n"),
        "{metrics}"
    );
    assert!(metrics.contains("dbferry_verify_status{job_name=\"a\"} 1\n"), "{metrics}");
    let summary: Value = serde_json::from_slice(&place.read("summary.json")).unwrap();
    assert_eq!(summary["jobs"][0]["exit_code"], 0);
    let requests = go("cmd:echo the disk is on fire >&2; exit 3", 3);
    assert!(
        requests[2].starts_with("POST /uuid-1/fail ") && requests[2].contains("on fire"),
        "{}",
        requests[2]
    );
    assert!(
        requests[3].starts_with("POST /hook ") && requests[3].contains("\"exit_code\":3"),
        "{}",
        requests[3]
    );
    assert!(!requests[1].contains("last_success"), "an old success is not taken away: {}", requests[1]);
    let last: Value = serde_json::from_slice(&place.read("termination")).unwrap();
    assert_eq!(last["exit_code"], 3);
}

#[test]
fn a_notification_that_fails_changes_no_result_and_tells_no_address() {
    let place = place();
    place.write(
        "jobs.toml",
        format!("{REPORT}[jobs.a]\nfrom = 'a.sql'\nto = 'out/{{id}}.sql'\n")
            .replace("'env:HOOK'", "'env:HOOK'\nwebhook_on = 'always'"),
    );
    let (silent, _) = server("");
    let (angry, _) = server("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut command = place.command(&["run", "jobs.toml"]);
    command
        .env("HUB", &angry)
        .env("PING", "http://127.0.0.1:1/hunter2secret")
        .env("HOOK", format!("{silent}/hunter2secret"));
    let begun = Instant::now();
    let ended = crate::run::Ended::of(&command.output().unwrap()).expect(0).says(&[
        "the webhook (env:HOOK) was not reached: no answer in time",
        "the Pushgateway (env:HUB) was not reached: it answered 500",
        "the health check (env:PING) was not reached",
    ]);
    assert!(!ended.err.contains("hunter2") && begun.elapsed() < Duration::from_secs(60), "{}", ended.err);
    assert_eq!(archives(&place).len(), 1);
}

#[test]
fn an_archive_that_nobody_proved_is_not_told_as_verified() {
    let place = place();
    let job = "[report]\nmetrics_file = 'm.prom'\n[jobs.a]\nfrom = 'a.sql'\nto = 'out/{id}.sql'\noptions = ['--no-verify']\n";
    place.write("jobs.toml", job);
    place.run(&["run", "jobs.toml"]).expect(0);
    let proven = place.run(&["ls", "out", "--json"]).expect(0).out.contains("\"state\":\"verified\"");
    let metrics = String::from_utf8(place.read("m.prom")).unwrap();
    let told = format!("dbferry_verify_status{{job_name=\"a\"}} {}\n", u8::from(proven));
    assert!(metrics.contains(&told), "{metrics}");
}

/// Resident bytes of a process and of all processes of this program below it.
fn resident(root: u32) -> u64 {
    let own = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let is_ours = status.lines().any(|line| line.split_whitespace().eq(["Name:", "dbferry"]));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
        if is_ours { kib << 10 } else { 0 }
    };
    let children = fs::read_to_string(format!("/proc/{root}/task/{root}/children")).unwrap_or_default();
    let mut sum = own(root);
    // A child may have been started by any thread.
    let tasks = fs::read_dir(format!("/proc/{root}/task")).into_iter().flatten().flatten();
    let all: String = tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .chain([children])
        .collect::<Vec<_>>()
        .join(" ");
    let mut pids: Vec<u32> = all.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    pids.sort_unstable();
    pids.dedup();
    sum += pids.into_iter().map(own).sum::<u64>();
    sum
}

#[test]
fn ten_jobs_at_once_stay_within_the_one_budget() {
    const BUDGET: u64 = 1 << 30;
    let place = place();
    let head = "memory = '1GiB'\nparallel = 10\nper_host = 10\n[defaults]\nto = 'out/{job}.lz4'\n";
    let jobs: Vec<_> = (0..10)
        .map(|number| format!("[jobs.j{number}]\nfrom = 'cmd:head -c 60000000 /dev/urandom; sleep 1'\n"))
        .collect();
    place.write("jobs.toml", format!("{head}{}", jobs.concat()));
    let mut child = place.command(&["run", "jobs.toml", "-q"]).spawn().unwrap();
    let mut most = 0;
    let status = loop {
        most = most.max(resident(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success());
    assert_eq!(archives(&place).len(), 10);
    assert!(most > 50 << 20, "it was measured: {most}");
    assert!(most <= BUDGET, "{} MiB of {} MiB", most >> 20, BUDGET >> 20);
}

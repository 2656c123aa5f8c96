//! Telling others how a run ended. Whatever goes wrong here is a warning: it changes no result, and takes no longer than it may.

use std::path::Path;
use std::time::Duration;

use pipeline::{Context, Error, Result};
use serde_json::Value;

use super::config::{On, Report};
use super::metrics;
use super::outcome::Outcome;
use super::secret::Reference;

/// For the whole of one request. A webhook that never answers must not hold a pod.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The file that Kubernetes shows as a container's last words.
const TERMINATION: &str = "/dev/termination-log";

/// What `kubectl describe` shows of it at most.
const TERMINATION_MAX: usize = 4096;

/// Sends a request; the address is secret and never told.
async fn send(
    what: &str,
    to: &Reference,
    ending: &str,
    method: &'static str,
    kind: &'static str,
    body: String,
) -> Result<()> {
    let address = format!("{}{ending}", to.resolve()?.expose().trim_end_matches('/'));
    let failed = |why: String| Error::sink(format!("{what} ({to}) was not reached: {why}"));
    let sent = tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build();
        let agent = ureq::Agent::new_with_config(config);
        let request = ureq::http::Request::builder().method(method).uri(address).header("Content-Type", kind);
        let request = request.body(body).map_err(|_| "its address is none".to_owned())?;
        agent.run(request).map(drop).map_err(|error| match error {
            ureq::Error::StatusCode(code) => format!("it answered {code}"),
            ureq::Error::Timeout(_) => "no answer in time".to_owned(),
            // Others may repeat the address.
            ureq::Error::HostNotFound => "its host is not known".to_owned(),
            ureq::Error::Io(error) => error.kind().to_string(),
            _ => "the request failed".to_owned(),
        })
    })
    .await;
    sent.map_err(|_| failed("the sender panicked".to_owned()))?.map_err(failed)
}

fn warn(cx: &Context, result: Result<()>) {
    if let Err(error) = result {
        cx.warn(error.to_string());
    }
}

/// Says that a run begins.
pub(super) async fn began(report: &Report, cx: &Context) {
    if let Some(ping) = &report.ping {
        warn(cx, send("the health check", ping, "/start", "POST", "text/plain", String::new()).await);
    }
}

/// Says how it ended.
pub(super) async fn ended(report: &Report, outcomes: &[Outcome], document: &Value, cx: &Context) {
    let now = jiff::Timestamp::now().as_second() as f64;
    let failed = document["exit_code"] != 0;
    if let Some(path) = &report.file {
        let written = std::fs::write(path, format!("{document}\n"));
        warn(
            cx,
            written.map_err(|e| Error::sink("cannot write the summary").with("file", path).caused_by(e)),
        );
    }
    if let Some(path) = &report.metrics_file {
        warn(cx, metrics::write(Path::new(path), outcomes, now));
    }
    if let Some(gateway) = &report.pushgateway {
        // POST leaves alone what is not sent: a failure does not take away the time of the last success.
        let text = metrics::text(outcomes, &std::collections::BTreeMap::new(), now);
        let kind = "text/plain; version=0.0.4";
        warn(cx, send("the Pushgateway", gateway, "/metrics/job/dbferry", "POST", kind, text).await);
    }
    if let Some(ping) = &report.ping {
        let (ending, body) = if failed { ("/fail", tail(outcomes)) } else { ("", String::new()) };
        warn(cx, send("the health check", ping, ending, "POST", "text/plain", body).await);
    }
    if let Some(webhook) = &report.webhook
        && (failed || report.webhook_on == Some(On::Always))
    {
        warn(cx, send("the webhook", webhook, "", "POST", "application/json", document.to_string()).await);
    }
    termination_log(outcomes, cx);
}

/// The last words of the jobs that failed.
fn tail(outcomes: &[Outcome]) -> String {
    let mut lines = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.code != 0) {
        lines.push(format!("{}\n", outcome.line()));
        lines.extend(outcome.tail.iter().map(|line| format!("  {line}\n")));
    }
    lines.concat()
}

/// One line, where Kubernetes looks for it.
fn termination_log(outcomes: &[Outcome], cx: &Context) {
    let path = std::env::var("DBFERRY_TERMINATION_LOG").unwrap_or_else(|_| TERMINATION.to_owned());
    if !Path::new(&path).exists() {
        return;
    }
    let jobs: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            let error: Option<String> =
                outcome.error.as_ref().map(|error| error.to_string().chars().take(300).collect());
            serde_json::json!({ "job": outcome.job, "exit_code": outcome.code, "error": error })
        })
        .collect();
    let mut line =
        serde_json::json!({ "exit_code": super::outcome::exit_code(outcomes), "jobs": jobs }).to_string();
    if line.len() > TERMINATION_MAX {
        let failed = outcomes.iter().filter(|outcome| outcome.code != 0).count();
        line = serde_json::json!({ "exit_code": super::outcome::exit_code(outcomes), "failed": failed })
            .to_string();
    }
    let written = std::fs::write(&path, format!("{line}\n"));
    warn(
        cx,
        written.map_err(|e| Error::sink("cannot write the termination log").with("file", path).caused_by(e)),
    );
}

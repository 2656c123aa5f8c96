//! The outcome as a page: one file that needs nothing else, to be looked at rather than read.

use std::fmt::Write as _;

use super::super::size;
use super::document::Document;
use super::measure::{Kind, Measurement, per_gb};
use super::plot::{Bar, Curve, Mark, bars, escaped, plane, short, strips};
use super::text::{estimate, mb, shows_size, size_of};

const STYLE: &str = include_str!("page.css");

/// What a stage is called, and its colour.
const STAGES: [(&str, &str, &str); 4] = [
    ("read", "read", "c1"),
    ("check", "check and hash", "c2"),
    ("compress", "compress", "c3"),
    ("deliver", "deliver", "c4"),
];

/// Parts of the CPU time.
const COSTS: [(&str, &str, &str); 5] = [
    ("server", "the server", "c5"),
    ("io", "reading and delivering", "c1"),
    ("clients", "client programs", "c4"),
    ("check", "check and hash", "c2"),
    ("compress", "compress", "c3"),
];

/// The page.
pub(super) fn page(document: &Document) -> String {
    let mut html = String::with_capacity(64 << 10);
    let title = format!("dbferry bench: {}", document.source.endpoint);
    add(
        &mut html,
        format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
            escaped(&title)
        ),
    );
    header(&mut html, document);
    tiles(&mut html, document);
    verdict(&mut html, document);
    html.push_str("<div class=\"columns\">\n");
    plots(&mut html, document);
    html.push_str("</div>\n");
    table(&mut html, document);
    notes(&mut html, document);
    footer(&mut html, document);
    html.push_str("</main>\n");
    data(&mut html, document);
    html.push_str("</body>\n</html>\n");
    html
}

fn header(html: &mut String, document: &Document) {
    let server = document.source.server.as_ref().map_or_else(String::new, |server| format!(" · {server}"));
    let size = document.size.map_or_else(String::new, |size| format!(" · {}", size_of(size)));
    let to = document.destination.as_ref().map_or_else(String::new, |to| format!(" → {to}"));
    let rate = mb(document.choice.raw_bytes_per_second);
    let what = match document.source.kind.as_str() {
        "mysql" | "postgres" | "redis" => "This database",
        _ => "This source",
    };
    add(
        html,
        format_args!(
            "<header>\n<p>{}{}{}{}</p>\n<h1>{what} leaves at <b>{rate} MB/s</b>{}</h1>\n</header>\n",
            escaped(&document.source.endpoint),
            escaped(&to),
            escaped(&server),
            escaped(&size),
            document.choice.estimate.map_or_else(String::new, |e| format!(
                ": all of it in about {}",
                size::show_seconds(e.seconds)
            )),
        ),
    );
}

fn tiles(html: &mut String, document: &Document) {
    let choice = &document.choice;
    let mut tile = |name: &str, value: &str, unit: &str| {
        add(
            html,
            format_args!(
                "<div class=\"tile\"><dt>{name}</dt><dd>{} <small>{}</small></dd></div>\n",
                escaped(value),
                escaped(unit)
            ),
        );
    };
    let mut all: Vec<(&str, String, String)> = vec![
        ("uncompressed", mb(choice.raw_bytes_per_second), "MB/s".to_owned()),
        ("stored", mb(choice.stored_bytes_per_second), "MB/s".to_owned()),
        ("smaller by", format!("{:.2}", choice.ratio), "times".to_owned()),
    ];
    all.extend(choice.rows_per_second.map(|rows| ("rows", thousands(rows), "/s".to_owned())));
    all.extend(choice.estimate.map(|e| ("the archive", size::show(e.stored_bytes), String::new())));
    all.push(("dbferry's CPU", format!("{:.1}", choice.cpu_seconds_per_gb), "s per GB".to_owned()));
    all.extend(
        choice
            .server_cpu_seconds_per_gb
            .map(|s| ("the server's CPU", format!("{s:.1}"), "s per GB".to_owned())),
    );
    all.extend(
        choice
            .peak_memory_bytes
            .map(|bytes| ("memory, at most", (bytes >> 20).to_string(), "MiB".to_owned())),
    );
    all.extend(choice.locked_ms.map(|ms| ("locks held", ms.to_string(), "ms".to_owned())));
    for (name, value, unit) in &all {
        tile(name, value, unit);
    }
    // The list's own tags around what was written.
    let from = html.find("<div class=\"tile\">").unwrap_or(html.len());
    html.insert_str(from, "<dl class=\"tiles\">\n");
    html.push_str("</dl>\n");
}

fn thousands(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e4 => format!("{:.0} k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

fn verdict(html: &mut String, document: &Document) {
    add(
        html,
        format_args!(
            "<section class=\"verdict\">\n<p>What holds it up: <b>{}</b>: {}.</p>\n<p>{}</p>\n<pre>{}</pre>\n</section>\n",
            escaped(document.bottleneck.what),
            escaped(&document.bottleneck.says),
            escaped(&estimate(document).map_or_else(
                || "The best setting of those that were tried:".to_owned(),
                |estimate| format!("The best setting of those that were tried takes {estimate}:")
            )),
            escaped(&document.choice.command),
        ),
    );
}

fn section(html: &mut String, title: &str, says: &str, key: &[(&str, &str)], plot: &str) {
    let mut list = String::new();
    if !key.is_empty() {
        list.push_str("<ul class=\"key\">");
        for (class, name) in key {
            add(&mut list, format_args!("<li><i class=\"{class}\"></i>{}</li>", escaped(name)));
        }
        list.push_str("</ul>\n");
    }
    add(
        html,
        format_args!(
            "<section>\n<h2>{}</h2>\n<p>{}</p>\n{list}{plot}\n</section>\n",
            escaped(title),
            escaped(says)
        ),
    );
}

fn plots(html: &mut String, document: &Document) {
    alone(html, document);
    throughput(html, document);
    costs(html, document);
    size_against_speed(html, document);
    over_time(html, document);
}

/// What each stage could do.
fn alone(html: &mut String, document: &Document) {
    let named = |stage: &str| STAGES.iter().find(|(id, ..)| *id == stage).copied();
    let least = document.stages.iter().filter_map(|s| s.alone_bytes_per_second).fold(f64::MAX, f64::min);
    let list: Vec<Bar> = document
        .stages
        .iter()
        .filter_map(|stage| {
            let (_, name, class) = named(stage.name)?;
            let rate = stage.alone_bytes_per_second?;
            let is_least = rate <= least;
            Some(Bar {
                label: name.to_owned(),
                pieces: vec![(if is_least { "hot" } else { class }, name.to_owned(), rate / 1e6)],
                chosen: is_least,
            })
        })
        .chain(std::iter::once(Bar {
            label: "all together".to_owned(),
            pieces: vec![("c5", "all together".to_owned(), document.choice.raw_bytes_per_second / 1e6)],
            chosen: false,
        }))
        .collect();
    section(
        html,
        "What each stage could do alone",
        "MB/s before compression. The slowest bounds the rest; together they share the processors.",
        &[],
        &bars("Throughput of each stage alone, in MB/s", "MB/s", &list),
    );
}

fn runs(document: &Document, kind: Kind) -> impl Iterator<Item = &Measurement> {
    document.measurements.iter().filter(move |m| m.kind == kind && m.worked())
}

/// Throughput by setting.
fn throughput(html: &mut String, document: &Document) {
    let chosen = &document.choice.setting;
    let bar = |m: &Measurement, class: &'static str, chosen: bool| Bar {
        label: m.setting.label(),
        pieces: vec![(class, m.name.clone(), m.raw_bytes_per_second / 1e6)],
        chosen,
    };
    let mut list: Vec<Bar> =
        runs(document, Kind::Source).map(|m| bar(m, "c1", m.setting.readers == chosen.readers)).collect();
    list.extend(runs(document, Kind::Together).map(|m| bar(m, "c3", m.setting == *chosen)));
    section(
        html,
        "Throughput by setting",
        "MB/s before compression, each setting for its share of the time.",
        &[("c1", "the source alone"), ("c3", "everything together")],
        &bars("Throughput by setting, in MB/s", "MB/s", &list),
    );
}

fn size_against_speed(html: &mut String, document: &Document) {
    let chosen = &document.choice.setting;
    let share = |m: &Measurement| {
        if m.raw_bytes > 0 { m.stored_bytes as f64 / m.raw_bytes as f64 * 100.0 } else { 0.0 }
    };
    let mark = |m: &Measurement, class: &'static str, chosen: bool| Mark {
        label: m.setting.compress.clone().unwrap_or_else(|| "as given".to_owned()),
        x: m.raw_bytes_per_second / 1e6,
        y: share(m),
        class,
        chosen,
    };
    let mut marks: Vec<Mark> =
        runs(document, Kind::Together).map(|m| mark(m, "c3", m.setting == *chosen)).collect();
    marks.extend(runs(document, Kind::Compress).map(|m| mark(m, "c5", false)));
    section(
        html,
        "Size against speed",
        "Down and to the right is better: a smaller archive, sooner.",
        &[("c3", "everything together"), ("c5", "compression alone, from memory")],
        &plane("Size against speed", "MB/s before compression", "% of the size", &marks),
    );
}

/// CPU time for a gigabyte.
fn costs(html: &mut String, document: &Document) {
    let list: Vec<Bar> = runs(document, Kind::Together)
        .map(|m| {
            let parts = Document::cpu_parts(m);
            let pieces = COSTS.iter().filter_map(|(id, name, class)| {
                Some((*class, (*name).to_owned(), parts.get(id).copied().filter(|s| *s > 0.0)?))
            });
            Bar {
                label: m.setting.label(),
                pieces: pieces.collect(),
                chosen: m.setting == document.choice.setting,
            }
        })
        .collect();
    let used = |id: &str| {
        list.iter()
            .any(|bar| bar.pieces.iter().any(|(_, name, _)| COSTS.iter().any(|c| c.0 == id && c.1 == name)))
    };
    let key: Vec<(&str, &str)> =
        COSTS.iter().filter(|(id, ..)| used(id)).map(|(_, name, class)| (*class, *name)).collect();
    let says = if used("server") {
        "Seconds of CPU for a gigabyte before compression."
    } else {
        "Seconds of CPU for a gigabyte before compression. The server's are not visible from here."
    };
    section(
        html,
        "CPU by stage",
        says,
        &key,
        &bars("CPU time by stage, in seconds per gigabyte", "s/GB", &list),
    );
}

/// How busy each stage was while the chosen setting ran.
fn over_time(html: &mut String, document: &Document) {
    let Some(m) = document.find(&document.choice.measurement) else { return };
    let mean =
        |points: &[(f64, f64)]| points.iter().map(|(_, v)| v).sum::<f64>() / (points.len().max(1) as f64);
    let rates: Vec<(f64, f64)> =
        m.timeline.iter().map(|p| (p.seconds, p.raw_bytes_per_second / 1e6)).collect();
    let end = rates.iter().map(|(_, v)| *v).fold(0.0, f64::max);
    let mut curves = vec![Curve {
        label: "throughput".to_owned(),
        class: "c5",
        told: format!("mean {} MB/s, most {}", short(mean(&rates)), short(end)),
        points: rates,
        end,
    }];
    for (id, name, class) in STAGES {
        let points: Vec<(f64, f64)> =
            m.timeline.iter().filter_map(|p| Some((p.seconds, *p.busy.get(id)?))).collect();
        if points.is_empty() {
            continue;
        }
        let told = format!("busy {:.0} % of its time", mean(&points) * 100.0);
        curves.push(Curve { label: name.to_owned(), class, points, end: 1.0, told });
    }
    section(
        html,
        "Busy stages over time",
        "The chosen setting. A stage that works all the time is what the others wait for; reading counts as work while the server thinks.",
        &[],
        &strips("Utilisation of each stage over time", &curves),
    );
}

fn table(html: &mut String, document: &Document) {
    html.push_str(
        "<section class=\"wide\">\n<h2>Every run</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>run</th><th>MB/s</th><th>stored MB/s</th><th>ratio</th>\
         <th>rows/s</th><th>CPU s/GB</th><th>server s/GB</th><th>machine busy</th><th>MiB</th><th>first byte s</th><th>s</th></tr></thead>\n<tbody>\n",
    );
    for m in &document.measurements {
        let class = if m.name == document.choice.measurement { " class=\"chosen\"" } else { "" };
        add(html, format_args!("<tr{class}><td>{}</td>", escaped(&m.name)));
        if let Some(why) = &m.error {
            add(html, format_args!("<td class=\"why\" colspan=\"10\">{}</td></tr>\n", escaped(why)));
            continue;
        }
        let dash = || "–".to_owned();
        let [stored, ratio] = if shows_size(m) {
            [mb(m.stored_bytes_per_second), format!("{:.2}", m.ratio())]
        } else {
            [dash(), dash()]
        };
        let cells = [
            mb(m.raw_bytes_per_second),
            stored,
            ratio,
            m.rows_per_second.map_or_else(dash, |rows| format!("{rows:.0}")),
            format!("{:.2}", m.cpu_per_gb()),
            m.server_cpu_seconds.map_or_else(dash, |s| format!("{:.2}", per_gb(s, m.raw_bytes))),
            m.machine_busy.map_or_else(dash, |busy| format!("{:.0} %", busy * 100.0)),
            m.peak_memory_bytes.map_or_else(dash, |bytes| (bytes >> 20).to_string()),
            format!("{:.2}", m.first_byte_seconds),
            format!("{:.1}", m.seconds),
        ];
        for cell in cells {
            add(html, format_args!("<td>{cell}</td>"));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table></div>\n</section>\n");
}

fn notes(html: &mut String, document: &Document) {
    let pays = document.break_even.iter().map(|pays| {
        format!(
            "{} is faster than no compression where the destination takes less than {} MB/s",
            pays.compress,
            mb(pays.below_bytes_per_second)
        )
    });
    let all: Vec<String> = pays.chain(document.notes.iter().chain(&document.warnings).cloned()).collect();
    if all.is_empty() {
        return;
    }
    html.push_str("<section class=\"wide\">\n<h2>Worth knowing</h2>\n<ul class=\"notes\">\n");
    for note in all {
        add(html, format_args!("<li>{}</li>\n", escaped(&note)));
    }
    html.push_str("</ul>\n</section>\n");
}

fn footer(html: &mut String, document: &Document) {
    let machine = &document.machine;
    add(
        html,
        format_args!(
            "<footer>{} · {} · {} cores of {}, {} · Linux {} · measured for {}</footer>\n",
            escaped(&document.tool),
            escaped(&document.started),
            machine.cores,
            escaped(&machine.processor),
            escaped(&size::show(machine.memory_bytes)),
            escaped(&machine.kernel),
            escaped(&size::show_seconds(document.elapsed_seconds)),
        ),
    );
}

/// The figures themselves, for programs that find the page.
fn data(html: &mut String, document: &Document) {
    let json = serde_json::to_string(document).unwrap_or_default();
    // Nothing in it may end the element.
    let json = json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    add(html, format_args!("<script type=\"application/json\" id=\"figures\">{json}</script>\n"));
}

/// Writing into a string does not fail.
fn add(html: &mut String, what: std::fmt::Arguments<'_>) {
    html.write_fmt(what).ok();
}

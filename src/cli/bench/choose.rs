//! From figures to a judgement: how many readers, which compression, and what holds up everything.

use super::document::{Bottleneck, BreakEven, Stage};
use super::measure::{Kind, Measurement, per_gb};
use super::setting::Setting;

/// Within so much of the best the others count: the next run may have them the other way round.
const AS_GOOD: f64 = 0.9;

/// More readers must bring so much, for they cost the server connections and memory.
const WORTH: f64 = 0.95;

/// All processors of a machine that is busier than this are taken for busy.
const FULL: f64 = 0.92;

fn fastest<'a>(candidates: impl IntoIterator<Item = &'a Measurement>) -> f64 {
    candidates.into_iter().map(|m| m.raw_bytes_per_second).fold(0.0, f64::max)
}

/// The way of reading: the one with the fewest readers that is nearly as fast as the fastest.
pub(super) fn reading(measured: &[Measurement]) -> Option<&Measurement> {
    let runs: Vec<&Measurement> = measured.iter().filter(|m| m.kind == Kind::Source && m.worked()).collect();
    let best = fastest(runs.iter().copied());
    let good = runs.into_iter().filter(|m| m.raw_bytes_per_second >= best * WORTH);
    good.min_by_key(|m| m.setting.readers)
}

/// The fastest destination's part size, where it makes a difference.
pub(super) fn part_size(measured: &[Measurement]) -> Option<u64> {
    let runs = || measured.iter().filter(|m| m.kind == Kind::Sink && m.worked());
    let best = fastest(runs());
    let default = runs().find(|m| m.setting.part_size.is_none())?;
    if default.raw_bytes_per_second >= best * AS_GOOD {
        return None;
    }
    runs().filter(|m| m.raw_bytes_per_second >= best * WORTH).find_map(|m| m.setting.part_size)
}

/// Compressions worth running together with everything else, the most promising first: none that another beats, alone, in both speed and size.
pub(super) fn candidates(measured: &[Measurement], read: f64, most: usize) -> Vec<Setting> {
    let sink = fastest(measured.iter().filter(|m| m.kind == Kind::Sink));
    let check = fastest(measured.iter().filter(|m| m.kind == Kind::Check));
    let limit = |rate: f64, ratio: f64| {
        let mut rate = rate.min(read);
        if check > 0.0 {
            rate = rate.min(check);
        }
        if sink > 0.0 { rate.min(sink * ratio) } else { rate }
    };
    let runs: Vec<(f64, f64, &Measurement)> = measured
        .iter()
        .filter(|m| m.kind == Kind::Compress && m.worked())
        .map(|m| (limit(m.raw_bytes_per_second, m.ratio()), m.ratio(), m))
        .collect();
    let beaten = |(_, ratio, m): &(f64, f64, &Measurement)| {
        runs.iter().any(|(_, better, by)| {
            by.name != m.name
                && by.raw_bytes_per_second > m.raw_bytes_per_second * 1.02
                && *better > ratio * 0.99
        })
    };
    let mut good: Vec<_> = runs.iter().filter(|run| !beaten(run)).collect();
    good.sort_by(|a, b| b.0.total_cmp(&a.0));
    good.into_iter().take(most).map(|(_, _, m)| m.setting.clone()).collect()
}

/// The setting to use: of those that are as good as the fastest, the one that stores least. `plain` allows it to be no compression.
pub(super) fn together(measured: &[Measurement], plain: bool) -> Option<&Measurement> {
    let runs = || measured.iter().filter(|m| m.kind == Kind::Together && m.worked() && m.raw_bytes > 0);
    let compresses = |m: &&Measurement| m.setting.compress.as_deref() != Some("none");
    let choose = |runs: Vec<&'_ Measurement>| -> Option<String> {
        let best = fastest(runs.iter().copied());
        let good = runs.into_iter().filter(|m| m.raw_bytes_per_second >= best * AS_GOOD);
        good.max_by(|a, b| a.ratio().total_cmp(&b.ratio())).map(|m| m.name.clone())
    };
    let name = if plain { choose(runs().collect()) } else { choose(runs().filter(compresses).collect()) };
    let name = name.or_else(|| choose(runs().collect()))?;
    runs().find(|m| m.name == name)
}

/// A compression is faster than none wherever the destination takes less than what the compressed pipeline carries before compression: down to there,
/// the larger stream is what takes the time.
pub(super) fn break_even(measured: &[Measurement]) -> Vec<BreakEven> {
    let runs = measured.iter().filter(|m| m.kind == Kind::Together && m.worked());
    let compressed = runs.filter(|m| m.ratio() > 1.05);
    let mut found: Vec<BreakEven> = compressed
        .filter_map(|m| {
            let compress = m.setting.compress.clone()?;
            Some(BreakEven { compress, below_bytes_per_second: m.raw_bytes_per_second })
        })
        .collect();
    found.sort_by(|a, b| b.below_bytes_per_second.total_cmp(&a.below_bytes_per_second));
    found
}

/// Each stage alone, and what it costs beside the others.
pub(super) fn stages(measured: &[Measurement], chosen: &Measurement) -> Vec<Stage> {
    let find = |kind: Kind, fits: &dyn Fn(&Measurement) -> bool| {
        measured.iter().find(|m| m.kind == kind && m.worked() && fits(m))
    };
    let same_readers = |m: &Measurement| m.setting.readers == chosen.setting.readers;
    let source = find(Kind::Source, &same_readers).or_else(|| find(Kind::First, &|_| true));
    let in_chosen =
        |stage: &str| chosen.cpu_by_stage.get(stage).map(|seconds| per_gb(*seconds, chosen.raw_bytes));
    let own = |m: &Measurement| {
        let of = |stage: &str| m.cpu_by_stage.get(stage).copied().unwrap_or(0.0);
        per_gb(of("io") + of("clients"), m.raw_bytes)
    };
    let mut stages = vec![Stage {
        name: "read",
        alone_bytes_per_second: source.map(|m| m.raw_bytes_per_second),
        cpu_seconds_per_gb: source.map(own),
        server_cpu_seconds_per_gb: source.and_then(|m| Some(per_gb(m.server_cpu_seconds?, m.raw_bytes))),
        measured_in: source.map(|m| m.name.clone()),
    }];
    let check = find(Kind::Check, &|_| true);
    stages.push(Stage {
        name: "check",
        alone_bytes_per_second: check.map(|m| m.raw_bytes_per_second),
        cpu_seconds_per_gb: in_chosen("check"),
        server_cpu_seconds_per_gb: None,
        measured_in: check.map(|m| m.name.clone()),
    });
    if let Some(seconds) = in_chosen("compress") {
        let compress = find(Kind::Compress, &|m| m.setting.compress == chosen.setting.compress);
        stages.push(Stage {
            name: "compress",
            alone_bytes_per_second: compress.map(|m| m.raw_bytes_per_second),
            cpu_seconds_per_gb: Some(seconds),
            server_cpu_seconds_per_gb: None,
            measured_in: compress.map(|m| m.name.clone()),
        });
    }
    let sink = find(Kind::Sink, &|m| m.setting.part_size == chosen.setting.part_size)
        .or_else(|| find(Kind::Sink, &|_| true));
    if let Some(sink) = sink {
        stages.push(Stage {
            name: "deliver",
            // It gets what is left by compression.
            alone_bytes_per_second: Some(sink.raw_bytes_per_second * chosen.ratio()),
            cpu_seconds_per_gb: Some(own(sink) / chosen.ratio()),
            server_cpu_seconds_per_gb: None,
            measured_in: Some(sink.name.clone()),
        });
    }
    stages
}

/// What to change first for more speed.
pub(super) fn bottleneck(chosen: &Measurement, cores: usize, has_destination: bool) -> Bottleneck {
    let share = |seconds: f64| seconds / chosen.seconds.max(1e-3);
    let ours = share(chosen.cpu_seconds);
    let server = chosen.server_cpu_seconds.map(share);
    let used = |who: &str, share: f64| format!("{who} {share:.1}");
    let cpu = match server {
        Some(server) => {
            format!("{}, {} of {cores} cores", used("dbferry uses", ours), used("the server", server))
        }
        None => format!("{} of {cores} cores; the server's share is not visible", used("dbferry uses", ours)),
    };
    let stage = chosen.bottleneck.unwrap_or("read");
    if chosen.machine_busy.is_some_and(|busy| busy >= FULL) {
        return Bottleneck {
            what: "processor",
            says: format!("every core of this machine is busy ({cpu}): more cores, or a cheaper compression"),
        };
    }
    let says = match stage {
        "read" => format!("the source gives no more ({cpu}): the other stages wait for it"),
        "check" => format!("rewriting, checks and digests, which are one thread ({cpu})"),
        "compress" => format!("compression ({cpu}): a lower level, another codec, or more --threads"),
        _ if has_destination => {
            format!("the destination takes no more ({cpu}): stronger compression sends it less")
        }
        _ => format!("the last stage ({cpu})"),
    };
    Bottleneck { what: stage, says }
}

#[cfg(test)]
mod tests {
    use super::super::measure::Ended;
    use super::*;

    fn run(kind: Kind, readers: Option<usize>, compress: Option<&str>, rate: f64, ratio: f64) -> Measurement {
        let setting = Setting { readers, compress: compress.map(str::to_owned), ..Setting::default() };
        let mut m = Measurement::new(kind, setting);
        m.ended = Ended::Time;
        m.seconds = 1.0;
        m.raw_bytes_per_second = rate;
        m.raw_bytes = 1_000_000;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test's own figures")]
        {
            m.stored_bytes = (1_000_000.0 / ratio) as u64;
        }
        m
    }

    #[test]
    fn as_few_readers_as_nearly_give_the_most() {
        let runs = [(1, 100.0), (2, 190.0), (4, 197.0), (8, 150.0)]
            .map(|(n, rate)| run(Kind::Source, Some(n), None, rate, 1.0));
        assert_eq!(reading(&runs).unwrap().setting.readers, Some(2));
        let mut failed = runs.clone();
        failed[1].ended = Ended::Failed;
        assert_eq!(reading(&failed).unwrap().setting.readers, Some(4));
        assert!(reading(&[]).is_none());
    }

    #[test]
    fn nothing_is_run_that_another_beats_in_both() {
        let runs = [
            ("none", 1e9, 1.0),
            ("lz4", 400.0, 1.8),
            ("gzip:1", 150.0, 2.0),
            ("zstd:1", 300.0, 2.2),
            ("zstd:9", 50.0, 2.6),
        ]
        .map(|(name, rate, ratio)| run(Kind::Compress, None, Some(name), rate, ratio));
        let names: Vec<String> =
            candidates(&runs, 350.0, 9).into_iter().filter_map(|setting| setting.compress).collect();
        assert_eq!(names, ["none", "lz4", "zstd:1", "zstd:9"]);
        assert_eq!(candidates(&runs, 350.0, 2).len(), 2);
        // Where reading is slower than all of them, what costs more for nothing is still not run.
        assert_eq!(candidates(&runs, 20.0, 9).len(), 4);
    }

    #[test]
    fn of_the_fastest_the_smallest_and_plain_only_where_that_is_allowed() {
        let runs = [("none", 300.0, 1.0), ("lz4", 250.0, 1.8), ("zstd:1", 240.0, 2.2), ("zstd:9", 50.0, 2.6)]
            .map(|(name, rate, ratio)| run(Kind::Together, Some(2), Some(name), rate, ratio));
        let chosen = |plain| together(&runs, plain).unwrap().setting.compress.clone().unwrap();
        assert_eq!(chosen(false), "zstd:1");
        assert_eq!(chosen(true), "none");
        assert_eq!(
            together(&runs[..1], false).unwrap().setting.compress.as_deref(),
            Some("none"),
            "if it is all there is"
        );
        let even = break_even(&runs);
        assert_eq!(even[0].compress, "lz4");
        assert_eq!(even.len(), 3, "none has no break-even with itself");
    }

    #[test]
    fn a_machine_without_a_free_core_is_its_own_bottleneck() {
        let mut m = run(Kind::Chosen, Some(2), Some("zstd:1"), 240.0, 2.2);
        (m.cpu_seconds, m.server_cpu_seconds, m.bottleneck) = (1.2, Some(0.7), Some("compress"));
        m.machine_busy = Some(0.97);
        assert_eq!(bottleneck(&m, 2, false).what, "processor");
        m.machine_busy = Some(0.6);
        let found = bottleneck(&m, 2, false);
        assert_eq!(found.what, "compress");
        assert!(found.says.contains("dbferry uses 1.2, the server 0.7 of 2 cores"), "{}", found.says);
    }
}

//! `dbferry prune`: shows, and with `--yes` carries out, what a policy says.

use archives::retention::{Candidate, Group, Policy, judge};
use archives::{Archive, Catalogue};
use jiff::{SignedDuration, Timestamp};
use pipeline::{Context, Error, Result};
use serde_json::{Value, json};

use super::args::{GroupArg, KeepArgs, PruneArgs};
use super::{ls, render, size, time};

/// The policy of the flags.
pub(crate) fn policy(args: &KeepArgs) -> Result<Policy> {
    let within = args.keep_within.as_deref().map(|text| time::parse("--keep-within", text)).transpose()?;
    let shrink: Option<f64> = args.max_shrink.trim_end_matches('%').parse().ok();
    let max_shrink = shrink.filter(|share| (0.0..=100.0).contains(share)).ok_or_else(|| {
        Error::usage(format!("`--max-shrink {}` is no share", args.max_shrink)).hint("such as 50% or 90%")
    })?;
    let policy = Policy {
        last: args.keep_last,
        hourly: args.keep_hourly,
        daily: args.keep_daily,
        weekly: args.keep_weekly,
        monthly: args.keep_monthly,
        yearly: args.keep_yearly,
        within: within.and_then(|d| SignedDuration::try_from(d).ok()),
        max_shrink: max_shrink / 100.0,
        min_size: args.min_size.as_deref().map_or(Ok(1), |text| size::parse("--min-size", text))? as u64,
    };
    if policy.is_empty() {
        return Err(Error::usage("no rule says what to keep")
            .hint("such as --keep-last 3 --keep-daily 7 --keep-weekly 4 --keep-monthly 12"));
    }
    Ok(policy)
}

/// What was judged, and what became of it.
pub(crate) struct Pruned {
    pub(crate) catalogue: Catalogue,
    pub(crate) groups: Vec<Group>,
    pub(crate) removed: Vec<String>,
    pub(crate) failed: Vec<(String, Error)>,
}

/// Runs the command.
pub(crate) async fn run(args: PruneArgs, cx: &Context) -> Result<()> {
    let policy = policy(&args.keep)?;
    let catalogue = Catalogue::read(ls::place(&args.endpoint).await?).await?;
    let pruned = prune(catalogue, &policy, &args.keep.group_by, None, args.yes, cx).await?;
    if args.output.json {
        render::print(&format!("{}\n", pruned.json(args.yes)))?;
    } else if !args.output.quiet {
        render::print(&pruned.table(args.yes))?;
    }
    pruned.verdict()
}

/// Judges a catalogue, and removes what no rule keeps when `yes`. What the run `made` just made stays in any case.
pub(crate) async fn prune(
    mut catalogue: Catalogue,
    policy: &Policy,
    group_by: &[GroupArg],
    made: Option<&str>,
    yes: bool,
    cx: &Context,
) -> Result<Pruned> {
    // Manifests tell seconds: of two in one second the one that was just made is the newer.
    catalogue.archives.sort_by_key(|archive| (archive.started, made == Some(archive.id.as_str())));
    let candidates: Vec<Candidate> =
        catalogue.archives.iter().map(|archive| Candidate::new(group(archive, group_by), archive)).collect();
    let mut groups = judge(&candidates, policy, Timestamp::now());
    for group in &mut groups {
        let is_new = |index: usize| made.is_some_and(|made| catalogue.archives[index].id == made);
        if group.verdicts.iter().any(|(index, verdict)| is_new(*index) && !verdict.keep) {
            group.hold("the archive that was just made is not the newest: is a clock wrong?");
        }
    }
    let (mut removed, mut failed) = (Vec::new(), Vec::new());
    if yes {
        // Oldest first: whatever ends this half-way leaves the newer ones.
        for (index, verdict) in groups.iter().flat_map(|group| group.verdicts.iter().rev()) {
            if verdict.keep {
                continue;
            }
            if cx.cancellation().is_cancelled() {
                return Err(Error::cancelled());
            }
            let archive = &catalogue.archives[*index];
            match catalogue.place.remove(archive).await {
                Ok(()) => removed.push(archive.name.clone()),
                Err(error) => failed.push((archive.name.clone(), error)),
            }
        }
        let kept = groups.iter().flat_map(|group| &group.verdicts).find(|(_, verdict)| verdict.keep);
        if !removed.is_empty()
            && let Some((index, _)) = kept
            && catalogue.place.keeps_versions(&catalogue.archives[*index].manifest).await
        {
            cx.warn(
                "the bucket keeps versions: what was removed stays as older versions, also under a lock, until a lifecycle rule of the bucket removes them",
            );
        }
    }
    Ok(Pruned { catalogue, groups, removed, failed })
}

/// The group that an archive belongs to.
pub(crate) fn group(archive: &Archive, group_by: &[GroupArg]) -> String {
    let mut key: Vec<String> = Vec::new();
    for by in group_by {
        match by {
            GroupArg::Source => key.push(archive.server.clone()),
            GroupArg::Db => key.extend([archive.databases.clone(), archive.selection.clone()]),
            GroupArg::Folder => {
                let folder = archive.name.rsplit_once('/').map(|(folder, _)| format!("in {folder}/"));
                key.extend(folder);
            }
        }
    }
    key.retain(|part| !part.is_empty());
    key.join(" ")
}

impl Pruned {
    /// An error when something could not be removed, or a group is held.
    pub(crate) fn verdict(mut self) -> Result<()> {
        if !self.failed.is_empty() {
            let (_, first) = self.failed.remove(0);
            return Err(self.failed.into_iter().fold(first, |error, (_, also)| error.also(also.to_string())));
        }
        let held: Vec<String> =
            self.groups.iter().filter_map(|g| Some(format!("{}: {}", g.name, g.held.as_ref()?))).collect();
        match held.split_first() {
            None => Ok(()),
            Some((first, more)) => {
                let error = Error::mismatch(format!("nothing is removed of {first}"))
                    .hint("look at the newest archive: `dbferry verify --record` proves it, and `--accept` says that less data is right");
                Err(more.iter().fold(error, |error, also| error.also(also.clone())))
            }
        }
    }

    fn outcome(&self, name: &str, keep: bool, yes: bool) -> &'static str {
        if keep {
            "keep"
        } else if !yes {
            "would remove"
        } else if self.removed.iter().any(|removed| removed == name) {
            "removed"
        } else {
            "FAILED"
        }
    }

    pub(crate) fn json(&self, yes: bool) -> Value {
        let groups = self.groups.iter().map(|group| {
            let archives = group.verdicts.iter().map(|(index, verdict)| {
                let archive = &self.catalogue.archives[*index];
                json!({
                    "name": archive.name,
                    "started": archive.started.to_string(),
                    "stored_bytes": archive.stored_bytes,
                    "keep": verdict.keep,
                    "outcome": self.outcome(&archive.name, verdict.keep, yes),
                    "reasons": verdict.reasons,
                })
            });
            json!({ "group": group.name, "held": group.held, "archives": archives.collect::<Vec<_>>() })
        });
        let kept: Vec<_> =
            self.catalogue.strange.iter().map(|odd| json!({ "name": odd.name, "why": odd.why })).collect();
        json!({
            "type": "pruned",
            "place": self.catalogue.place.to_string(),
            "removed": yes,
            "groups": groups.collect::<Vec<_>>(),
            "strange": kept,
            "failed": self.failed.iter().map(|(name, error)| json!({ "name": name, "error": render::error_json(error) })).collect::<Vec<_>>(),
        })
    }

    fn table(&self, yes: bool) -> String {
        let mut lines = Vec::new();
        let (mut keep, mut go, mut freed) = (0, 0, 0);
        for group in &self.groups {
            lines.push(format!("{}\n", if group.name.is_empty() { "all archives" } else { &group.name }));
            if let Some(held) = &group.held {
                lines.push(format!("  HELD, nothing is removed: {held}\n"));
            }
            let rows = group.verdicts.iter().map(|(index, verdict)| {
                let archive = &self.catalogue.archives[*index];
                if verdict.keep {
                    keep += 1;
                } else {
                    go += 1;
                    freed += archive.stored_bytes;
                }
                [
                    format!("  {}", self.outcome(&archive.name, verdict.keep, yes)),
                    archive.started.to_string(),
                    size::show(archive.stored_bytes),
                    ls::plain(&archive.name),
                    verdict.reasons.join(", "),
                ]
            });
            lines.push(ls::columns(&rows.collect::<Vec<_>>()));
        }
        lines.extend(self.catalogue.strange.iter().map(ls::strange));
        let freed = size::show(freed);
        lines.push(if yes {
            format!("kept {keep}, removed {} of {go}, {freed}\n", self.removed.len())
        } else {
            format!("keeps {keep}, would remove {go}, {freed}: `--yes` does\n")
        });
        lines.concat()
    }
}

//! Which archives a policy keeps: a function of what is known, the rules and the time. It touches nothing.
//!
//! Archives are judged group by group, newest first. A rule such as "daily 7" keeps the newest archive of each of the last seven days *that have one*: a
//! night without a run costs no archive. Days, weeks (ISO, from Monday), months and years are those of UTC, so no night is counted twice or left out when
//! clocks change.
//!
//! What cannot be lost by any rule:
//!
//! - A slot belongs to the newest **verified** archive of its period. One that is not verified is kept for as long as it would have a slot itself, beside it.
//! - The last verified archive stays, whatever the rules say.
//! - One that failed a check, or whose time lies in the future, takes no slot and is never removed: a person has to look.
//! - A group whose newest archive is not verified, or is suspiciously small, is *held*: nothing of it is removed.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::catalogue::{Archive, Standing};

/// By how much the clocks of two machines may differ.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

/// How many verified archives before the newest its size is held against.
const COMPARED: usize = 7;

/// The rules. A rule of 0, or that is absent, keeps nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// The newest ones.
    pub last: u32,
    /// The newest of each of as many hours that have one; and so on.
    pub hourly: u32,
    /// Days.
    pub daily: u32,
    /// ISO weeks.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
    /// Years.
    pub yearly: u32,
    /// All that are not older than this, counted back from the newest: a job that does not run any more loses nothing.
    pub within: Option<SignedDuration>,
    /// The newest may be smaller by this share, from 0 to 1, than the largest of the seven before it that were not too small themselves.
    pub max_shrink: f64,
    /// The least number of bytes, uncompressed, that the newest must have.
    pub min_size: u64,
}

impl Policy {
    /// True when no rule keeps anything.
    pub fn is_empty(&self) -> bool {
        let Self { last, hourly, daily, weekly, monthly, yearly, within, .. } = self;
        [last, hourly, daily, weekly, monthly, yearly].into_iter().all(|&rule| rule == 0) && within.is_none()
    }
}

/// What is known of an archive's soundness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Soundness {
    /// Proven.
    Verified,
    /// Not proven.
    Unverified,
    /// A check failed, or a piece is missing.
    Failed,
}

/// What the rules look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Archives that replace one another.
    pub group: String,
    /// When its run began.
    pub at: Timestamp,
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// What is known of it.
    pub soundness: Soundness,
    /// A person said that its size is right: later ones are measured by it, and not by what came before.
    pub accepted: bool,
}

impl Candidate {
    /// An archive of the catalogue, in the group of this name.
    pub fn new(group: String, archive: &Archive) -> Self {
        Self {
            group,
            at: archive.started,
            bytes: archive.raw_bytes,
            accepted: archive.accepted,
            soundness: match archive.standing {
                Standing::Verified { .. } => Soundness::Verified,
                Standing::Unverified => Soundness::Unverified,
                Standing::Failed { .. } => Soundness::Failed,
            },
        }
    }
}

/// What becomes of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it stays.
    pub keep: bool,
    /// Why, in words.
    pub reasons: Vec<String>,
}

/// What becomes of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Why nothing of it is removed, if that is so.
    pub held: Option<String>,
    /// Its candidates by their index, newest first, with what the rules say. In a held group all stay.
    pub verdicts: Vec<(usize, Verdict)>,
}

impl Group {
    /// Keeps all of it.
    pub fn hold(&mut self, why: &str) {
        self.held = Some(why.to_owned());
        for (_, verdict) in &mut self.verdicts {
            verdict.keep = true;
        }
    }
}

/// Judges all candidates; the groups by name.
pub fn judge(candidates: &[Candidate], policy: &Policy, now: Timestamp) -> Vec<Group> {
    let mut names: Vec<&str> = candidates.iter().map(|candidate| candidate.group.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| judge_group(name, candidates, policy, now)).collect()
}

fn judge_group(name: &str, candidates: &[Candidate], policy: &Policy, now: Timestamp) -> Group {
    let mut members: Vec<usize> = (0..candidates.len()).filter(|&i| candidates[i].group == name).collect();
    // Newest first; of two at one moment, the one that is later in the list.
    members.sort_by_key(|&i| std::cmp::Reverse((candidates[i].at, i)));
    let mut reasons: Vec<Vec<String>> = vec![Vec::new(); members.len()];
    let sound: Vec<usize> = (0..members.len())
        .filter(|&place| {
            let candidate = &candidates[members[place]];
            let future = candidate.at > now + SKEW;
            if future {
                reasons[place].push("its time lies in the future".to_owned());
            }
            if candidate.soundness == Soundness::Failed {
                reasons[place].push("it failed a check: look at it, and remove it by hand".to_owned());
            }
            !future && candidate.soundness != Soundness::Failed
        })
        .collect();
    let verified: Vec<usize> = sound
        .iter()
        .copied()
        .filter(|&place| candidates[members[place]].soundness == Soundness::Verified)
        .collect();
    let at = |place: usize| candidates[members[place]].at;
    for (places, only_unverified) in [(&verified, false), (&sound, true)] {
        for (place, reason) in slots(places, at, policy) {
            let unverified = candidates[members[place]].soundness == Soundness::Unverified;
            if unverified == only_unverified {
                reasons[place].push(if unverified { format!("{reason}, not verified") } else { reason });
            }
        }
    }
    if let Some(&newest) = verified.first()
        && reasons[newest].is_empty()
    {
        reasons[newest].push("the last verified one".to_owned());
    }
    let of_now: Vec<&Candidate> =
        members.iter().map(|&i| &candidates[i]).filter(|candidate| candidate.at <= now + SKEW).collect();
    let held = held(&of_now, policy);
    let verdicts = members
        .into_iter()
        .zip(reasons)
        .map(|(index, mut reasons)| {
            let ruled_out = reasons.is_empty();
            if ruled_out {
                reasons
                    .push(if held.is_some() { "the group is held" } else { "no rule keeps it" }.to_owned());
            }
            (index, Verdict { keep: !ruled_out || held.is_some(), reasons })
        })
        .collect();
    Group { name: name.to_owned(), held, verdicts }
}

/// Why nothing of a group may be removed. The candidates are those of now, newest first.
fn held(candidates: &[&Candidate], policy: &Policy) -> Option<String> {
    let (newest, before) = candidates.split_first()?;
    match newest.soundness {
        Soundness::Verified => {}
        Soundness::Unverified => return Some("the newest archive is not verified".to_owned()),
        Soundness::Failed => return Some("the newest archive failed a check".to_owned()),
    }
    if newest.bytes < policy.min_size {
        return Some(format!(
            "the newest archive has {} bytes, less than the {} that it must have",
            newest.bytes, policy.min_size
        ));
    }
    let largest = measure(before, policy)?;
    (!newest.accepted && is_shrunk(newest.bytes, largest, policy)).then(|| {
        let share = (1.0 - newest.bytes as f64 / largest as f64) * 100.0;
        format!(
            "the newest archive has {} bytes, {share:.0} % less than {largest} shortly before",
            newest.bytes
        )
    })
}

fn is_shrunk(bytes: u64, largest: u64, policy: &Policy) -> bool {
    (bytes as f64) < largest as f64 * (1.0 - policy.max_shrink)
}

/// What the next archive's size is held against: the largest of the last verified ones. One that was too small itself is no measure; if it were, a database
/// that lost its tables would have to be noticed within a week, or its last good archive would go.
fn measure(newest_first: &[&Candidate], policy: &Policy) -> Option<u64> {
    let mut good: Vec<u64> = Vec::new();
    for candidate in newest_first.iter().rev().filter(|c| c.soundness == Soundness::Verified) {
        if candidate.accepted {
            good.clear();
        }
        let largest = good.iter().rev().take(COMPARED).max();
        if largest.is_none_or(|&largest| !is_shrunk(candidate.bytes, largest, policy)) {
            good.push(candidate.bytes);
        }
    }
    good.into_iter().rev().take(COMPARED).max()
}

/// Which of these places, newest first, the rules keep, and why.
fn slots(places: &[usize], at: impl Fn(usize) -> Timestamp, policy: &Policy) -> Vec<(usize, String)> {
    let mut kept = Vec::new();
    for (number, &place) in places.iter().enumerate() {
        if number < policy.last as usize {
            kept.push((place, format!("last {}", number + 1)));
        }
    }
    type Period = fn(Timestamp) -> (i64, i64);
    let rules: [(&str, u32, Period); 5] = [
        ("hourly", policy.hourly, |at| (at.as_second().div_euclid(3600), 0)),
        ("daily", policy.daily, |at| (at.as_second().div_euclid(86_400), 0)),
        ("weekly", policy.weekly, |at| {
            let week = at.to_zoned(TimeZone::UTC).date().iso_week_date();
            (week.year().into(), week.week().into())
        }),
        ("monthly", policy.monthly, |at| {
            let date = at.to_zoned(TimeZone::UTC).date();
            (date.year().into(), date.month().into())
        }),
        ("yearly", policy.yearly, |at| (at.to_zoned(TimeZone::UTC).date().year().into(), 0)),
    ];
    for (name, wanted, period) in rules {
        let (mut used, mut current) = (0, None);
        for &place in places {
            if used == wanted {
                break;
            }
            let of = period(at(place));
            if current != Some(of) {
                current = Some(of);
                used += 1;
                kept.push((place, format!("{name} {used}")));
            }
        }
    }
    if let (Some(within), Some(&newest)) = (policy.within, places.first()) {
        for &place in places {
            if at(newest).duration_since(at(place)) <= within {
                kept.push((place, "within".to_owned()));
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn archive(time: &str) -> Candidate {
        let (group, soundness) = ("g".into(), Soundness::Verified);
        Candidate { group, at: at(time), bytes: 1000, soundness, accepted: false }
    }

    fn policy() -> Policy {
        Policy { max_shrink: 0.5, min_size: 1, ..Policy::default() }
    }

    fn kept(candidates: &[Candidate], policy: &Policy) -> Vec<bool> {
        let now = at("2026-11-21T12:00:00Z");
        let mut keep = vec![false; candidates.len()];
        for group in judge(candidates, policy, now) {
            for (index, verdict) in group.verdicts {
                keep[index] = verdict.keep;
            }
        }
        keep
    }

    #[test]
    fn a_period_keeps_its_newest_and_gaps_cost_nothing() {
        let all = [
            archive("2026-11-01T01:00:00Z"),
            archive("2026-11-10T01:00:00Z"),
            archive("2026-11-10T23:59:59Z"),
            archive("2026-11-20T00:00:00Z"),
        ];
        assert_eq!(kept(&all, &Policy { daily: 2, ..policy() }), [false, false, true, true]);
        assert_eq!(kept(&all, &Policy { daily: 3, ..policy() }), [true, false, true, true]);
        assert_eq!(kept(&all, &Policy { monthly: 5, ..policy() }), [false, false, false, true]);
        assert_eq!(kept(&all, &Policy { last: 3, ..policy() }), [false, true, true, true]);
        let week = Some(SignedDuration::from_hours(24 * 10));
        assert_eq!(kept(&all, &Policy { within: week, ..policy() }), [false, true, true, true]);
    }

    #[test]
    fn iso_weeks_belong_to_the_year_of_their_thursday() {
        // 2027-01-01 is a Friday: it belongs to week 53 of 2026.
        let now = at("2027-01-05T00:00:00Z");
        let all = [
            archive("2026-12-28T00:00:00Z"),
            archive("2027-01-03T23:00:00Z"),
            archive("2027-01-04T00:00:00Z"),
        ];
        let groups = judge(&all, &Policy { weekly: 2, ..policy() }, now);
        let keep: Vec<(usize, bool)> = groups[0].verdicts.iter().map(|(i, v)| (*i, v.keep)).collect();
        assert_eq!(keep, [(2, true), (1, true), (0, false)]);
    }

    #[test]
    fn what_is_not_verified_takes_no_slot() {
        let mut all = [
            archive("2026-11-18T01:00:00Z"),
            archive("2026-11-19T01:00:00Z"),
            archive("2026-11-20T01:00:00Z"),
        ];
        all[1].soundness = Soundness::Unverified;
        assert_eq!(kept(&all, &Policy { last: 2, ..policy() }), [true, true, true]);
        assert_eq!(kept(&all, &Policy { last: 1, ..policy() }), [false, false, true]);
        all[1].soundness = Soundness::Failed;
        assert_eq!(kept(&all, &Policy { last: 1, ..policy() }), [false, true, true], "a person must look");
    }

    #[test]
    fn a_newest_that_is_not_good_holds_the_group() {
        for soundness in [Soundness::Unverified, Soundness::Failed] {
            let mut all = [archive("2026-11-18T01:00:00Z"), archive("2026-11-20T01:00:00Z")];
            all[1].soundness = soundness;
            assert_eq!(kept(&all, &Policy { last: 1, ..policy() }), [true, true]);
        }
    }

    #[test]
    fn a_shrunk_dump_holds_the_group_also_on_the_second_night() {
        let mut all = [
            archive("2026-11-18T01:00:00Z"),
            archive("2026-11-19T01:00:00Z"),
            archive("2026-11-20T01:00:00Z"),
        ];
        all[1].bytes = 499;
        all[2].bytes = 499;
        assert_eq!(kept(&all, &Policy { last: 1, ..policy() }), [true; 3]);
        let wide = Policy { last: 1, max_shrink: 0.6, ..policy() };
        assert_eq!(kept(&all, &wide), [false, false, true]);
        assert_eq!(kept(&all, &Policy { min_size: 500, ..wide }), [true; 3]);
        all[2].bytes = 0;
        assert_eq!(
            kept(&all, &Policy { max_shrink: 1.0, last: 1, ..policy() }),
            [true; 3],
            "nothing is no dump"
        );
    }

    #[test]
    fn a_shrunk_dump_holds_the_group_until_somebody_says_that_it_is_right() {
        let day = |day: i64| at("2026-10-20T01:00:00Z") + SignedDuration::from_hours(24 * day);
        let mut all: Vec<Candidate> =
            (0..30).map(|night| Candidate { at: day(night), ..archive("2026-10-20T01:00:00Z") }).collect();
        for small in &mut all[5..] {
            small.bytes = 300;
        }
        let rules = Policy { last: 2, ..policy() };
        for nights in 6..=30 {
            assert_eq!(kept(&all[..nights], &rules), vec![true; nights], "after {nights} nights");
        }
        all[20].accepted = true;
        let keep = kept(&all, &rules);
        assert!(keep[28..] == [true, true] && !keep[..28].contains(&true), "{keep:?}");
        // From then on it is the measure.
        all[29].bytes = 100;
        assert_eq!(kept(&all, &rules), [true; 30]);
        all[29].accepted = true;
        assert!(!kept(&all, &rules)[..28].contains(&true));
    }

    #[test]
    fn a_clock_that_was_ahead_removes_nothing() {
        let all = [
            archive("2026-11-19T01:00:00Z"),
            archive("2026-11-20T01:00:00Z"),
            archive("2031-01-01T00:00:00Z"),
        ];
        assert_eq!(kept(&all, &Policy { last: 1, ..policy() }), [false, true, true]);
    }

    #[test]
    fn groups_do_not_touch_each_other_and_the_last_verified_stays() {
        let mut all = [archive("2026-11-18T01:00:00Z"), archive("2026-11-19T01:00:00Z")];
        all[0].group = "h".into();
        assert_eq!(kept(&all, &Policy { last: 1, ..policy() }), [true, true]);
        // Even a policy without rules, which the command line refuses.
        assert_eq!(kept(&all, &policy()), [true, true]);
    }
}

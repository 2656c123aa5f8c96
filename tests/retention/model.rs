//! The rules once more, in the plainest way that could be found: each archive is asked by itself, by counting. It shares nothing with the product but the
//! words of the policy; its calendar is worked out from days since 1970.

use std::collections::BTreeSet;

use archives::retention::{Policy, Soundness};

/// An archive.
#[derive(Debug, Clone)]
pub(crate) struct Night {
    pub(crate) name: String,
    /// Seconds since 1970.
    pub(crate) at: i64,
    pub(crate) bytes: usize,
    pub(crate) soundness: Soundness,
    pub(crate) accepted: bool,
}

/// The names of what stays. The list is in the order of the catalogue.
pub(crate) fn kept(all: &[Night], policy: &Policy, now: i64) -> BTreeSet<String> {
    let is_future = |night: &Night| night.at > now + 600;
    // Position in the list breaks ties of time.
    let numbered: Vec<(usize, &Night)> = all.iter().enumerate().collect();
    let newer = |a: (usize, &Night), b: (usize, &Night)| (a.1.at, a.0) > (b.1.at, b.0);
    let present: Vec<_> = numbered.iter().copied().filter(|(_, n)| !is_future(n)).collect();
    let newest = present.iter().copied().find(|&a| present.iter().all(|&b| a.0 == b.0 || newer(a, b)));
    if held(newest, &present, policy, newer) {
        return all.iter().map(|night| night.name.clone()).collect();
    }
    let sound: Vec<_> = present.iter().copied().filter(|(_, n)| n.soundness != Soundness::Failed).collect();
    let verified: Vec<_> =
        present.iter().copied().filter(|(_, n)| n.soundness == Soundness::Verified).collect();
    let mut stay = BTreeSet::new();
    for &night in &numbered {
        let rivals = match night.1.soundness {
            _ if is_future(night.1) => {
                stay.insert(night.1.name.clone());
                continue;
            }
            Soundness::Failed => {
                stay.insert(night.1.name.clone());
                continue;
            }
            Soundness::Verified => &verified,
            Soundness::Unverified => &sound,
        };
        let before: Vec<_> = rivals.iter().copied().filter(|&other| newer(other, night)).collect();
        let has_slot = |rule: u32, period: fn(i64) -> (i64, i64)| {
            // Newest of its period, and fewer than `rule` later periods have one.
            let own = period(night.1.at);
            let later: BTreeSet<_> = before.iter().map(|(_, n)| period(n.at)).collect();
            !later.contains(&own) && later.len() < rule as usize
        };
        let within = policy.within.is_some_and(|within| {
            let newest = rivals.iter().map(|(_, n)| n.at).max().unwrap();
            newest - night.1.at <= within.as_secs()
        });
        let last_verified = night.1.soundness == Soundness::Verified && before.is_empty();
        if before.len() < policy.last as usize
            || has_slot(policy.hourly, |at| (at.div_euclid(3600), 0))
            || has_slot(policy.daily, |at| (at.div_euclid(86_400), 0))
            // 1970-01-01 was a Thursday: Mondays are three days later.
            || has_slot(policy.weekly, |at| ((at.div_euclid(86_400) + 3).div_euclid(7), 0))
            || has_slot(policy.monthly, |at| month(at.div_euclid(86_400)))
            || has_slot(policy.yearly, |at| (month(at.div_euclid(86_400)).0, 0))
            || within
            || last_verified
        {
            stay.insert(night.1.name.clone());
        }
    }
    stay
}

fn held(
    newest: Option<(usize, &Night)>,
    present: &[(usize, &Night)],
    policy: &Policy,
    newer: impl Fn((usize, &Night), (usize, &Night)) -> bool,
) -> bool {
    let Some(newest) = newest else { return false };
    if newest.1.soundness != Soundness::Verified || (newest.1.bytes as u64) < policy.min_size {
        return true;
    }
    if newest.1.accepted {
        return false;
    }
    let mut before: Vec<_> = present
        .iter()
        .copied()
        .filter(|&other| newer(newest, other) && other.1.soundness == Soundness::Verified)
        .collect();
    before.sort_by_key(|&(place, night)| (night.at, place));
    before.push(newest);
    is_too_small(&before, policy.max_shrink)
}

/// Whether the last of these nights, oldest first, is too small. What was too small itself measures nothing, and neither does what came before an accepted one.
fn is_too_small(nights: &[(usize, &Night)], shrink: f64) -> bool {
    let mut small: Vec<bool> = Vec::new();
    for (place, (_, night)) in nights.iter().enumerate() {
        let since = (0..place).rev().find(|&earlier| nights[earlier].1.accepted).unwrap_or(0);
        let measures = (since..place).rev().filter(|&earlier| !small[earlier]).take(7);
        let largest = measures.map(|earlier| nights[earlier].1.bytes).max().unwrap_or(0);
        small.push(!night.accepted && (night.bytes as f64) < largest as f64 * (1.0 - shrink));
    }
    small.pop().unwrap_or(false)
}

/// Year and month of a day since 1970, by walking through the years.
fn month(day: i64) -> (i64, i64) {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (mut year, mut rest) = (1970, day);
    while rest >= if leap(year) { 366 } else { 365 } {
        rest -= if leap(year) { 366 } else { 365 };
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut number = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < length {
            break;
        }
        rest -= length;
        number += 1;
    }
    (year, number)
}

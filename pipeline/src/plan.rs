//! How a run's memory is shared out before it starts.
//!
//! Every edge between two stages gets a fixed share, so that a full edge can never take the room that the edge behind it needs:
//! sharing one pool among edges can deadlock, fixed shares cannot. `docs/memory.md` gives the formula to users.

use crate::error::{Error, Result};

/// What the process needs whatever it carries: code, runtime, thread stacks, the allocator's own slack, TLS and client libraries.
pub const OVERHEAD: usize = 32 << 20;

/// Below this an edge passes so little at a time that waking the neighbour costs more than the work.
const EDGE_MIN: usize = 1 << 20;

/// Above this more room buys nothing: an edge has to cover a neighbour's hiccup, not a minute of it.
const EDGE_MAX: usize = 16 << 20;

/// The shares of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The whole budget in bytes.
    pub budget: usize,
    /// [`OVERHEAD`].
    pub overhead: usize,
    /// Parts carried at once.
    pub lanes: usize,
    /// What the stages of one lane hold themselves: transforms, reader and sinks.
    pub stages: usize,
    /// Edges of one lane.
    pub edges: usize,
    /// Capacity of each edge in bytes.
    pub edge: usize,
}

impl MemoryPlan {
    /// Shares `budget` among as many lanes as fit, at most `jobs`. Fails when not even one fits.
    pub fn new(budget: usize, jobs: usize, stages: usize, edges: usize) -> Result<Self> {
        let least = stages + edges * EDGE_MIN;
        let room = budget.saturating_sub(OVERHEAD);
        if room < least {
            let mib = (OVERHEAD + least).div_ceil(1 << 20);
            return Err(Error::usage(format!("this job needs at least {mib} MiB of memory"))
                .with("--memory", format!("{} MiB", budget >> 20))
                .hint(format!("give `--memory {mib}MiB`, or fewer compression threads")));
        }
        let lanes = jobs.clamp(1, room / least);
        let edge = ((room / lanes - stages) / edges.max(1)).clamp(EDGE_MIN, EDGE_MAX);
        Ok(Self { budget, overhead: OVERHEAD, lanes, stages, edges, edge })
    }

    /// The most that the run can hold, in bytes.
    pub fn ceiling(&self) -> usize {
        self.overhead + self.lanes * (self.stages + self.edges * self.edge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_never_exceeds_the_budget() {
        for budget in [40, 64, 100, 256, 1024].map(|mib| mib << 20) {
            for jobs in [1, 2, 7, 64] {
                for stages in [0, 1 << 20, 20 << 20] {
                    for edges in [1, 3, 9] {
                        if let Ok(plan) = MemoryPlan::new(budget, jobs, stages, edges) {
                            assert!(plan.ceiling() <= budget, "{plan:?}");
                            assert!(plan.lanes >= 1 && plan.lanes <= jobs);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn too_little_is_refused_with_the_least_that_works() {
        let error = MemoryPlan::new(33 << 20, 1, 8 << 20, 3).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("at least 43 MiB"), "{error}");
        assert!(MemoryPlan::new(43 << 20, 1, 8 << 20, 3).is_ok());
    }
}

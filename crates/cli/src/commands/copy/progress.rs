//! Progress of a copy, on standard error.

use std::time::{Duration, Instant};

use dabba_store::transfer::{Phase, Table};

/// Minimum time between two lines about the same table.
const INTERVAL: Duration = Duration::from_secs(1);

/// Printer of the progress.
#[derive(Default)]
pub(super) struct Progress {
    lane: Option<Lane>,
}

/// One phase of one table.
struct Lane {
    phase: Phase,
    table: &'static str,
    begun: Instant,
    /// Rows that were done when this process started.
    rows_before: u64,
    shown: Instant,
}

impl Progress {
    /// Prints a line, unless the last line is recent and more rows follow.
    pub(super) fn show(&mut self, phase: Phase, table: &'static Table, done: u64, all: Option<u64>) {
        let now = Instant::now();
        let same = self.lane.take().filter(|lane| lane.phase == phase && lane.table == table.name);
        let is_new = same.is_none();
        let begin = || Lane { phase, table: table.name, begun: now, rows_before: done, shown: now };
        let mut lane = same.unwrap_or_else(begin);
        let is_whole = all == Some(done);
        if is_whole || (!is_new && now.duration_since(lane.shown) >= INTERVAL) {
            eprintln!("{}", text(&lane, now, done, all));
            lane.shown = now;
        }
        self.lane = Some(lane);
    }
}

fn text(lane: &Lane, now: Instant, done: u64, all: Option<u64>) -> String {
    let verb = match lane.phase {
        Phase::Read => "reading",
        Phase::Copy => "copying",
        Phase::Verify => "verifying",
    };
    let of = match all {
        Some(0) | None => String::new(),
        Some(all) => format!(" of {all} ({} %)", u128::from(done) * 100 / u128::from(all)),
    };
    let (rows, milliseconds) =
        (u128::from(done - lane.rows_before.min(done)), now.duration_since(lane.begun).as_millis());
    let rate = if milliseconds == 0 || rows == 0 {
        String::new()
    } else {
        format!(", {} rows/s", rows * 1_000 / milliseconds)
    };
    format!("{verb} {}: {done} rows{of}{rate}", lane.table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_states_progress_and_rate() {
        let begun = Instant::now();
        let lane = Lane { phase: Phase::Copy, table: "orders", begun, rows_before: 1_000, shown: begun };
        let now = begun + Duration::from_secs(2);
        assert_eq!(
            text(&lane, now, 5_000, Some(20_000)),
            "copying orders: 5000 rows of 20000 (25 %), 2000 rows/s"
        );
        let lane = Lane { phase: Phase::Verify, table: "tasks", begun, rows_before: 0, shown: begun };
        assert_eq!(text(&lane, begun, 0, Some(0)), "verifying tasks: 0 rows");
        let lane = Lane { phase: Phase::Read, table: "tasks", begun, rows_before: 0, shown: begun };
        assert_eq!(text(&lane, now, 10, None), "reading tasks: 10 rows, 5 rows/s");
    }
}

//! Output of the mix `events`.

use std::time::Duration;

use dabba_sim::workload::events::{Finding, Latencies, Receipts};
use serde::Serialize;

use super::super::table::milliseconds;
use crate::{failure::Failure, output};

/// Result of a run.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) mix: &'static str,
    /// Events that the run caused.
    pub(super) events: usize,
    /// Acknowledged orders whose events the feed does not contain completely.
    pub(super) orders_incomplete: u64,
    /// Time from the end of the load to the last receipt, in steps of 0.2 s.
    pub(super) drained_ms: f64,
    pub(super) receivers: Vec<Row>,
    /// How often a measured stream ended and resumed.
    pub(super) streams_resumed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle_streams: Option<Idle>,
    pub(super) catch_up_events: u64,
    pub(super) catch_up_per_second: f64,
    /// Events per second that this process reads from the databases without HTTP, if it started the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) direct_per_second: Option<f64>,
    /// Processor time per order, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_us_per_order: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) database_us_per_order: Option<f64>,
}

/// Idle streams.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Idle {
    pub(super) count: usize,
    /// Number of streams that the server ended.
    pub(super) ended: u64,
    /// Memory of the server per stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes_each: Option<u64>,
    /// Share of a processor that the server used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) processor_percent: Option<f64>,
}

/// Results of a class of endpoints, of the streams, or of the boards.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) receiver: &'static str,
    pub(super) count: usize,
    /// Number of matching events, summed over the endpoints or streams; for boards, number of orders.
    expected: u64,
    received: u64,
    repeated: u64,
    missing: u64,
    disordered: u64,
    unwanted: u64,
    malformed: u64,
    /// For boards: number of orders that ended before a board showed them.
    never_shown: u64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Whether every matching event must arrive.
    #[serde(skip)]
    is_healthy: bool,
}

impl Row {
    /// Returns the row of a group without endpoints.
    pub(super) fn new(receiver: &'static str, is_healthy: bool, latencies: &Latencies) -> Self {
        let at = |share| milliseconds(latencies.at(share));
        Self {
            receiver,
            count: 0,
            expected: 0,
            received: 0,
            repeated: 0,
            missing: 0,
            disordered: 0,
            unwanted: 0,
            malformed: 0,
            never_shown: 0,
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            max_ms: at(1.0),
            is_healthy,
        }
    }

    /// Adds an endpoint or stream.
    pub(super) fn add(&mut self, ledger: &dyn Receipts, finding: Finding) {
        self.count += 1;
        self.expected += finding.expected;
        self.missing += finding.missing;
        self.disordered += finding.disordered;
        self.unwanted += finding.unwanted;
        self.received += u64::try_from(ledger.count()).unwrap_or(u64::MAX);
        self.repeated += ledger.repeated();
        self.malformed += ledger.malformed();
        self.never_shown += finding.never_shown;
    }

    /// Returns what violates I10; `None` if nothing does.
    fn breach(&self) -> Option<String> {
        let Self { receiver, expected, missing, disordered, unwanted, malformed, .. } = self;
        // Nobody expects an endpoint that never accepts a delivery to have received everything.
        let missing = if self.is_healthy { *missing } else { 0 };
        // A board may miss an order that lives for a moment, but not most of them.
        let never_shown = if self.never_shown > *expected { self.never_shown } else { 0 };
        let found = [
            (missing, "missing"),
            (*disordered, "out of order"),
            (*unwanted, "not matching"),
            (*malformed, "malformed"),
            (never_shown, "never shown"),
        ];
        let found: Vec<String> = found
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        (!found.is_empty()).then(|| format!("{receiver}: {}", found.join(", ")))
    }

    fn print(&self) -> Result<(), Failure> {
        let Self { receiver, count, expected, received, repeated, .. } = self;
        let latencies = if *received == 0 {
            format!("{:>8} {:>8} {:>8} {:>9}", "–", "–", "–", "–")
        } else {
            let Self { p50_ms, p95_ms, p99_ms, max_ms, .. } = self;
            format!("{p50_ms:>8.1} {p95_ms:>8.1} {p99_ms:>8.1} {max_ms:>9.1}")
        };
        output::line(format_args!(
            "{receiver:<11}{count:>6} {expected:>9} {received:>9} {repeated:>6} {latencies}"
        ))
    }
}

impl Report {
    /// Returns a failure that names what violates I10; `Ok` if nothing does.
    pub(super) fn require_clean(&self) -> Result<(), Failure> {
        let lacking = (self.orders_incomplete > 0)
            .then(|| format!("the feed lacks events of acknowledged orders: {}", self.orders_incomplete));
        let breaches: Vec<String> = self.receivers.iter().filter_map(Row::breach).chain(lacking).collect();
        if breaches.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!("the receipts differ from the feed (I10): {}", breaches.join("; "))))
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        output::line(format_args!(
            "{:<11}{:>6} {:>9} {:>9} {:>6} {:>8} {:>8} {:>8} {:>9}",
            "receiver", "number", "expected", "received", "again", "p50 ms", "p95 ms", "p99 ms", "max ms"
        ))?;
        self.receivers.iter().try_for_each(Row::print)?;
        let Self { events, drained_ms, streams_resumed, .. } = self;
        let drained = Duration::from_secs_f64((drained_ms / 1_000.0).max(0.0));
        let mut lines = vec![format!(
            "{events} events; all expected receipts {:.1} s after the load; streams resumed {streams_resumed} times",
            drained.as_secs_f64()
        )];
        lines.push(format!(
            "catching up: {:.0} events/s over HTTP, {} events/s from the databases ({} events)",
            self.catch_up_per_second,
            self.direct_per_second.map_or("–".to_owned(), |rate| format!("{rate:.0}")),
            self.catch_up_events
        ));
        if let Some(Idle { count, ended, bytes_each, processor_percent }) = self.idle_streams {
            lines.push(format!(
                "{count} idle streams, {ended} ended: {} KiB of the server's memory each, {} % of a processor",
                shown(bytes_each.map(kibibytes)),
                shown(processor_percent)
            ));
        }
        if self.server_us_per_order.is_some() || self.database_us_per_order.is_some() {
            lines.push(format!(
                "processor time per order: server {} µs, database {} µs",
                shown(self.server_us_per_order),
                shown(self.database_us_per_order)
            ));
        }
        lines.iter().try_for_each(|line| output::line(output::wrapped("", line)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "the size is only displayed")]
fn kibibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_024.0
}

fn shown(number: Option<f64>) -> String {
    number.map_or("–".to_owned(), |number| format!("{number:.1}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dabba_sim::workload::events::Ledger;

    use super::*;

    /// Proves that each difference is a failure, and that a missing event is none for an endpoint that accepts nothing.
    #[test]
    fn a_difference_is_a_failure() {
        let latencies = Arc::new(Latencies::default());
        let ledger = Ledger::new(Arc::clone(&latencies));
        let breach = |is_healthy, finding| {
            let mut row = Row::new("platform", is_healthy, &latencies);
            row.add(&ledger, finding);
            row.breach()
        };
        let missing = Finding { expected: 9, missing: 2, ..Finding::default() };
        assert_eq!(breach(true, missing).as_deref(), Some("platform: 2 missing"));
        assert_eq!(breach(false, missing), None);
        let others = Finding { disordered: 1, unwanted: 3, ..Finding::default() };
        assert_eq!(breach(false, others).as_deref(), Some("platform: 1 out of order, 3 not matching"));
        assert_eq!(breach(true, Finding { expected: 9, never_shown: 9, ..Finding::default() }), None);
        let unseen = Finding { expected: 9, never_shown: 10, ..Finding::default() };
        assert_eq!(breach(true, unseen).as_deref(), Some("platform: 10 never shown"));
    }
}

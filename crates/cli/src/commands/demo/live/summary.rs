//! The summary at the end of the evening.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::changes::Change;
use crate::output;

/// Width of the column with the name of a row, in characters.
const NAME_WIDTH: usize = 10;
/// Evenings of fewer seconds are stated in seconds, longer ones in minutes.
const MIN_SECONDS_IN_MINUTES: u64 = 120;

/// Numbers of the evening, as this command has read the orders and sent requests. Changes before its start do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Orders of the evening's customers.
    pub(super) placed: u32,
    /// Orders of other clients, such as the ordering page.
    pub(super) placed_by_others: u32,
    /// Customers who found no cart that they could order.
    pub(super) left_without_order: u32,
    /// Orders that the simulated kitchen accepted.
    pub(super) accepted_by_simulated_kitchen: u32,
    /// Orders that a person at the board, or another client, accepted.
    pub(super) accepted_by_others: u32,
    /// Orders that the restaurant rejected.
    pub(super) rejected: u32,
    /// Orders that couriers delivered.
    pub(super) delivered: u32,
    /// Orders that customers collected.
    pub(super) collected: u32,
    /// Orders that a customer, the restaurant or the platform cancelled.
    pub(super) cancelled: u32,
    /// Orders that nobody accepted in time.
    pub(super) expired: u32,
    /// Orders that ended early in another way, such as by a payment that failed.
    pub(super) ended_otherwise: u32,
    /// Requests of this command that the server refused.
    pub(super) refused_requests: u32,
}

/// Numbers of open orders by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Open {
    pub(super) confirmed: u32,
    pub(super) preparing: u32,
    pub(super) ready_for_pickup: u32,
    pub(super) out_for_delivery: u32,
}

/// The evening as a whole.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    seconds: u64,
    #[serde(flatten)]
    counts: Counts,
    open: u32,
    open_by_status: Open,
}

impl Counts {
    /// Counts a change of an order. `is_own` states whether this command caused the change, for the changes that others can
    /// cause, too.
    pub(super) fn count(&mut self, change: &Change, order: &Value, is_own: bool) {
        let is_delivery = order["fulfilment"]["type"] == "delivery";
        let counter = match (change.event, is_own) {
            ("placed", true) => &mut self.placed,
            ("placed", false) => &mut self.placed_by_others,
            ("accepted", true) => &mut self.accepted_by_simulated_kitchen,
            ("accepted", false) => &mut self.accepted_by_others,
            ("delivered", _) if is_delivery => &mut self.delivered,
            ("delivered", _) => &mut self.collected,
            ("rejected", _) => &mut self.rejected,
            ("cancelled", _) => &mut self.cancelled,
            ("expired", _) => &mut self.expired,
            ("ended", _) => &mut self.ended_otherwise,
            _ => return,
        };
        *counter += 1;
    }
}

impl Open {
    /// Counts these orders.
    pub(super) fn of<'a>(orders: impl Iterator<Item = &'a Value>) -> Self {
        let mut open = Self::default();
        for order in orders {
            match order["status"].as_str() {
                Some("preparing") => open.preparing += 1,
                Some("ready_for_pickup") => open.ready_for_pickup += 1,
                Some("out_for_delivery") => open.out_for_delivery += 1,
                _ => open.confirmed += 1,
            }
        }
        open
    }
}

impl Summary {
    pub(super) fn new(took: Duration, counts: Counts, open_by_status: Open) -> Self {
        let Open { confirmed, preparing, ready_for_pickup, out_for_delivery } = open_by_status;
        let open = confirmed + preparing + ready_for_pickup + out_for_delivery;
        Self { seconds: took.as_secs(), counts, open, open_by_status }
    }

    /// Returns the summary as one sentence.
    pub(super) fn in_a_line(&self) -> String {
        self.rows().map(|(name, text)| format!("{name}: {text}")).join("; ")
    }

    /// Returns the summary as a heading and one line for each number.
    pub(super) fn in_lines(&self) -> String {
        let took = if self.seconds < MIN_SECONDS_IN_MINUTES {
            output::counted(self.seconds, "second")
        } else {
            output::counted(self.seconds / 60, "minute")
        };
        let rows = self.rows().map(|(name, text)| output::wrapped(&format!("  {name:<NAME_WIDTH$} "), &text));
        let mut lines = format!("\nThe evening took {took}. Orders:\n{}", rows.join("\n"));
        if self.open > 0 {
            lines.push_str("\nOpen orders stay: the next `dabba demo --live` continues with them.");
        }
        lines
    }

    /// Returns the rows, each with its name.
    fn rows(&self) -> [(&'static str, String); 8] {
        let Self { counts, open_by_status: open, .. } = self;
        [
            (
                "placed",
                parts(&[
                    (counts.placed, "by the evening's customers"),
                    (counts.placed_by_others, "by other clients"),
                    (counts.left_without_order, "customers left without an order"),
                ]),
            ),
            (
                "accepted",
                parts(&[
                    (counts.accepted_by_simulated_kitchen, "by the simulated kitchen"),
                    (counts.accepted_by_others, "at the board or by other clients"),
                ]),
            ),
            ("rejected", parts(&[(counts.rejected, "by the restaurant")])),
            (
                "delivered",
                parts(&[(counts.delivered, "by couriers"), (counts.collected, "handed over at the counter")]),
            ),
            (
                "cancelled",
                parts(&[
                    (counts.cancelled, "by customers, restaurant or platform"),
                    (counts.ended_otherwise, "in another way"),
                ]),
            ),
            ("expired", parts(&[(counts.expired, "because nobody accepted in time")])),
            (
                "still open",
                parts(&[
                    (open.confirmed, "to accept"),
                    (open.preparing, "in preparation"),
                    (open.ready_for_pickup, "ready"),
                    (open.out_for_delivery, "on the way"),
                ]),
            ),
            ("refused", parts(&[(counts.refused_requests, "requests of this command")])),
        ]
    }
}

/// Returns the numbers that are not zero, each with its text; `none` if all are zero.
fn parts(parts: &[(u32, &str)]) -> String {
    let present = parts.iter().filter(|(number, _)| *number > 0);
    let texts: Vec<String> = present.map(|(number, text)| format!("{number} {text}")).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counted(events: &[(&'static str, bool, &str)]) -> Counts {
        let mut counts = Counts::default();
        for (event, is_own, kind) in events {
            let change = Change { event, who: String::new(), text: String::new() };
            counts.count(&change, &json!({"fulfilment": {"type": kind}}), *is_own);
        }
        counts
    }

    /// Proves that each change counts once, by who caused it and by the kind of the order.
    #[test]
    fn each_change_counts_once() {
        let counts = counted(&[
            ("placed", true, "delivery"),
            ("placed", true, "collection"),
            ("placed", false, "delivery"),
            ("accepted", true, "delivery"),
            ("accepted", false, "collection"),
            ("courier_assigned", true, "delivery"),
            ("ready", false, "delivery"),
            ("picked_up", true, "delivery"),
            ("delivered", true, "delivery"),
            ("delivered", false, "collection"),
            ("rejected", false, "delivery"),
            ("cancelled", true, "delivery"),
            ("expired", false, "delivery"),
            ("ended", false, "delivery"),
        ]);
        let expected = Counts {
            placed: 2,
            placed_by_others: 1,
            accepted_by_simulated_kitchen: 1,
            accepted_by_others: 1,
            rejected: 1,
            delivered: 1,
            collected: 1,
            cancelled: 1,
            expired: 1,
            ended_otherwise: 1,
            ..Counts::default()
        };
        assert_eq!(counts, expected);
    }

    #[test]
    fn the_summary_states_every_number() {
        let counts = Counts {
            placed: 3,
            placed_by_others: 1,
            accepted_by_others: 2,
            delivered: 1,
            ..Counts::default()
        };
        let orders = ["confirmed", "ready_for_pickup", "confirmed"].map(|status| json!({"status": status}));
        let summary = Summary::new(Duration::from_mins(5), counts, Open::of(orders.iter()));
        let expected = "
The evening took 5 minutes. Orders:
  placed     3 by the evening's customers, 1 by other clients
  accepted   2 at the board or by other clients
  rejected   none
  delivered  1 by couriers
  cancelled  none
  expired    none
  still open 2 to accept, 1 ready
  refused    none
Open orders stay: the next `dabba demo --live` continues with them.";
        assert_eq!(summary.in_lines(), expected);
        let line = summary.in_a_line();
        assert!(
            line.starts_with("placed: 3 by the evening's customers, 1 by other clients; accepted"),
            "{line}"
        );
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!((&json["placed"], &json["open"], &json["seconds"]), (&json!(3), &json!(3), &json!(300)));
        assert_eq!(json["open_by_status"]["ready_for_pickup"], 1);
        let nothing = Summary::new(Duration::from_secs(3), Counts::default(), Open::default()).in_lines();
        assert!(
            nothing.starts_with("\nThe evening took 3 seconds.") && !nothing.contains("stay"),
            "{nothing}"
        );
    }

    /// Proves that the lines fit the width of tables, also with large numbers.
    #[test]
    fn the_lines_fit() {
        let counts = Counts {
            placed: 36_000,
            placed_by_others: 36_000,
            left_without_order: 36_000,
            accepted_by_simulated_kitchen: 36_000,
            accepted_by_others: 36_000,
            rejected: 36_000,
            delivered: 36_000,
            collected: 36_000,
            cancelled: 36_000,
            expired: 36_000,
            ended_otherwise: 36_000,
            refused_requests: 36_000,
        };
        let open = Open { confirmed: 999, preparing: 999, ready_for_pickup: 999, out_for_delivery: 999 };
        let lines = Summary::new(Duration::from_hours(10), counts, open).in_lines();
        assert!(lines.lines().all(|line| line.chars().count() <= output::WIDTH), "{lines}");
    }
}

//! The changes of an order between two reads.

use serde_json::{Value, json};

use super::story::in_words;

/// A change, as a line prints it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The event, as one word.
    pub(super) event: &'static str,
    /// Who did it.
    pub(super) who: String,
    /// The action of the person, in words.
    pub(super) text: String,
}

/// The statuses on the way to the customer, in order, each with the change that leads to it.
const WAY: [&str; 5] = ["confirmed", "preparing", "ready_for_pickup", "out_for_delivery", "delivered"];

const KITCHEN: &str = "The kitchen";

/// Returns whether the order has ended.
pub(super) fn has_ended(order: &Value) -> bool {
    matches!(order["status"].as_str(), Some("delivered" | "cancelled" | "refunded"))
}

/// Returns the customer of an order as the kitchen knows the person.
pub(super) fn customer(order: &Value) -> &str {
    order["contact"]["name"].as_str().unwrap_or("A guest")
}

/// Returns the changes, oldest first. `courier` is the name of the order's courier. Without an earlier read, the order was
/// placed, and all that has happened since is a change, too.
pub(super) fn between(before: Option<&Value>, after: &Value, courier: &str) -> Vec<Change> {
    let change = |event, who: &str, text: String| Change { event, who: who.to_owned(), text };
    let (mut changes, placed) = (Vec::new(), json!({"status": WAY[0]}));
    let before = before.unwrap_or_else(|| {
        changes.push(change("placed", customer(after), format!("orders {}", in_words(after))));
        &placed
    });
    let is_new = |status: &str| rank(before) < rank_of(status) && rank_of(status) <= rank(after);
    if is_new("preparing") {
        let minutes = minutes_until_ready(after);
        changes.push(change("accepted", KITCHEN, format!("accepts the order{minutes}")));
    }
    if before["courier_id"] != after["courier_id"] && !after["courier_id"].is_null() {
        let takes = if before["courier_id"].is_null() { "takes" } else { "takes over" };
        changes.push(change("courier_assigned", courier, format!("{takes} the delivery")));
    }
    let is_delivery = after["fulfilment"]["type"] == "delivery";
    if is_new("ready_for_pickup") {
        let next =
            if is_delivery { String::new() } else { format!("; {} collects the order", customer(after)) };
        changes.push(change("ready", KITCHEN, format!("is done{next}")));
    }
    if is_delivery && is_new("out_for_delivery") {
        changes.push(change("picked_up", courier, "picks it up".to_owned()));
    }
    if is_new("delivered") {
        let (who, to) = if is_delivery { (courier, "brings it to") } else { (KITCHEN, "hands it to") };
        changes.push(change("delivered", who, format!("{to} {}", customer(after))));
    }
    if before["closure"].is_null() && !after["closure"].is_null() {
        changes.push(early_end(after));
    }
    changes
}

/// Returns how many statuses of the way an order has reached. An order that was refunded without an early end was delivered.
fn rank(order: &Value) -> usize {
    match order["status"].as_str() {
        Some("refunded") if order["closure"].is_null() => WAY.len(),
        status => status.map_or(0, rank_of),
    }
}

fn rank_of(status: &str) -> usize {
    WAY.iter().position(|reached| *reached == status).map_or(0, |place| place + 1)
}

/// Returns when the kitchen expects to be ready, in words.
fn minutes_until_ready(order: &Value) -> String {
    let time = |member: &str| order[member].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    match (time("ready_by"), time("updated_at")) {
        (Some(ready), Some(now)) => {
            let minutes = (ready.duration_since(now).as_secs() + 59) / 60;
            format!(": ready in {minutes} minutes")
        }
        _ => String::new(),
    }
}

/// Returns the change by which an order ended before its delivery.
fn early_end(order: &Value) -> Change {
    let closure = &order["closure"];
    let reason = closure["reason"]
        .as_str()
        .map_or_else(String::new, |reason| format!(": {}", reason.replace('_', " ")));
    let (event, who, text) = match closure["how"].as_str() {
        Some("rejected") => ("rejected", KITCHEN, "rejects the order"),
        Some("cancelled") => {
            let who = match closure["by"]["role"].as_str() {
                Some("customer") => customer(order),
                Some("restaurant") => KITCHEN,
                _ => "The platform",
            };
            ("cancelled", who, "cancels the order")
        }
        Some("expired") => ("expired", "Dabba", "ends the order, which nobody accepted in time"),
        _ => ("ended", "Dabba", "ends the order before its delivery"),
    };
    Change { event, who: who.to_owned(), text: format!("{text}{reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(status: &str, kind: &str, courier: Option<&str>) -> Value {
        let mut order = json!({
            "status": status, "fulfilment": {"type": kind}, "contact": {"name": "Mei Tanaka"},
            "ready_by": "2026-06-01T12:20:00Z", "updated_at": "2026-06-01T12:05:00Z",
            "lines": [{"name": "Black Dal", "quantity": 1}], "currency": "GBP", "amounts": {"total": 760},
        });
        if let Some(courier) = courier {
            order["courier_id"] = json!(courier);
        }
        order
    }

    fn lines(before: Option<&Value>, after: &Value) -> Vec<String> {
        let changes = between(before, after, "Bo Lind");
        changes.into_iter().map(|Change { event, who, text }| format!("{event}: {who} {text}")).collect()
    }

    /// Proves that each change has one line, with the person, also if several happened between two reads.
    #[test]
    fn each_change_has_one_line() {
        let placed = order("confirmed", "delivery", None);
        assert_eq!(lines(None, &placed), ["placed: Mei Tanaka orders Black Dal, for delivery: £7.60"]);
        assert_eq!(lines(Some(&placed), &placed), [] as [&str; 0]);
        let preparing = order("preparing", "delivery", None);
        let accepted = "accepted: The kitchen accepts the order: ready in 15 minutes";
        assert_eq!(lines(Some(&placed), &preparing), [accepted]);
        // Another client placed the order, and the kitchen accepted it before the next read.
        assert_eq!(lines(None, &preparing)[1..], [accepted]);
        let taken = order("preparing", "delivery", Some("bo"));
        assert_eq!(lines(Some(&preparing), &taken), ["courier_assigned: Bo Lind takes the delivery"]);
        let delivered = order("delivered", "delivery", Some("bo"));
        let rest = [
            "ready: The kitchen is done",
            "picked_up: Bo Lind picks it up",
            "delivered: Bo Lind brings it to Mei Tanaka",
        ];
        assert_eq!(lines(Some(&taken), &delivered), rest);
        assert_eq!(lines(Some(&placed), &delivered).len(), 5);
        let refunded = order("refunded", "delivery", Some("bo"));
        assert_eq!(lines(Some(&taken), &refunded), rest);
        assert_eq!(lines(Some(&delivered), &refunded), [] as [&str; 0]);
        let taken_over = order("preparing", "delivery", Some("ines"));
        assert_eq!(lines(Some(&taken), &taken_over), ["courier_assigned: Bo Lind takes over the delivery"]);
        let in_preparation = order("preparing", "collection", None);
        let done = lines(Some(&in_preparation), &order("ready_for_pickup", "collection", None));
        assert_eq!(done, ["ready: The kitchen is done; Mei Tanaka collects the order"]);
        let ready = order("ready_for_pickup", "collection", None);
        let collected = order("delivered", "collection", None);
        assert_eq!(lines(Some(&ready), &collected), ["delivered: The kitchen hands it to Mei Tanaka"]);
        assert!(has_ended(&collected) && !has_ended(&ready));
    }

    #[test]
    fn an_early_end_states_its_reason() {
        let placed = order("confirmed", "delivery", None);
        for (closure, line) in [
            (
                json!({"how": "rejected", "reason": "too_busy"}),
                "rejected: The kitchen rejects the order: too busy",
            ),
            (
                json!({"how": "cancelled", "by": {"role": "customer"}, "reason": "changed_mind"}),
                "cancelled: Mei Tanaka cancels the order: changed mind",
            ),
            (
                json!({"how": "cancelled", "by": {"role": "admin"}, "reason": "other"}),
                "cancelled: The platform cancels the order: other",
            ),
            (
                json!({"how": "expired", "waited_for": "acceptance"}),
                "expired: Dabba ends the order, which nobody accepted in time",
            ),
        ] {
            let mut ended = order("cancelled", "delivery", None);
            ended["closure"] = closure;
            assert_eq!(lines(Some(&placed), &ended), [line]);
            assert!(has_ended(&ended));
        }
    }
}

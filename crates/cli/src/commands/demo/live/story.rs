//! The output of the evening: one line per change.

use dabba_domain::{Currency, Timestamp};
use dabba_engine::{Clock as _, SystemClock};
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;

use super::{super::narrator::display, summary::Summary};
use crate::{failure::Failure, output};

/// Width of the column with the person, in characters.
const NAME_WIDTH: usize = 13;

/// Prints the lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    json: bool,
}

/// A line of the story.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    /// The change, as one word.
    pub(super) event: &'static str,
    /// The person who made the change.
    pub(super) who: &'a str,
    /// The order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) order_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display_code: Option<&'a str>,
    /// The action of the person, in words.
    pub(super) text: String,
}

#[derive(Serialize)]
struct JsonLine<'a, T> {
    at: Timestamp,
    #[serde(flatten)]
    line: &'a T,
}

/// The last line in JSON.
#[derive(Serialize)]
struct End<'a> {
    event: &'static str,
    #[serde(flatten)]
    summary: &'a Summary,
    text: String,
}

impl Story {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a line about an order.
    pub(super) fn print(self, line: &Line<'_>) -> Result<(), Failure> {
        let now = SystemClock.now();
        if self.json {
            return output::json(&JsonLine { at: now, line });
        }
        let Line { who, text, .. } = line;
        let time = now.to_zoned(TimeZone::system());
        let code = line.display_code.unwrap_or("");
        output::line(format_args!("{}  {code:<5}  {who:<NAME_WIDTH$} {text}", time.strftime("%H:%M:%S")))
    }

    /// Prints the summary, in JSON as the last line.
    pub(super) fn end(self, summary: &Summary) -> Result<(), Failure> {
        if !self.json {
            return output::line(summary.in_lines());
        }
        let end = End { event: "end", summary, text: summary.in_a_line() };
        output::json(&JsonLine { at: SystemClock.now(), line: &end })
    }
}

/// Returns the lines of an order in words, its kind and its total.
pub(super) fn in_words(order: &Value) -> String {
    let line = |line: &Value| {
        let name = line["name"].as_str().unwrap_or("?");
        match line["quantity"].as_u64() {
            Some(1) | None => name.to_owned(),
            Some(quantity) => format!("{quantity} × {name}"),
        }
    };
    let lines: Vec<String> = order["lines"].as_array().into_iter().flatten().map(line).collect();
    let currency = order["currency"].as_str().and_then(Currency::from_code);
    let total = display(currency, &order["amounts"]["total"]);
    let kind = if order["fulfilment"]["type"] == "delivery" { "for delivery" } else { "to collect" };
    format!("{}, {kind}: {total}", lines.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_is_described_in_words() {
        let mut order = json!({
            "lines": [{"name": "Masala Dosa", "quantity": 2}, {"name": "Black Dal", "quantity": 1}],
            "currency": "GBP", "amounts": {"total": 2840}, "fulfilment": {"type": "delivery"},
        });
        assert_eq!(in_words(&order), "2 × Masala Dosa, Black Dal, for delivery: £28.40");
        order["fulfilment"]["type"] = json!("collection");
        assert_eq!(in_words(&order), "2 × Masala Dosa, Black Dal, to collect: £28.40");
    }
}

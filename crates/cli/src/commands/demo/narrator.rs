//! Output of the demo: numbered steps with the actor, the action and the response time.

use std::{fmt, io::IsTerminal as _, time::Duration};

use dabba_domain::{Amount, Currency};
use serde_json::Value;

use crate::{failure::Failure, logging::wants_colours, output};

/// Width to which the text of a step is padded, so that the times are aligned.
const STEP_WIDTH: usize = 66;

/// Writer of the demo's output.
pub(super) struct Narrator {
    coloured: bool,
    steps: u32,
}

/// Highlighting of a part of a line on terminals with colours.
#[derive(Clone, Copy)]
enum Style {
    Bold,
    Faint,
    Green,
    Yellow,
}

impl Narrator {
    /// Returns a narrator. It uses colours if `coloured` is true and standard output is a terminal.
    pub(super) fn new(coloured: bool) -> Self {
        let coloured = coloured && std::io::stdout().is_terminal() && wants_colours();
        Self { coloured, steps: 0 }
    }

    fn paint(&self, style: Style, text: impl fmt::Display) -> String {
        if !self.coloured {
            return text.to_string();
        }
        let code = match style {
            Style::Bold => 1,
            Style::Faint => 2,
            Style::Green => 32,
            Style::Yellow => 33,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Prints a heading.
    pub(super) fn title(&self, text: &str) -> Result<(), Failure> {
        output::line(self.paint(Style::Bold, text))
    }

    /// Prints a step and its response time.
    pub(super) fn step(&mut self, what: &str, elapsed: Duration) -> Result<(), Failure> {
        self.steps += 1;
        let time = format!("{:>7.1} ms", elapsed.as_secs_f64() * 1_000.0);
        let padding = " ".repeat(STEP_WIDTH.saturating_sub(what.chars().count()));
        let number = self.steps;
        output::line(format_args!(
            "\n{number:>2}. {}{padding}{}",
            self.paint(Style::Bold, what),
            self.paint(Style::Faint, time)
        ))
    }

    /// Prints a note about the step.
    #[expect(clippy::unused_self, reason = "a note is the narrator's, though it has no colour")]
    pub(super) fn note(&self, text: impl fmt::Display) -> Result<(), Failure> {
        for line in text.to_string().lines() {
            output::line(format_args!("      {line}"))?;
        }
        Ok(())
    }

    /// Prints the current status of the order.
    pub(super) fn status(&self, order: &Value) -> Result<(), Failure> {
        let status = order["status"].as_str().unwrap_or("?").replace('_', " ");
        let payment = order["payment"]["status"].as_str().unwrap_or("?").replace('_', " ");
        self.note(format_args!("→ {}, payment {payment}", self.paint(Style::Green, status)))
    }

    /// Prints an expected refusal.
    pub(super) fn refusal(&self, text: impl fmt::Display) -> Result<(), Failure> {
        self.note(format_args!("→ {}: {text}", self.paint(Style::Yellow, "refused")))
    }

    /// Prints the lines and the amounts of a quote or an order.
    pub(super) fn bill(&self, priced: &Value) -> Result<(), Failure> {
        let currency = priced["currency"].as_str().and_then(Currency::from_code);
        let money = |minor: &Value| display(currency, minor);
        for line in priced["lines"].as_array().into_iter().flatten() {
            let name = line["name"].as_str().unwrap_or("?");
            let options: Vec<&str> = line["options"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|option| option["name"].as_str())
                .collect();
            let with = if options.is_empty() { String::new() } else { format!(" ({})", options.join(", ")) };
            self.row(&format!("{} × {name}{with}", line["quantity"]), &money(&line["total"]))?;
        }
        let amounts = &priced["amounts"];
        for (label, member) in
            [("subtotal", "subtotal"), ("tax", "tax"), ("delivery", "delivery_fee"), ("tip", "tip")]
        {
            self.row(label, &money(&amounts[member]))?;
        }
        self.row("total", &money(&amounts["total"]))
    }

    fn row(&self, label: &str, amount: &str) -> Result<(), Failure> {
        let padding = " ".repeat(56_usize.saturating_sub(label.chars().count()));
        let space = " ".repeat(9_usize.saturating_sub(amount.chars().count()));
        self.note(format_args!("{label}{padding}{space}{amount}"))
    }

    /// Returns the number of steps so far.
    pub(super) const fn steps(&self) -> u32 {
        self.steps
    }
}

/// Formats an amount for display.
pub(super) fn display(currency: Option<Currency>, minor: &Value) -> String {
    let amount = minor.as_i64().and_then(|minor| Amount::from_minor(minor).ok());
    match (currency, amount) {
        (Some(currency), Some(amount)) => currency.display(amount).to_string(),
        _ => minor.to_string(),
    }
}

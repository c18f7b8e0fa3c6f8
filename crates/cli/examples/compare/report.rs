//! Tables of the figures and their ratios.

use std::{fmt, fmt::Write as _, fs, path::Path};

use super::Result;

/// Markers of a page around the figures.
pub(super) const MARKS: (&str, &str) = ("<!-- compare -->\n", "<!-- /compare -->");
/// Markers of a page around the figures on a full database.
pub(super) const SCALE_MARKS: (&str, &str) = ("<!-- scale -->\n", "<!-- /scale -->");

/// Markers of a page around the figures of outgoing events.
pub(super) const EVENT_MARKS: (&str, &str) = ("<!-- events -->\n", "<!-- /events -->");
/// Markers of the comparison with boards in the page.
pub(super) const BOARD_MARKS: (&str, &str) = ("<!-- boards -->", "<!-- /boards -->");

/// Orders per second of each measurement in a round.
pub(super) struct Round {
    /// Measurement a.
    pub(super) single: f64,
    /// Measurement b.
    pub(super) batched: f64,
    /// Measurement c.
    pub(super) dabba: f64,
    /// Measurement d.
    pub(super) embedded: f64,
    /// Measurement e.
    pub(super) embedded_loop: f64,
}

impl fmt::Display for Round {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { single, batched, dabba, embedded, embedded_loop } = self;
        write!(
            formatter,
            "a {single:.0}, b {batched:.0}, c {dabba:.0}, d {embedded:.0}, e {embedded_loop:.0} orders/s"
        )
    }
}

/// A figure of a round.
type Figure = fn(&Round) -> f64;

/// Returns a table of the figures and their ratios.
pub(super) fn text(rounds: &[Round], machine: &str) -> String {
    let mut text = format!(
        "Measured in {} rounds on {machine}.\n\n| orders/s | min | median | max |\n|---|---|---|---|\n",
        rounds.len()
    );
    let figures: [(&str, Figure); 5] = [
        ("a: pgbench, one order a transaction, 8 clients", |round| round.single),
        ("b: pgbench, 50 orders a transaction, 2 clients", |round| round.batched),
        ("c: Dabba over HTTP, PostgreSQL", |round| round.dabba),
        ("d: Dabba over HTTP, SQLite", |round| round.embedded),
        ("e: loop on SQLite, one order a transaction", |round| round.embedded_loop),
    ];
    for (name, figure) in figures {
        let [min, median, max] = spread(rounds.iter().map(figure).collect());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {min:.0} | {median:.0} | {max:.0} |");
    }
    text.push_str("\n| ratio | min | median | max | goal |\n|---|---|---|---|---|\n");
    let ratios: [(&str, Figure, f64); 3] = [
        ("c / a", |round| round.dabba / round.single, 2.0),
        ("c / b", |round| round.dabba / round.batched, 0.6),
        ("d / e", |round| round.embedded / round.embedded_loop, 2.0),
    ];
    for (name, ratio, goal) in ratios {
        let [min, median, max] = spread(rounds.iter().map(ratio).collect());
        let _ = writeln!(text, "| {name} | {min:.2} | {median:.2} | {max:.2} | ≥ {goal:.1} |");
    }
    text
}

/// Returns the minimum, the median and the maximum of some figures.
pub(super) fn spread(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_unstable_by(f64::total_cmp);
    let at = |place: usize| figures.get(place).copied().unwrap_or(f64::NAN);
    let last = figures.len().saturating_sub(1);
    // An even number of figures has two in the middle.
    let median = f64::midpoint(at(last / 2), at(figures.len() / 2));
    [at(0), median, at(last)]
}

/// Replaces the text between the markers of a page.
pub(super) fn put_into(page: &Path, (begin, end): (&str, &str), text: &str) -> Result<()> {
    let before = fs::read_to_string(page)?;
    let (head, rest) = before.split_once(begin).ok_or("the page lacks the opening marker of the figures")?;
    let (_, tail) = rest.split_once(end).ok_or("the page lacks the closing marker of the figures")?;
    fs::write(page, format!("{head}{begin}\n{text}\n{end}{tail}"))?;
    Ok(())
}

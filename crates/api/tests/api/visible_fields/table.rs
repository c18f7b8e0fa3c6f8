//! The table of the visible fields, as its files state it.
//!
//! | line | meaning |
//! |---|---|
//! | `[Name]` | begins a section: the fields of one body |
//! | `GET /v1/orders at /orders/*` | an operation whose response has the section's fields, and their place in it |
//! | `/payment/status  . C . S . K . A` | a field, and the callers who see it |
//! | `# …` | a comment |

use std::collections::{BTreeMap, BTreeSet};

use super::recorder::Caller;

/// Name of the section of all refusals.
pub(super) const PROBLEM: &str = "Problem";
/// Name of the section of values, which must not occur in the text of other callers' responses.
pub(super) const VALUES: &str = "Values";

const FILES: [&str; 9] = [
    include_str!("orders.txt"),
    include_str!("boards.txt"),
    include_str!("events.txt"),
    include_str!("tracking.txt"),
    include_str!("restaurants.txt"),
    include_str!("accounts.txt"),
    include_str!("webhooks.txt"),
    include_str!("problems.txt"),
    include_str!("values.txt"),
];

/// The rows of one body.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub(super) name: &'static str,
    /// The operations that respond with the body, and the place of the body in the response.
    pub(super) operations: BTreeMap<&'static str, &'static str>,
    /// The callers who see each field.
    pub(super) rows: BTreeMap<&'static str, BTreeSet<Caller>>,
}

/// Returns the sections of the table.
pub(super) fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in FILES.iter().flat_map(|file| file.lines()).map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push(Section { name, ..Section::default() });
            continue;
        }
        let section = sections.last_mut().unwrap_or_else(|| panic!("a section before {line}"));
        if let Some((field, callers)) = row(line) {
            assert!(section.rows.insert(field, callers).is_none(), "two rows of {field} in {}", section.name);
        } else {
            let (operation, place) = line.split_once(" at ").unwrap_or((line, ""));
            assert!(section.operations.insert(operation.trim(), place.trim()).is_none(), "{line} twice");
        }
    }
    sections
}

/// Returns the field and the callers of a row; `None` if the line is not a row.
fn row(line: &'static str) -> Option<(&'static str, BTreeSet<Caller>)> {
    let mut field = line;
    let mut callers = BTreeSet::new();
    for caller in Caller::ALL.iter().rev() {
        let (before, cell) = field.rsplit_once(char::is_whitespace)?;
        match cell {
            "." => {}
            cell if cell.parse() == Ok(caller.letter()) => {
                callers.insert(*caller);
            }
            _ => return None,
        }
        field = before;
    }
    Some((field.trim_end(), callers))
}

/// Returns the row of a field that these callers see.
pub(super) fn print(field: &str, callers: &BTreeSet<Caller>) -> String {
    let cells = Caller::ALL.map(|it| if callers.contains(&it) { it.letter() } else { '.' }.to_string());
    format!("{field:<60} {}", cells.join(" "))
}

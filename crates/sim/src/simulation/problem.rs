//! Problems that a simulation finds, with the invariants that they violate.

use crate::audit::{Finding, FindingCode};

/// A problem.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// The problem, in one line.
    pub(super) text: String,
    /// Numbers of the violated invariants, as in `docs/explanation/architecture.md`; empty if none is known.
    pub(super) invariants: Vec<&'static str>,
}

impl Problem {
    /// Returns the problem for a violated invariant.
    pub(super) fn violating(invariant: &'static str, text: String) -> Self {
        Self { text, invariants: vec![invariant] }
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { text, invariants: Vec::new() }
    }
}

impl From<&Finding> for Problem {
    fn from(finding: &Finding) -> Self {
        let invariants = match finding.code {
            // At the end of a simulation, no order waits for the provider any more.
            FindingCode::GatewayAhead => vec!["I8"],
            // The actor has another role, or is no party to the order.
            FindingCode::IllegalActor => vec!["I5", "I9"],
            // The invariant of a warning is empty.
            code => Some(code.invariant()).filter(|invariant| !invariant.is_empty()).into_iter().collect(),
        };
        let text = match finding.order_id {
            Some(id) => format!("{} of order {id}: {}", finding.code.as_str(), finding.text),
            None => format!("{}: {}", finding.code.as_str(), finding.text),
        };
        Self { text, invariants }
    }
}

//! What an audit found.

use std::{collections::BTreeMap, fmt};

use dabba_domain::OrderId;
use serde::Serialize;

use super::{Code, Severity};

/// Something that an audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// Of which order; none when it is not about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// What is stored and what should be.
    pub text: String,
}

impl Finding {
    pub(super) fn new(code: Code, order_id: OrderId, text: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), order_id: Some(order_id), text: text.into() }
    }

    pub(super) fn of_no_order(code: Code, text: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), order_id: None, text: text.into() }
    }
}

/// What an audit looked at, and what it found. All findings are counted, the first ones are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Orders looked at.
    pub orders: u64,
    /// Events looked at.
    pub events: u64,
    /// Tasks looked at.
    pub tasks: u64,
    /// Idempotency keys looked at.
    pub keys: u64,
    /// Limited items looked at.
    pub items: u64,
    /// How often an order was read again, because it seemed wrong and might only have been changing.
    pub rereads: u64,
    /// Breaches found.
    pub breaches: u64,
    /// Warnings found.
    pub warnings: u64,
    /// Findings of each code that was found.
    pub counts: BTreeMap<Code, u64>,
    /// The first findings: at most [`Report::MAX_KEPT`] breaches and as many warnings.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Most breaches, and most warnings, that are kept in full. A store with a defect has it in every
    /// order; the first ones tell which.
    pub const MAX_KEPT: u64 = 100;

    /// Whether nothing is stored that must not be. Warnings do not count.
    pub const fn is_clean(&self) -> bool {
        self.breaches == 0
    }

    /// How many findings are counted but not kept.
    pub fn left_out(&self) -> u64 {
        (self.breaches + self.warnings) - u64::try_from(self.findings.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn add(&mut self, finding: Finding) {
        let count = match finding.severity {
            Severity::Breach => &mut self.breaches,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        *self.counts.entry(finding.code).or_default() += 1;
        if *count <= Self::MAX_KEPT {
            self.findings.push(finding);
        }
    }
}

/// For people: each finding on a line, then what was counted.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { code, severity, order_id, text } in &self.findings {
            write!(formatter, "{:<7} {code:<21} ", severity.as_str())?;
            if let Some(order_id) = order_id {
                write!(formatter, "order {order_id}: ")?;
            }
            writeln!(formatter, "{text}")?;
        }
        if self.left_out() > 0 {
            writeln!(formatter, "and {} more that are not shown:", self.left_out())?;
            for (code, count) in &self.counts {
                writeln!(formatter, "        {code:<21} {count}")?;
            }
        }
        writeln!(formatter, "{} tasks, {} keys, {} limited items", self.tasks, self.keys, self.items)?;
        write!(
            formatter,
            "{} orders with {} events: {} breaches, {} warnings",
            self.orders, self.events, self.breaches, self.warnings
        )
    }
}

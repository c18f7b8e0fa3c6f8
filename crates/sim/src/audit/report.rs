//! The report of an audit.

use std::{collections::BTreeMap, fmt};

use dabba_domain::OrderId;
use serde::Serialize;

use super::{FindingCode, Severity};

/// A finding of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind of finding.
    pub code: FindingCode,
    /// The severity.
    pub severity: Severity,
    /// The order; none if the finding is not about an order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// The stored value and the expected value.
    pub text: String,
}

impl Finding {
    pub(super) fn new(code: FindingCode, order_id: OrderId, text: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), order_id: Some(order_id), text: text.into() }
    }

    pub(super) fn of_no_order(code: FindingCode, text: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), order_id: None, text: text.into() }
    }
}

/// The report of an audit. It counts all findings and contains the first ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Number of audited orders.
    pub orders: u64,
    /// Number of audited events.
    pub events: u64,
    /// Number of audited tasks.
    pub tasks: u64,
    /// Number of audited idempotency keys.
    pub keys: u64,
    /// Number of audited limited items.
    pub items: u64,
    /// Number of times that an order was read again, because it had findings and might have been changing.
    pub rereads: u64,
    /// Number of breaches.
    pub breaches: u64,
    /// Number of warnings.
    pub warnings: u64,
    /// Number of findings per code.
    pub counts: BTreeMap<FindingCode, u64>,
    /// The first findings: at most [`AuditReport::MAX_KEPT`] breaches and as many warnings.
    pub findings: Vec<Finding>,
}

impl AuditReport {
    /// Maximum number of breaches, and of warnings, in the report. A store with a defect has it in every
    /// order, so the first findings show which defect it is.
    pub const MAX_KEPT: u64 = 100;

    /// Returns whether there is no breach. Warnings do not count.
    pub const fn is_clean(&self) -> bool {
        self.breaches == 0
    }

    /// Returns the number of findings that are counted but not in the report.
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

/// For humans: one line per finding, then the counts.
impl fmt::Display for AuditReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { code, severity, order_id, text } in &self.findings {
            write!(formatter, "{:<7} {code:<21} ", severity.as_str())?;
            if let Some(order_id) = order_id {
                write!(formatter, "order {order_id}: ")?;
            }
            writeln!(formatter, "{text}")?;
        }
        if self.left_out() > 0 {
            writeln!(formatter, "and {} more, which are not shown:", self.left_out())?;
            for (code, count) in &self.counts {
                writeln!(formatter, "        {code:<21} {count}")?;
            }
        }
        writeln!(formatter, "tasks: {}, keys: {}, limited items: {}", self.tasks, self.keys, self.items)?;
        write!(
            formatter,
            "orders: {}, events: {}, breaches: {}, warnings: {}",
            self.orders, self.events, self.breaches, self.warnings
        )
    }
}

//! The refusals that the conditions of a commit allow.

use dabba_store::{CommitOutcome, StockChange};

use super::Conditions;
use crate::Error;

/// The refusals that the conditions of one commit allow.
#[derive(Clone, Copy)]
pub(super) struct AllowedRefusals {
    /// The commit claims an idempotency key.
    claim: bool,
    /// The commit has a guard of the catalogue.
    catalogue: bool,
    /// The commit draws from stock.
    stock: bool,
    /// The commit completes a leased task.
    lease: bool,
}

impl AllowedRefusals {
    pub(super) fn by(conditions: &Conditions) -> Self {
        Self {
            claim: conditions.claim.is_some(),
            catalogue: conditions.catalogue.is_some(),
            stock: conditions.stock.iter().any(|change| matches!(change, StockChange::Take(_))),
            lease: conditions.completes.is_some(),
        }
    }

    /// Returns an error if the commit has no condition for this outcome: this is a defect of the store.
    pub(super) fn check(self, outcome: &CommitOutcome) -> Result<(), Error> {
        let is_allowed = match outcome {
            // Every commit has a condition on the version of its order, and every bucket can be moved.
            CommitOutcome::Committed | CommitOutcome::VersionConflict { .. } | CommitOutcome::Moved => true,
            CommitOutcome::Replayed { .. } | CommitOutcome::KeyReused | CommitOutcome::NewerClaim => {
                self.claim
            }
            CommitOutcome::CatalogueChanged => self.catalogue,
            CommitOutcome::OutOfStock(_) => self.stock,
            CommitOutcome::LeaseLost => self.lease,
        };
        if is_allowed {
            return Ok(());
        }
        Err(Error::Internal(format!("a commit was answered with {outcome:?}, for which it has no condition")))
    }
}

//! Isolation of the bad commit in a batch that the store refused as corrupt, so that the other commits of the batch
//! succeed.
//!
//! The store writes nothing of such a batch ([`StoreError::Corrupt`]), so its commits can be committed again. The batch
//! is halved until a bad commit is alone in its transaction. One bad commit among 256 needs at most 16 transactions;
//! committing each commit alone would need 256. The order of the commits does not change.

use std::sync::Arc;

use dabba_store::{Commit, StoreError};

use super::{Committer, Waiting};

/// Maximum number of transactions for the rest of a batch that was refused as corrupt. A batch of 256 with five bad
/// commits stays within this limit. When the limit is reached, the remaining commits fail with the batch: then most
/// commits are bad, or the database is damaged.
const MAX_TRANSACTIONS: usize = 64;

/// A contiguous portion of a batch.
struct Portion {
    batch: Vec<Arc<Commit>>,
    waiting: Vec<Waiting>,
}

impl Portion {
    /// Splits the portion into its first and second half.
    fn halves(mut self) -> [Self; 2] {
        let middle = self.batch.len() / 2;
        let second = Self { batch: self.batch.split_off(middle), waiting: self.waiting.split_off(middle) };
        [self, second]
    }
}

impl Committer {
    /// Commits all valid commits of a batch that was refused with `error`, and answers all callers of the batch.
    pub(super) async fn isolate(&self, batch: Vec<Arc<Commit>>, waiting: Vec<Waiting>, error: StoreError) {
        tracing::error!(%error, commits = batch.len(), "the store refused a batch as corrupt; its halves are committed to isolate the bad commit");
        let [first, second] = Portion { batch, waiting }.halves();
        // A stack: the next portion to commit is the last element.
        let mut portions = vec![second, first];
        let mut left = MAX_TRANSACTIONS;
        while let Some(Portion { batch, waiting }) = portions.pop() {
            if left == 0 {
                self.answer(waiting, Err(error.clone()));
                continue;
            }
            left -= 1;
            self.metrics.isolating_transactions.inc();
            let kept = if batch.len() > 1 { batch.clone() } else { Vec::new() };
            match self.try_commit(batch).await {
                Err(StoreError::Corrupt(_)) if !kept.is_empty() => {
                    let [first, second] = Portion { batch: kept, waiting }.halves();
                    portions.extend([second, first]);
                }
                outcomes => self.answer(waiting, outcomes),
            }
        }
    }
}

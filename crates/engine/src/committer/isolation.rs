//! A batch that is refused as corrupt: one bad commit must not fail its neighbours.
//!
//! Nothing of such a batch is written ([`StoreError::Corrupt`]), so its commits can be committed again. The batch is
//! halved until a bad commit stands alone: for one bad commit among 256, that is at most 16 transactions, where 256
//! would be needed to commit each alone. The order of the commits stays.

use std::sync::Arc;

use dabba_store::{Commit, StoreError};

use super::{Committer, Waiting};

/// Maximum number of transactions for the rest of a batch that was refused as corrupt. A batch of 256 with five bad
/// commits needs no more. Commits that are left then fail with the batch: more of them are bad than good, or the
/// database is damaged.
const MAX_TRANSACTIONS: usize = 64;

/// A part of a batch, in order.
struct Portion {
    batch: Vec<Arc<Commit>>,
    waiting: Vec<Waiting>,
}

impl Portion {
    /// The first half and the second.
    fn halves(mut self) -> [Self; 2] {
        let middle = self.batch.len() / 2;
        let second = Self { batch: self.batch.split_off(middle), waiting: self.waiting.split_off(middle) };
        [self, second]
    }
}

impl Committer {
    /// Commits all but the bad commits of a batch that was refused with `error`, and answers everybody.
    pub(super) async fn isolate(&self, batch: Vec<Arc<Commit>>, waiting: Vec<Waiting>, error: StoreError) {
        tracing::error!(%error, commits = batch.len(), "the store refused a batch as corrupt; its halves are committed to isolate the bad commit");
        let [first, second] = Portion { batch, waiting }.halves();
        // The portion to commit next is at the end.
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

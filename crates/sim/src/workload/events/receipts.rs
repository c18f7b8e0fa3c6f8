//! What a stream records, whatever its messages are.

use dabba_domain::Timestamp;

use super::comparison::{Expected, Finding, Interest};

/// The maximum number of events is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What one endpoint or stream received.
pub trait Receipts: Send + Sync {
    /// Records a message of a stream: its name, its data and the time of its receipt.
    fn record_message(&self, name: &str, data: &[u8], at: Timestamp) -> Result<(), Full>;

    /// Returns the number of different receipts.
    fn count(&self) -> usize;

    /// Returns the number of receipts of what was known.
    fn repeated(&self) -> u64;

    /// Returns the number of messages that cannot be read.
    fn malformed(&self) -> u64;

    /// Compares the receipts with the events that the feed contains.
    fn compare(&self, expected: &Expected, interest: Interest<'_>) -> Finding;
}

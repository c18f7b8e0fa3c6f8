//! Cursors of a feed.

use std::fmt::Display;

use dabba_store::{FeedCursor, StoreError};

/// Returns the position of a cursor; the default position for the start of the feed. `parse` returns the position of a
/// text, if the text names a position after the start.
///
/// Accepts only the exact text that the store writes for a position: no sign, no leading zeros. The error ends with
/// `hint`.
pub fn position_of<P: Default + Display>(
    cursor: &FeedCursor,
    hint: &str,
    parse: impl FnOnce(&str) -> Option<P>,
) -> Result<P, StoreError> {
    if *cursor == FeedCursor::start() {
        return Ok(P::default());
    }
    parse(&cursor.0).filter(|position| position.to_string() == cursor.0).ok_or_else(|| {
        StoreError::Corrupt(format!("the cursor of the feed was not issued by this store{hint}"))
    })
}

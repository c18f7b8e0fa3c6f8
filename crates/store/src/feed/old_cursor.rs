//! The cursors of earlier versions, which name neither shards nor incarnations.
//!
//! Example of a map's cursor: `r1.9f86d081.2.0-6-740-17`: the format, a digest of the shards' names, the index of the
//! shard whose turn is next, and for each shard the length of its own cursor followed by that cursor. A shard's cursor
//! is empty at the start of the feed; otherwise it is `TRANSACTION-SEQUENCE`, or the sequence alone on the embedded
//! store.
//!
//! No HTTP response of an earlier version contained a cursor. Programs that read the feed through the store may have
//! kept one.

use super::{FeedPosition, FeedSource};
use crate::MAX_SHARDS;

const FORMAT: &str = "r1";

/// A cursor of a map, in the format `r1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MapCursor {
    text: String,
    digest: u32,
    /// The position in each shard, by index.
    positions: Vec<FeedPosition>,
}

impl MapCursor {
    /// Parses a cursor. Accepts only the exact text that earlier versions wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '.');
        let (format, digest) = (parts.next()?, parts.next()?);
        let turn: usize = parts.next()?.parse().ok()?;
        let mut rest = parts.next()?;
        let digest = u32::from_str_radix(digest, 16).ok()?;
        let mut written = format!("{FORMAT}.{digest:08x}.{turn}.");
        let mut positions = Vec::new();
        while !rest.is_empty() {
            let (length, behind) = rest.split_once('-')?;
            let (cursor, next) = behind.split_at_checked(length.parse().ok()?)?;
            positions.push(if cursor.is_empty() { FeedPosition::START } else { parse_position(cursor)? });
            written.push_str(&cursor.len().to_string());
            written.push('-');
            written.push_str(cursor);
            rest = next;
            if positions.len() > MAX_SHARDS {
                return None;
            }
        }
        let is_valid = format == FORMAT && written == text && turn < positions.len();
        is_valid.then(|| Self { text: text.to_owned(), digest, positions })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the position in each source; `None` if the cursor was made for sources with other names, or in another
    /// order.
    pub(super) fn positions_in(&self, sources: &[FeedSource]) -> Option<&[FeedPosition]> {
        let is_same = self.positions.len() == sources.len() && self.digest == digest_of(sources);
        is_same.then_some(&self.positions)
    }
}

/// Returns the position after an event that a single database of an earlier version wrote: `740-17` or `17`.
pub(super) fn parse_position(text: &str) -> Option<FeedPosition> {
    let number = |text: &str| {
        let number: u64 = text.parse().ok()?;
        // No sign and no leading zeros.
        (number > 0 && number.to_string() == text).then_some(number)
    };
    Some(match text.split_once('-') {
        Some((transaction, sequence)) => {
            FeedPosition { transaction: number(transaction)?, sequence: number(sequence)? }
        }
        None => FeedPosition { transaction: 0, sequence: number(text)? },
    })
}

/// Returns a digest (FNV-1a) of the names in their order.
pub(super) fn digest_of(sources: &[FeedSource]) -> u32 {
    let mut digest = 0x811c_9dc5_u32;
    for source in sources {
        // A zero byte, which no name contains, ends each name.
        for byte in source.name.bytes().chain([0]) {
            digest = (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    digest
}

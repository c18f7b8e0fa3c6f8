//! Cursors of lists. A cursor is opaque to clients; it is a few bytes in base64url.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use dabba_domain::{ids::Id, order::Version};
use dabba_engine::SearchPosition;
use dabba_store::OrderCursor;
use uuid::Uuid;

use super::in_digits;

/// A position in a list.
pub trait Cursor: Sized {
    /// Reads a position from a cursor's text; returns `None` if the text is not a cursor.
    fn read(text: &str) -> Option<Self>;

    /// Returns the cursor's text for this position.
    fn write(&self) -> String;
}

impl<K> Cursor for Id<K> {
    fn read(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = decode(text)?.try_into().ok()?;
        Self::from_uuid(Uuid::from_bytes(bytes)).ok()
    }

    fn write(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.uuid().as_bytes())
    }
}

/// A position in an order's history: the version of the last event that the client has read.
impl Cursor for Version {
    fn read(text: &str) -> Option<Self> {
        in_digits(text)
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Cursor for OrderCursor {
    fn read(text: &str) -> Option<Self> {
        let bytes = decode(text)?;
        let (terminal, id) = bytes.split_first()?;
        let order_id = Id::from_uuid(Uuid::from_slice(id).ok()?).ok()?;
        let terminal = match terminal {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self { terminal, order_id })
    }

    fn write(&self) -> String {
        let mut bytes = vec![u8::from(self.terminal)];
        bytes.extend_from_slice(self.order_id.uuid().as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }
}

impl Cursor for SearchPosition {
    fn read(text: &str) -> Option<Self> {
        let bytes = decode(text)?;
        let (millimetres, id) = bytes.split_first_chunk()?;
        let id = Id::from_uuid(Uuid::from_slice(id).ok()?).ok()?;
        Some(Self { millimetres: u64::from_be_bytes(*millimetres), id })
    }

    fn write(&self) -> String {
        let mut bytes = self.millimetres.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.id.uuid().as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    /// Length of the longest cursor, in characters.
    const MAX_LENGTH: usize = 32;
    if text.len() > MAX_LENGTH {
        return None;
    }
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use dabba_domain::{Bucket, OrderId, RestaurantId, Timestamp};

    use super::*;

    #[test]
    fn a_cursor_reads_back_as_the_same_position() {
        let order_id = OrderId::generate(Timestamp::UNIX_EPOCH, Bucket::from_random(9), 9);
        for terminal in [false, true] {
            let cursor = OrderCursor { terminal, order_id };
            assert_eq!(OrderCursor::read(&cursor.write()), Some(cursor));
        }
        assert_eq!(OrderId::read(&Cursor::write(&order_id)), Some(order_id));
        let id = RestaurantId::generate(Timestamp::UNIX_EPOCH, Bucket::from_random(9), 9);
        for millimetres in [0, 12_345_678, u64::MAX] {
            let position = SearchPosition { millimetres, id };
            assert_eq!(SearchPosition::read(&position.write()), Some(position));
        }
    }

    #[test]
    fn texts_that_are_not_cursors_are_refused() {
        let order_id = OrderId::generate(Timestamp::UNIX_EPOCH, Bucket::from_random(9), 9);
        for text in ["", "A", "!!", "AAAA", &"A".repeat(33), &Cursor::write(&order_id)] {
            assert_eq!(OrderCursor::read(text), None, "{text}");
        }
    }
}

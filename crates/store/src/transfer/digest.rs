//! Digest of a table's content.
//!
//! The digest is the sum of the SHA-256 hashes of all rows, so it does not depend on the order of reading: stores
//! collate texts differently. The hash of a feed's row includes the row's position.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Row, Table, Value};

/// Number of rows of a table, and a digest of their content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Number of rows.
    pub rows: u64,
    /// Digest of all rows, in hexadecimal digits.
    pub content: String,
}

/// Computes the [`Digest`] of a table.
#[derive(Debug)]
pub struct DigestBuilder {
    is_feed: bool,
    rows: u64,
    sums: [u128; 2],
}

impl DigestBuilder {
    /// Creates a builder without rows.
    pub const fn new(table: &Table) -> Self {
        Self { is_feed: table.is_feed, rows: 0, sums: [0; 2] }
    }

    /// Returns the number of rows added so far.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds a row. The rows of a feed must be added in order.
    pub fn add(&mut self, row: &Row) {
        let mut hash = Sha256::new();
        if self.is_feed {
            hash.update(self.rows.to_be_bytes());
        }
        for value in row {
            let (tag, bytes): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Number(number) => (1, &number.to_be_bytes()),
                Value::Text(text) => (2, text.as_bytes()),
                Value::Bytes(bytes) => (3, bytes),
            };
            hash.update([tag]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        let hash = hash.finalize();
        for (sum, half) in self.sums.iter_mut().zip(hash.chunks_exact(16)) {
            let half = half.iter().fold(0, |number: u128, byte| number << 8 | u128::from(*byte));
            *sum = sum.wrapping_add(half);
        }
        self.rows += 1;
    }

    /// Returns the digest of the added rows.
    pub fn finish(self) -> Digest {
        let [first, second] = self.sums;
        Digest { rows: self.rows, content: format!("{first:032x}{second:032x}") }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::TABLES, *};

    fn digest(table: &str, rows: &[Row]) -> Digest {
        let table = TABLES.iter().find(|known| known.name == table).unwrap();
        let mut digest = DigestBuilder::new(table);
        for row in rows {
            digest.add(row);
        }
        digest.finish()
    }

    /// Proves that the order of rows changes only the digest of a feed, and that every value changes the digest.
    #[test]
    fn a_digest_depends_on_the_content_of_the_table() {
        let (one, two) = (vec![Value::Number(1)], vec![Value::Text("1".to_owned())]);
        let (ahead, back) = ([one.clone(), two.clone()], [two.clone(), one.clone()]);
        assert_eq!(digest("orders", &ahead), digest("orders", &back));
        assert_ne!(digest("order_events", &ahead), digest("order_events", &back));
        assert_ne!(digest("orders", &ahead), digest("orders", &[one.clone(), one.clone()]));
        assert_ne!(digest("orders", std::slice::from_ref(&one)), digest("orders", &[two]));
        // Moving a text to the next column changes the digest.
        let split =
            |left: &str, right: &str| vec![Value::Text(left.to_owned()), Value::Text(right.to_owned())];
        assert_ne!(digest("orders", &[split("ab", "c")]), digest("orders", &[split("a", "bc")]));
        assert_ne!(digest("orders", &[vec![Value::Null]]), digest("orders", &[vec![Value::Bytes(vec![])]]));
    }
}

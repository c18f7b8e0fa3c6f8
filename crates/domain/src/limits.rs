//! Every limit on what a caller may send, in one place. The API description and the documentation
//! quote these values; nothing else repeats them.

/// Most lines in one order.
pub const MAX_LINES: usize = 100;
/// Most of one kind in a line.
pub const MAX_QUANTITY: u32 = 99;
/// Most options chosen in one line.
pub const MAX_CHOSEN_OPTIONS: usize = 100;
/// Most categories in a menu.
pub const MAX_CATEGORIES: usize = 200;
/// Most items in a menu, over all categories.
pub const MAX_ITEMS: usize = 5_000;
/// Most option groups in an item.
pub const MAX_OPTION_GROUPS: usize = 50;
/// Most options in a group.
pub const MAX_OPTIONS: usize = 100;
/// Most tags on an item.
pub const MAX_TAGS: usize = 32;
/// Most intervals in a week's opening hours.
pub const MAX_OPENING_INTERVALS: usize = 70;
/// Longest identifier in a menu, in characters.
pub const MAX_SLUG_LENGTH: usize = 64;
/// Longest id of another system, in characters.
pub const MAX_EXTERNAL_ID_LENGTH: usize = 64;
/// Maximum length of the external code of an item, an option group or an option, in characters.
pub const MAX_EXTERNAL_CODE_LENGTH: usize = 64;
/// Minimum number of digits, of 5 bits each, of the hash in a generated id. With 10 digits, the chance that two of
/// 5,000 names have the same hash is one in 90 million; then the hashes are lengthened.
pub const MIN_ID_HASH_LENGTH: usize = 10;
/// Maximum number of retired ids that a menu remembers. A menu forgets the oldest one first.
pub const MAX_RETIRED_IDS: usize = 10_000;
/// Longest token or reference of a payment provider, in characters.
pub const MAX_PAYMENT_TEXT_LENGTH: usize = 255;
/// Longest time before the acceptance deadline at which the restaurant is warned, in seconds. Where the
/// restaurant has less than twice as long, it is warned at half of its time.
pub const MAX_WARNING_LEAD_SECONDS: u32 = 120;
/// Longest name (restaurant, item, person), in characters.
pub const MAX_NAME_LENGTH: usize = 120;
/// Longest telephone number, in characters.
pub const MAX_PHONE_LENGTH: usize = 40;
/// Fewest digits of a telephone number.
pub const MIN_PHONE_DIGITS: usize = 3;
/// Longest description, note or free text, in characters.
pub const MAX_TEXT_LENGTH: usize = 500;
/// Largest amount of money, in minor units: ten thousand million in a two-digit currency, and
/// well below 2^53, so that every JSON reader holds it exactly.
pub const MAX_AMOUNT: i64 = 1_000_000_000_000;
/// Highest tax rate, in basis points (100 %).
pub const MAX_TAX_RATE_BASIS_POINTS: u32 = 10_000;
/// Longest time a restaurant may take to accept, in seconds (one day).
pub const MAX_ACCEPTANCE_DEADLINE_SECONDS: u32 = 86_400;
/// Shortest time a restaurant may take to accept, in seconds.
pub const MIN_ACCEPTANCE_DEADLINE_SECONDS: u32 = 30;
/// Time a restaurant has to accept when it has not chosen one, in seconds (8 minutes).
pub const DEFAULT_ACCEPTANCE_DEADLINE_SECONDS: u32 = 480;
/// Longest preparation time a restaurant may announce, in minutes (one day).
pub const MAX_PREPARATION_MINUTES: u32 = 1_440;
/// Latest time that a request may name, at most a second before the last one that a [`Timestamp`](crate::Timestamp) holds.
pub const MAX_TIME: &str = "9999-12-30T22:00:00Z";
/// Most of an item that can be in stock.
pub const MAX_STOCK: u32 = 1_000_000;
/// Maximum number of events of one order, from which on it takes only commands that end it, refunds and what its
/// payment provider reports. Reached only by endless partial refunds or reassignments.
pub const MAX_ORDER_VERSION: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn the_latest_time_is_the_last_second_of_a_timestamp() {
        let latest: Timestamp = MAX_TIME.parse().unwrap();
        assert_eq!(latest.as_second(), Timestamp::MAX.as_second());
    }
}

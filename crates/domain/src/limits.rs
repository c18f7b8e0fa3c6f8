//! All limits on the input of a caller. Code uses these values. Doc comments, the API description and the documentation
//! quote them.

/// Maximum number of lines in one order.
pub const MAX_LINES: usize = 100;
/// Maximum quantity of an item in one line.
pub const MAX_QUANTITY: u32 = 99;
/// Maximum quantity of an option for one item.
pub const MAX_OPTION_QUANTITY: u32 = 99;
/// Maximum number of options chosen in one line.
pub const MAX_CHOSEN_OPTIONS: usize = 100;
/// Maximum number of categories in a menu.
pub const MAX_CATEGORIES: usize = 200;
/// Maximum number of items in a menu, over all categories.
pub const MAX_ITEMS: usize = 5_000;
/// Maximum number of option groups in an item.
pub const MAX_OPTION_GROUPS: usize = 50;
/// Maximum number of options in a group.
pub const MAX_OPTIONS: usize = 100;
/// Maximum number of tags on an item.
pub const MAX_TAGS: usize = 32;
/// Maximum number of images of an item.
pub const MAX_IMAGES: usize = 10;
/// Maximum length of the URL of an image, in characters.
pub const MAX_IMAGE_URL_LENGTH: usize = 1_000;
/// Maximum number of opening intervals in a week.
pub const MAX_OPENING_INTERVALS: usize = 70;
/// Maximum number of weekly openings in the hours of a category or an item: four a day.
pub const MAX_MENU_HOURS: usize = 28;
/// Maximum length of an identifier in a menu, in characters.
pub const MAX_SLUG_LENGTH: usize = 64;
/// Maximum length of an id from another system, in characters.
pub const MAX_EXTERNAL_ID_LENGTH: usize = 64;
/// Maximum length of the external code of a category, an item, an option group or an option, in characters.
pub const MAX_EXTERNAL_CODE_LENGTH: usize = 64;
/// Minimum number of digits, of 5 bits each, of the hash in a generated id. With 10 digits, the chance that two of
/// 5,000 names have the same hash is one in 90 million. If two names do have the same hash, Dabba uses longer hashes.
pub const MIN_ID_HASH_LENGTH: usize = 10;
/// Maximum number of retired ids that a menu keeps. A menu drops the oldest one first.
pub const MAX_RETIRED_IDS: usize = 10_000;
/// Maximum length of a token or reference of a payment provider, in characters.
pub const MAX_PAYMENT_TEXT_LENGTH: usize = 255;
/// Maximum lead time of the warning before the acceptance deadline, in seconds. If the restaurant has less than twice
/// this time to accept, Dabba warns it after half of its time.
pub const MAX_WARNING_LEAD_SECONDS: u32 = 120;
/// Maximum length of a name (restaurant, item, person), in characters.
pub const MAX_NAME_LENGTH: usize = 120;
/// Maximum length of a telephone number, in characters.
pub const MAX_PHONE_LENGTH: usize = 40;
/// Minimum number of digits of a telephone number.
pub const MIN_PHONE_DIGITS: usize = 3;
/// Maximum length of a description, note or other free text, in characters.
pub const MAX_TEXT_LENGTH: usize = 500;
/// Maximum amount of money, in minor units: ten thousand million in a two-digit currency. Far below 2^53, so that every
/// JSON reader holds it exactly.
pub const MAX_AMOUNT: i64 = 1_000_000_000_000;
/// Maximum number of taxes of a restaurant.
pub const MAX_TAXES: usize = 20;
/// Maximum number of fees of a restaurant.
pub const MAX_FEES: usize = 20;
/// Maximum number of tiers of a fee.
pub const MAX_FEE_TIERS: usize = 20;
/// Maximum distance from which a tier of a fee applies, in metres.
pub const MAX_TIER_METRES: u32 = 1_000_000;
/// Maximum tax rate, in basis points (100 %).
pub const MAX_TAX_RATE_BASIS_POINTS: u32 = 10_000;
/// Maximum time that a restaurant may take to accept, in seconds (one day).
pub const MAX_ACCEPTANCE_DEADLINE_SECONDS: u32 = 86_400;
/// Minimum time that a restaurant may set to accept, in seconds.
pub const MIN_ACCEPTANCE_DEADLINE_SECONDS: u32 = 30;
/// Default time that a restaurant has to accept, in seconds (8 minutes).
pub const DEFAULT_ACCEPTANCE_DEADLINE_SECONDS: u32 = 480;
/// Maximum preparation time that a restaurant may announce, in minutes (one day).
pub const MAX_PREPARATION_MINUTES: u32 = 1_440;
/// Latest time that a request may contain: the start of the last second that a [`Timestamp`](crate::Timestamp) can
/// hold.
pub const MAX_TIME: &str = "9999-12-30T22:00:00Z";
/// Maximum stock of an item.
pub const MAX_STOCK: u32 = 1_000_000;
/// Maximum number of delivery zones of a restaurant.
pub const MAX_ZONES: usize = 50;
/// Maximum number of positions in the areas of all delivery zones of a restaurant.
pub const MAX_ZONE_POSITIONS: usize = 2_000;
/// Maximum number of polygons in the area of a delivery zone.
pub const MAX_ZONE_POLYGONS: usize = 100;
/// Maximum number of rings in a polygon of a delivery zone: its outline and its holes.
pub const MAX_ZONE_RINGS: usize = 100;
/// Maximum extent of the area of a delivery zone in longitude and in latitude, in degrees. A larger area is a mistake, and
/// every search of half a continent would have to examine it.
pub const MAX_ZONE_EXTENT_DEGREES: u32 = 10;
/// Maximum radius of a delivery zone, in metres.
pub const MAX_ZONE_RADIUS_METRES: u32 = 200_000;
/// Maximum time that a delivery to a zone may take, in minutes (one day).
pub const MAX_ZONE_MINUTES: u32 = 1_440;
/// Maximum number of events of one order. At this limit the order accepts only commands that end it, refunds, and
/// reports of its payment provider. Only an endless series of partial refunds or reassignments reaches the limit.
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

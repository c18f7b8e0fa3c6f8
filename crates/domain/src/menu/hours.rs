//! Hours of items: when a category or an item can be ordered.
//!
//! Hours have the form of a restaurant's opening hours, in the restaurant's time zone, and the same function converts them to
//! instants. An item can be ordered while the hours of its category and its own hours include the present.

use serde::Serialize;

use super::{Menu, MenuItem, UnavailableItem};
use crate::{
    Problems, Timestamp,
    limits::MAX_MENU_HOURS,
    pricing::CartRef,
    restaurant::{OpeningHours, OpeningInterval, Zone},
};

/// Maximum number of openings to examine for a moment within the hours of an item and of its category: a week of both, with
/// the maximum number of openings, and the same week again, because a clock change may skip an opening.
const MAX_EXAMINED: usize = 4 * MAX_MENU_HOURS;

/// An item that cannot be ordered now because of its hours or those of its category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutsideHours {
    /// First moment within the hours of the item and of its category. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
}

/// Checks the hours of an entry. An entry without hours can always be ordered.
pub(super) fn checked(
    hours: Option<&[OpeningInterval]>,
    pointer: &str,
    problems: &mut Problems,
) -> OpeningHours {
    let Some(intervals) = hours else { return OpeningHours::Always };
    let pointer = format!("{pointer}/hours");
    if intervals.is_empty() {
        problems.add(pointer.as_str(), "must not be empty; omit it if the time of day makes no difference");
    }
    if intervals.len() > MAX_MENU_HOURS {
        let text = format!("must be at most {MAX_MENU_HOURS}, not {}", intervals.len());
        problems.add(pointer.as_str(), text);
    }
    OpeningHours::Weekly(intervals.to_vec())
}

impl Menu {
    /// Returns an error if `now` is outside the hours of the item or of its category.
    pub fn check_hours(&self, item: &MenuItem, zone: &Zone, now: Timestamp) -> Result<(), OutsideHours> {
        let always = &OpeningHours::Always;
        let of_category = self.category_of(&item.id).map_or(always, |category| &category.hours);
        match first_within(of_category, &item.hours, zone, now) {
            Some(opens_at) if opens_at == now => Ok(()),
            opens_at => Err(OutsideHours { opens_at }),
        }
    }

    /// Returns the items of a cart that are outside their hours at `now`, each once, in the order of the cart. The end of
    /// each is the first moment within its hours.
    pub fn outside_hours(&self, cart: CartRef<'_>, zone: &Zone, now: Timestamp) -> Vec<UnavailableItem> {
        let mut found: Vec<UnavailableItem> = Vec::new();
        if self.schedules.is_empty() {
            return found;
        }
        for line in cart.lines {
            let Some(item) = self.item(line.item.as_str()) else { continue };
            if found.iter().all(|other| other.item != item.id)
                && let Err(OutsideHours { opens_at: until }) = self.check_hours(item, zone, now)
            {
                found.push(UnavailableItem { item: item.id.clone(), until });
            }
        }
        found
    }

    /// Returns the first moment after `now` at which an opening of the menu starts or ends. Until then, every item is within
    /// its hours or outside of them as at `now`. Returns `None` for a menu without hours.
    pub fn hours_change_after(&self, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
        self.schedules.iter().filter_map(|hours| hours.change_after(now, zone)).min()
    }
}

/// Returns the first moment at or after `from` that both hours include.
fn first_within(one: &OpeningHours, other: &OpeningHours, zone: &Zone, from: Timestamp) -> Option<Timestamp> {
    let mut moment = one.first_open_from(from, zone)?;
    for _ in 0..MAX_EXAMINED {
        let next = one.first_open_from(other.first_open_from(moment, zone)?, zone)?;
        if next == moment {
            return Some(moment);
        }
        moment = next;
    }
    None
}

/// Returns the different hours in these lists, without those that include every moment.
pub(super) fn schedules<'a>(all: impl Iterator<Item = &'a OpeningHours>) -> Vec<OpeningHours> {
    let mut found: Vec<OpeningHours> = Vec::new();
    for hours in all {
        if !hours.is_always() && !found.contains(hours) {
            found.push(hours.clone());
        }
    }
    found
}

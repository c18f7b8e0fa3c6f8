//! Availability of items and options: which of them cannot be ordered, and when that ends.
//!
//! The menu itself contains the availability of its options.
//!
//! A mark is a record that an item is unavailable. Marks are stored beside the menu and have their own revision, so
//! that a change of a mark writes one small row and not the whole menu.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Menu;
use crate::{Timestamp, pricing::CartRef, text::Slug};

/// Whether an item or an option can be ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "status", rename_all = "snake_case", deny_unknown_fields, try_from = "AvailabilityDocument")]
pub enum Availability {
    /// It can be ordered.
    #[default]
    Available,
    /// It cannot be ordered.
    Unavailable {
        /// Time from which it can be ordered again. Absent: it stays unavailable until its availability is changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
}

/// An [`Availability`] as it is parsed: strictly, which the tagged enums of serde do not support.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AvailabilityDocument {
    status: AvailabilityStatus,
    #[serde(default)]
    until: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum AvailabilityStatus {
    Available,
    Unavailable,
}

impl TryFrom<AvailabilityDocument> for Availability {
    type Error = &'static str;

    fn try_from(document: AvailabilityDocument) -> Result<Self, Self::Error> {
        match (document.status, document.until) {
            (AvailabilityStatus::Available, None) => Ok(Self::Available),
            (AvailabilityStatus::Available, Some(_)) => Err("until must be absent if status is available"),
            (AvailabilityStatus::Unavailable, until) => Ok(Self::Unavailable { until }),
        }
    }
}

/// Checks the end of a mark that is set at `now`.
pub fn check_end(until: Option<Timestamp>, now: Timestamp) -> Result<(), MarkEndError> {
    match until {
        Some(until) if until <= now => Err(MarkEndError { until }),
        _ => Ok(()),
    }
}

/// Returns the later of two ends of a mark. A mark without an end lasts longest.
pub fn later_end(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    Some(one?.max(other?))
}

/// The end of a mark is not in the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be in the future, not {until}; omit it if the item is to stay unavailable")]
pub struct MarkEndError {
    /// End of the mark.
    pub until: Timestamp,
}

impl Availability {
    /// Returns whether this is the availability of an entry without a mark.
    pub(super) const fn is_plain(&self) -> bool {
        matches!(self, Self::Available)
    }

    /// Returns the availability at `now`: a mark that has ended counts as no mark.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        if self.is_available_at(now) { Self::Available } else { self }
    }

    /// Returns whether the item or option can be ordered at `now`.
    pub fn is_available_at(self, now: Timestamp) -> bool {
        match self {
            Self::Available => true,
            Self::Unavailable { until } => until.is_some_and(|until| until <= now),
        }
    }
}

/// An item that cannot be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UnavailableItem {
    /// The item's id in the menu.
    pub item: Slug,
    /// Time from which the item can be ordered again. Absent: the item stays unavailable until its availability is
    /// changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// An option that cannot be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnavailableOption {
    /// The item's id in the menu.
    pub item: Slug,
    /// The group's id in the item.
    pub group: Slug,
    /// The option's id in the group.
    pub option: Slug,
    /// Time from which the option can be ordered again. Absent: the option stays unavailable until its availability is
    /// changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Menu {
    /// Returns the number of marks of options that have ended at `now`. If two moments have the same number, every option
    /// has the same availability at both.
    pub fn ended_at(&self, now: Timestamp) -> usize {
        self.option_ends.partition_point(|end| *end <= now)
    }

    /// Returns the options of a cart that are unavailable at `now`, each once, in the order of the cart.
    pub fn unavailable_options(&self, cart: CartRef<'_>, now: Timestamp) -> Vec<UnavailableOption> {
        let mut found = Vec::new();
        for line in cart.lines {
            let Some(item) = self.item(line.item.as_str()) else { continue };
            for chosen in &line.options {
                let group = item.group(chosen.group.as_str());
                let Some(option) = group.and_then(|group| group.option(chosen.option.as_str())) else {
                    continue;
                };
                let Availability::Unavailable { until } = option.availability.at(now) else { continue };
                let (group, option) = (chosen.group.clone(), chosen.option.clone());
                let unavailable = UnavailableOption { item: item.id.clone(), group, option, until };
                if !found.contains(&unavailable) {
                    found.push(unavailable);
                }
            }
        }
        found
    }
}

/// Marks of the unavailable items of a restaurant. A mark whose end has passed has no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnavailableItems {
    marks: HashMap<Slug, Option<Timestamp>>,
    /// Ends of the marks, ascending.
    ends: Vec<Timestamp>,
}

impl UnavailableItems {
    /// Returns the availability that an item's mark states, even if the mark has ended.
    pub fn availability(&self, item: &str) -> Availability {
        self.marks
            .get(item)
            .map_or(Availability::Available, |until| Availability::Unavailable { until: *until })
    }

    /// Returns the availability of an item at `now`. A mark that has ended counts as no mark.
    pub fn availability_at(&self, item: &str, now: Timestamp) -> Availability {
        self.availability(item).at(now)
    }

    /// Returns the items that are unavailable at `now`, with the ends of their marks, in no particular order.
    pub fn at(&self, now: Timestamp) -> impl Iterator<Item = (&Slug, Option<Timestamp>)> {
        let marks = self.marks.iter().map(|(item, until)| (item, *until));
        marks.filter(move |(_, until)| until.is_none_or(|until| now < until))
    }

    /// Returns the number of marks that have ended at `now`. If two moments have the same number, every item has the
    /// same availability at both.
    pub fn ended_at(&self, now: Timestamp) -> usize {
        self.ends.partition_point(|end| *end <= now)
    }

    /// Returns the items of a cart that are unavailable at `now`, each once, in the order of the cart.
    pub fn of_cart(&self, cart: CartRef<'_>, now: Timestamp) -> Vec<UnavailableItem> {
        let mut found: Vec<UnavailableItem> = Vec::new();
        if self.marks.is_empty() {
            return found;
        }
        for line in cart.lines {
            if let Availability::Unavailable { until } = self.availability_at(line.item.as_str(), now)
                && found.iter().all(|other| other.item != line.item)
            {
                found.push(UnavailableItem { item: line.item.clone(), until });
            }
        }
        found
    }

    /// Returns these marks together with the marks of `items`. No mark ends earlier than before.
    #[must_use]
    pub fn extended(&self, items: &[UnavailableItem]) -> Self {
        let mut marks = self.marks.clone();
        for UnavailableItem { item, until } in items {
            let end = marks.get(item).map_or(*until, |end| later_end(*end, *until));
            marks.insert(item.clone(), end);
        }
        marks.into_iter().collect()
    }

    /// Returns these marks after the changes.
    #[must_use]
    pub fn with<'a>(&self, changes: impl IntoIterator<Item = (&'a Slug, Availability)>) -> Self {
        let mut marks = self.marks.clone();
        for (item, availability) in changes {
            match availability {
                Availability::Available => drop(marks.remove(item)),
                Availability::Unavailable { until } => drop(marks.insert(item.clone(), until)),
            }
        }
        marks.into_iter().collect()
    }
}

impl FromIterator<(Slug, Option<Timestamp>)> for UnavailableItems {
    fn from_iter<T: IntoIterator<Item = (Slug, Option<Timestamp>)>>(marks: T) -> Self {
        let marks: HashMap<_, _> = marks.into_iter().collect();
        let mut ends: Vec<_> = marks.values().copied().flatten().collect();
        ends.sort_unstable();
        Self { marks, ends }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::pricing::{CartLine, FulfilmentKind};

    fn slug(number: u8) -> Slug {
        Slug::new(&format!("item-{number}")).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_item_is_available_from_the_end_of_its_mark() {
        let until: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        let away = Availability::Unavailable { until: Some(until) };
        assert!(!away.is_available_at(until - SignedDuration::from_nanos(1)));
        assert!(away.is_available_at(until));
        assert!(!Availability::Unavailable { until: None }.is_available_at(Timestamp::MAX));
    }

    #[test]
    fn each_unavailable_item_of_a_cart_is_named_once() {
        let marks: UnavailableItems =
            [(slug(1), None), (slug(2), Some(at(10))), (slug(3), Some(at(20)))].into_iter().collect();
        let line = |number| CartLine { item: slug(number), quantity: 1, options: Vec::new(), note: None };
        let lines = [line(3), line(0), line(1), line(3), line(2)];
        let cart = CartRef {
            lines: &lines,
            fulfilment: FulfilmentKind::Collection,
            place: None,
            tip: crate::Amount::ZERO,
        };
        let unavailable = |item, until| UnavailableItem { item: slug(item), until };
        assert_eq!(marks.of_cart(cart, at(10)), [unavailable(3, Some(at(20))), unavailable(1, None)]);
        assert_eq!(marks.of_cart(cart, at(20)), [unavailable(1, None)]);
    }

    #[test]
    fn a_mark_ends_in_the_future() {
        assert_eq!(check_end(None, at(5)), Ok(()));
        assert_eq!(check_end(Some(at(6)), at(5)), Ok(()));
        for until in [at(5), at(4)] {
            assert_eq!(check_end(Some(until), at(5)), Err(MarkEndError { until }));
        }
    }

    proptest! {
        /// Proves that an extension never shortens a mark, and that the order of extensions makes no difference.
        #[test]
        fn an_extension_never_shortens_a_mark(
            before in proptest::collection::btree_map(0_u8..4, proptest::option::of(0_i64..9), 0..4),
            extensions in proptest::collection::vec((0_u8..4, proptest::option::of(0_i64..9)), 0..6),
        ) {
            let marks: UnavailableItems =
                before.iter().map(|(number, end)| (slug(*number), end.map(at))).collect();
            let items: Vec<_> = extensions
                .iter()
                .map(|(number, end)| UnavailableItem { item: slug(*number), until: end.map(at) })
                .collect();
            let after = marks.extended(&items);
            let reversed: Vec<_> = items.iter().rev().cloned().collect();
            prop_assert_eq!(&after, &marks.extended(&reversed));
            prop_assert_eq!(&after, &after.extended(&items));
            for (number, moment) in (0..4).flat_map(|number| (0..10).map(move |second| (number, at(second)))) {
                let item = slug(number);
                let is_away = |marks: &UnavailableItems| {
                    !marks.availability_at(item.as_str(), moment).is_available_at(moment)
                };
                let is_named = items.iter().any(|other| {
                    other.item == item && other.until.is_none_or(|until| until > moment)
                });
                prop_assert_eq!(is_away(&after), is_away(&marks) || is_named);
            }
        }

        /// Proves that the number of ended marks changes exactly when the availability of an item changes.
        #[test]
        fn the_number_of_ended_marks_identifies_a_state(
            ends in proptest::collection::vec(proptest::option::of(0_i64..20), 0..8),
            moments in (0_i64..20, 0_i64..20),
        ) {
            let marks: UnavailableItems =
                (0_u8..).map(slug).zip(ends.iter().map(|end| end.map(at))).collect();
            let state = |now: i64| -> Vec<_> {
                (0_u8..8).map(|number| marks.availability_at(slug(number).as_str(), at(now))).collect()
            };
            let (one, other) = moments;
            let is_same_number = marks.ended_at(at(one)) == marks.ended_at(at(other));
            prop_assert_eq!(is_same_number, state(one) == state(other));
        }

        /// Proves that a change of marks changes the named items and no others.
        #[test]
        fn a_change_of_marks_is_exact(
            before in proptest::collection::btree_map(0_u8..6, proptest::option::of(0_i64..20), 0..6),
            changes in proptest::collection::btree_map(0_u8..6, proptest::option::of(proptest::option::of(0_i64..20)), 0..6),
        ) {
            let marks: UnavailableItems =
                before.iter().map(|(number, end)| (slug(*number), end.map(at))).collect();
            let stated: Vec<(Slug, Availability)> = changes
                .iter()
                .map(|(number, change)| {
                    let availability = change.map_or(Availability::Available, |end| {
                        Availability::Unavailable { until: end.map(at) }
                    });
                    (slug(*number), availability)
                })
                .collect();
            let after = marks.with(stated.iter().map(|(item, availability)| (item, *availability)));
            for number in 0..6 {
                let item = slug(number);
                let expected = stated.iter().find(|(changed, _)| *changed == item);
                let expected =
                    expected.map_or_else(|| marks.availability(item.as_str()), |(_, availability)| *availability);
                prop_assert_eq!(after.availability(item.as_str()), expected);
            }
        }
    }
}

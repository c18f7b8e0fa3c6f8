//! Filters of events.

use dabba_domain::{RestaurantId, order::Event};

const _: () = assert!(Event::NAMES.len() <= TypeSet::MAX, "a set of types has a bit for each type");

/// A set of types of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeSet(u64);

impl TypeSet {
    /// Every type, including those that only a newer version knows.
    pub const ALL: Self = Self(u64::MAX);

    /// Maximum number of types.
    const MAX: usize = u64::BITS as usize - 1;

    /// Returns the set of the types with these short names; `None` if a name is unknown.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        names.into_iter().try_fold(Self(0), |set, name| Some(Self(set.0 | Self::bit(name)?)))
    }

    /// Returns whether the set contains the type with this short name.
    pub fn contains(self, name: &str) -> bool {
        self == Self::ALL || Self::bit(name).is_some_and(|bit| self.0 & bit != 0)
    }

    fn bit(name: &str) -> Option<u64> {
        let index = Event::NAMES.iter().position(|known| *known == name)?;
        Some(1 << index)
    }
}

/// The events that a consumer receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Only the events of this restaurant's orders; `None`: of all restaurants.
    pub restaurant: Option<RestaurantId>,
    /// Only events of these types.
    pub types: TypeSet,
}

impl Filter {
    /// Every event.
    pub const ALL: Self = Self { restaurant: None, types: TypeSet::ALL };

    /// Returns whether the filter passes an event.
    pub(crate) fn passes(&self, event: &dabba_store::FeedEvent) -> bool {
        self.restaurant.is_none_or(|restaurant| restaurant == event.restaurant_id)
            && self.types.contains(&event.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a set contains exactly the named types, that only the set of all types contains a type of a newer
    /// version, and that an unknown name is refused.
    #[test]
    fn a_set_contains_the_named_types() {
        let set = TypeSet::of_names(["placed", "delivered"]).unwrap();
        for name in Event::NAMES {
            assert_eq!(set.contains(name), ["placed", "delivered"].contains(name), "{name}");
            assert!(TypeSet::ALL.contains(name));
        }
        assert!(!set.contains("teleported") && TypeSet::ALL.contains("teleported"));
        assert_eq!(TypeSet::of_names(["placed", "teleported"]), None);
        let every_name = TypeSet::of_names(Event::NAMES.iter().copied()).unwrap();
        assert!(!every_name.contains("teleported"));
    }
}

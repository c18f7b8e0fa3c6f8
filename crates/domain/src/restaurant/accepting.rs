//! Whether a restaurant takes orders at a moment: permanent closure, pause, opening hours.

use super::{Restaurant, RestaurantSettings};
use crate::Timestamp;

/// Reason why a restaurant takes no orders at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAcceptingReason {
    /// The restaurant is permanently closed.
    #[error("the restaurant has been closed permanently since {since}")]
    ClosedPermanently {
        /// Time of the closure.
        since: Timestamp,
    },
    /// The restaurant is paused, by a person or by Dabba.
    #[error("the restaurant has paused taking orders{}", opening(*opens_at))]
    Paused {
        /// Time at which the pause ends by itself, if it does.
        until: Option<Timestamp>,
        /// First moment at which the restaurant is neither paused nor closed; `None` if the pause has no end, or if the
        /// restaurant never opens after the pause.
        opens_at: Option<Timestamp>,
    },
    /// The moment is outside the opening hours, and the restaurant is not paused.
    #[error("the restaurant is closed{}", opening(*opens_at))]
    Closed {
        /// Next opening time; `None` if the restaurant never opens.
        opens_at: Option<Timestamp>,
    },
}

fn opening(at: Option<Timestamp>) -> String {
    at.map(|at| format!("; it takes orders again at {at}")).unwrap_or_default()
}

impl NotAcceptingReason {
    /// Returns the first moment at which the restaurant takes orders again, if it is known.
    pub const fn opens_at(&self) -> Option<Timestamp> {
        match self {
            Self::ClosedPermanently { .. } => None,
            Self::Paused { opens_at, .. } | Self::Closed { opens_at } => *opens_at,
        }
    }
}

impl Restaurant {
    /// Returns an error if the restaurant takes no orders at `now`. The error states the first reason that applies:
    /// permanent closure, pause, opening hours.
    pub fn check_accepting(&self, now: Timestamp) -> Result<(), NotAcceptingReason> {
        if let Some(closed) = &self.closed {
            return Err(NotAcceptingReason::ClosedPermanently { since: closed.at });
        }
        let RestaurantSettings { opening_hours, time_zone, .. } = &self.settings;
        if let Some(pause) = self.pause
            && pause.until.is_none_or(|until| now < until)
        {
            let opens_at = pause.until.and_then(|until| opening_hours.first_open_from(until, time_zone));
            return Err(NotAcceptingReason::Paused { until: pause.until, opens_at });
        }
        match opening_hours.first_open_from(now, time_zone) {
            Some(opens_at) if opens_at == now => Ok(()),
            opens_at => Err(NotAcceptingReason::Closed { opens_at }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        RestaurantId,
        restaurant::{Pause, SettingsDocument},
    };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn restaurant(extra: &serde_json::Value) -> Restaurant {
        let mut document = json!({"name": "Tiffin", "currency": "GBP", "time_zone": "Europe/London"});
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let settings = serde_json::from_value::<SettingsDocument>(document).unwrap().validate().unwrap();
        let id = RestaurantId::generate(at("2026-01-01T00:00:00Z"), crate::Bucket::from_random(7), 7);
        Restaurant { id, revision: 1, settings, pause: None, closed: None, created_at: id.created_at() }
    }

    #[test]
    fn opening_hours_follow_the_restaurants_own_clock() {
        let hours = json!({"opening_hours": [
            {"day": "monday", "opens": "11:00", "closes": "14:30"},
            {"day": "friday", "opens": "18:00", "closes": "02:00"},
            {"day": "sunday", "opens": "00:00", "closes": "00:00"},
        ]});
        let restaurant = restaurant(&hours);
        // 2026-06-01 is a Monday in British Summer Time, one hour ahead of UTC.
        for (now, open) in [
            ("2026-06-01T09:59:59Z", false),
            ("2026-06-01T10:00:00Z", true),
            ("2026-06-01T13:29:59Z", true),
            ("2026-06-01T13:30:00Z", false),
            ("2026-06-05T17:00:00Z", true),
            ("2026-06-06T00:59:59Z", true), // Saturday 01:59, still Friday's opening.
            ("2026-06-06T01:00:00Z", false),
            ("2026-06-06T23:00:00Z", true), // Sunday 00:00.
            ("2026-06-07T22:59:59Z", true),
            ("2026-06-07T23:00:00Z", false),
            ("2026-01-05T10:59:59Z", false), // A Monday in winter.
            ("2026-01-05T11:00:00Z", true),
        ] {
            assert_eq!(restaurant.check_accepting(at(now)).is_ok(), open, "{now}");
        }
        assert_eq!(
            restaurant.check_accepting(at("2026-06-01T13:30:00Z")),
            Err(NotAcceptingReason::Closed { opens_at: Some(at("2026-06-05T17:00:00Z")) })
        );
    }

    #[test]
    fn a_pause_ends_at_its_stated_time() {
        let mut restaurant = restaurant(&json!({}));
        let now = at("2026-06-01T12:00:00Z");
        assert!(restaurant.check_accepting(now).is_ok());
        let end = at("2026-06-01T12:30:00Z");
        let until = Some(end);
        restaurant.pause = Some(Pause::by_person(until));
        assert_eq!(
            restaurant.check_accepting(now),
            Err(NotAcceptingReason::Paused { until, opens_at: until })
        );
        assert!(restaurant.check_accepting(end).is_ok());
        restaurant.pause = Some(Pause::by_person(None));
        let paused = Err(NotAcceptingReason::Paused { until: None, opens_at: None });
        assert_eq!(restaurant.check_accepting(Timestamp::MAX), paused);
    }

    #[test]
    fn no_intervals_means_never_open() {
        let restaurant = restaurant(&json!({"opening_hours": []}));
        assert_eq!(
            restaurant.check_accepting(at("2026-06-01T12:00:00Z")),
            Err(NotAcceptingReason::Closed { opens_at: None })
        );
    }
}

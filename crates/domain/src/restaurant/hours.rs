//! Opening hours: conversion from civil time, as a timetable states it, to instants.
//!
//! An opening is stored as a start and an end in civil time. Only [`OpeningInterval::instants_on`] converts an opening
//! to instants. "Is open" and "opens next" both use its result, so they cannot disagree. The result is one contiguous
//! interval, even when clocks change:
//!
//! - Start and end each become the *first instant at which the restaurant's clock shows that time or a later one*.
//! - When clocks go back, a time that occurs twice means its first occurrence, as in RFC 5545, section 3.3.5. An
//!   opening that ends at such a time does not reopen: the staff have gone home.
//! - When clocks go forward, a skipped time means the moment of the change. An opening that starts in the gap starts
//!   when the gap ends. An opening that lies entirely in the gap does not exist on that day.
//! - Equal civil times become equal instants. So openings that adjoin in the timetable, such as whole days, also adjoin
//!   in time.

use jiff::{
    ToSpan,
    civil::{Date, DateTime, Time, Weekday},
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Timestamp, text::RawText};

/// Number of days to search for the next opening. If a clock change skips a weekly opening, the opening exists again a
/// week later.
const MAX_SEARCHED_DAYS: i32 = 15;

/// A time zone of the IANA database, identified by its name.
///
/// The database is compiled in, so that all servers decide alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Returns the zone with this name, for example `Europe/London`.
    pub fn from_name(name: &str) -> Option<Self> {
        /// The bundled database. A lookup does no I/O.
        static DATABASE: std::sync::LazyLock<TimeZoneDatabase> =
            std::sync::LazyLock::new(TimeZoneDatabase::bundled);
        DATABASE.get(name).ok().map(Self)
    }

    /// Returns the IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Returns the first instant at which clocks in this zone show `local` or a later time.
    fn first_instant_at(&self, local: DateTime) -> Option<Timestamp> {
        match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                // Converted with the new offset, a skipped time is before the change.
                let before_the_change = after.to_timestamp(local).ok()?;
                self.0
                    .following(before_the_change)
                    .map(|change| change.timestamp())
                    .find(|change| self.0.to_datetime(*change) >= local)
            }
        }
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = RawText::<'de>::deserialize(deserializer)?;
        Self::from_name(&name)
            .ok_or_else(|| de::Error::custom("must be the name of a time zone in the IANA database"))
    }
}

/// A day of the week, as in a timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names of the days say it")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    const fn weekday(self) -> Weekday {
        match self {
            Self::Monday => Weekday::Monday,
            Self::Tuesday => Weekday::Tuesday,
            Self::Wednesday => Weekday::Wednesday,
            Self::Thursday => Weekday::Thursday,
            Self::Friday => Weekday::Friday,
            Self::Saturday => Weekday::Saturday,
            Self::Sunday => Weekday::Sunday,
        }
    }
}

/// One weekly opening of a restaurant, or of a category or an item of its menu. `opens` and `closes` are `HH:MM` in the restaurant's time zone. If `closes` is not after
/// `opens`, `closes` is on the next day, so `00:00` to `00:00` is a whole day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpeningInterval {
    /// Day on which the opening starts.
    pub day: Day,
    /// Minute at which the opening starts.
    pub opens: ClockTime,
    /// Minute at which the opening ends.
    pub closes: ClockTime,
}

/// A time of day to the minute, written `HH:MM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockTime(Time);

impl Serialize for ClockTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:02}:{:02}", self.0.hour(), self.0.minute()))
    }
}
impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = RawText::<'de>::deserialize(deserializer)?;
        let parsed = (text.len() == "HH:MM".len()).then(|| Time::strptime("%H:%M", text.as_bytes()));
        match parsed {
            Some(Ok(time)) => Ok(Self(time)),
            _ => Err(de::Error::custom("must be a time of day in the form HH:MM")),
        }
    }
}

/// Opening hours of a restaurant, or hours of a category or an item of its menu.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OpeningHours {
    /// Weekly openings. Without any, the restaurant is closed.
    Weekly(Vec<OpeningInterval>),
    /// There is no restriction: a restaurant is always open, except during pauses.
    #[default]
    Always,
}

impl OpeningHours {
    /// Returns whether the hours include every moment.
    pub const fn is_always(&self) -> bool {
        matches!(self, Self::Always)
    }

    /// Returns the weekly openings; `None` if the hours include every moment.
    pub fn weekly(&self) -> Option<&[OpeningInterval]> {
        match self {
            Self::Weekly(intervals) => Some(intervals),
            Self::Always => None,
        }
    }

    /// Returns the first moment after `moment` at which an opening starts or ends; `None` if there is none.
    pub fn change_after(&self, moment: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let intervals = self.weekly()?;
        let today = zone.0.to_datetime(moment).date();
        let dates = (-1..=MAX_SEARCHED_DAYS).filter_map(|days| today.checked_add(days.days()).ok());
        let openings = dates
            .flat_map(|date| intervals.iter().filter_map(move |opening| opening.instants_on(date, zone)));
        openings.flat_map(|(opens, closes)| [opens, closes]).filter(|change| *change > moment).min()
    }

    /// Returns the first moment at or after `from` at which the restaurant is open: `from` itself if it is open then,
    /// `None` if it never opens.
    pub fn first_open_from(&self, from: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let Self::Weekly(intervals) = self else { return Some(from) };
        let today = zone.0.to_datetime(from).date();
        let openings_in = |days: i32| {
            let date = today.checked_add(days.days()).ok();
            date.into_iter().flat_map(move |date| {
                intervals.iter().filter_map(move |opening| opening.instants_on(date, zone))
            })
        };
        // Yesterday's opening may not have ended yet. Tomorrow's may have begun: some clocks go back across midnight.
        let mut around = [0, -1, 1].into_iter().flat_map(openings_in);
        if around.any(|(opens, closes)| opens <= from && from < closes) {
            return Some(from);
        }
        (0..=MAX_SEARCHED_DAYS)
            .find_map(|days| openings_in(days).map(|(opens, _)| opens).filter(|opens| *opens > from).min())
    }
}

impl OpeningInterval {
    /// Returns the start and end of the opening on `date` as instants, end exclusive. Returns `None` if the opening is
    /// on another day of the week, or if a clock change skips it entirely.
    fn instants_on(&self, date: Date, zone: &Zone) -> Option<(Timestamp, Timestamp)> {
        if date.weekday() != self.day.weekday() {
            return None;
        }
        let end_date = if self.closes.0 > self.opens.0 { date } else { date.tomorrow().ok()? };
        let opens = zone.first_instant_at(date.to_datetime(self.opens.0))?;
        let closes = zone.first_instant_at(end_date.to_datetime(self.closes.0))?;
        (opens < closes).then_some((opens, closes))
    }
}

//! Opening hours: from civil time, as a timetable states it, to instants.
//!
//! An opening is stored as a start and an end in civil time. [`OpeningInterval::instants_on`] is the only place that
//! turns an opening into instants; "is open" and "opens next" both use the result, so they cannot disagree. The result
//! is one contiguous interval, also where clocks change:
//!
//! - Start and end each become the *first instant at which the restaurant's clock shows that time or a later one*.
//! - Where clocks go back, a time that occurs twice means its first occurrence, as in RFC 5545, section 3.3.5. An opening
//!   that ends at such a time is not open a second time: the staff have gone home.
//! - Where clocks go forward, a time that is skipped means the moment of the change. An opening that starts in the gap
//!   starts when the gap ends; an opening that lies in the gap does not exist on that day.
//! - Equal civil times become equal instants, so openings that adjoin on the timetable (whole days, for example) adjoin
//!   in time.

use jiff::{
    ToSpan,
    civil::{Date, DateTime, Time, Weekday},
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Timestamp, text::RawText};

/// Number of days that are searched for the next opening. A weekly opening that a clock change skips exists again a
/// week later.
const MAX_SEARCHED_DAYS: i32 = 15;

/// A time zone of the IANA database, known by its name.
///
/// The database is compiled in, so that every server decides alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone with this name, for example `Europe/London`.
    pub fn from_name(name: &str) -> Option<Self> {
        /// The bundled database; looking a zone up does no I/O.
        static DATABASE: std::sync::LazyLock<TimeZoneDatabase> =
            std::sync::LazyLock::new(TimeZoneDatabase::bundled);
        DATABASE.get(name).ok().map(Self)
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Returns the first instant at which clocks in this zone show `local` or a later time.
    fn first_instant_at(&self, local: DateTime) -> Option<Timestamp> {
        match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the new offset, a skipped time is before the change.
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
        Self::from_name(&name).ok_or_else(|| de::Error::custom("not a time zone of the IANA database"))
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

/// One opening in the week. `opens` and `closes` are `HH:MM` in the restaurant's time zone; when
/// `closes` is not after `opens`, it is on the next day, so `00:00` to `00:00` is a whole day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpeningInterval {
    /// The day on which it opens.
    pub day: Day,
    /// The minute from which it is open.
    pub opens: ClockTime,
    /// The minute from which it is closed.
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

/// When a restaurant is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OpeningHours {
    /// On these openings of every week; none at all means closed.
    Weekly(Vec<OpeningInterval>),
    /// Always: the restaurant uses pauses alone.
    #[default]
    Always,
}

impl OpeningHours {
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
        // Yesterday's opening may still last. Tomorrow's may have begun: some clocks go back across midnight.
        let mut around = [0, -1, 1].into_iter().flat_map(openings_in);
        if around.any(|(opens, closes)| opens <= from && from < closes) {
            return Some(from);
        }
        (0..=MAX_SEARCHED_DAYS)
            .find_map(|days| openings_in(days).map(|(opens, _)| opens).filter(|opens| *opens > from).min())
    }
}

impl OpeningInterval {
    /// Returns the opening that starts on `date` as instants, its end not included; `None` if it is not on that day of
    /// the week, or if a clock change skips it whole.
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

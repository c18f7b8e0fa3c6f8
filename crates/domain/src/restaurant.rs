//! A restaurant, as far as orders need it: its terms, its opening hours, its pause.

mod hours;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    Amount, Currency, ExternalId, Problems, ReadOnly, RestaurantId, Timestamp,
    limits::{
        DEFAULT_ACCEPTANCE_DEADLINE_SECONDS, MAX_ACCEPTANCE_DEADLINE_SECONDS, MAX_OPENING_INTERVALS,
        MAX_TAX_RATE_BASIS_POINTS, MIN_ACCEPTANCE_DEADLINE_SECONDS,
    },
    problem::whole_number,
    text::{Name, Note},
};

pub use hours::{ClockTime, Day, OpeningHours, OpeningInterval, Zone};

/// Number of a version of something that is always replaced as a whole. The first version is 1.
pub type Revision = u32;

/// A restaurant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restaurant {
    /// Id. All orders of the restaurant have its bucket.
    pub id: RestaurantId,
    /// Revision. Increases with every change of the settings or the pause.
    pub revision: Revision,
    /// Settings, which the staff decide.
    pub settings: Settings,
    /// Set while the restaurant is paused.
    pub pause: Option<Pause>,
    /// Set once the restaurant is permanently closed.
    pub closed: Option<Closed>,
    /// Time at which the restaurant was registered.
    pub created_at: Timestamp,
}

/// A pause, during which the restaurant takes no orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Time at which the pause ends by itself. `None`: the pause lasts until the restaurant is resumed.
    pub until: Option<Timestamp>,
}

/// Permanent closure of a restaurant. Its orders stay, and can still be completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PermanentClosure))]
pub struct Closed {
    /// Time at which an admin closed the restaurant.
    pub at: Timestamp,
    /// Reason for the closure, which everyone may read.
    pub reason: Note,
}

/// Reason why a restaurant takes no orders at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepting {
    /// The restaurant is permanently closed.
    #[error("the restaurant is closed permanently since {since}")]
    ClosedPermanently {
        /// Time of the closure.
        since: Timestamp,
    },
    /// The staff paused the restaurant.
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

impl NotAccepting {
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
    pub fn check_accepting(&self, now: Timestamp) -> Result<(), NotAccepting> {
        if let Some(closed) = &self.closed {
            return Err(NotAccepting::ClosedPermanently { since: closed.at });
        }
        let Settings { opening_hours, time_zone, .. } = &self.settings;
        if let Some(pause) = self.pause
            && pause.until.is_none_or(|until| now < until)
        {
            let opens_at = pause.until.and_then(|until| opening_hours.first_open_from(until, time_zone));
            return Err(NotAccepting::Paused { until: pause.until, opens_at });
        }
        match opening_hours.first_open_from(now, time_zone) {
            Some(opens_at) if opens_at == now => Ok(()),
            opens_at => Err(NotAccepting::Closed { opens_at }),
        }
    }
}

/// Settings of a restaurant, which its staff decide. [`SettingsDocument`] is their unchecked form and checks the
/// limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The restaurant's id in another system, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<ExternalId>,
    /// Name of the restaurant.
    pub name: Name,
    /// Currency of the menu and the orders.
    pub currency: Currency,
    /// Country, as an upper-case ISO 3166-1 alpha-2 code.
    pub country: Option<String>,
    /// Time zone of the opening hours.
    pub time_zone: Zone,
    /// Location of the restaurant.
    pub location: Option<Location>,
    /// Opening hours.
    pub opening_hours: OpeningHours,
    /// Tax on the food, in basis points of the subtotal (2,000 is 20 %).
    pub tax_rate_basis_points: u32,
    /// Terms of delivery; `None` if the restaurant does not deliver.
    pub delivery: Option<DeliveryTerms>,
    /// Whether customers may collect.
    pub collection: bool,
    /// Time to accept an order, in seconds. An order that is not accepted in this time expires.
    pub acceptance_deadline_seconds: u32,
    /// Total of refunds of one order up to which staff may refund it. Refunds beyond this limit need an admin.
    pub refund_limit: Amount,
}

/// Returns whether a setting differs between two versions of a restaurant's settings.
type Differs = fn(&Settings, &Settings) -> bool;

/// The settings that only an admin may change, by their names in a [`SettingsDocument`]: with them, staff could spend
/// money that does not belong to the restaurant. The acceptance deadline is not among them: it moves no money, has
/// limits of its own, and a restaurant knows best how long it needs.
const ADMIN_ONLY: [(&str, Differs); 2] = [
    ("refund_limit", |from, to| from.refund_limit != to.refund_limit),
    ("tax_rate_basis_points", |from, to| from.tax_rate_basis_points != to.tax_rate_basis_points),
];

impl Settings {
    /// Checks whether staff (or an admin, with `is_admin`) may change these settings to `to`. Nobody may change the
    /// currency.
    pub fn check_change(&self, to: &Self, is_admin: bool) -> Result<(), SettingsChangeError> {
        if self.currency != to.currency {
            // Every price on the menu would change its meaning.
            let text = format!("must be {}; a restaurant's currency never changes", self.currency);
            return Err(SettingsChangeError::Never(Problems::one("/currency", text)));
        }
        let mut problems = Problems::new();
        for (name, differs) in ADMIN_ONLY {
            if !is_admin && differs(self, to) {
                let text = "only an admin may change it; send the current value (an absent member means the default)";
                problems.add(format!("/{name}"), text);
            }
        }
        problems.into_result().map_err(SettingsChangeError::AdminOnly)
    }
}

/// Reason why a change of settings is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsChangeError {
    /// Nobody may change these settings.
    #[error("{0}")]
    Never(Problems),
    /// Only an admin may change these settings.
    #[error("{0}")]
    AdminOnly(Problems),
}

/// A place on Earth (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Latitude in degrees, -90 to 90.
    pub lat: f64,
    /// Longitude in degrees, -180 to 180.
    pub lng: f64,
}

impl Location {
    /// Adds a problem below `pointer` for each coordinate that is out of range.
    pub fn check(&self, pointer: &str, problems: &mut Problems) {
        if !(-90.0..=90.0).contains(&self.lat) {
            problems
                .add(format!("{pointer}/lat"), format!("must be a number from -90 to 90, not {}", self.lat));
        }
        if !(-180.0..=180.0).contains(&self.lng) {
            problems.add(
                format!("{pointer}/lng"),
                format!("must be a number from -180 to 180, not {}", self.lng),
            );
        }
    }
}

/// Terms of delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeliveryTerms {
    /// Delivery fee of an order.
    #[serde(default)]
    pub fee: Amount,
    /// Subtotal from which delivery is free. Absent: delivery is never free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_from: Option<Amount>,
    /// Minimum subtotal for delivery. Orders for collection have no minimum.
    #[serde(default)]
    pub minimum_order: Amount,
}

/// Settings of a restaurant as people and files write them, not yet checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SettingsDocument {
    /// The restaurant's id in another system, such as a point of sale: 1 to 64 printable ASCII characters without
    /// spaces, unique. It can be set only when the restaurant is registered, and never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Name of the restaurant.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: String,
    /// ISO 4217 currency code.
    #[cfg_attr(feature = "openapi", schema(value_type = Currency))]
    pub currency: String,
    /// ISO 3166-1 alpha-2 country code.
    #[serde(default)]
    pub country: Option<String>,
    /// Name of a time zone of the IANA database.
    pub time_zone: String,
    /// Location of the restaurant.
    #[serde(default)]
    pub location: Option<Location>,
    /// Opening hours. Default: always open.
    #[serde(default)]
    pub opening_hours: Option<Vec<OpeningInterval>>,
    /// Tax on the subtotal, in basis points. Default 0.
    #[serde(default)]
    pub tax_rate_basis_points: u32,
    /// Whether the restaurant delivers. Default: as `delivery` states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivers: Option<bool>,
    /// Terms of delivery. `null`: no delivery. Default: free delivery without a minimum, or no delivery if `delivers`
    /// is false.
    #[serde(default, skip_serializing_if = "StatedDelivery::is_absent")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<DeliveryTerms>))]
    pub delivery: StatedDelivery,
    /// Whether customers may collect. Default true.
    #[serde(default = "yes")]
    pub collection: bool,
    /// Time to accept an order, in seconds. 30 to 86,400; default 480.
    #[serde(default = "default_acceptance_deadline_seconds")]
    pub acceptance_deadline_seconds: u32,
    /// Total of refunds of one order up to which staff may refund it. Default 0.
    #[serde(default)]
    pub refund_limit: Amount,
    /// Id of the restaurant. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<RestaurantId>))]
    pub id: ReadOnly,
    /// Revision of the settings. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<Revision>))]
    pub revision: ReadOnly,
    /// Pause, if any. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<Pause>))]
    pub pause: ReadOnly,
    /// Permanent closure, if any. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<Closed>))]
    pub closed: ReadOnly,
    /// Whether the restaurant takes orders. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<bool>))]
    pub accepting: ReadOnly,
    /// Time at which the restaurant takes orders next. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<Timestamp>))]
    pub opens_at: ReadOnly,
    /// Time at which the restaurant was registered. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<Timestamp>))]
    pub created_at: ReadOnly,
}

/// What a settings document states about delivery. An absent member and `null` have different meanings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum StatedDelivery {
    /// The member is absent.
    #[default]
    Absent,
    /// No delivery: the member is `null`.
    No,
    /// Delivery on these terms.
    Terms(DeliveryTerms),
}

impl StatedDelivery {
    const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns the terms of delivery; `None` without delivery. Adds a problem if they contradict `delivers`.
    fn resolve(self, delivers: Option<bool>, problems: &mut Problems) -> Option<DeliveryTerms> {
        match (delivers, self) {
            (Some(true), Self::No) => {
                problems.add("/delivery", "must not be null if `delivers` is true");
                None
            }
            (Some(false), Self::Terms(terms)) => {
                problems.add("/delivery", "must be absent or null if `delivers` is false");
                Some(terms)
            }
            (Some(false), _) | (None, Self::No) => None,
            (_, Self::Absent) => Some(DeliveryTerms::default()),
            (_, Self::Terms(terms)) => Some(terms),
        }
    }
}

impl<'de> Deserialize<'de> for StatedDelivery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|terms| terms.map_or(Self::No, Self::Terms))
    }
}

const fn yes() -> bool {
    true
}

const fn default_acceptance_deadline_seconds() -> u32 {
    DEFAULT_ACCEPTANCE_DEADLINE_SECONDS
}

impl SettingsDocument {
    /// Checks all settings and lists every problem.
    pub fn validate(self) -> Result<Settings, Problems> {
        let mut problems = Problems::new();
        let external_id = self.external_id.as_deref().map(ExternalId::new);
        let external_id = external_id.and_then(|checked| problems.check("/external_id", checked));
        let name = problems.check("/name", Name::new(&self.name));
        let currency = Currency::from_code(&self.currency);
        if currency.is_none() {
            problems.add("/currency", "must be an upper-case currency code of ISO 4217");
        }
        let time_zone = Zone::from_name(&self.time_zone);
        if time_zone.is_none() {
            problems.add("/time_zone", "must be the name of a time zone of the IANA database");
        }
        if let Some(country) = &self.country
            && !(country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase()))
        {
            problems.add("/country", "must be two upper-case letters (ISO 3166-1 alpha-2)");
        }
        if let Some(location) = &self.location {
            location.check("/location", &mut problems);
        }
        if self.opening_hours.as_ref().is_some_and(|intervals| intervals.len() > MAX_OPENING_INTERVALS) {
            problems.add("/opening_hours", format!("must be at most {MAX_OPENING_INTERVALS} intervals"));
        }
        if self.tax_rate_basis_points > MAX_TAX_RATE_BASIS_POINTS {
            let allowed = whole_number(0, MAX_TAX_RATE_BASIS_POINTS);
            let text = format!("must be {allowed}, not {}", self.tax_rate_basis_points);
            problems.add("/tax_rate_basis_points", text);
        }
        if !(MIN_ACCEPTANCE_DEADLINE_SECONDS..=MAX_ACCEPTANCE_DEADLINE_SECONDS)
            .contains(&self.acceptance_deadline_seconds)
        {
            let allowed = whole_number(MIN_ACCEPTANCE_DEADLINE_SECONDS, MAX_ACCEPTANCE_DEADLINE_SECONDS);
            let text = format!("must be {allowed}, not {}", self.acceptance_deadline_seconds);
            problems.add("/acceptance_deadline_seconds", text);
        }
        let delivery = self.delivery.resolve(self.delivers, &mut problems);
        if delivery.is_none() && !self.collection {
            problems.add("/collection", "a restaurant must deliver or let customers collect");
        }
        problems.into_result()?;
        // For each `None` below, a problem was added above.
        let (Some(name), Some(currency), Some(time_zone)) = (name, currency, time_zone) else {
            return Err(Problems::one("", "incomplete settings"));
        };
        Ok(Settings {
            external_id,
            name,
            currency,
            country: self.country,
            time_zone,
            location: self.location,
            opening_hours: self.opening_hours.map_or(OpeningHours::Always, OpeningHours::Weekly),
            tax_rate_basis_points: self.tax_rate_basis_points,
            delivery,
            collection: self.collection,
            acceptance_deadline_seconds: self.acceptance_deadline_seconds,
            refund_limit: self.refund_limit,
        })
    }
}

impl Settings {
    /// Returns the time to accept an order.
    pub fn acceptance_deadline(&self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.acceptance_deadline_seconds))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            Err(NotAccepting::Closed { opens_at: Some(at("2026-06-05T17:00:00Z")) })
        );
    }

    #[test]
    fn a_pause_ends_at_its_stated_time() {
        let mut restaurant = restaurant(&json!({}));
        let now = at("2026-06-01T12:00:00Z");
        assert!(restaurant.check_accepting(now).is_ok());
        let end = at("2026-06-01T12:30:00Z");
        let until = Some(end);
        restaurant.pause = Some(Pause { until });
        assert_eq!(restaurant.check_accepting(now), Err(NotAccepting::Paused { until, opens_at: until }));
        assert!(restaurant.check_accepting(end).is_ok());
        restaurant.pause = Some(Pause { until: None });
        let paused = Err(NotAccepting::Paused { until: None, opens_at: None });
        assert_eq!(restaurant.check_accepting(Timestamp::MAX), paused);
    }

    #[test]
    fn no_intervals_means_never_open() {
        let restaurant = restaurant(&json!({"opening_hours": []}));
        assert_eq!(
            restaurant.check_accepting(at("2026-06-01T12:00:00Z")),
            Err(NotAccepting::Closed { opens_at: None })
        );
    }

    #[test]
    fn every_wrong_setting_is_listed() {
        let document = json!({
            "name": " ", "currency": "gbp", "country": "Britain", "time_zone": "Europe/Atlantis",
            "location": {"lat": 91, "lng": -181}, "tax_rate_basis_points": 10_001,
            "acceptance_deadline_seconds": 0, "delivery": null, "collection": false,
        });
        let problems = serde_json::from_value::<SettingsDocument>(document).unwrap().validate().unwrap_err();
        let pointers: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/name",
                "/currency",
                "/time_zone",
                "/country",
                "/location/lat",
                "/location/lng",
                "/tax_rate_basis_points",
                "/acceptance_deadline_seconds",
                "/collection"
            ]
        );
    }

    #[test]
    fn settings_survive_storage() {
        let settings =
            restaurant(&json!({"opening_hours": [{"day": "friday", "opens": "18:00", "closes": "02:00"}]}))
                .settings;
        let stored = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&stored).unwrap(), settings);
        let always = restaurant(&json!({})).settings;
        let stored = serde_json::to_string(&always).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&stored).unwrap(), always);
    }
}

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

/// Counts the changes of something that is replaced whole; the first version is 1.
pub type Revision = u32;

/// A restaurant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restaurant {
    /// Its id; the bucket in it is that of all its orders.
    pub id: RestaurantId,
    /// Goes up with every change of the settings or the pause.
    pub revision: Revision,
    /// What its staff decide.
    pub settings: Settings,
    /// Set while it takes no orders.
    pub pause: Option<Pause>,
    /// Set once it is closed permanently.
    pub closed: Option<Closed>,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// A restaurant has stopped taking orders for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it takes orders again by itself; `None`: when it is resumed.
    pub until: Option<Timestamp>,
}

/// A restaurant is closed permanently. Its orders stay, and are carried on to their ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PermanentClosure))]
pub struct Closed {
    /// When an admin closed it.
    pub at: Timestamp,
    /// Why, in words that everyone may read.
    pub reason: Note,
}

/// Why a restaurant takes no order at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepting {
    /// It is closed permanently.
    #[error("the restaurant is closed permanently since {since}")]
    ClosedPermanently {
        /// Since when.
        since: Timestamp,
    },
    /// Its staff paused it.
    #[error("the restaurant has paused taking orders{}", opening(*opens_at))]
    Paused {
        /// When the pause ends by itself, if it does.
        until: Option<Timestamp>,
        /// First moment at which the restaurant is neither paused nor closed; `None` if the pause has no end, or if
        /// the restaurant never opens after it.
        opens_at: Option<Timestamp>,
    },
    /// It is outside its opening hours, and not paused.
    #[error("the restaurant is closed{}", opening(*opens_at))]
    Closed {
        /// When it opens next, if it ever does.
        opens_at: Option<Timestamp>,
    },
}

fn opening(at: Option<Timestamp>) -> String {
    at.map(|at| format!("; it takes orders again at {at}")).unwrap_or_default()
}

impl NotAccepting {
    /// First moment at which the restaurant takes orders again, if it is known.
    pub const fn opens_at(&self) -> Option<Timestamp> {
        match self {
            Self::ClosedPermanently { .. } => None,
            Self::Paused { opens_at, .. } | Self::Closed { opens_at } => *opens_at,
        }
    }
}

impl Restaurant {
    /// Returns why the restaurant takes no orders at `now`, if it takes none. That it is closed permanently is
    /// named first, a pause before closed hours.
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

/// What a restaurant's staff decide about it. Made from [`SettingsDocument`], which names the
/// limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Its id in another system, if it has one there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<ExternalId>,
    /// Its name.
    pub name: Name,
    /// The currency of its menu and its orders.
    pub currency: Currency,
    /// Country, as an upper-case ISO 3166-1 alpha-2 code.
    pub country: Option<String>,
    /// The time zone of its opening hours.
    pub time_zone: Zone,
    /// Where it is.
    pub location: Option<Location>,
    /// When it is open.
    pub opening_hours: OpeningHours,
    /// Tax on the food, in basis points of the subtotal (2,000 is 20 %).
    pub tax_rate_basis_points: u32,
    /// Terms of delivery; `None` when it does not deliver.
    pub delivery: Option<DeliveryTerms>,
    /// Whether customers may collect.
    pub collection: bool,
    /// Time to accept an order, in seconds, after which the order expires.
    pub acceptance_deadline_seconds: u32,
    /// Most that its staff may refund of one order; what is above needs an admin.
    pub refund_limit: Amount,
}

/// Whether a setting differs between two versions of a restaurant's settings.
type Differs = fn(&Settings, &Settings) -> bool;

/// The settings that only an admin may change, by their names in a [`SettingsDocument`]: those by which staff
/// would spend money that is not the restaurant's. The acceptance deadline is not among them: it moves no money,
/// has limits of its own, and a restaurant knows best how long it needs.
const ADMIN_ONLY: [(&str, Differs); 2] = [
    ("refund_limit", |from, to| from.refund_limit != to.refund_limit),
    ("tax_rate_basis_points", |from, to| from.tax_rate_basis_points != to.tax_rate_basis_points),
];

impl Settings {
    /// Checks whether staff, or an admin, may change these settings to others. Nobody changes the currency.
    pub fn check_change(&self, to: &Self, is_admin: bool) -> Result<(), SettingsChangeError> {
        if self.currency != to.currency {
            // Every price on the menu would mean something else.
            let text = format!("must be {}; a restaurant's currency never changes", self.currency);
            return Err(SettingsChangeError::Never(Problems::one("/currency", text)));
        }
        let mut problems = Problems::new();
        for (name, differs) in ADMIN_ONLY {
            if !is_admin && differs(self, to) {
                let text = "only an admin changes it; send it as it was read: absent, it has its default";
                problems.add(format!("/{name}"), text);
            }
        }
        problems.into_result().map_err(SettingsChangeError::AdminOnly)
    }
}

/// Why settings cannot be changed to others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsChangeError {
    /// Nobody changes these.
    #[error("{0}")]
    Never(Problems),
    /// Only an admin changes these.
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
    /// Notes at `pointer` what is out of range.
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

/// What delivery costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeliveryTerms {
    /// The fee for an order.
    #[serde(default)]
    pub fee: Amount,
    /// Subtotal from which delivery is free; never, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_from: Option<Amount>,
    /// Smallest subtotal that is delivered. Collected orders have no minimum.
    #[serde(default)]
    pub minimum_order: Amount,
}

/// A restaurant's settings as people and files write them: unchecked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SettingsDocument {
    /// Its id in another system, such as a point of sale: 1 to 64 printable ASCII characters without spaces. Given
    /// when the restaurant is registered, unique, and never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: String,
    /// Currency code of ISO 4217.
    #[cfg_attr(feature = "openapi", schema(value_type = Currency))]
    pub currency: String,
    /// Country code of ISO 3166-1 alpha-2.
    #[serde(default)]
    pub country: Option<String>,
    /// Name of an IANA time zone.
    pub time_zone: String,
    /// Where it is.
    #[serde(default)]
    pub location: Option<Location>,
    /// When it is open; always, when absent.
    #[serde(default)]
    pub opening_hours: Option<Vec<OpeningInterval>>,
    /// Tax on the subtotal in basis points; none, when absent.
    #[serde(default)]
    pub tax_rate_basis_points: u32,
    /// Whether it delivers. Default: what `delivery` states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivers: Option<bool>,
    /// Terms of delivery. Absent: free delivery without a minimum, unless `delivers` is false; `null`: no delivery.
    #[serde(default, skip_serializing_if = "StatedDelivery::is_absent")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<DeliveryTerms>))]
    pub delivery: StatedDelivery,
    /// Whether customers may collect; yes, when absent.
    #[serde(default = "yes")]
    pub collection: bool,
    /// Time to accept an order, in seconds.
    #[serde(default = "default_acceptance_deadline_seconds")]
    pub acceptance_deadline_seconds: u32,
    /// Most that staff may refund of one order; nothing, when absent.
    #[serde(default)]
    pub refund_limit: Amount,
    /// The restaurant. Ignored: reading a restaurant adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<RestaurantId>))]
    pub id: ReadOnly,
    /// The revision of the settings. Ignored: reading a restaurant adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<Revision>))]
    pub revision: ReadOnly,
    /// The pause, if there is one. Ignored: reading a restaurant adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<Pause>))]
    pub pause: ReadOnly,
    /// That it is closed permanently. Ignored: reading a restaurant adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<Closed>))]
    pub closed: ReadOnly,
    /// Whether it takes orders. Ignored: reading a restaurant adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<bool>))]
    pub accepting: ReadOnly,
    /// When it takes orders next. Ignored: reading a restaurant adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<Timestamp>))]
    pub opens_at: ReadOnly,
    /// When it was registered. Ignored: reading a restaurant adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<Timestamp>))]
    pub created_at: ReadOnly,
}

/// What a settings document states about delivery. An absent member and `null` mean different things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum StatedDelivery {
    /// Nothing.
    #[default]
    Absent,
    /// No delivery: `null`.
    No,
    /// Delivery on these terms.
    Terms(DeliveryTerms),
}

impl StatedDelivery {
    const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns the terms of delivery; `None` without delivery. A contradiction to `delivers` is a problem.
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
    /// Checks everything and lists all that is wrong.
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
        // Each `None` below was noted as a problem above.
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
    /// The time to accept an order.
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
    fn a_pause_ends_when_it_said() {
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

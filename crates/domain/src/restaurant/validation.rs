//! Validation of a settings document, which lists every problem with its place.

use super::{
    DeliverySetting, DeliveryTerms, Location, OpeningHours, RestaurantSettings, SettingsDocument, Zone,
    charges, zones::check_zones,
};
use crate::{
    Currency, ExternalId, Problems,
    limits::{MAX_ACCEPTANCE_DEADLINE_SECONDS, MAX_OPENING_INTERVALS, MIN_ACCEPTANCE_DEADLINE_SECONDS},
    problem::whole_number,
    text::Name,
};

/// Returns the currency with this code, or the text of the problem.
pub fn check_currency(code: &str) -> Result<Currency, &'static str> {
    Currency::from_code(code).ok_or("must be an upper-case currency code of ISO 4217")
}

/// Returns the time zone with this name, or the text of the problem.
pub fn check_time_zone(name: &str) -> Result<Zone, &'static str> {
    Zone::from_name(name).ok_or("must be the name of a time zone in the IANA database, such as Europe/London")
}

/// Checks the form of a country code. Returns the text of the problem.
pub fn check_country(code: &str) -> Result<(), &'static str> {
    if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(())
    } else {
        Err("must be two upper-case letters (ISO 3166-1 alpha-2)")
    }
}

impl SettingsDocument {
    /// Checks all settings and lists every problem.
    pub fn validate(self) -> Result<RestaurantSettings, Problems> {
        let mut problems = Problems::new();
        let external_id = self.external_id.as_deref().map(ExternalId::new);
        let external_id = external_id.and_then(|checked| problems.check("/external_id", checked));
        let name = problems.check("/name", Name::new(&self.name));
        let currency = problems.check("/currency", check_currency(&self.currency));
        let time_zone = problems.check("/time_zone", check_time_zone(&self.time_zone));
        if let Some(country) = &self.country {
            problems.check("/country", check_country(country));
        }
        if let Some(location) = &self.location {
            location.check("/location", &mut problems);
        }
        if self.opening_hours.as_ref().is_some_and(|intervals| intervals.len() > MAX_OPENING_INTERVALS) {
            problems.add("/opening_hours", format!("must be at most {MAX_OPENING_INTERVALS} intervals"));
        }
        charges::check(&self, &mut problems);
        if !(MIN_ACCEPTANCE_DEADLINE_SECONDS..=MAX_ACCEPTANCE_DEADLINE_SECONDS)
            .contains(&self.acceptance_deadline_seconds)
        {
            let allowed = whole_number(MIN_ACCEPTANCE_DEADLINE_SECONDS, MAX_ACCEPTANCE_DEADLINE_SECONDS);
            let text = format!("must be {allowed}, not {}", self.acceptance_deadline_seconds);
            problems.add("/acceptance_deadline_seconds", text);
        }
        let delivery = self.delivery.resolve(self.delivers, &mut problems);
        let zones = check_zones(&self.zones, self.location.is_some(), &mut problems);
        if !self.zones.is_empty() {
            check_terms_beside_zones(delivery, &mut problems);
        }
        if delivery.is_none() && !self.collection {
            problems.add("/collection", "a restaurant must deliver or let customers collect");
        }
        problems.into_result()?;
        // For each `None` below, a problem was added above.
        let (Some(name), Some(currency), Some(time_zone)) = (name, currency, time_zone) else {
            return Err(Problems::one("", "incomplete settings"));
        };
        Ok(RestaurantSettings {
            external_id,
            name,
            currency,
            country: self.country,
            time_zone,
            location: self.location,
            opening_hours: self.opening_hours.map_or(OpeningHours::Always, OpeningHours::Weekly),
            tax_rate_basis_points: self.tax_rate_basis_points,
            taxes: self.taxes,
            default_taxes: self.default_taxes,
            tax_rounding: self.tax_rounding,
            fees: self.fees,
            delivery,
            zones: zones.into(),
            collection: self.collection,
            acceptance_deadline_seconds: self.acceptance_deadline_seconds,
            refund_limit: self.refund_limit,
        })
    }
}

/// Adds a problem if the restaurant does not deliver, and for each term that only its zones may state.
fn check_terms_beside_zones(delivery: Option<DeliveryTerms>, problems: &mut Problems) {
    let Some(DeliveryTerms { fee, free_from, minimum_order }) = delivery else {
        return problems.add("/zones", "must be absent, because the restaurant does not deliver");
    };
    let terms = [
        ("fee", !fee.is_zero()),
        ("free_from", free_from.is_some()),
        ("minimum_order", !minimum_order.is_zero()),
    ];
    for (name, _) in terms.into_iter().filter(|(_, is_stated)| *is_stated) {
        let text = "must be absent, because each of the zones states its own";
        problems.add(format!("/delivery/{name}"), text);
    }
}

impl DeliverySetting {
    /// Returns the terms of delivery; `None` without delivery. Adds a problem if they contradict `delivers`.
    fn resolve(self, delivers: Option<bool>, problems: &mut Problems) -> Option<DeliveryTerms> {
        match (delivers, self) {
            (Some(true), Self::Null) => {
                problems.add("/delivery", "must not be null if `delivers` is true");
                None
            }
            (Some(false), Self::Terms(terms)) => {
                problems.add("/delivery", "must be absent or null if `delivers` is false");
                Some(terms)
            }
            (Some(false), _) | (None, Self::Null) => None,
            (_, Self::Absent) => Some(DeliveryTerms::default()),
            (_, Self::Terms(terms)) => Some(terms),
        }
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
}

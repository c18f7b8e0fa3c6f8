//! Delivery zones: their validation, and what they mean for a cart.

use dabba_domain::{
    Amount,
    geo::Position,
    limits::{MAX_ZONE_POSITIONS, MAX_ZONES},
    order::{Fulfilment, OrderRequest, OrderZone},
    pricing::{BelowMinimum, Cart, CartRef, OutsideZones, check_minimum, check_place, price},
    restaurant::{Location, Reach, RestaurantSettings, SettingsDocument},
    text::read_stored,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{amount, menu};

/// The restaurant's location.
const CENTRE: Location = Location { lat: 51.5, lng: -0.1 };

fn document(extra: &Value) -> SettingsDocument {
    let mut document = json!({
        "name": "Tiffin Room", "currency": "GBP", "time_zone": "Europe/London",
        "location": {"lat": CENTRE.lat, "lng": CENTRE.lng},
    });
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(document).unwrap()
}

fn settings(extra: &Value) -> RestaurantSettings {
    document(extra).validate().unwrap()
}

fn problems(extra: &Value) -> Vec<(String, String)> {
    let problems = document(extra).validate().unwrap_err();
    problems.as_slice().iter().map(|problem| (problem.pointer.clone(), problem.detail.clone())).collect()
}

/// A square ring around a position, in degrees.
fn square(lng: f64, lat: f64, half: f64) -> Value {
    let (west, east, south, north) = (lng - half, lng + half, lat - half, lat + half);
    json!([[west, south], [east, south], [east, north], [west, north], [west, south]])
}

/// An inner zone, a middle zone with a hole, and a far zone of two polygons.
fn zoned() -> RestaurantSettings {
    settings(&json!({"zones": [
        {"id": "near", "name": "Near", "area": {"type": "Circle", "radius_metres": 1_000}, "minutes": 15},
        {
            "id": "middle", "fee": 250, "free_from": 3_000, "minimum_order": 1_000, "minutes": 30,
            "area": {"type": "Polygon", "coordinates": [square(-0.1, 51.5, 0.1), square(-0.05, 51.55, 0.01)]},
        },
        {
            "id": "far", "fee": 600, "minimum_order": 2_500,
            "area": {"type": "MultiPolygon", "coordinates": [[square(-0.1, 51.5, 0.2)], [square(-0.5, 51.5, 0.1)]]},
        },
    ]}))
}

fn zone_at(settings: &RestaurantSettings, lat: f64, lng: f64) -> Option<&str> {
    settings.reach(Some(Location { lat, lng })).zone().map(|zone| zone.id.as_str())
}

/// Proves that an area larger than a region is refused, although its positions are in range.
#[test]
fn an_area_has_a_maximum_extent() {
    let zone = |half: f64| {
        let area = json!({"type": "Polygon", "coordinates": [square(10.0, 50.0, half)]});
        json!({"zones": [{"id": "large", "area": area}]})
    };
    assert_eq!(settings(&zone(5.0)).zones.len(), 1);
    let text = "must not span more than 10 degrees of longitude or latitude".to_owned();
    assert_eq!(problems(&zone(5.1)), [("/zones/0/area".to_owned(), text)]);
}

#[test]
fn the_first_zone_that_contains_the_place_counts() {
    let settings = zoned();
    for (lat, lng, zone) in [
        (51.5, -0.1, Some("near")),
        (51.508, -0.1, Some("near")),
        (51.51, -0.1, Some("middle")),
        (51.6, -0.0, Some("middle")),   // A corner.
        (51.55, -0.05, Some("far")),    // In the hole.
        (51.54, -0.05, Some("middle")), // On the border of the hole.
        (51.65, -0.1, Some("far")),
        (51.5, -0.55, Some("far")),
        (51.5, -0.35, None),
        (51.71, -0.1, None),
        (-51.5, 179.9, None),
    ] {
        assert_eq!(zone_at(&settings, lat, lng), zone, "{lat} {lng}");
    }
    assert_eq!(settings.reach(Some(Location { lat: 0.0, lng: 0.0 })), Reach::Outside);
    assert_eq!(settings.reach(None), Reach::Unlocated);
}

#[test]
fn zones_survive_storage_and_settings_without_zones_are_stored_as_before() {
    let settings = zoned();
    let stored = serde_json::to_string(&settings).unwrap();
    let read: RestaurantSettings = read_stored(|| serde_json::from_str(&stored)).unwrap();
    assert_eq!(read, settings);
    let without = serde_json::to_value(self::settings(&json!({}))).unwrap();
    assert!(without.get("zones").is_none());
    assert_eq!(without["delivery"], json!({"fee": 0, "minimum_order": 0}));
}

/// Proves that settings can be written as they are read.
#[test]
fn zones_are_written_as_they_are_read() {
    let written = serde_json::to_value(zoned()).unwrap()["zones"].clone();
    assert_eq!(written[0]["area"], json!({"type": "Circle", "radius_metres": 1_000}));
    assert_eq!(written[1]["area"]["coordinates"][0][1], json!([0.0, 51.4]));
    assert_eq!(settings(&json!({"zones": written})).zones, zoned().zones);
    let short = settings(&json!({"zones": [{"id": "near", "area": {"radius_metres": 1_000}}]}));
    assert_eq!(short.zones[0].area, zoned().zones[0].area);
}

#[test]
fn every_wrong_zone_is_listed() {
    let area = |area: Value| json!({"id": "a", "area": area});
    let polygon = |rings: Value| area(json!({"type": "Polygon", "coordinates": rings}));
    for (zone, pointer, text) in [
        (area(json!({})), "/type", "is required; must be one of Polygon, MultiPolygon, Circle"),
        (area(json!({"type": "Circle"})), "/radius_metres", "is required for a circle"),
        (
            area(json!({"type": "Circle", "radius_metres": 0})),
            "/radius_metres",
            "must be a whole number from 1 to 200000, not 0",
        ),
        (
            area(json!({"type": "Circle", "radius_metres": 1, "coordinates": []})),
            "/coordinates",
            "must be absent for a circle: its centre is the location of the restaurant",
        ),
        (area(json!({"type": "Polygon"})), "/coordinates", "is required for a polygon"),
        (
            area(json!({"type": "Polygon", "coordinates": [square(0.0, 0.0, 1.0)], "radius_metres": 1})),
            "/radius_metres",
            "must be absent for a polygon",
        ),
        (polygon(json!(7)), "/coordinates", "must be a list of rings, not a number"),
        (polygon(json!([])), "/coordinates", "must have 1 to 100 entries, not 0; it is a list of rings"),
        (
            polygon(json!([[[0, 0], [1, 1], [0, 0]]])),
            "/coordinates/0",
            "must have 4 to 2000 entries, not 3; it is a ring of positions",
        ),
        (
            polygon(json!([[[0, 0], [1, 0], [1, 1], [0, 1]]])),
            "/coordinates/0/3",
            "must repeat the first position of the ring, because a ring is closed",
        ),
        (polygon(json!([[[0, 0], [1, 1], [2, 2], [0, 0]]])), "/coordinates/0", "must enclose an area"),
        (
            polygon(json!([[[0, 0, 12], [1, 0], [1, 1], [0, 0, 12]]])),
            "/coordinates/0/0",
            "must be a list of two numbers: longitude and latitude",
        ),
        (
            polygon(json!([[[0, 0], [1, 0], [1, 95.5], [0, 0]]])),
            "/coordinates/0/2/1",
            "must be a latitude, a number from -90 to 90, not 95.5",
        ),
        (
            polygon(json!([[[0, 0], [-200, 0], [1, 1], [0, 0]]])),
            "/coordinates/0/1/0",
            "must be a longitude, a number from -180 to 180, not -200",
        ),
        (
            polygon(json!([[[179, 0], [-179, 0], [-179, 1], [179, 0]]])),
            "/coordinates/0/1",
            "must be at most 180 degrees of longitude from the position before it; divide an area that crosses the \
             antimeridian into a polygon on each side",
        ),
        (
            area(json!({"type": "MultiPolygon", "coordinates": [[square(0.0, 0.0, 1.0)], [[[0, 0]]]]})),
            "/coordinates/1/0",
            "must have 4 to 2000 entries, not 1; it is a ring of positions",
        ),
    ] {
        let found = problems(&json!({"zones": [zone]}));
        let first = (format!("/zones/0/area{pointer}"), text.to_owned());
        assert!(found.contains(&first), "{first:?} is not in {found:?}");
    }
}

#[test]
fn zones_fit_the_other_settings() {
    let near = json!({"id": "near", "area": {"type": "Circle", "radius_metres": 500}});
    let zones = json!([near, near]);
    let unique = ("/zones/1/id".to_owned(), "must be unique; near occurs twice".to_owned());
    assert_eq!(problems(&json!({"zones": zones})), [unique]);
    let pointers =
        |extra: &Value| problems(extra).into_iter().map(|(pointer, _)| pointer).collect::<Vec<_>>();
    let zones = json!([near]);
    for (extra, expected) in [
        (json!({"zones": zones, "location": null}), vec!["/zones/0/area/radius_metres"]),
        (json!({"zones": zones, "delivers": false}), vec!["/zones"]),
        (json!({"zones": zones, "delivery": null}), vec!["/zones"]),
        (
            json!({"zones": zones, "delivery": {"fee": 1, "free_from": 2, "minimum_order": 3}}),
            vec!["/delivery/fee", "/delivery/free_from", "/delivery/minimum_order"],
        ),
        (
            json!({"zones": [{"id": "a", "area": {"radius_metres": 1}, "minutes": 0}]}),
            vec!["/zones/0/minutes"],
        ),
    ] {
        assert_eq!(pointers(&extra), expected, "{extra}");
    }
    settings(&json!({"zones": zones, "delivery": {}, "delivers": true}));
    let steps = 0..u32::try_from(MAX_ZONE_POSITIONS).unwrap();
    let outline: Vec<_> = steps.map(|step| json!([f64::from(step) / 1e4, step % 2])).collect();
    let ring: Vec<_> = outline.iter().chain([&outline[0]]).collect();
    let too_long = json!({"id": "a", "area": {"type": "Polygon", "coordinates": [ring]}});
    assert_eq!(pointers(&json!({"zones": [too_long]})), ["/zones/0/area/coordinates/0"]);
    let ring: Vec<_> = outline[..MAX_ZONE_POSITIONS / 2].iter().chain([&outline[0]]).collect();
    let long = |id: &str| json!({"id": id, "area": {"type": "Polygon", "coordinates": [ring]}});
    settings(&json!({"zones": [long("a")]}));
    assert_eq!(pointers(&json!({"zones": [long("a"), long("b")]})), ["/zones"]);
    let many: Vec<_> =
        (0..=MAX_ZONES).map(|id| json!({"id": id.to_string(), "area": {"radius_metres": 1}})).collect();
    assert_eq!(pointers(&json!({"zones": many})), ["/zones"]);
}

fn cart(fulfilment: &Value) -> Cart {
    serde_json::from_value(json!({"fulfilment": fulfilment, "lines": [{"item": "dal", "quantity": 2}]}))
        .unwrap()
}

fn at(lat: f64, lng: f64) -> Value {
    json!({"type": "delivery", "address": {"location": {"lat": lat, "lng": lng}}})
}

/// Two portions of dal cost 1,300.
#[test]
fn the_zone_states_fee_and_minimum() {
    let settings = zoned();
    let minimum = |minor| Err(BelowMinimum { minimum: amount(minor) });
    let zone =
        |id: &str, minutes| Ok(Some(OrderZone { id: serde_json::from_value(json!(id)).unwrap(), minutes }));
    for (fulfilment, fee, of_minimum, of_place) in [
        (at(51.5, -0.1), 0, Ok(()), zone("near", Some(15))),
        (at(51.51, -0.1), 250, Ok(()), zone("middle", Some(30))),
        (at(51.65, -0.1), 600, minimum(2_500), zone("far", None)),
        (at(0.0, 0.0), 0, Ok(()), Err(OutsideZones)),
        (json!("collection"), 0, Ok(()), Ok(None)),
        (json!({"type": "collection"}), 0, Ok(()), Ok(None)),
    ] {
        let cart = cart(&fulfilment);
        let cart = CartRef::from(&cart);
        let priced = price(&settings, &menu(), cart).unwrap();
        assert_eq!(priced.amounts.delivery_fee, amount(fee), "{fulfilment}");
        assert_eq!(check_minimum(&settings, cart, priced.amounts.subtotal), of_minimum, "{fulfilment}");
        assert_eq!(check_place(&settings, cart), of_place, "{fulfilment}");
    }
    let mut many = cart(&at(51.51, -0.1));
    many.lines[0].quantity = 5;
    let free = price(&settings, &menu(), (&many).into()).unwrap();
    assert_eq!(free.amounts.delivery_fee, Amount::ZERO, "3,250 is above the threshold of 3,000");
}

#[test]
fn a_restaurant_with_zones_needs_the_place() {
    let settings = zoned();
    for fulfilment in
        [json!("delivery"), json!({"type": "delivery"}), json!({"type": "delivery", "address": {}})]
    {
        let refused = price(&settings, &menu(), (&cart(&fulfilment)).into()).unwrap_err();
        let pointers: Vec<_> = refused.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(pointers, ["/fulfilment/address/location"], "{fulfilment}");
        assert!(price(&crate::common::settings(), &menu(), (&cart(&fulfilment)).into()).is_ok());
    }
    let refused = price(&settings, &menu(), (&cart(&at(91.0, 181.0))).into()).unwrap_err();
    let pointers: Vec<_> = refused.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(pointers, ["/fulfilment/address/location/lat", "/fulfilment/address/location/lng"]);
}

/// Proves that the fulfilment of a quote has the form of an order's, with any part of the address.
#[test]
fn a_quote_accepts_the_fulfilment_of_an_order() {
    let location = json!({"lat": 51.5, "lng": -0.1});
    let address = json!({
        "line1": "1 Lunchbox Lane", "line2": "Flat 2", "street": "Lunchbox Lane", "number": "1", "complement": "Flat 2",
        "district": "Soho", "city": "London", "state": "England", "postal_code": "W1D 1AA", "country": "GB",
        "formatted": "1 Lunchbox Lane\nLondon W1D 1AA", "location": location, "instructions": "Ring twice.",
    });
    let fulfilment = json!({"type": "delivery", "address": address});
    let quoted = cart(&fulfilment).fulfilment;
    let ordered: Fulfilment = serde_json::from_value(fulfilment.clone()).unwrap();
    assert_eq!((quoted.kind, quoted.place), (ordered.kind(), ordered.place()));
    assert_eq!(quoted.place, Some(CENTRE));
    assert_eq!(serde_json::to_value(quoted).unwrap(), at(51.5, -0.1));
    assert_eq!(serde_json::to_value(cart(&json!("delivery")).fulfilment).unwrap(), json!("delivery"));
    let request = json!({"lines": [], "fulfilment": fulfilment, "payment_method": "cash"});
    let request: OrderRequest = serde_json::from_value(request).unwrap();
    assert_eq!(request.cart().place, quoted.place);
    for wrong in [
        json!("pigeon"),
        json!(7),
        json!({"type": "collection", "address": {}}),
        json!({"type": "delivery", "address": {"planet": "Mars"}}),
        json!({"type": "delivery", "place": {}}),
    ] {
        let cart = serde_json::from_value::<Cart>(json!({"fulfilment": wrong, "lines": []}));
        assert!(cart.is_err(), "{wrong}");
    }
}

/// Proves that an address without the parts is written as before.
#[test]
fn an_address_on_lines_is_stored_as_before() {
    let address = json!({"line1": "1 Lunchbox Lane", "city": "London"});
    let fulfilment = json!({"type": "delivery", "address": address});
    let read: Fulfilment = serde_json::from_value(fulfilment.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), fulfilment);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Proves that zones that share borders leave no gap: every place within the outline of a grid is in a zone, and the
    /// zone of a place does not change when zones that do not contain it are added.
    #[test]
    fn adjoining_zones_leave_no_gap(
        columns in proptest::collection::vec(1_i32..5_000_000, 1..6),
        rows in proptest::collection::vec(1_i32..5_000_000, 1..6),
        lng in 0.0..=1.0_f64,
        lat in 0.0..=1.0_f64,
    ) {
        let edges = |widths: &[i32]| {
            let mut edges = vec![0];
            for width in widths {
                edges.push(edges[edges.len() - 1] + width);
            }
            edges
        };
        let (columns, rows) = (edges(&columns), edges(&rows));
        let degrees = |lng: i32, lat: i32| json!(Position { lng, lat }.degrees());
        let mut zones = Vec::new();
        for (column, west_east) in columns.windows(2).enumerate() {
            for (row, south_north) in rows.windows(2).enumerate() {
                let (west, east, south, north) = (west_east[0], west_east[1], south_north[0], south_north[1]);
                // Two triangles.
                for (half, corner) in [(0, (east, south)), (1, (west, north))] {
                    let ring = [(west, south), corner, (east, north), (west, south)];
                    let ring: Vec<_> = ring.iter().map(|(lng, lat)| degrees(*lng, *lat)).collect();
                    zones.push(json!({
                        "id": format!("z-{column}-{row}-{half}"), "area": {"type": "Polygon", "coordinates": [ring]},
                    }));
                }
            }
        }
        zones.truncate(MAX_ZONES);
        let covered = zones.len() == 2 * (columns.len() - 1) * (rows.len() - 1);
        prop_assert!(covered);
        let settings = settings(&json!({"zones": zones}));
        let share = |edges: &[i32], share: f64| f64::from(edges[edges.len() - 1]) * share / 1e7;
        let (lng, lat) = (share(&columns, lng), share(&rows, lat));
        let found = zone_at(&settings, lat, lng).map(str::to_owned);
        prop_assert!(found.is_some());
        let first = zones.iter().find(|zone| zone["id"] == found.as_deref().unwrap()).cloned().unwrap();
        let alone = self::settings(&json!({"zones": [first]}));
        prop_assert_eq!(zone_at(&alone, lat, lng).map(str::to_owned), found);
    }
}

//! Delivery zones: settings, quotes and orders.

use dabba_testkit::{TestServer, settings};
use serde_json::{Value, json};

/// Settings with two zones around Manchester: `inner`, a circle, and `outer`, a square.
fn zoned() -> Value {
    let mut document = settings("Curry Mile Kitchen");
    document.as_object_mut().unwrap().remove("delivery");
    document["location"] = json!({"lat": 53.45, "lng": -2.22});
    let square = json!([[-2.5, 53.2], [-2, 53.2], [-2, 53.7], [-2.5, 53.7], [-2.5, 53.2]]);
    document["zones"] = json!([
        {"id": "inner", "name": "Inner", "area": {"type": "Circle", "radius_metres": 2_000}, "fee": 150, "minutes": 15},
        {
            "id": "outer", "area": {"type": "Polygon", "coordinates": [square]}, "fee": 400, "free_from": 5_000,
            "minimum_order": 2_000,
        },
    ]);
    document
}

async fn start() -> TestServer {
    let server = crate::start().await;
    let put = server.put(&server.restaurant_path(""), Some(&server.staff), &zoned());
    put.header("if-match", "*").send().await.expect(200);
    server
}

fn delivery_to(lat: f64, lng: f64) -> Value {
    json!({"type": "delivery", "address": {
        "line1": "1 Curry Mile", "city": "Manchester", "street": "Curry Mile", "number": "1", "complement": "Flat 2",
        "district": "Rusholme", "state": "Lancashire", "country": "GB", "formatted": "1 Curry Mile\nManchester",
        "location": {"lat": lat, "lng": lng},
    }})
}

/// Proves that staff set zones, that everyone reads them, and that sending them back changes nothing.
#[tokio::test]
async fn zones_are_read_as_they_were_written() {
    let server = start().await;
    let path = server.restaurant_path("");
    let read = server.get(&path, None).await;
    let revision = read.header("etag").to_owned();
    let read = read.expect(200);
    assert_eq!((&read["delivers"], read.get("delivery")), (&json!(true), None));
    let mut expected = zoned()["zones"].clone();
    expected[0]["minimum_order"] = json!(0);
    assert_eq!(read["zones"][0], expected[0]);
    assert_eq!(read["zones"][1]["area"]["coordinates"][0][2], json!([-2.0, 53.7]));
    let put = server.put(&path, Some(&server.staff), &read).header("if-match", "*").send().await;
    assert_eq!(put.header("etag"), revision);
    assert_eq!(put.expect(200)["zones"], read["zones"]);
    let without = server.put(&path, Some(&server.staff), &settings("Curry Mile Kitchen"));
    let without = without.header("if-match", "*").send().await.expect(200);
    assert_eq!((without.get("zones"), &without["delivery"]["fee"]), (None, &json!(250)));
}

/// Proves that every problem of the zones is reported with its place, also those of their form.
#[tokio::test]
async fn wrong_zones_are_refused_with_their_places() {
    let server = crate::start().await;
    let path = server.restaurant_path("");
    let pointers = async |change: &dyn Fn(&mut Value)| {
        let mut document = zoned();
        change(&mut document);
        let put = server.put(&path, Some(&server.staff), &document).header("if-match", "*");
        put.send().await.pointers()
    };
    assert_eq!(
        pointers(&|document| {
            document["delivery"] = json!({"fee": 1});
            document["zones"][0]["area"]["radius_metres"] = json!(0);
            document["zones"][1]["id"] = json!("inner");
            document["zones"][1]["area"]["coordinates"][0][1] = json!([-200, 53.2]);
        })
        .await,
        ["/zones/0/area/radius_metres", "/zones/1/id", "/zones/1/area/coordinates/0/1/0", "/delivery/fee"]
    );
    // Of a body that does not have the form of the schema.
    for (area, expected) in [
        (json!("all"), "/zones/1/area"),
        (json!({"type": "Square"}), "/zones/1/area/type"),
        (json!({"type": "Circle", "radius_metres": "far"}), "/zones/1/area/radius_metres"),
        (json!({"type": "Polygon", "coordinates": [[[0, "north"]]]}), "/zones/1/area/coordinates/0/0/1"),
    ] {
        let found = pointers(&|document| document["zones"][1]["area"] = area.clone()).await;
        assert!(found.contains(&expected.to_owned()), "{area}: {found:?}");
    }
}

/// Proves that a quote states the terms of the zone, and reports an address without a location and one outside all zones.
#[tokio::test]
async fn a_quote_states_the_terms_of_the_zone() {
    let server = start().await;
    let path = server.restaurant_path("/quotes");
    let quote = |fulfilment: Value| {
        let cart = json!({"lines": [{"item": "dal", "quantity": 1}], "fulfilment": fulfilment});
        server.post(&path, None, &cart).send()
    };
    let location =
        |lat: f64| json!({"type": "delivery", "address": {"location": {"lat": lat, "lng": -2.22}}});
    for fulfilment in
        [json!("delivery"), json!({"type": "delivery"}), json!({"type": "delivery", "address": {}})]
    {
        assert_eq!(quote(fulfilment).await.pointers(), ["/fulfilment/address/location"]);
    }
    let inner = quote(location(53.45)).await.expect(200);
    assert_eq!(inner["delivery_zone"], json!({"id": "inner", "minutes": 15}));
    assert_eq!((&inner["amounts"]["delivery_fee"], &inner["orderable"]), (&json!(150), &json!(true)));
    assert_eq!(quote(delivery_to(53.45, -2.22)).await.expect(200), inner);
    let outer = quote(location(53.5)).await.expect(200);
    assert_eq!(
        (&outer["delivery_zone"], &outer["amounts"]["delivery_fee"]),
        (&json!({"id": "outer"}), &json!(400))
    );
    let obstacle = &outer["obstacles"][0];
    assert_eq!((&obstacle["code"], &obstacle["minimum"]), (&json!("below_minimum_order"), &json!(2_000)));
    let outside = quote(location(54.0)).await.expect(200);
    assert_eq!(outside["obstacles"][0]["code"], "outside_delivery_zones");
    assert_eq!((outside.get("delivery_zone"), &outside["amounts"]["delivery_fee"]), (None, &json!(0)));
    let collected = quote(json!("collection")).await.expect(200);
    assert_eq!(quote(json!({"type": "collection"})).await.expect(200), collected);
    for (wrong, pointer) in [
        (json!("pigeon"), "/fulfilment"),
        (json!(7), "/fulfilment"),
        (json!({"type": "pigeon"}), "/fulfilment/type"),
        (json!({"type": "collection", "address": {}}), "/fulfilment/address"),
        (json!({"type": "delivery", "address": {"planet": "Mars"}}), "/fulfilment/address/planet"),
        (location(91.0), "/fulfilment/address/location/lat"),
    ] {
        assert_eq!(quote(wrong.clone()).await.pointers(), [pointer], "{wrong}");
    }
}

/// Proves that an order keeps its zone and the parts of its address, and that an order to an address outside all zones is
/// refused.
#[tokio::test]
async fn an_order_is_placed_within_the_zones_only() {
    let server = start().await;
    let order = |fulfilment: Value| {
        let mut order = TestServer::order();
        order["fulfilment"] = fulfilment;
        order
    };
    let placed = server.place("inside", &order(delivery_to(53.45, -2.22))).await;
    assert_eq!(placed["delivery_zone"], json!({"id": "inner", "minutes": 15}));
    assert_eq!(placed["fulfilment"], delivery_to(53.45, -2.22));
    assert_eq!(placed["amounts"]["delivery_fee"], 150);
    let place = |key: &'static str, order: Value| {
        let server = &server;
        async move { server.post(&server.orders_path(), Some(&server.customer), &order).key(key).send().await }
    };
    let refused = place("outside", order(delivery_to(0.0, 0.0))).await.problem(409, "outside_delivery_zones");
    assert_eq!(refused["obstacles"][0]["code"], "outside_delivery_zones");
    let unlocated = place("unlocated", TestServer::order()).await;
    assert_eq!(unlocated.pointers(), ["/fulfilment/address/location"]);
    let mut wrong = order(delivery_to(53.45, -2.22));
    wrong["fulfilment"]["address"]["country"] = json!("Britain");
    assert_eq!(place("wrong", wrong).await.pointers(), ["/fulfilment/address/country"]);
    // The zone of an order does not change with the settings.
    let put = server.put(&server.restaurant_path(""), Some(&server.staff), &settings("Curry Mile Kitchen"));
    put.header("if-match", "*").send().await.expect(200);
    let path = format!("/v1/orders/{}", placed["id"].as_str().unwrap());
    assert_eq!(server.get(&path, Some(&server.customer)).await.expect(200), placed);
}

/// Proves that a fee by distance is in the quote and the order of a delivery, which need the place of the address.
#[tokio::test]
async fn a_fee_by_distance_needs_the_place() {
    let server = crate::start().await;
    let mut document = settings("Curry Mile Kitchen");
    document["location"] = json!({"lat": 53.45, "lng": -2.22});
    document["fees"] = json!([{"id": "far", "kind": "distance", "name": "Distance",
        "tiers": [{"from_metres": 1_000, "amount": 150}]}]);
    let put = server.put(&server.restaurant_path(""), Some(&server.staff), &document).header("if-match", "*");
    // Only an admin changes fees.
    put.send().await.expect(403);
    let put = server.put(&server.restaurant_path(""), Some(&server.admin), &document).header("if-match", "*");
    put.send().await.expect(200);
    let mut order = TestServer::order();
    let refused = server.post(&server.orders_path(), Some(&server.customer), &order).key("1").send().await;
    assert_eq!(refused.pointers(), ["/fulfilment/address/location"]);
    for (key, lat, expected) in [("near", 53.451, None), ("far", 53.47, Some(150))] {
        order["fulfilment"]["address"]["location"] = json!({"lat": lat, "lng": -2.22});
        let cart = json!({"lines": order["lines"], "fulfilment": order["fulfilment"]});
        let quote = server.post(&server.restaurant_path("/quotes"), None, &cart).send().await.expect(200);
        let placed = server.place(key, &order).await;
        for body in [&quote, &placed] {
            let fees = body["fees"].as_array().unwrap();
            let far = fees.iter().find(|fee| fee["id"] == "far").map(|fee| fee["amount"].as_i64().unwrap());
            assert_eq!(far, expected, "{key}");
        }
    }
}

//! The search for restaurants that deliver to a place.

use dabba_testkit::{HttpResponse, TestServer, eventually, settings};
use serde_json::{Value, json};

/// Creates a restaurant with these settings besides the usual ones. Returns its id.
async fn create(server: &TestServer, name: &str, extra: Value) -> String {
    let mut document = settings(name);
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let created = server.post("/v1/restaurants", Some(&server.admin), &document).send().await;
    assert_eq!(created.status, 201, "{}", created.text);
    created.text_at("/id")
}

/// Searches at a place in London, after the server has read all restaurants.
async fn search(server: &TestServer, query: &str) -> HttpResponse {
    let path = format!("/v1/restaurants?near=51.5,-0.1{query}");
    eventually("the server knows all restaurants", async || {
        let answer = server.get(&path, None).await;
        if answer.json.get("incomplete").is_none() { Ok(answer) } else { Err(answer.text) }
    })
    .await
}

fn ids(answer: HttpResponse) -> Vec<String> {
    let body = answer.expect(200);
    let restaurants = body["restaurants"].as_array().unwrap();
    restaurants.iter().map(|restaurant| restaurant["id"].as_str().unwrap().to_owned()).collect()
}

fn located(lat: f64) -> Value {
    json!({"lat": lat, "lng": -0.1})
}

fn circle(lat: f64, radius_metres: u32) -> Value {
    json!({
        "location": located(lat), "delivery": {},
        "zones": [{"id": "all", "area": {"type": "Circle", "radius_metres": radius_metres}, "fee": 300, "minutes": 25}],
    })
}

/// Proves that a search finds the restaurants that deliver to the place, nearest first, with the terms at the place.
#[tokio::test]
async fn a_search_finds_who_delivers_nearest_first() {
    let server = crate::start().await;
    let square = json!([[-0.2, 51.4], [0, 51.4], [0, 51.6], [-0.2, 51.6], [-0.2, 51.4]]);
    let area = json!({"type": "Polygon", "coordinates": [square]});
    let zones = json!([{"id": "town", "area": area, "fee": 200, "free_from": 2_000, "minimum_order": 900}]);
    let unlocated = create(&server, "No Place", json!({"delivery": {}, "zones": zones})).await;
    let far = create(&server, "Far", circle(51.6, 20_000)).await;
    let near = create(&server, "Near", circle(51.51, 5_000)).await;
    let without = create(&server, "Without Zones", json!({"location": located(51.53)})).await;
    create(&server, "Too Small", circle(51.52, 1_000)).await;
    create(&server, "Without Zones, Too Far", json!({"location": located(51.55)})).await;
    create(&server, "Without Delivery", json!({"location": located(51.5), "delivery": null})).await;
    let answer = search(&server, "").await;
    let body = answer.json.clone();
    assert_eq!(ids(answer), [near, without, far, unlocated.clone()]);
    let terms = |index: usize| &body["restaurants"][index]["near"];
    assert_eq!(
        terms(0),
        &json!({"distance_metres": 1_112, "zone": "all", "fee": 300, "minimum_order": 0, "minutes": 25})
    );
    assert_eq!(terms(1), &json!({"distance_metres": 3_336, "fee": 250, "minimum_order": 1_000}));
    assert_eq!(terms(3), &json!({"zone": "town", "fee": 200, "free_from": 2_000, "minimum_order": 900}));
    assert_eq!(body["restaurants"][3].get("zones"), None);
    let listed = server.get("/v1/restaurants?limit=100", None).await.expect(200);
    let listed = listed["restaurants"].as_array().unwrap();
    assert!(listed.len() > 7 && listed.iter().all(|restaurant| restaurant.get("near").is_none()));
    let listed = listed.iter().find(|restaurant| restaurant["id"] == unlocated).unwrap();
    assert_eq!(listed["zones"][0]["id"], "town");
}

/// Proves that the pages of a search add up to the whole result.
#[tokio::test]
async fn a_search_has_pages() {
    let server = crate::start().await;
    let mut expected = Vec::new();
    for step in 0..5 {
        // Two of the restaurants are equally far away.
        let lat = 51.5 + f64::from(step / 2) / 1_000.0;
        expected.push((step / 2, create(&server, "Dosa House", circle(lat, 5_000)).await));
    }
    expected.sort();
    let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids(search(&server, "").await), expected);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = search(&server, &format!("&limit=2{cursor}")).await;
        let next = page.json.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        found.extend(ids(page));
        let Some(next) = next else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, expected);
}

/// Proves that a search follows changes at once: pauses, closings, names and zones.
#[tokio::test]
async fn a_search_follows_changes() {
    let server = crate::start().await;
    let one = create(&server, "Café Zürich", circle(51.5, 5_000)).await;
    let two = create(&server, "Dosa House", circle(51.501, 5_000)).await;
    let nothing: [&str; 0] = [];
    assert_eq!(ids(search(&server, "&open=true").await), [one.clone(), two.clone()]);
    for (text, expected) in [
        ("cafe", vec![&one]),
        ("ZURICH%20caf%C3%A9", vec![&one]),
        ("hou", vec![&two]),
        ("o", vec![&two]),
        ("pizza", vec![]),
    ] {
        let found = ids(search(&server, &format!("&q={text}")).await);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{text}");
    }
    let post = |id: &str, what: &str, body: Value| {
        let path = format!("/v1/restaurants/{id}/{what}");
        let server = &server;
        async move { server.post(&path, Some(&server.admin), &body).send().await.expect(200) }
    };
    post(&one, "pause", json!({})).await;
    assert_eq!(ids(search(&server, "&open=true").await), [two.as_str()]);
    assert_eq!(ids(search(&server, "&open=false").await), [one.as_str()]);
    post(&one, "resume", json!({})).await;
    post(&two, "close", json!({"reason": "moved"})).await;
    assert_eq!(ids(search(&server, "").await), [one.as_str()]);
    post(&two, "reopen", json!({})).await;
    let mut closed = settings("Dosa House");
    closed.as_object_mut().unwrap().extend(circle(51.501, 5_000).as_object().unwrap().clone());
    closed["opening_hours"] = json!([]);
    let put = |id: &str, body: Value| {
        let path = format!("/v1/restaurants/{id}");
        let server = &server;
        async move {
            let put = server.put(&path, Some(&server.admin), &body).header("if-match", "*");
            put.send().await.expect(200)
        }
    };
    put(&two, closed).await;
    assert_eq!(ids(search(&server, "&open=true").await), [one.as_str()]);
    let mut moved = settings("Café Zürich");
    moved.as_object_mut().unwrap().extend(circle(52.0, 5_000).as_object().unwrap().clone());
    put(&one, moved).await;
    assert_eq!(ids(search(&server, "&open=true").await), nothing);
}

/// Proves that wrong parameters are refused, each with its name.
#[tokio::test]
async fn wrong_parameters_of_a_search_are_refused() {
    let server = crate::start().await;
    for (query, expected) in [
        ("near=51.5", vec!["near"]),
        ("near=91,0", vec!["near"]),
        ("near=0,181", vec!["near"]),
        ("near=nan,1e0&open=maybe", vec!["near", "open"]),
        ("near=51.5,-0.1&near=1,1", vec!["near"]),
        ("near=51.5,-0.1&closed=false&external_id=x", vec!["closed", "external_id"]),
        ("near=51.5,-0.1&q=%20", vec!["q"]),
        ("open=true&q=dosa", vec!["open", "q"]),
        ("near=51.5,-0.1&cursor=AAAA", vec!["cursor"]),
    ] {
        let refused = server.get(&format!("/v1/restaurants?{query}"), None).await.problem(400, "bad_request");
        let errors = refused["errors"].as_array().unwrap().iter();
        let names: Vec<_> = errors.map(|error| error["parameter"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{query}");
    }
}

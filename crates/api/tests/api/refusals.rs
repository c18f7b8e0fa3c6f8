//! Problems of requests: all at once, each with its place, in the API's words.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use dabba_testkit::{HttpResponse, TestServer, menu};
use proptest::prelude::*;
use reqwest::Method;
use serde_json::{Value, json};

/// The examples of request bodies, with the names of their schemas.
static EXAMPLES: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let description: Value = serde_json::from_str(&dabba_api::openapi_json()).unwrap();
    let items = description["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let contents = operations.map(|operation| &operation["requestBody"]["content"]["application/json"]);
    let mut examples = Vec::new();
    for content in contents.filter(|content| content["examples"].is_object()) {
        let schema = content["schema"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let values = content["examples"].as_object().unwrap().values();
        examples.extend(values.map(|example| (schema.to_owned(), example["value"].clone())));
    }
    assert!(examples.len() > 25);
    examples
});

/// Collects the JSON Pointers of all objects, and of all other values without members, in a document. The members that identify
/// the variant of a one-of are left out, because without them the members beside them are unknown.
fn places(pointer: &str, value: &Value, objects: &mut Vec<String>, leaves: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            objects.push(pointer.to_owned());
            let is_tag = |name: &str| name == "type" || name == "status";
            for (name, member) in members.iter().filter(|(name, _)| !is_tag(name)) {
                places(&format!("{pointer}/{name}"), member, objects, leaves);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for (index, value) in values.iter().enumerate() {
                places(&format!("{pointer}/{index}"), value, objects, leaves);
            }
        }
        _ => leaves.push(pointer.to_owned()),
    }
}

fn pointers(schema: &str, document: &Value) -> Vec<String> {
    let problems = dabba_api::problems_of(schema, &document.to_string()).unwrap();
    for problem in problems.as_slice() {
        check_words(&problem.detail);
    }
    problems.as_slice().iter().map(|problem| problem.pointer.clone()).collect()
}

/// Asserts that a message contains no words of the code.
#[track_caller]
fn check_words(detail: &str) {
    for word in [
        "u32",
        "i64",
        "f64",
        "struct ",
        "variant",
        "sequence",
        "invalid type",
        ", expected ",
        "Document",
        "Body",
    ] {
        assert!(!detail.contains(word), "{word} in {detail}");
    }
}

/// Proves that the schemas allow every example.
#[test]
fn an_example_has_no_problems() {
    for (schema, example) in EXAMPLES.iter() {
        assert_eq!(pointers(schema, example), Vec::<String>::new(), "{schema} {example}");
    }
}

proptest! {
    /// Proves for every body that each of several independent faults is one problem at its own place: values of a wrong type, and
    /// unknown members.
    #[test]
    fn every_fault_is_a_problem(
        example in any::<prop::sample::Index>(),
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..12),
    ) {
        let (schema, document) = example.get(&EXAMPLES);
        let (mut objects, mut leaves) = (Vec::new(), Vec::new());
        places("", document, &mut objects, &mut leaves);
        let mut faulty = document.clone();
        let mut expected = BTreeSet::new();
        for (pick, is_unknown) in picks {
            if is_unknown || leaves.is_empty() {
                let object = &objects[pick.index(objects.len())];
                faulty.pointer_mut(object).unwrap()["a/surplus~member"] = json!(1);
                expected.insert(format!("{object}/a~1surplus~0member"));
            } else {
                let leaf = &leaves[pick.index(leaves.len())];
                *faulty.pointer_mut(leaf).unwrap() = json!([[]]);
                expected.insert(leaf.clone());
            }
        }
        let found = pointers(schema, &faulty);
        prop_assert_eq!(found.len(), expected.len(), "{} {:?}", faulty, found);
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

/// Proves for every object in every body that an array of the members' values is refused in its place.
#[test]
fn an_array_is_not_an_object() {
    let mut count = 0;
    for (schema, document) in EXAMPLES.iter() {
        let (mut objects, mut leaves) = (Vec::new(), Vec::new());
        places("", document, &mut objects, &mut leaves);
        for object in objects {
            let mut faulty = document.clone();
            let values: Vec<Value> =
                faulty.pointer(&object).unwrap().as_object().unwrap().values().cloned().collect();
            *faulty.pointer_mut(&object).unwrap() = json!(values);
            assert_eq!(pointers(schema, &faulty), [object], "{schema} {faulty}");
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

async fn place(server: &TestServer, body: &Value) -> HttpResponse {
    server.post(&server.orders_path(), Some(&server.customer), body).key("1").send().await
}

/// Proves that a refusal lists every problem in the API's words, with the allowed and the given values.
#[tokio::test]
async fn every_problem_is_described_in_the_words_of_the_api() {
    let server = crate::start().await;
    let body = json!({
        "lines": [
            {"item": "Naan!", "quantity": 1.0, "options": [["heat", "hot"]]},
            {"quantity": "2", "note": "a\u{202e}", "price": 1},
            ["naan", 1],
        ],
        "fulfilment": {"type": "drone"},
        "payment_method": {"cash": null},
        "tip": 99_999_999_999_999_u64,
        "contact": {"name": null},
        "expected_total": -1,
        "payment_token": 4_111_111_111_111_111_u64,
    });
    let problem = place(&server, &body).await.problem(422, "invalid");
    let errors = problem["errors"].as_array().unwrap().iter();
    let errors: BTreeMap<_, _> =
        errors.map(|error| (error["pointer"].as_str().unwrap(), error["detail"].as_str().unwrap())).collect();
    let expected = BTreeMap::from([
        (
            "/lines/0/item",
            "must be 1 to 64 lower-case letters, digits and single hyphens between them, not \"Naan!\"",
        ),
        ("/lines/0/quantity", "must be a whole number from 1 to 99 in digits alone, not 1.0"),
        ("/lines/0/options/0", "must be an object, not an array"),
        ("/lines/1/item", "is required"),
        ("/lines/1/quantity", "must be a whole number from 1 to 99, not \"2\""),
        ("/lines/1/note", "must not contain U+202E, which changes the direction of the text"),
        ("/lines/1/price", "is unknown; allowed are item, note, options, quantity"),
        ("/lines/2", "must be an object, not an array"),
        ("/fulfilment/type", "must be one of collection, delivery, not \"drone\""),
        ("/payment_method", "must be one of cash, card, not an object"),
        ("/tip", "must be a whole number from 0 to 1000000000000, not 99999999999999"),
        ("/contact/name", "must be a text, not null"),
        ("/expected_total", "must be a whole number from 0 to 1000000000000, not -1"),
        // The message does not repeat the value, because it may be a card number.
        ("/payment_token", "must be a text"),
    ]);
    assert_eq!(errors, expected);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("/lines/1/item: is required; "), "{detail}");
}

/// Returns the message of the only problem of a JSON text by a schema.
#[track_caller]
fn detail(schema: &str, json: &str) -> String {
    let problems = dabba_api::problems_of(schema, json).unwrap();
    assert_eq!(problems.as_slice().len(), 1, "{problems}");
    problems.as_slice()[0].detail.clone()
}

/// Proves that the messages about a long unknown name, very many members and very many entries are short.
#[test]
fn long_values_are_not_repeated() {
    let name = "~/".repeat(1_000_000);
    let problems =
        dabba_api::problems_of("Cart", &format!("{{\"fulfilment\": \"collection\", {name:?}: 1}}"));
    let problems = problems.unwrap();
    let long = problems.as_slice().iter().find(|problem| problem.pointer.is_empty()).unwrap();
    let shown = &name[..64];
    assert!(
        long.detail.starts_with(&format!("has the unknown member \"{shown}…\"; allowed are ")),
        "{problems}"
    );
    assert!(problems.to_string().len() < 1_000);

    let members: Vec<String> = (0..100_000).map(|index| format!("\"{index}\": 0")).collect();
    let members = format!("{{{}}}", members.join(","));
    assert_eq!(detail("Cart", &members), "must be an object, not an object of more than 5000 members");
    let lines = format!("{{\"fulfilment\": \"collection\", \"lines\": [{}0]}}", "0,".repeat(1_000_000));
    let problems = dabba_api::problems_of("Cart", &lines).unwrap();
    assert_eq!(problems.as_slice()[0].detail, "must have 1 to 100 entries, not 1000001");
    assert_eq!(problems.as_slice().len(), 101);
}

/// Proves that a message repeats a number as it was written, and that a whole number must be written in digits.
#[test]
fn a_number_is_repeated_as_it_was_written() {
    let nines = format!("0.{}", "9".repeat(80));
    for (written, form, shown) in [
        ("1.0", " in digits alone", "1.0"),
        ("1e1", " in digits alone", "1e1"),
        ("1E+400", " in digits alone", "1E+400"),
        ("-0", " in digits alone", "-0"),
        (nines.as_str(), " in digits alone", &format!("{}…", &nines[..64])),
        ("-5", "", "-5"),
        ("123456789012345678901234567890", "", "123456789012345678901234567890"),
    ] {
        let found = detail("CartLine", &format!("{{\"item\": \"naan\", \"quantity\": {written}}}"));
        assert_eq!(found, format!("must be a whole number from 1 to 99{form}, not {shown}"));
    }
    for written in ["1e400", "-90.5"] {
        let found = detail("Location", &format!("{{\"lat\": {written}, \"lng\": 0}}"));
        assert_eq!(found, format!("must be a number from -90 to 90, not {written}"));
    }
    assert!(dabba_api::problems_of("Location", r#"{"lat": -0, "lng": 1e1}"#).unwrap().is_empty());
}

/// Proves that a time after the maximum is refused with the maximum, and that the maximum is accepted.
#[tokio::test]
async fn times_have_a_maximum() {
    let server = crate::start().await;
    let latest = dabba_domain::limits::MAX_TIME;
    let availability = server.restaurant_path("/menu/items/naan/availability");
    let mark = |until: &str| {
        server
            .put(&availability, Some(&server.staff), &json!({"status": "unavailable", "until": until}))
            .send()
    };
    let pause = |until: &str| {
        let path = server.restaurant_path("/pause");
        server.post(&path, Some(&server.staff), &json!({"until": until})).send()
    };
    for beyond in ["9999-12-31T23:59:59Z", "9999-12-30T23:00:01+01:00", "10000-01-01T00:00:00Z", "tomorrow"] {
        for refused in [mark(beyond).await, pause(beyond).await] {
            let problem = refused.problem(422, "invalid");
            let expected = format!(
                "must be a time in RFC 3339 until 9999-12-30T22:00:00Z, such as 2026-06-01T12:00:00Z, not \"{beyond}\""
            );
            assert_eq!(problem["errors"], json!([{"pointer": "/until", "detail": expected}]));
        }
    }
    mark(latest).await.expect(200);
    assert_eq!(pause(latest).await.expect(200)["pause"]["until"], latest);
    let menu = server.get(&server.restaurant_path("/menu"), None).await.expect(200);
    assert!(menu.to_string().contains(latest), "{menu}");
}

/// Proves that `null` for any optional member, at any depth, means the same as omitting the member, and is a problem for a
/// required member.
#[tokio::test]
async fn null_means_omitted() {
    let server = crate::start().await;
    let mut order = TestServer::collection();
    for name in ["tip", "payment_token", "contact", "note", "expected_total"] {
        order[name] = json!(null);
    }
    order["lines"][0]["options"] = json!(null);
    order["lines"][0]["note"] = json!(null);
    let placed = place(&server, &order).await.expect(201);
    assert_eq!(placed["amounts"]["tip"], 0);
    order["lines"][0]["quantity"] = json!(null);
    assert_eq!(place(&server, &order).await.pointers(), ["/lines/0/quantity"]);

    let registration =
        json!({"email": "null@example.org", "name": "N", "password": "correct horse battery", "role": null});
    let account = server.post("/v1/accounts", None, &registration).send().await.expect(201);
    assert_eq!(account["role"], "customer");
    let settings = json!({
        "name": "Null", "currency": "GBP", "time_zone": "UTC", "delivery": null, "collection": null, "refund_limit": null,
    });
    let created = server.post("/v1/restaurants", Some(&server.admin), &settings).send().await.expect(201);
    assert_eq!((&created["delivers"], &created["collection"]), (&json!(false), &json!(true)));
}

/// Proves that members that only the server writes have no effect in a replacement, whatever their value.
#[tokio::test]
async fn read_only_members_are_not_checked() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu");
    let put = |menu: Value| server.put(&path, Some(&server.staff), &menu).header("if-match", "*").send();
    let mut menu = menu();
    menu["revision"] = json!("any");
    menu["categories"][0]["items"][0]["stock_limited"] = json!([1]);
    put(menu.clone()).await.expect(200);
    menu["categories"][0]["items"][0]["price_minor"] = json!("8.95");
    assert_eq!(put(menu).await.pointers(), ["/categories/0/items/0/price_minor"]);
}

/// Proves that a refusal lists the first hundred of many problems, and one entry that states that there are more.
#[tokio::test]
async fn a_long_list_of_problems_is_cut() {
    let server = crate::start().await;
    let items = vec![json!({"name": 1, "price_minor": 1}); 150];
    let menu = json!({"categories": [{"name": "All", "items": items}]});
    let path = server.restaurant_path("/menu");
    let refused = server.put(&path, Some(&server.staff), &menu).header("if-match", "*").send().await;
    let pointers = refused.clone().pointers();
    assert_eq!(
        (pointers.len(), pointers[99].as_str(), pointers[100].as_str()),
        (101, "/categories/0/items/99/name", "")
    );
    let problem = refused.problem(422, "invalid");
    assert!(problem["errors"][100]["detail"].as_str().unwrap().contains("there are more"), "{problem}");
}

/// Proves that a refusal names every wrong parameter of a query, with the allowed values.
#[tokio::test]
async fn every_wrong_parameter_is_named() {
    let server = crate::start().await;
    let path = "/v1/orders?limit=0&cursor=!&status=delivered,lost&status=&colour=red&limits=5";
    let problem = server.get(path, Some(&server.admin)).await.problem(400, "bad_request");
    let errors = problem["errors"].as_array().unwrap();
    let named: Vec<_> = errors.iter().map(|error| error["parameter"].as_str().unwrap()).collect();
    assert_eq!(named, ["status", "status", "limit", "cursor", "colour", "limits"]);
    assert_eq!(problem["parameter"], "status");
    assert_eq!(errors[2]["detail"], "must be a whole number from 1 to 100 in digits, not \"0\"");

    for limit in ["%2B5", "05", "5.0", "%205", "-5", "٥"] {
        let answer = server.get(&format!("/v1/orders?limit={limit}"), Some(&server.admin)).await;
        answer.problem(400, "bad_request");
    }
    let placed = server.place("1", &TestServer::collection()).await;
    let events = format!("/v1/orders/{}/events?cursor=", placed["id"].as_str().unwrap());
    server.get(&format!("{events}1"), Some(&server.customer)).await.expect(200);
    for cursor in ["%2B1", "01", "-1", "1.0"] {
        server.get(&format!("{events}{cursor}"), Some(&server.customer)).await.problem(400, "bad_request");
    }

    let path = "/v1/restaurants?closed=perhaps&external_id=a%20b&limit=5&limit=6";
    let problem = server.request(Method::GET, path).send().await.problem(400, "bad_request");
    let errors = problem["errors"].as_array().unwrap();
    let named: Vec<_> = errors.iter().map(|error| error["parameter"].as_str().unwrap()).collect();
    assert_eq!(named, ["closed", "external_id", "limit"]);
    assert_eq!(errors[2]["detail"], "must be given once");
}

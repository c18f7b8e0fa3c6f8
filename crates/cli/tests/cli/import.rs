//! `dabba import-menu`, with the shared menus of real kitchens.

use std::{fs, path::Path};

use dabba_sim::Client;
use serde_json::{Value, json};

use super::support::{Server, block_on, failure, shared_menu, stdout};

/// Returns a data directory with an empty database.
fn migrated() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    stdout(data.path(), &["migrate", "--data", data.path().to_str().unwrap()]);
    data
}

/// Returns the lines of JSON that the command prints.
fn imported(directory: &Path, arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["import-menu", "--json"];
    all.extend(arguments);
    stdout(directory, &all).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns an order line with one piece of an item and the minimum of options.
fn line(item: &Value) -> Value {
    let mut options = Vec::new();
    for group in item["option_groups"].as_array().unwrap() {
        let fewest = usize::try_from(group["min"].as_u64().unwrap()).unwrap();
        for option in group["options"].as_array().unwrap().iter().take(fewest) {
            options.push(json!({"group": group["id"], "option": option["id"]}));
        }
    }
    json!({"item": item["id"], "quantity": 1, "options": options})
}

fn items(menu: &Value) -> Vec<&Value> {
    let categories = menu["categories"].as_array().unwrap().iter();
    categories.flat_map(|category| category["items"].as_array().unwrap()).collect()
}

/// Places a pickup order with these lines at a restaurant. Returns the order.
async fn order(customer: &Client, restaurant: &str, lines: &[Value]) -> Value {
    let body = json!({"lines": lines, "fulfilment": {"type": "collection"}, "payment_method": "cash"});
    let path = format!("/v1/restaurants/{restaurant}/orders");
    let key = format!("order-{restaurant}-{}", lines[0]["item"].as_str().unwrap());
    let placed = customer.post(&path).idempotency_key(&key).json(&body).send().await;
    let placed = placed.unwrap_or_else(|error| panic!("{error}\n{body}"));
    assert_eq!((placed.status, placed.body["status"].as_str()), (201, Some("confirmed")));
    placed.body
}

#[test]
#[ignore = "needs the menus beside the checkout; .ci/run asks for it by --ignored"]
fn a_large_menu_is_imported_completely_and_every_item_can_be_ordered() {
    let data = migrated();
    let path = data.path().to_str().unwrap();
    let file = shared_menu("indian-grill-gbp.json");
    let lines = imported(data.path(), &[file.to_str().unwrap(), "--data", path]);
    let [restaurant] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(restaurant["items"], 239);
    assert_eq!(restaurant["option_groups"], 436);
    assert_eq!(restaurant["options"], 2_266);

    let server = Server::start(data.path(), &[]);
    let id = restaurant["id"].as_str().unwrap();
    block_on(async {
        let customer = server.client("customer");
        let menu = customer.get(&format!("/v1/restaurants/{id}/menu")).send().await.unwrap().body;
        let items = items(&menu);
        assert_eq!(items.len(), 239);
        let free = items.iter().filter(|item| item["price_minor"] == 0).count();
        assert_eq!(free, 18, "items without a price of their own");
        let mut sold = Vec::new();
        for some in items.chunks(40) {
            let lines: Vec<Value> = some.iter().map(|item| line(item)).collect();
            sold.extend(order(&customer, id, &lines).await["lines"].as_array().unwrap().clone());
        }
        assert_eq!(sold.len(), 239);
        let free: Vec<&Value> = sold.iter().filter(|line| line["unit_price"] == 0).collect();
        assert_eq!(free.len(), 2, "all but tap water cost something with their options: {free:?}");
    });
}

#[test]
#[ignore = "needs the menus beside the checkout; .ci/run asks for it by --ignored"]
fn a_list_of_restaurants_is_imported_through_a_running_server() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let file = shared_menu("sixteen-kitchens-inr.json");
    let (address, token) = (server.announced_text("/address"), server.announced_text("/tokens/admin"));
    let arguments = [file.to_str().unwrap(), "--server", &address, "--token", &token];
    let restaurants = imported(data.path(), &arguments);
    assert_eq!(restaurants.len(), 16);
    block_on(async {
        let customer = server.client("customer");
        for restaurant in &restaurants {
            let id = restaurant["id"].as_str().unwrap();
            let menu = customer.get(&format!("/v1/restaurants/{id}/menu")).send().await.unwrap().body;
            assert_eq!(restaurant["items"], items(&menu).len());
            assert_eq!(menu["currency"], "INR");
            let first = line(items(&menu)[0]);
            order(&customer, id, &[first]).await;
        }
    });
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let _server = Server::start(data.path(), &[]);
    let path = data.path().to_str().unwrap();
    let file = write(data.path(), &menu("GBP", 250));
    let text = failure(data.path(), &["import-menu", &file, "--data", path]);
    assert!(text.contains("--server URL, with a token in DABBA_TOKEN"), "{text}");
}

/// Returns a small menu in a currency with one price.
fn menu(currency: &str, price_minor: i64) -> Value {
    json!({
        "name": "Naan Stop", "currency": currency, "time_zone": "Europe/London",
        "categories": [{"name": "Breads", "items": [{"name": "Naan", "price_minor": price_minor}]}]
    })
}

fn write(directory: &Path, content: &Value) -> String {
    let path = directory.join("menu.json");
    fs::write(&path, content.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_menu_is_replaced_on_the_data_directory_and_through_a_server() {
    let data = migrated();
    let path = data.path().to_str().unwrap();
    let file = write(data.path(), &menu("GBP", 250));
    let id = imported(data.path(), &[&file, "--data", path])[0]["id"].as_str().unwrap().to_owned();
    write(data.path(), &menu("GBP", 300));
    let again = imported(data.path(), &[&file, "--data", path, "--restaurant", &id]);
    assert_eq!(again[0]["id"], id.as_str());

    let server = Server::start(data.path(), &[]);
    let price = || {
        block_on(async {
            let menu =
                server.client("customer").get(&format!("/v1/restaurants/{id}/menu")).send().await.unwrap();
            menu.body["categories"][0]["items"][0]["price_minor"].clone()
        })
    };
    assert_eq!(price(), 300);
    write(data.path(), &menu("GBP", 350));
    let (address, token) = (server.announced_text("/address"), server.announced_text("/tokens/admin"));
    let through = ["--server", &address, "--token", &token, "--restaurant", &id];
    imported(data.path(), &[&[file.as_str()], through.as_slice()].concat());
    assert_eq!(price(), 350);

    write(data.path(), &menu("EUR", 350));
    let text = failure(data.path(), &[&["import-menu", &file], through.as_slice()].concat());
    assert!(
        text.contains("currency of the restaurant is GBP, and the currency in the file is EUR"),
        "{text}"
    );
}

#[test]
fn every_problem_is_listed_and_nothing_is_written() {
    let data = tempfile::tempdir().unwrap();
    let mut wrong = menu("gbp", -1);
    wrong["opening_times"] = json!([]);
    let file = write(data.path(), &json!([menu("GBP", 250), wrong]));
    let text = failure(data.path(), &["import-menu", &file]);
    for part in ["nothing was written", "/1/categories/0/items/0/price_minor", "opening_times"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!data.path().join("dabba-data").exists());
    // An unreadable part does not hide other problems, in the same restaurant or in another one.
    let mut unreadable = menu("GBP", 250);
    unreadable["categories"][0]["items"][0]["price_minor"] = json!("2.50");
    unreadable["tax_rate_basis_points"] = json!("20 %");
    unreadable["time_zone"] = json!("Europe/Atlantis");
    let file = write(data.path(), &json!([unreadable, {"name": "Bare"}]));
    let text = failure(data.path(), &["import-menu", &file]);
    for part in [
        "/0/categories/0/items/0/price_minor: must be a whole number from 0 to 1000000000000, not \"2.50\"",
        "/0/tax_rate_basis_points: must be a whole number from 0 to 10000, not \"20 %\"",
        "/0/time_zone: must be the name of a time zone",
        "/1/currency: is required",
        "/1/categories: is required",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    fs::write(data.path().join("menu.json"), "{\n  \"name\": oops\n}").unwrap();
    let text = failure(data.path(), &["import-menu", &file]);
    assert!(text.contains("is not JSON; nothing was written: line 2, column 11: expected a value"), "{text}");
    // This is grammatically valid JSON with a number that no type can hold.
    let vast =
        menu("GBP", 250).to_string().replace("250", "1e400").replacen('{', "{\"name\": \"\\ud800\", ", 1);
    fs::write(data.path().join("menu.json"), vast).unwrap();
    let text = failure(data.path(), &["import-menu", &file]);
    for part in [
        "/categories/0/items/0/price_minor: must be a whole number from 0",
        "not 1e400",
        "/name: must be given once",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

/// Returns a small menu with an external id.
fn named(external_id: &str, name: &str, price_minor: i64) -> Value {
    let mut document = menu("GBP", price_minor);
    document["external_id"] = json!(external_id);
    document["name"] = json!(name);
    document
}

#[test]
fn an_import_with_external_ids_can_be_repeated() {
    let data = migrated();
    let path = data.path().to_str().unwrap();
    let outcomes = |content: &Value, target: &[&str]| -> Vec<(String, String)> {
        let file = write(data.path(), content);
        let lines = imported(data.path(), &[&[file.as_str()], target].concat());
        let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
        lines.iter().map(|line| (text(line, "id"), text(line, "outcome"))).collect()
    };
    let both = json!([named("POS-1", "Naan Stop", 250), named("POS/2", "Naan Stop", 250)]);
    let created = outcomes(&both, &["--data", path]);
    let ids: Vec<&str> = created.iter().map(|(id, _)| id.as_str()).collect();
    let expect = |outcomes: Vec<(String, String)>, expected: [&str; 2]| {
        let expected: Vec<_> = ids.iter().zip(expected).collect();
        let outcomes: Vec<_> = outcomes.iter().map(|(id, outcome)| (id.as_str(), outcome.as_str())).collect();
        assert!(
            outcomes.iter().zip(&expected).all(|(left, right)| left.0 == *right.0 && left.1 == right.1),
            "{outcomes:?} {expected:?}"
        );
    };
    expect(created.clone(), ["created", "created"]);
    expect(outcomes(&both, &["--data", path]), ["unchanged", "unchanged"]);
    let dearer = json!([named("POS-1", "Naan Stop", 300), named("POS/2", "Naan Stop", 250)]);
    expect(outcomes(&dearer, &["--data", path]), ["updated", "unchanged"]);

    let server = Server::start(data.path(), &[]);
    let (address, token) = (server.announced_text("/address"), server.announced_text("/tokens/admin"));
    let through = ["--server", &address, "--token", &token];
    expect(outcomes(&dearer, &through), ["unchanged", "unchanged"]);
    let renamed = json!([named("POS-1", "Naan Stop", 300), named("POS/2", "Roti Stop", 250)]);
    expect(outcomes(&renamed, &through), ["unchanged", "updated"]);
    let third = json!([named("POS-3", "Puri Stop", 100)]);
    assert_eq!(outcomes(&third, &through)[0].1, "created");
    assert_eq!(outcomes(&third, &through)[0].1, "unchanged");
}

#[test]
fn an_import_without_external_ids_does_not_register_a_restaurant_twice() {
    let data = migrated();
    let path = data.path().to_str().unwrap();
    let file = write(data.path(), &menu("GBP", 250));
    let id = imported(data.path(), &[&file, "--data", path])[0]["id"].as_str().unwrap().to_owned();
    let text = failure(data.path(), &["import-menu", &file, "--data", path]);
    for part in ["nothing was written", &id, "--restaurant ID", "--new"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let server = Server::start(data.path(), &[]);
    let (address, token) = (server.announced_text("/address"), server.announced_text("/tokens/admin"));
    let through = ["import-menu", &file, "--server", &address, "--token", &token];
    assert!(failure(data.path(), &through).contains(&id));
    let another = imported(data.path(), &[&through[1..], &["--new"]].concat());
    assert_eq!(another[0]["outcome"], "created");
    assert_ne!(another[0]["id"], id.as_str());
}

//! The responses on the pages, compared with those of a server.

use dabba_testkit::http_client;
use serde_json::{Value, json};

use super::{Block, Marker, blocks, pages};
use crate::support::{Server, block_on};

/// Returns whether a response contains an example: each member of the example with its value, and each entry of its lists
/// somewhere in the response's list. An empty list stands for an empty list.
fn contains(response: &Value, example: &Value) -> bool {
    match (response, example) {
        (Value::Object(response), Value::Object(example)) => example
            .iter()
            .all(|(name, value)| response.get(name).is_some_and(|response| contains(response, value))),
        (Value::Array(response), Value::Array(example)) => {
            response.is_empty() == example.is_empty()
                && example.iter().all(|entry| response.iter().any(|response| contains(response, entry)))
        }
        _ => response == example,
    }
}

/// Asserts that the output of a page's run contains, each on a line of its own, all responses that the page shows.
pub(super) fn assert_shown(page: &str, output: &str) {
    assert_at_least_shown(page, output, 5);
}

/// Asserts the same for a page with few responses.
pub(super) fn assert_at_least_shown(page: &str, output: &str, least: usize) {
    let responses: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let shown = blocks(page);
    let shown = shown.iter().filter(|block| block.language == "json" && block.marker == Marker::None);
    let mut compared = 0;
    for Block { line, text, .. } in shown {
        let example: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{page}:{line}: {error}"));
        let is_shown = responses.iter().any(|response| contains(response, &example));
        assert!(is_shown, "{page}:{line}: the server sent no such response:\n{text}\n{output}");
        compared += 1;
    }
    assert!(compared >= least, "{page} shows only {compared} responses");
}

/// Asserts that a response matches an example on a page: the same members with the same types, and with the same text unless the
/// example shortens it.
fn check_like(example: &Value, answer: &Value, place: &str) {
    match (example, answer) {
        (Value::Object(example), Value::Object(answer)) => {
            for (name, value) in example {
                let place = format!("{place}/{name}");
                check_like(
                    value,
                    answer.get(name).unwrap_or_else(|| panic!("no {place}: {answer:?}")),
                    &place,
                );
            }
        }
        (Value::Array(example), Value::Array(answer)) => {
            assert_eq!(example.is_empty(), answer.is_empty(), "{place}");
            for (example, answer) in example.iter().zip(answer) {
                check_like(example, answer, &format!("{place}/0"));
            }
        }
        (Value::String(text), Value::String(found)) => {
            let is_stable = ["/type", "/code", "/title", "/pointer"].iter().any(|end| place.ends_with(end));
            assert!(!is_stable || text == "…" || text == found, "{place}: {text:?}, not {found:?}");
        }
        (Value::Number(number), Value::Number(found)) => {
            assert!(!place.ends_with("/status") || number == found, "{place}: {found}");
        }
        _ => assert_eq!(example, answer, "{place}"),
    }
}

/// Proves that the example problems on the pages match those of a server.
#[test]
fn example_problems_match_real_ones() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let restaurant = format!("/v1/restaurants/{}", server.announced_text("/restaurant_id"));
    let order = |quantity: u32| {
        json!({"lines": [{"item": "cardamom-tea", "quantity": quantity}], "fulfilment": {"type": "collection"},
            "payment_method": "cash"})
    };
    let wrong = json!({"lines": [{"item": "cardamom-tea", "quantity": 0}], "payment_method": "cheque"});
    let place = |order: &Value| -> Value {
        let url = format!("{}{restaurant}/orders", server.announced_text("/address"));
        let request = http_client().post(url).bearer_auth(server.announced_text("/tokens/customer"));
        let request = request.header("idempotency-key", "example").json(order);
        block_on(async { request.send().await.unwrap().json().await.unwrap() })
    };
    let stock = format!("{restaurant}/menu/items/cardamom-tea/stock");
    let limited = server.client("restaurant").put(&stock).json(&json!({"remaining": 2})).send();
    assert_eq!(block_on(limited).unwrap().status, 200);
    let answers = [place(&order(0)), place(&wrong), place(&order(3))];
    let mut compared = 0;
    for block in pages().iter().flat_map(|page| blocks(page)).filter(|block| block.language == "json") {
        let Block { page, line, text, .. } = &block;
        let example: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{page}:{line}: {error}"));
        let count = |problem: &Value| problem["errors"].as_array().map(Vec::len);
        let is_like = |answer: &&Value| answer["code"] == example["code"] && count(answer) == count(&example);
        if let Some(answer) = answers.iter().find(is_like) {
            check_like(&example, answer, &format!("{page}:{line}"));
            compared += 1;
        }
    }
    assert_eq!(compared, 3, "two examples on the guide, one on the page of problems");
}

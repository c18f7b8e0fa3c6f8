//! Large orders: boards and pages of them are limited in bytes, and reach clients that read them.

use dabba_outbound::live::board::MAX_PART_BYTES;
use dabba_testkit::{PATIENCE, TestServer};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Number of orders. Together they are larger than a board.
const ORDERS: usize = 34;
/// Number of lines of an order.
const LINES: usize = 30;
/// Number of options of a line.
const OPTIONS: usize = 24;
/// Maximum size of the orders of a board.
const MAX_BOARD_BYTES: usize = 8 * 1024 * 1024;
/// Maximum size of the orders of a page.
const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Size of the memory for responses: much smaller than a single response, so that every response exceeds it.
const UNSENT_BYTES: usize = 64 * 1024;

/// Starts a server with open orders of about 300 KiB: a short request with many options that have long names. Returns their
/// ids, too, newest first.
async fn with_large_orders() -> (TestServer, Vec<String>) {
    let server =
        crate::builder().connections(|options| options.max_unsent_bytes = UNSENT_BYTES).start().await;
    let option = |number: usize| {
        let name = format!("{number:03}{}", "好".repeat(117));
        json!({"id": format!("o{number}"), "name": name, "price_minor": 1})
    };
    let options: Vec<_> = (0..OPTIONS).map(option).collect();
    let group = json!({"id": "g", "name": "Group", "min": 0, "max": OPTIONS, "options": options});
    let item = json!({"id": "feast", "name": "Feast", "price_minor": 100, "option_groups": [group]});
    let menu = json!({"categories": [{"name": "Mains", "items": [item]}]});
    let put = server.put(&server.restaurant_path("/menu"), Some(&server.staff), &menu);
    put.header("if-match", "*").send().await.expect(200);

    let chosen: Vec<_> =
        (0..OPTIONS).map(|number| json!({"group": "g", "option": format!("o{number}")})).collect();
    let line = json!({"item": "feast", "quantity": 1, "options": chosen});
    let order = json!({
        "lines": vec![line; LINES], "fulfilment": {"type": "collection"}, "payment_method": "cash",
    });
    let mut ids = Vec::new();
    for number in 0..ORDERS {
        ids.push(id(&server.place(&format!("large-{number}"), &order).await));
    }
    // The clock stands still, so the random part of the ids decides which order is newer.
    ids.sort_unstable_by(|a, b| b.cmp(a));
    (server, ids)
}

fn id(order: &Value) -> String {
    order["id"].as_str().unwrap().to_owned()
}

fn orders(body: &Value) -> &[Value] {
    body["orders"].as_array().unwrap()
}

/// Returns the size of the orders of a body as JSON.
fn bytes(body: &Value) -> usize {
    orders(body).iter().map(|order| order.to_string().len()).sum()
}

/// Proves that a client that reads at full speed gets a whole board although the board alone exceeds the memory for responses,
/// that the board has the newest orders up to its limit in bytes, and that the stream's snapshot has the same orders in small
/// parts.
#[tokio::test]
async fn a_board_of_large_orders_is_whole_and_limited() {
    let (server, newest_first) = with_large_orders().await;
    let board = server.get(&server.restaurant_path("/board"), Some(&server.staff)).await.expect(200);
    let mut shown: Vec<_> = orders(&board).iter().map(id).collect();
    shown.reverse();
    assert_eq!(shown, newest_first[..shown.len()]);
    assert_eq!(board["truncated"], true);
    let size = bytes(&board);
    let one = size / shown.len();
    assert!(size > UNSENT_BYTES && size <= MAX_BOARD_BYTES, "{size}");
    assert!(size > MAX_BOARD_BYTES - 2 * one, "{size} bytes: one more order would fit");

    let path = server.restaurant_path("/board/stream");
    let mut stream = server.request(Method::GET, &path).by(&server.staff).stream().await;
    let mut streamed = Vec::new();
    loop {
        let message = timeout(PATIENCE, stream.next_event()).await.unwrap();
        assert_eq!(message.event, "snapshot");
        let size = bytes(&message.data);
        let is_last = message.data["part"] == message.data["parts"];
        assert!(size <= MAX_PART_BYTES && (is_last || orders(&message.data).len() > 1), "{size}");
        streamed.extend(orders(&message.data).iter().map(id));
        assert_eq!(message.data["truncated"], true);
        if is_last {
            break;
        }
    }
    streamed.reverse();
    assert_eq!(streamed, shown);
}

/// Proves that a page ends at its limit in bytes, and that its cursor leads to the other orders, in every list of orders.
#[tokio::test]
async fn a_page_of_large_orders_ends_early() {
    let (server, newest_first) = with_large_orders().await;
    for (path, account) in [
        (server.orders_path(), &server.staff),
        ("/v1/orders".to_owned(), &server.customer),
        ("/v1/orders".to_owned(), &server.admin),
    ] {
        let (mut listed, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("{path}?limit=100{cursor}"), Some(account)).await.expect(200);
            let size = bytes(&page);
            let next = page["next_cursor"].as_str();
            assert!(size <= MAX_PAGE_BYTES && (next.is_none() || orders(&page).len() > 1), "{size}");
            listed.extend(orders(&page).iter().map(id));
            let Some(next) = next else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(listed, newest_first, "{path}");
    }
}

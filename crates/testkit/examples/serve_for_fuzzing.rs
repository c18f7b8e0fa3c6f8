//! Serves a fresh Dabba for fuzzers of its API until its standard input closes.
//!
//! Prints one line of JSON: the URL, a token for each role, and the ids of a restaurant, an item, an account and
//! an order. With these ids, a fuzzer reaches code behind the first 404.

#![expect(clippy::print_stdout, reason = "the printed line is the program's output")]

use std::time::Duration;

use dabba_testkit::TestServer;
use serde_json::json;

#[tokio::main]
async fn main() {
    // A long poll waits until 5 s before the timeout of the request: 1 s, so that a fuzzer does not wait 25 s for each.
    let server = TestServer::builder().web(|web| web.request_timeout = Duration::from_secs(6)).start().await;
    let order = server.place("fuzzing", &TestServer::order()).await;
    let description = json!({
        "url": format!("http://{}", server.address()),
        "tokens": {
            "customer": server.customer.token,
            "restaurant": server.staff.token,
            "courier": server.courier.token,
            "admin": server.admin.token,
        },
        "restaurant_id": server.restaurant.to_string(),
        "item_id": "naan",
        "account_id": server.other_staff.id.to_string(),
        "order_id": order["id"],
    });
    println!("{description}");
    // The parent process holds the other end, which closes when the parent ends, for whatever reason.
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    if let Err(error) = ended.await {
        println!("{error}");
    }
}

//! Serves a fresh Dabba for tools that try its API out, until its standard input ends.
//!
//! Prints one line of JSON: where it listens, a token for each role, and the ids of a restaurant, an
//! item, an account and an order, so that a tool gets behind the first 404.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use dabba_testkit::TestServer;
use serde_json::json;

#[tokio::main]
async fn main() {
    let server = TestServer::start().await;
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
    // Whoever started this holds the other end; it closes when they end, however they do.
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    if let Err(error) = ended.await {
        println!("{error}");
    }
}

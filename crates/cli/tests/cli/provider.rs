//! `dabba simulate-payments` as a separate process, orders that are paid through it, and waits for their outcomes.

use std::path::{Path, PathBuf};

use dabba_gateways::simulated::{ProviderHealth, ledger::Summary};
use dabba_testkit::{PATIENCE, eventually, http_client};
use serde_json::{Value, json};

use super::support::Server;

/// A simulated payment provider. Killed when dropped.
pub(crate) struct Provider {
    process: Server,
    /// Opens a connection for each request: the provider may close an idle connection at the moment at which a client
    /// sends a request on it. So each failed request is a failure of the provider.
    client: reqwest::Client,
}

impl Provider {
    /// Starts a provider with further arguments.
    pub(crate) fn start(more: &[&str]) -> Self {
        let fixed = ["simulate-payments", "--json", "--listen", "127.0.0.1:0"];
        let process = Server::spawn(&[&fixed, more].concat());
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().pool_max_idle_per_host(0);
        Self { process, client: client.build().unwrap() }
    }

    /// Starts a provider that posts webhooks to a server at this address.
    pub(crate) fn reporting_to(server: &str, secret: &Path) -> Self {
        let url = format!("http://{server}/v1/webhooks/payments");
        Self::start(&["--webhook-url", &url, "--webhook-secret-file", secret.to_str().unwrap()])
    }

    /// Returns the provider's address.
    pub(crate) fn address(&self) -> String {
        self.process.announced_text("/address")
    }

    /// Returns a summary of the provider's records for an order.
    pub(crate) async fn summary(&self, order: &Value) -> Summary {
        let url = format!("{}/v1/summary/{}", self.address(), id_of(order));
        let response = self.client.get(url).send().await.unwrap().error_for_status().unwrap();
        response.json().await.unwrap()
    }

    /// Sets whether the provider works, fails, or does both in turn.
    pub(crate) async fn set_health(&self, health: ProviderHealth) {
        let url = format!("{}/v1/health", self.address());
        let response = self.client.put(url).json(&health).send().await.unwrap();
        response.error_for_status().unwrap();
    }

    /// Stops the provider, and waits for an orderly end.
    pub(crate) fn stop(self) {
        self.process.stop();
    }
}

/// Writes a file with the secret for webhooks.
pub(crate) fn webhook_secret(directory: &Path) -> PathBuf {
    let path = directory.join("webhook-secret");
    std::fs::write(&path, "known to the provider and the server\n").unwrap();
    path
}

/// Returns the id of an order.
pub(crate) fn id_of(order: &Value) -> &str {
    order["id"].as_str().unwrap()
}

/// Returns the order that the server printed, paid by card with this token.
pub(crate) fn by_card(server: &Server, token: &str) -> Value {
    let mut order = server.announcement["order"].clone();
    order["payment_method"] = json!("card");
    order["payment_token"] = json!(token);
    order
}

/// Places an order that is paid with this token, under a key of the same name. Returns the order.
pub(crate) async fn place_by_card(server: &Server, token: &str) -> Value {
    let path = server.orders_path();
    let request = server.client("customer").post(&path).idempotency_key(token);
    request.json(&by_card(server, token)).send().await.unwrap().body
}

/// Executes a command on an order with this role. Returns the order after it.
pub(crate) async fn command(server: &Server, order: &Value, role: &str, name: &str, body: Value) -> Value {
    let path = format!("/v1/orders/{}/{name}", id_of(order));
    server.client(role).post(&path).json(&body).send().await.unwrap().body
}

/// Waits until an order meets a condition.
pub(crate) async fn wait_until(server: &Server, order: &Value, condition: impl Fn(&Value) -> bool) -> Value {
    let admin = server.client("admin");
    let path = format!("/v1/orders/{}", id_of(order));
    eventually("the order meets the condition", async || {
        let order = admin.get(&path).send().await.unwrap().body;
        if condition(&order) { Ok(order) } else { Err(order) }
    })
    .await
}

/// Returns the sum of the counters in a page of metrics whose lines contain all these parts.
pub(crate) async fn counted(server: &Server, parts: &[&str]) -> u64 {
    let page =
        http_client().get(format!("{}/metrics", server.announced_text("/address"))).send().await.unwrap();
    let page = page.text().await.unwrap();
    // Comments are skipped.
    let values = page.lines().filter(|line| !line.starts_with('#'));
    let single = values.filter(|line| !line.contains("_bucket{") && !line.contains("_sum{"));
    let lines = single.filter(|line| parts.iter().all(|part| line.contains(part)));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

//! The steps of the demo. Every step checks the status of the order.

use std::path::Path;

use dabba_domain::Currency;
use dabba_sim::{Client, ClientError, ClientResponse};
use serde_json::{Value, json};

use super::{
    narrator::{Narrator, display},
    server::{Announcement, Server},
};
use crate::failure::Failure;

/// Preparation time that the kitchen announces, in minutes.
const PREPARATION_MINUTES: u32 = 15;

/// Takes one order from placement to delivery, through a crash of the server.
pub(super) async fn walk(narrator: Narrator, directory: &Path) -> Result<(), Failure> {
    narrator.title("Dabba: one order, from the kitchen to the door")?;
    let server = Server::start(directory).await?;
    let mut walk = Walk::new(narrator, &server, String::new())?;
    let address = &server.announcement.address;
    walk.narrator.note(format_args!("server     {address}\ndata       {}", directory.display()))?;
    walk.place(&server.announcement).await?;
    walk.cook(&server.announcement).await?;

    let before = walk.read().await?.body;
    server.kill().await?;
    let started = std::time::Instant::now();
    let server = Server::start(directory).await?;
    walk.narrator.step("The power fails (kill -9), and the server starts again", started.elapsed())?;
    let Walk { narrator, order_id, .. } = walk;
    let mut walk = Walk::new(narrator, &server, order_id)?;
    let after = walk.read().await?.body;
    check(before == after, "the order differs from the order before the crash")?;
    walk.narrator.note("nothing is lost: the order is the same as before")?;
    walk.narrator.status(&after)?;

    walk.hand_over().await?;
    walk.history().await?;
    let steps = walk.narrator.steps();
    walk.narrator.title(&format!("\nDelivered. {steps} steps, one order, nothing twice and nothing lost."))
}

/// One order and the clients of its participants.
struct Walk {
    narrator: Narrator,
    customer: Client,
    restaurant: Client,
    courier: Client,
    order_id: String,
}

impl Walk {
    fn new(narrator: Narrator, server: &Server, order_id: String) -> Result<Self, Failure> {
        let client = server.client()?;
        let tokens = &server.announcement.tokens;
        Ok(Self {
            narrator,
            customer: client.with_token(&tokens.customer),
            restaurant: client.with_token(&tokens.restaurant),
            courier: client.with_token(&tokens.courier),
            order_id,
        })
    }

    /// Requests a quote, places the order, and repeats the same request.
    async fn place(&mut self, announcement: &Announcement) -> Result<(), Failure> {
        let restaurant = format!("/v1/restaurants/{}", announcement.restaurant_id);
        let place = self.customer.get(&restaurant).send().await.map_err(step_failed)?.body;
        let name = place["name"].as_str().unwrap_or("the restaurant").to_owned();

        let order = &announcement.order;
        let cart =
            json!({"lines": order["lines"], "fulfilment": order["fulfilment"]["type"], "tip": order["tip"]});
        let quote = self.customer.post(&format!("{restaurant}/quotes")).json(&cart).send().await;
        let quote = quote.map_err(step_failed)?;
        self.narrator.step(&format!("Asha asks what her meal from {name} would cost"), quote.elapsed)?;
        self.narrator.bill(&quote.body)?;
        check(quote.body["orderable"] == true, "the quote cannot be ordered")?;

        let mut body = order.clone();
        body["expected_total"] = quote.body["amounts"]["total"].clone();
        let orders = format!("{restaurant}/orders");
        let post = || self.customer.post(&orders).idempotency_key("ashas-dinner").json(&body).send();
        let placed = post().await.map_err(step_failed)?;
        placed.body["id"].as_str().unwrap_or_default().clone_into(&mut self.order_id);
        self.narrator.step("Asha orders it, to be paid in cash", placed.elapsed)?;
        self.narrator.note(format_args!("order {}", self.order_id))?;
        check(placed.body["amounts"] == quote.body["amounts"], "the order has other amounts than the quote")?;
        self.arrived(&placed, "confirmed")?;

        let again = post().await.map_err(step_failed)?;
        self.narrator.step("Her train enters a tunnel; her phone sends the order again", again.elapsed)?;
        check(
            again.replayed && again.body["id"] == placed.body["id"],
            "the repeated request made another order",
        )?;
        let list = self.customer.get("/v1/orders").send().await.map_err(step_failed)?;
        check(list.body["orders"].as_array().map(Vec::len) == Some(1), "there is more than one order")?;
        self.narrator.note("→ the same answer, from the same order: there is still only one")
    }

    /// The steps of the kitchen, from an illegal command to `ready`.
    async fn cook(&mut self, announcement: &Announcement) -> Result<(), Failure> {
        match command(&self.restaurant, &self.order_id, "ready", None).await {
            Err(ClientError::Problem(problem)) if problem.code == "illegal_move" => {
                self.narrator.step(
                    "The kitchen reports the order ready before it accepts the order",
                    problem.elapsed,
                )?;
                self.narrator.refusal(&problem.detail)?;
                let allowed = problem.body["allowed_actions"].as_array().cloned().unwrap_or_default();
                let names: Vec<&str> =
                    allowed.iter().filter_map(|action| action["command"].as_str()).collect();
                self.narrator.note(format_args!("commands allowed now: {}", names.join(", ")))?;
            }
            Err(error) => return Err(step_failed(error)),
            Ok(_) => return Err(Failure::new("an order was ready before the kitchen accepted it")),
        }

        let minutes = json!({ "preparation_minutes": PREPARATION_MINUTES });
        let answer = self.command(&self.restaurant, "accept", Some(&minutes)).await?;
        let step = format!("The kitchen accepts it: ready in {PREPARATION_MINUTES} minutes");
        self.narrator.step(&step, answer.elapsed)?;
        self.arrived(&answer, "preparing")?;

        let answer = self.command(&self.courier, "assign", None).await?;
        self.narrator.step("Bo, a courier, takes the delivery", answer.elapsed)?;
        check(
            answer.body["courier_id"] == announcement.courier_id.as_str(),
            "the order has another courier",
        )?;
        self.arrived(&answer, "preparing")?;

        let answer = self.command(&self.restaurant, "ready", None).await?;
        self.narrator.step("The kitchen is done", answer.elapsed)?;
        self.arrived(&answer, "ready_for_pickup")
    }

    /// The steps of the courier, from pick-up to delivery.
    async fn hand_over(&mut self) -> Result<(), Failure> {
        let answer = self.command(&self.courier, "pick-up", None).await?;
        self.narrator.step("Bo picks it up", answer.elapsed)?;
        let cash = answer.body["cash_to_collect"].clone();
        self.arrived(&answer, "out_for_delivery")?;

        let answer = self.command(&self.courier, "deliver", None).await?;
        self.narrator.step("Bo hands it over and takes the cash", answer.elapsed)?;
        self.arrived(&answer, "delivered")?;
        let currency = answer.body["currency"].as_str().and_then(Currency::from_code);
        self.narrator.note(format_args!("collected: {}", display(currency, &cash)))?;
        // A courier sees no amounts except the cash to collect.
        let order = self.read().await?;
        check(cash == order.body["amounts"]["total"], "the courier collected another amount than the total")?;
        check(order.body["payment"]["captured"] == cash, "the captured amount differs from the total")
    }

    /// Prints the events of the order, as the server recorded them.
    async fn history(&mut self) -> Result<(), Failure> {
        let answer = self.customer.get(&format!("/v1/orders/{}/events", self.order_id)).send().await;
        let answer = answer.map_err(step_failed)?;
        self.narrator.step("Asha looks at how it went", answer.elapsed)?;
        let events = answer.body["events"].as_array().cloned().unwrap_or_default();
        for (index, event) in events.iter().enumerate() {
            check(event["version"] == index + 1, "an event is missing in the history")?;
            let kind = event["type"].as_str().unwrap_or("?").replace('_', " ");
            let role = event["actor"]["role"].as_str().unwrap_or("?");
            let at = event["at"].as_str().and_then(|at| at.split_once('T')).map_or("?", |(_, time)| time);
            let time = at.get(..12).unwrap_or(at);
            self.narrator.note(format_args!("{:>2}  {time}  {kind:<18}  by {role}", event["version"]))?;
        }
        check(events.len() >= 6, "the history is too short")
    }

    async fn read(&self) -> Result<ClientResponse, Failure> {
        self.customer.get(&format!("/v1/orders/{}", self.order_id)).send().await.map_err(step_failed)
    }

    async fn command(
        &self,
        client: &Client,
        name: &str,
        body: Option<&Value>,
    ) -> Result<ClientResponse, Failure> {
        command(client, &self.order_id, name, body).await.map_err(step_failed)
    }

    /// Prints the status of the order, and checks it.
    fn arrived(&self, answer: &ClientResponse, status: &str) -> Result<(), Failure> {
        self.narrator.status(&answer.body)?;
        check(answer.body["status"] == status, &format!("the order is not {status}"))
    }
}

async fn command(
    client: &Client,
    order_id: &str,
    name: &str,
    body: Option<&Value>,
) -> Result<ClientResponse, ClientError> {
    let call = client.post(&format!("/v1/orders/{order_id}/{name}"));
    match body {
        Some(body) => call.json(body).send().await,
        None => call.send().await,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes the error by value")]
fn step_failed(error: ClientError) -> Failure {
    Failure::new(format!("this step failed: {error}"))
}

fn check(holds: bool, otherwise: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::new(format!("the demo failed: {otherwise}"))) }
}

//! Orders of the evening's customers.

use dabba_sim::Client;
use serde_json::{Value, json};

use super::{
    super::{
        cart::{self, Chance as _},
        connection::expected,
        people::{HOMES, Home, Person},
        story::Line,
    },
    Evening, text,
};
use crate::failure::Failure;

/// Maximum number of carts that a customer fills until one can be ordered.
const MAX_CARTS: u32 = 4;

/// Percentages of orders: for delivery, and with a tip.
const DELIVERIES: u64 = 80;
const TIPS: u64 = 40;

impl Evening {
    /// Places an order of a customer. If a cart cannot be ordered now, the customer fills another one.
    pub(super) async fn order(&mut self) -> Result<(), Failure> {
        let index = usize::try_from(self.random.below(HOMES.len() as u64)).unwrap_or(0);
        let (Some(guest), Some(home)) = (self.guests.get(index).cloned(), HOMES.get(index)) else {
            return Ok(());
        };
        let restaurant = format!("/v1/restaurants/{}", self.server.stage.restaurant_id);
        let menu = self.server.insist(|client| client.get(&format!("{restaurant}/menu"))).await?;
        let menu = expected(menu, "reading the menu")?.body;
        let Some(body) = self.fill_cart(&guest, *home, &restaurant, &menu).await? else {
            return Ok(());
        };
        self.attempted += 1;
        let key = format!("live-{}-{}", self.name, self.attempted);
        let place = |client: &Client| {
            let call = client.with_token(&guest.token).post(&format!("{restaurant}/orders"));
            call.idempotency_key(&key).json(&body)
        };
        match self.server.insist(place).await? {
            Ok(placed) => {
                let id = text(&placed.body, "id").to_owned();
                self.read(&id, Some(index)).await
            }
            Err(problem) => self.print_refusal(&guest, None, "does not order", &problem),
        }
    }

    /// Returns the body of an order that can be placed now at the total that it states; `None` if there is no such cart.
    async fn fill_cart(
        &mut self,
        guest: &Person,
        home: Home,
        restaurant: &str,
        menu: &Value,
    ) -> Result<Option<Value>, Failure> {
        let mut is_delivery = self.random.percent(DELIVERIES);
        let tip = if self.random.percent(TIPS) { 50 * (1 + self.random.below(6)) } else { 0 };
        let mut lines = cart::choose(&self.random, menu);
        let mut obstacle = "nothing is available".to_owned();
        for attempt in 0..MAX_CARTS {
            if lines.is_empty() {
                break;
            }
            let kind = if is_delivery { "delivery" } else { "collection" };
            let cart = json!({"lines": lines, "fulfilment": kind, "tip": tip});
            let quote =
                self.server.insist(|client| client.post(&format!("{restaurant}/quotes")).json(&cart)).await?;
            let quote = match quote {
                Ok(quote) => quote.body,
                Err(problem) => {
                    self.print_refusal(guest, None, "does not order", &problem)?;
                    return Ok(None);
                }
            };
            if quote["orderable"] == true {
                let body = with(self.order_body(home, is_delivery, &lines), "tip", tip.into());
                return Ok(Some(with(body, "expected_total", quote["amounts"]["total"].clone())));
            }
            let first = &quote["obstacles"][0];
            text(first, "detail").clone_into(&mut obstacle);
            if first["code"] == "below_minimum_order" {
                // Either one more dish, or a walk.
                lines.extend(cart::line(&self.random, menu));
                is_delivery = attempt + 2 < MAX_CARTS;
            } else {
                lines = cart::choose(&self.random, menu);
            }
        }
        self.counts.left_without_order += 1;
        self.story.print(&Line {
            event: "left",
            who: guest.name,
            order_id: None,
            display_code: None,
            text: format!("leaves without an order: {obstacle}"),
        })?;
        Ok(None)
    }

    fn order_body(&self, home: Home, is_delivery: bool, lines: &[Value]) -> Value {
        let fulfilment = if is_delivery { home.delivery() } else { json!({"type": "collection"}) };
        let mut body = json!({
            "lines": lines, "fulfilment": fulfilment, "payment_method": "cash", "contact": home.contact(),
        });
        if let Some(note) = cart::note(&self.random) {
            body["note"] = note.into();
        }
        body
    }
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

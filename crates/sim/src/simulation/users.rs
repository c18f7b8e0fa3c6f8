//! The actions of users. Each action runs beside the others, with random numbers of its own.
//!
//! | module | contents |
//! |---|---|
//! | `commands` | commands to orders, and their random contents |
//! | `outside` | the reports of the provider, changes at the provider, and the work of staff and admins |
//! | `prying` | reads, and attempts to read the orders of others |
//! | `webhooks` | changes of webhook endpoints |

mod commands;
mod outside;
mod prying;
mod webhooks;

use std::{sync::Arc, time::Duration};

use dabba_domain::{
    Amount, OrderId, RestaurantId,
    order::{Order, OrderRequest},
};
use dabba_engine::{Conflict, Error, OrderAnswer, Principal};
use dabba_store::IdempotencyKey;
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::time::sleep;

use super::{
    coverage::Mark,
    problem::Problem,
    server::Server,
    world::{World, below},
};

/// Maximum number of attempts of a request that gets no response. Longer than an outage lasts: shards may hang several
/// times in a row, and a server that dies meanwhile does not start until the shards answer.
const MAX_ATTEMPTS: u32 = 120;
/// Maximum pause between two attempts.
const MAX_PAUSE_MILLISECONDS: u32 = 2_000;
/// Maximum time that a patient client waits for a response.
const PATIENCE: Duration = Duration::from_mins(1);
/// Maximum time that an impatient client waits for a response.
const IMPATIENCE_MILLISECONDS: usize = 200;
/// The payment tokens that users choose from; most of them work.
const TOKENS: [&str; 17] = [
    "tok_succeed",
    "tok_refund_fails_late",
    "tok_refund_fails_late",
    "tok_refund_fails_late",
    "tok_succeed",
    "tok_flap",
    "tok_flap",
    "tok_pending",
    "tok_error",
    "tok_error_after_all",
    "tok_timeout_all",
    "tok_decline",
    "tok_fraud",
    "tok_nobody_knows",
    "tok_authorizes_less",
    "tok_authorizes_more",
    "tok_captures_less",
];

/// Returns whether the request may have had an effect, so that the caller retries.
fn is_retryable(error: &Error) -> bool {
    matches!(error, Error::Unavailable | Error::OutcomeUnknown | Error::Overloaded)
        || matches!(error, Error::Conflict(Conflict::TooManyChanges))
}

/// A user who acts in the world.
pub(super) struct User {
    pub(super) world: Arc<World>,
    random: StdRng,
}

impl User {
    pub(super) fn new(world: &Arc<World>, seed: u64) -> Self {
        Self { world: Arc::clone(world), random: StdRng::seed_from_u64(seed) }
    }

    /// Returns a random number below a bound.
    fn below(&mut self, bound: usize) -> usize {
        below(&mut self.random, bound)
    }

    fn below_u32(&mut self, bound: usize) -> u32 {
        u32::try_from(self.below(bound)).unwrap_or(0)
    }

    fn random_choice<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns a random server.
    fn server(&mut self) -> Arc<Server> {
        let servers = self.world.servers();
        let server = Arc::clone(&servers[self.below(servers.len())]);
        server.observe(&self.world.chaos);
        server
    }

    /// Waits for the response of a server. The server may die, and the client may disconnect.
    async fn ask<T>(
        &mut self,
        server: &Server,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let chaos = Arc::clone(&self.world.chaos);
        let gives_up = chaos.happens(chaos.rates.client_gives_up);
        let patience = if gives_up {
            Duration::from_millis(self.below(IMPATIENCE_MILLISECONDS) as u64)
        } else {
            PATIENCE
        };
        tokio::select! {
            biased;
            () = server.life.over() => {
                chaos.coverage.pass(Mark::ConnectionLost);
                Err(Error::OutcomeUnknown)
            }
            response = tokio::time::timeout(patience, request) => response.unwrap_or_else(|_| {
                chaos.coverage.pass(Mark::ClientGaveUp);
                Err(Error::OutcomeUnknown)
            }),
        }
    }

    /// Waits before the next attempt.
    async fn pause(&mut self, attempt: u32) {
        let milliseconds = min_pause_milliseconds(attempt) + self.below_u32(100);
        sleep(Duration::from_millis(milliseconds.into())).await;
    }

    /// Places an order as a random customer at a restaurant, and retries until the outcome is known; sometimes
    /// repeats it after that.
    pub(super) async fn place_random_order(&mut self, restaurant_id: RestaurantId) {
        let customer = self.random_customer();
        let request = self.order_request();
        let name = format!("order {}", self.below(usize::MAX));
        let Ok(key) = IdempotencyKey::new(&name) else { return };
        let mut known: Option<OrderId> = None;
        let mut may_be_placed = false;
        for attempt in 0..MAX_ATTEMPTS {
            let server = self.server();
            let placing = server.engine.orders.place(&customer, restaurant_id, &request, key.clone());
            match self.ask(&server, placing).await {
                Ok(OrderAnswer { order, .. }) => {
                    acknowledge(&self.world, &order);
                    self.note_placed(&name, known, order.id);
                    known = known.or(Some(order.id));
                    if self.below(10) > 0 {
                        return;
                    }
                }
                Err(error) if is_retryable(&error) => may_be_placed = true,
                Err(Error::Internal(text)) => {
                    return self.world.report_problem(format!("placing an order failed: {text}"));
                }
                Err(error) => {
                    if let Some(id) = known {
                        let problem = format!("order {id} was placed, and a retry was refused: {error}");
                        self.world.report_problem(problem);
                    } else if may_be_placed {
                        self.world.state().refused.push((customer, restaurant_id, key));
                    }
                    return;
                }
            }
            self.pause(attempt).await;
        }
        if known.is_none() {
            self.world.report_problem(format!("{name}: no attempt returned the outcome"));
        }
    }

    /// Notes the order that a key placed, and verifies that it is the known one.
    fn note_placed(&self, name: &str, known: Option<OrderId>, id: OrderId) {
        match known {
            Some(before) if before != id => {
                let text = format!("the key of {name} placed a second order {id}");
                self.world.report_problem(Problem::violating("I1", text));
            }
            Some(_) => {}
            None => {
                let mut state = self.world.state();
                state.placed.insert(name.to_owned(), id);
                state.open.push(id);
            }
        }
    }

    /// Places an order under the key of an earlier one of the same customer, which must be refused.
    pub(super) async fn reuse_key(&mut self) {
        let known: Vec<_> = self.world.state().placed.clone().into_iter().collect();
        if known.is_empty() {
            return;
        }
        let (name, id) = known[self.below(known.len())].clone();
        let (Ok(key), Some(order)) = (IdempotencyKey::new(&name), self.read_order(id).await) else { return };
        let Some(customer) =
            self.world.customers.iter().copied().find(|who| who.account_id == order.details.customer_id)
        else {
            return;
        };
        let mut request = self.order_request();
        request.tip = Amount::from_minor(7_777).unwrap_or(Amount::ZERO);
        let server = self.server();
        let placing = server.engine.orders.place(&customer, order.details.restaurant_id, &request, key);
        match self.ask(&server, placing).await {
            Ok(answer) => {
                let text = format!("the key of order {id} placed another order {}", answer.order.id);
                self.world.report_problem(Problem::violating("I1", text));
            }
            Err(Error::Internal(text)) => {
                self.world.report_problem(format!("a reused key failed: {text}"));
            }
            Err(_) => {}
        }
    }

    fn random_customer(&mut self) -> Principal {
        let place = self.below(self.world.customers.len());
        self.world.customers[place]
    }

    fn random_courier(&mut self) -> Principal {
        let place = self.below(self.world.couriers.len());
        self.world.couriers[place]
    }

    fn order_request(&mut self) -> OrderRequest {
        let mut lines = vec![json!({"item": "tea", "quantity": 1 + self.below(3)})];
        if self.below(2) == 0 {
            lines.push(json!({"item": "thali", "quantity": 1 + self.below(2)}));
        }
        if self.below(3) > 0 {
            let filling = ["potato", "paneer"][self.below(2)];
            let options = json!([{"group": "filling", "option": filling}]);
            lines.push(json!({"item": "dosa", "quantity": 1 + self.below(4), "options": options}));
        }
        let is_of_nothing = self.below(16) == 0;
        let address = json!({"line1": "1 Lunchbox Lane", "city": "London"});
        let fulfilment = match self.below(3) {
            0 => json!({"type": "collection"}),
            _ => json!({"type": "delivery", "address": address}),
        };
        let mut request = json!({
            "lines": lines, "fulfilment": fulfilment, "tip": 50 * self.below(4), "payment_method": "cash",
        });
        if is_of_nothing {
            request["lines"] = json!([{"item": "water", "quantity": 1 + self.below(3)}]);
            (request["fulfilment"], request["tip"]) = (json!({"type": "collection"}), json!(0));
        }
        if self.below(4) > 0 {
            request["payment_method"] = json!("card");
            request["payment_token"] = json!(TOKENS[self.below(TOKENS.len())]);
        }
        serde_json::from_value(request).unwrap_or_else(|error| unreachable!("an order: {error}"))
    }

    /// Returns a random order, and whether it has ended: sometimes a user refunds an order, or comes too late.
    fn random_order(&mut self, is_late: bool) -> Option<(OrderId, bool)> {
        let (list, is_late) = {
            let state = self.world.state();
            let is_late = is_late || state.open.is_empty();
            (if is_late { state.ended.clone() } else { state.open.clone() }, is_late)
        };
        (!list.is_empty()).then(|| (list[self.below(list.len())], is_late))
    }

    /// Returns the stored order.
    pub(super) async fn read_order(&self, id: OrderId) -> Option<Order> {
        match self.world.store.order(id).await {
            Ok(Some(order)) => Some(order),
            Ok(None) => {
                self.world.report_problem(format!("order {id} was acknowledged but does not exist"));
                None
            }
            Err(error) => {
                self.world.report_problem(format!("cannot read order {id}: {error}"));
                None
            }
        }
    }
}

/// Returns the minimum pause after an attempt; the first attempt is number 0.
fn min_pause_milliseconds(attempt: u32) -> u32 {
    (50 * (attempt + 1)).min(MAX_PAUSE_MILLISECONDS)
}

/// Notes the version of an order that a response contained.
fn acknowledge(world: &World, order: &Order) {
    let mut state = world.state();
    let version = state.acknowledged.entry(order.id).or_default();
    *version = (*version).max(order.version);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::{MAX_DOWNTIME_MILLISECONDS, MAX_HANG_MILLISECONDS};

    /// Number of hangs, each with a dead server, that follow each other in an outage.
    const HANGS_IN_A_ROW: usize = 4;

    /// Proves that users retry for longer than an outage lasts. Otherwise the simulation would report a problem of its
    /// own: that no attempt got a response.
    #[test]
    fn users_are_patient_in_an_outage() {
        let patience: u32 = (0..MAX_ATTEMPTS).map(min_pause_milliseconds).sum();
        let outage = HANGS_IN_A_ROW * (MAX_HANG_MILLISECONDS + MAX_DOWNTIME_MILLISECONDS);
        assert!(patience as usize > outage, "{patience} ms of patience, {outage} ms without a server");
    }
}

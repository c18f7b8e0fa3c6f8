//! Commands that the people of the evening send.

use dabba_sim::Client;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    super::{
        cart::Chance as _,
        people::Person,
        steps::{Actor, Step, taking_over},
    },
    Evening, Tracked,
};
use crate::failure::Failure;

/// Preparation times that the simulated kitchen announces, in minutes.
const PREPARATION_MINUTES: [u64; 4] = [10, 15, 20, 30];

impl Evening {
    /// Sends the commands that are due.
    pub(super) async fn send_due(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let due = self.orders.iter().flat_map(|(id, tracked)| {
            tracked.due.iter().filter(|(_, at)| **at <= now).map(|(step, _)| (id.clone(), *step))
        });
        for (id, step) in due.collect::<Vec<_>>() {
            // An earlier command may have made this one impossible.
            let Some(tracked) = self.orders.get(&id).filter(|tracked| tracked.due.contains_key(&step)) else {
                continue;
            };
            match self.person(tracked, step) {
                Some(person) => self.send(&id, step, &person).await?,
                // Without this, the loop would not sleep.
                None => self.forget(&id, step),
            }
        }
        Ok(())
    }

    /// Forgets when a step is due.
    fn forget(&mut self, id: &str, step: Step) {
        if let Some(tracked) = self.orders.get_mut(id) {
            tracked.due.remove(&step);
        }
    }

    /// Returns the person who sends a command.
    fn person(&self, tracked: &Tracked, step: Step) -> Option<Person> {
        let kitchen = || Person {
            name: "The kitchen",
            account_id: String::new(),
            token: self.server.stage.kitchen.clone(),
        };
        match step.actor() {
            Actor::Kitchen => Some(kitchen()),
            Actor::Customer => self.guests.get(tracked.guest?).cloned(),
            Actor::Admin => Some(Person {
                name: "Dabba operations",
                account_id: String::new(),
                token: self.server.stage.admin.clone(),
            }),
            Actor::Courier if step == Step::Assign => self.random.one(&self.couriers).cloned(),
            Actor::Courier => self.courier_of(&tracked.order).cloned(),
        }
    }

    async fn send(&mut self, id: &str, step: Step, person: &Person) -> Result<(), Failure> {
        let path = format!("/v1/orders/{id}/{}", step.command());
        let key = format!("live-{}-{id}-{}", self.name, step.command());
        let body = self.body(id, step);
        let command = |client: &Client| {
            let call = client.with_token(&person.token).post(&path).idempotency_key(&key);
            match &body {
                Some(body) => call.json(body),
                None => call,
            }
        };
        let response = self.server.insist(command).await?;
        if let Some(tracked) = self.orders.get_mut(id) {
            tracked.due.remove(&step);
            tracked.is_accepted_here |= step == Step::Accept && response.is_ok();
            if let Err(problem) = &response {
                // Another client was faster. The order is read again below.
                tracked.refused.insert(step);
                let code = tracked.order["display_code"].as_str().map(str::to_owned);
                let what = format!("cannot {} the order", step.command());
                self.print_refusal(person, Some((id, code.as_deref())), &what, problem)?;
            }
        }
        self.read(id, None).await
    }

    /// Returns the body of a command for an order.
    fn body(&self, id: &str, step: Step) -> Option<Value> {
        if step == Step::TakeOver {
            let (order, courier) = (&self.orders.get(id)?.order, self.random.one(&self.couriers)?);
            return Some(taking_over(order, &courier.account_id));
        }
        step.body(self.random.one(&PREPARATION_MINUTES).copied().unwrap_or(15))
    }
}

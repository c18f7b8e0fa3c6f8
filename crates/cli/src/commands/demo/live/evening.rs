//! The loop of the evening: it places orders, polls the open ones and sends commands, one request at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dabba_engine::{Random as _, SeededRandom, SystemRandom};
use dabba_sim::{Client, ProblemResponse};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    LiveArguments,
    cart::{self, Chance as _},
    changes,
    connection::{Connection, expected},
    people::{COURIERS, HOMES, Home, Person, registration},
    stage::Stage,
    steps::{Actor, Plan, Step, possible},
    story::{Line, Story},
};
use crate::{failure::Failure, output};

/// Interval between two polls of the open orders, at normal speed.
const POLL: Duration = Duration::from_secs(2);
/// Minimum interval between two polls.
const MIN_POLL: Duration = Duration::from_millis(200);
/// Maximum number of pages of open orders that one poll reads. Further orders wait.
const MAX_PAGES: u32 = 10;
/// Maximum number of carts that a customer fills until one can be ordered.
const MAX_CARTS: u32 = 4;
/// Maximum pause between two orders, as a multiple of the average.
const MAX_GAP: f64 = 4.0;

/// Percentages of orders: for delivery, with a tip, cancelled if the kitchen does not accept them soon, and rejected by the
/// simulated kitchen.
const DELIVERIES: u64 = 80;
const TIPS: u64 = 40;
const CANCELLATIONS: u64 = 8;
const REJECTIONS: u64 = 4;

/// Preparation times that the simulated kitchen announces, in minutes.
const PREPARATION_MINUTES: [u64; 4] = [10, 15, 20, 30];

/// An open order.
struct Tracked {
    /// The order as the kitchen sees it.
    order: Value,
    plan: Plan,
    /// Index of the customer, if this command placed the order.
    guest: Option<usize>,
    /// The possible steps, each with its time.
    due: BTreeMap<Step, Instant>,
    /// Steps that the server has refused in the order's present status.
    refused: BTreeSet<Step>,
}

/// See the module.
pub(super) struct Evening {
    server: Connection,
    story: Story,
    random: SeededRandom,
    /// Name of this evening in e-mail addresses and idempotency keys.
    name: String,
    rate: u64,
    speed: u32,
    with_kitchen: bool,
    guests: Vec<Person>,
    couriers: Vec<Person>,
    orders: BTreeMap<String, Tracked>,
    /// Number of orders that this command has tried to place.
    attempted: u64,
}

impl Evening {
    pub(super) fn new(
        stage: Stage,
        story: Story,
        arguments: &LiveArguments,
        random: SeededRandom,
    ) -> Result<Self, Failure> {
        Ok(Self {
            server: Connection::new(stage)?,
            story,
            random,
            name: format!("{:08x}", SystemRandom.next_u64() >> 32),
            rate: arguments.rate,
            speed: u32::try_from(arguments.speed).unwrap_or(1),
            with_kitchen: arguments.kitchen,
            guests: Vec::new(),
            couriers: Vec::new(),
            orders: BTreeMap::new(),
            attempted: 0,
        })
    }

    /// Runs until the future is dropped. Fails if the server is no demo.
    pub(super) async fn run(&mut self, seed: u64) -> Result<(), Failure> {
        self.server.verify().await?;
        self.enlist().await?;
        self.poll(false).await?;
        let (address, board) = (&self.server.stage.address, &self.server.stage.restaurant_id);
        output::note(format_args!(
            "an evening at {address} with the seed {seed} and {} before it; the board is {address}/kitchen/{board}; stop \
             with Ctrl-C",
            output::counted(u64::try_from(self.orders.len()).unwrap_or(u64::MAX), "open order")
        ));
        let mut next_order = Instant::now();
        let mut next_poll = Instant::now() + self.poll_interval();
        loop {
            if Instant::now() >= next_order {
                self.order().await?;
                next_order = Instant::now() + self.gap();
            }
            if Instant::now() >= next_poll {
                self.poll(true).await?;
                next_poll = Instant::now() + self.poll_interval();
            }
            self.send_due().await?;
            let due = self.orders.values().flat_map(|tracked| tracked.due.values().copied()).min();
            sleep_until(next_order.min(next_poll).min(due.unwrap_or(next_poll))).await;
        }
    }

    /// Prints the summary.
    pub(super) fn close(&self) -> Result<(), Failure> {
        self.story.end(self.orders.len())
    }

    fn poll_interval(&self) -> Duration {
        (POLL / self.speed).max(MIN_POLL)
    }

    /// Returns the pause before the next order: exponential, as of customers who do not know of each other.
    fn gap(&self) -> Duration {
        let mean = 60.0 / f64::from(u32::try_from(self.rate).unwrap_or(1));
        let uniform =
            (f64::from(u32::try_from(self.random.below(1 << 30)).unwrap_or(0)) + 1.0) / f64::from(1 << 30);
        Duration::from_secs_f64((-uniform.ln() * mean).min(MAX_GAP * mean))
    }

    /// Registers the customers and the couriers. The demo's own courier works, too.
    async fn enlist(&mut self) -> Result<(), Failure> {
        let homes = HOMES.map(|home| (home.name, "customer"));
        for (name, role) in homes.into_iter().chain(COURIERS.map(|name| (name, "courier"))) {
            let person = self.register(name, role).await?;
            if role == "customer" { self.guests.push(person) } else { self.couriers.push(person) }
        }
        let token = self.server.stage.courier.clone();
        let me = self.server.insist(|client| client.with_token(&token).get("/v1/accounts/me")).await?;
        let account_id = text(&expected(me, "reading the demo's courier")?.body, "id").to_owned();
        self.couriers.push(Person { name: "Bo Lind", account_id, token });
        Ok(())
    }

    async fn register(&mut self, name: &'static str, role: &str) -> Result<Person, Failure> {
        let during = format!("registering {name}");
        let (body, admin) = (registration(name, role, &self.name), self.server.stage.admin.clone());
        let key = format!("live-{}-{name}", self.name).replace(' ', "-");
        let register = |client: &Client| {
            client.with_token(&admin).post("/v1/accounts").idempotency_key(&key).json(&body)
        };
        expected(self.server.insist(register).await?, &during)?;
        let credentials = json!({"email": body["email"], "password": body["password"]});
        let log_in = |client: &Client| client.post("/v1/tokens").json(&credentials);
        let token = expected(self.server.insist(log_in).await?, &during)?.body;
        Ok(Person {
            name,
            account_id: text(&token, "account_id").to_owned(),
            token: text(&token, "access_token").to_owned(),
        })
    }

    /// Places an order of a customer. If a cart cannot be ordered now, the customer fills another one.
    async fn order(&mut self) -> Result<(), Failure> {
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
                self.story.counts.placed += 1;
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

    /// Reads the restaurant's open orders, and each tracked order that is no longer open.
    async fn poll(&mut self, is_printed: bool) -> Result<(), Failure> {
        let (mut found, mut cursor) = (BTreeSet::new(), String::new());
        for _ in 0..MAX_PAGES {
            let path = format!(
                "/v1/restaurants/{}/orders?status=confirmed,preparing,ready_for_pickup,out_for_delivery&limit=100{cursor}",
                self.server.stage.restaurant_id
            );
            let kitchen = self.server.stage.kitchen.clone();
            let page = self.server.insist(|client| client.with_token(&kitchen).get(&path)).await?;
            let page = expected(page, "reading the open orders")?.body;
            for order in page["orders"].as_array().into_iter().flatten() {
                found.insert(text(order, "id").to_owned());
                self.track(order, None, is_printed)?;
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let gone: Vec<String> = self.orders.keys().filter(|id| !found.contains(*id)).cloned().collect();
        for id in gone {
            self.read(&id, None).await?;
        }
        Ok(())
    }

    /// Reads an order as the kitchen sees it.
    async fn read(&mut self, id: &str, guest: Option<usize>) -> Result<(), Failure> {
        let kitchen = self.server.stage.kitchen.clone();
        let path = format!("/v1/orders/{id}");
        let read = self.server.insist(|client| client.with_token(&kitchen).get(&path)).await?;
        let Ok(order) = read else {
            // Another database answers at this address now.
            self.orders.remove(id);
            return Ok(());
        };
        self.track(&order.body, guest, true)
    }

    /// Prints the changes of an order since its last read, and plans its next steps.
    fn track(&mut self, order: &Value, guest: Option<usize>, is_printed: bool) -> Result<(), Failure> {
        let id = text(order, "id").to_owned();
        let before = self.orders.remove(&id);
        let is_known = |person: &&Person| order["courier_id"] == person.account_id.as_str();
        let courier = self.couriers.iter().find(is_known).map(|person| person.name);
        if is_printed {
            let before = before.as_ref().map(|tracked| &tracked.order);
            for change in changes::between(before, order, courier.unwrap_or("A courier")) {
                self.story.print(&Line {
                    event: change.event,
                    who: &change.who,
                    order_id: Some(&id),
                    display_code: order["display_code"].as_str(),
                    text: change.text,
                })?;
            }
        }
        if changes::has_ended(order) {
            let is_delivered = order["status"] == "delivered";
            let counts = &mut self.story.counts;
            *(if is_delivered { &mut counts.delivered } else { &mut counts.ended_early }) += 1;
            return Ok(());
        }
        let tracked = before.map_or_else(
            || Tracked {
                plan: Plan {
                    cancels: guest.is_some() && self.random.percent(CANCELLATIONS),
                    rejects: self.random.percent(REJECTIONS),
                },
                order: order.clone(),
                guest,
                due: BTreeMap::new(),
                refused: BTreeSet::new(),
            },
            |mut tracked| {
                if tracked.order["status"] != order["status"] {
                    tracked.refused.clear();
                }
                Tracked { order: order.clone(), ..tracked }
            },
        );
        let tracked = self.planned(tracked, courier.is_some());
        self.orders.insert(id, tracked);
        Ok(())
    }

    /// Plans a time for each possible step, and removes the other steps.
    fn planned(&self, mut tracked: Tracked, is_ours: bool) -> Tracked {
        let possible = possible(&tracked.order, tracked.plan, self.with_kitchen, is_ours);
        tracked.due.retain(|step, _| possible.contains(step));
        for step in possible.into_iter().filter(|step| !tracked.refused.contains(step)) {
            let seconds = step.seconds();
            let seconds = seconds.start() + self.random.below(seconds.end() - seconds.start() + 1);
            let delay = Duration::from_secs(seconds) / self.speed;
            tracked.due.entry(step).or_insert_with(|| Instant::now() + delay);
        }
        tracked
    }

    /// Sends the commands that are due.
    async fn send_due(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let due = self.orders.iter().flat_map(|(id, tracked)| {
            tracked.due.iter().filter(|(_, at)| **at <= now).map(|(step, _)| (id.clone(), *step))
        });
        for (id, step) in due.collect::<Vec<_>>() {
            // An earlier command may have made this one impossible.
            let Some(tracked) = self.orders.get(&id).filter(|tracked| tracked.due.contains_key(&step)) else {
                continue;
            };
            let Some(person) = self.person(tracked, step) else { continue };
            self.send(&id, step, &person).await?;
        }
        Ok(())
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
            Actor::Courier if step == Step::Assign => self.random.one(&self.couriers).cloned(),
            Actor::Courier => {
                let is_courier = |person: &&Person| tracked.order["courier_id"] == person.account_id.as_str();
                self.couriers.iter().find(is_courier).cloned()
            }
        }
    }

    async fn send(&mut self, id: &str, step: Step, person: &Person) -> Result<(), Failure> {
        let path = format!("/v1/orders/{id}/{}", step.command());
        let key = format!("live-{}-{id}-{}", self.name, step.command());
        let body = step.body(self.random.one(&PREPARATION_MINUTES).copied().unwrap_or(15));
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

    fn print_refusal(
        &self,
        person: &Person,
        order: Option<(&str, Option<&str>)>,
        what: &str,
        problem: &ProblemResponse,
    ) -> Result<(), Failure> {
        self.story.print(&Line {
            event: "refused",
            who: person.name,
            order_id: order.map(|(id, _)| id),
            display_code: order.and_then(|(_, code)| code),
            text: format!("{what}: {problem}"),
        })
    }
}

/// Returns a text of an object; empty if it has none.
fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object[member].as_str().unwrap_or_default()
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

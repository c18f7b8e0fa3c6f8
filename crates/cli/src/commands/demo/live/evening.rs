//! The loop of the evening: it places orders, polls the open ones and sends commands, one request at a time.

mod commands;
mod placing;

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
    cart::Chance as _,
    changes,
    connection::{Connection, expected},
    people::{COURIERS, HOMES, Person, is_of_an_evening, registration},
    stage::Stage,
    steps::{Carrier, Plan, Step, possible},
    story::{Line, Story},
    summary::{Counts, Open, Summary},
};
use crate::{failure::Failure, output};

/// Interval between two polls of the open orders, at normal speed.
const POLL: Duration = Duration::from_secs(2);
/// Minimum interval between two polls.
const MIN_POLL: Duration = Duration::from_millis(200);
/// Maximum number of pages of open orders that one poll reads. Further orders wait.
const MAX_PAGES: u32 = 10;
/// Maximum pause between two orders, as a multiple of the average.
const MAX_GAP: f64 = 4.0;

/// Percentages of orders: cancelled if the kitchen does not accept them soon, and rejected by the simulated kitchen.
const CANCELLATIONS: u64 = 8;
const REJECTIONS: u64 = 4;

/// An open order.
struct Tracked {
    /// The order as the kitchen sees it.
    order: Value,
    plan: Plan,
    /// Index of the customer, if this command placed the order.
    guest: Option<usize>,
    /// The possible steps, each with its time.
    due: BTreeMap<Step, Instant>,
    /// Steps that the server has refused for the order's present version.
    refused: BTreeSet<Step>,
    /// Account of the order's courier, if the courier belongs to an earlier evening.
    left_by: Option<String>,
    /// Whether the simulated kitchen has accepted the order.
    is_accepted_here: bool,
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
    counts: Counts,
    began: Instant,
}

impl Evening {
    pub(super) fn new(
        server: Connection,
        story: Story,
        arguments: &LiveArguments,
        random: SeededRandom,
    ) -> Self {
        Self {
            server,
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
            counts: Counts::default(),
            began: Instant::now(),
        }
    }

    /// Runs until the future is dropped. Fails if the server is no demo.
    pub(super) async fn run(&mut self, seed: u64) -> Result<(), Failure> {
        self.server.verify().await?;
        self.enlist().await?;
        self.poll(false).await?;
        self.find_left_orders().await?;
        self.introduce(seed);
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

    /// Prints what the evening is, and what it leaves to the person at the board.
    fn introduce(&self, seed: u64) {
        let Stage { address, restaurant_id, .. } = &self.server.stage;
        let open = output::counted(u64::try_from(self.orders.len()).unwrap_or(u64::MAX), "open order");
        output::note(format_args!(
            "an evening at {address} with the seed {seed} and {open} before it; stop with Ctrl-C"
        ));
        let kitchen = if self.with_kitchen {
            "the kitchen is simulated, too"
        } else {
            "you are the kitchen: accept or reject orders, mark them as ready, and hand over those that customers collect; \
             couriers deliver the others"
        };
        output::note(format_args!("{kitchen}. The board: {address}/kitchen/{restaurant_id}"));
    }

    /// Returns whether the evening has changed anything.
    pub(super) const fn has_begun(&self) -> bool {
        !self.guests.is_empty()
    }

    /// Prints the summary.
    pub(super) fn close(&self) -> Result<(), Failure> {
        let open = Open::of(self.orders.values().map(|tracked| &tracked.order));
        self.story.end(&Summary::new(self.began.elapsed(), self.counts, open))
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
        let courier = self.courier_of(order).map_or("A courier", |person| person.name);
        if is_printed {
            let is_accepted_here = before.as_ref().is_some_and(|tracked| tracked.is_accepted_here);
            let before = before.as_ref().map(|tracked| &tracked.order);
            for change in changes::between(before, order, courier) {
                let is_own = if change.event == "placed" { guest.is_some() } else { is_accepted_here };
                self.counts.count(&change, order, is_own);
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
                left_by: None,
                is_accepted_here: false,
            },
            |mut tracked| {
                if tracked.order["version"] != order["version"] {
                    tracked.refused.clear();
                }
                Tracked { order: order.clone(), ..tracked }
            },
        );
        let tracked = self.planned(tracked);
        self.orders.insert(id, tracked);
        Ok(())
    }

    /// Returns the courier of an order, if the courier belongs to this evening.
    fn courier_of(&self, order: &Value) -> Option<&Person> {
        self.couriers.iter().find(|person| order["courier_id"] == person.account_id.as_str())
    }

    /// Finds the open orders of couriers of an earlier evening, because nobody else would deliver them. An earlier
    /// evening that still runs loses its orders to this one. Only the start of an evening finds them, so two evenings do not
    /// take orders away from each other again and again.
    async fn find_left_orders(&mut self) -> Result<(), Failure> {
        let couriers = self.orders.values().filter(|tracked| self.courier_of(&tracked.order).is_none());
        let couriers = couriers.filter_map(|tracked| tracked.order["courier_id"].as_str().map(str::to_owned));
        let mut gone = BTreeSet::new();
        for courier in couriers.collect::<BTreeSet<String>>() {
            let (path, admin) = (format!("/v1/accounts/{courier}"), self.server.stage.admin.clone());
            let read = self.server.insist(|client| client.with_token(&admin).get(&path)).await?;
            if read.is_ok_and(|account| is_of_an_evening(text(&account.body, "email"))) {
                gone.insert(courier);
            }
        }
        for (id, mut tracked) in std::mem::take(&mut self.orders) {
            let courier = tracked.order["courier_id"].as_str();
            tracked.left_by = courier.and_then(|courier| gone.get(courier)).cloned();
            let tracked = self.planned(tracked);
            self.orders.insert(id, tracked);
        }
        Ok(())
    }

    /// Returns how the evening sees the courier of an order.
    fn carrier(&self, tracked: &Tracked) -> Carrier {
        match tracked.order["courier_id"].as_str() {
            None => Carrier::Nobody,
            Some(_) if self.courier_of(&tracked.order).is_some() => Carrier::Present,
            courier if courier == tracked.left_by.as_deref() => Carrier::Gone,
            Some(_) => Carrier::Other,
        }
    }

    /// Plans a time for each possible step, and removes the other steps.
    fn planned(&self, mut tracked: Tracked) -> Tracked {
        let carrier = self.carrier(&tracked);
        let possible = possible(&tracked.order, tracked.plan, self.with_kitchen, carrier);
        tracked.due.retain(|step, _| possible.contains(step));
        for step in possible.into_iter().filter(|step| !tracked.refused.contains(step)) {
            let seconds = step.seconds();
            let seconds = seconds.start() + self.random.below(seconds.end() - seconds.start() + 1);
            let delay = Duration::from_secs(seconds) / self.speed;
            tracked.due.entry(step).or_insert_with(|| Instant::now() + delay);
        }
        tracked
    }

    /// Prints and counts a request that the server refused.
    fn print_refusal(
        &mut self,
        person: &Person,
        order: Option<(&str, Option<&str>)>,
        what: &str,
        problem: &ProblemResponse,
    ) -> Result<(), Failure> {
        self.counts.refused_requests += 1;
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

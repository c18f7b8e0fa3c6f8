//! Orders, placed and moved to their ends by people who retry every unanswered request under the same key.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use dabba_engine::Random;
use dabba_sim::{Client, ClientError};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{provider::id_of, support::Server};

/// Number of people who place and move orders.
const PEOPLE: usize = 8;
/// Maximum number of open orders at a time.
const MAX_OPEN: usize = 300;
/// Payment tokens, with equal frequency.
const TOKENS: [&str; 5] =
    ["tok_succeed", "tok_flap", "tok_decline", "tok_timeout_all", "tok_error_after_all"];
/// Amount of a partial refund, in minor units.
pub(crate) const PART: i64 = 250;
/// Roles that execute commands on an order.
const ROLES: [&str; 4] = ["customer", "restaurant", "courier", "admin"];

/// Intended course of an order, if it is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// The order is delivered.
    Delivered,
    /// The customer cancels the order before it is accepted.
    CancelledByCustomer,
    /// The kitchen cancels the order after it has begun.
    CancelledByKitchen,
    /// The order is delivered and partially refunded.
    RefundedInPart,
    /// The order is delivered and fully refunded.
    Refunded,
}

/// All courses, the usual ones more often.
const COURSES: [Course; 8] = [
    Course::Delivered,
    Course::Delivered,
    Course::Delivered,
    Course::Delivered,
    Course::CancelledByCustomer,
    Course::CancelledByKitchen,
    Course::RefundedInPart,
    Course::Refunded,
];

/// An order and its intended course.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Part of the keys under which the order is placed and moved.
    number: usize,
    /// Token of the card; `None` for an order in cash.
    pub(crate) token: Option<&'static str>,
    pub(crate) course: Course,
    /// Empty until the order is placed.
    pub(crate) id: String,
}

/// Next step of an order.
enum Next {
    /// An account with this role executes this command.
    Command(&'static str, &'static str, Value),
    /// Wait until the order changes.
    Wait,
    /// The order has ended.
    Nothing,
}

/// Running people.
pub(crate) struct Walking {
    shared: Arc<Shared>,
    people: JoinSet<()>,
}

/// State that all people share.
struct Shared {
    clients: [Client; ROLES.len()],
    orders_path: String,
    order: Value,
    walks: Mutex<Walks>,
    acknowledged: watch::Sender<u64>,
    is_served: watch::Sender<bool>,
}

#[derive(Default)]
struct Walks {
    to_place: Vec<Walk>,
    open: VecDeque<Walk>,
    ended: Vec<Walk>,
}

impl Walking {
    /// Starts people who walk this many orders, whose cards and courses follow from `random`. The server must keep its
    /// address.
    pub(crate) fn start(server: &Server, orders: usize, random: &dyn Random) -> Self {
        let drawn = |count: usize| usize::try_from(random.next_u64() % count as u64).unwrap();
        let walk = |number| {
            let (token, course) = (TOKENS[drawn(TOKENS.len())], COURSES[drawn(COURSES.len())]);
            Walk { number, token: Some(token), course, id: String::new() }
        };
        Self::walk(server, (0..orders).map(walk).collect())
    }

    /// Starts people who walk orders in cash to their delivery. `numbers` are part of the keys of the requests, so the
    /// ranges of several calls must not overlap. The server must keep its address.
    pub(crate) fn in_cash(server: &Server, numbers: Range<usize>) -> Self {
        let walk = |number| Walk { number, token: None, course: Course::Delivered, id: String::new() };
        Self::walk(server, numbers.map(walk).collect())
    }

    fn walk(server: &Server, to_place: Vec<Walk>) -> Self {
        let walks = Walks { to_place, ..Walks::default() };
        let shared = Arc::new(Shared {
            clients: ROLES.map(|role| server.client(role)),
            orders_path: server.orders_path(),
            order: server.announcement["order"].clone(),
            walks: Mutex::new(walks),
            acknowledged: watch::Sender::new(0),
            is_served: watch::Sender::new(true),
        });
        let people = (0..PEOPLE).map(|_| Arc::clone(&shared).work()).collect();
        Self { shared, people }
    }

    /// Sets whether there is a server, so that people wait instead of retrying.
    pub(crate) fn set_served(&self, is_served: bool) {
        self.shared.is_served.send_replace(is_served);
    }

    /// Waits until this many more steps are acknowledged, at limit for `limit`.
    pub(crate) async fn wait_for(&self, more: u64, limit: Duration) {
        let mut acknowledged = self.shared.acknowledged.subscribe();
        let until = *acknowledged.borrow() + more;
        // The test continues in both cases.
        let _ = timeout(limit, acknowledged.wait_for(|steps| *steps >= until)).await;
    }

    /// Returns the number of ended orders.
    pub(crate) fn ended(&self) -> usize {
        self.shared.walks().ended.len()
    }

    /// Waits until all orders have ended, at limit for `limit`. Returns the orders if they have.
    pub(crate) async fn finish(&mut self, limit: Duration) -> Option<Vec<Walk>> {
        let leaving = async {
            while let Some(left) = self.people.join_next().await {
                left.unwrap();
            }
        };
        timeout(limit, leaving).await.ok()?;
        Some(std::mem::take(&mut self.shared.walks().ended))
    }
}

impl Shared {
    fn walks(&self) -> MutexGuard<'_, Walks> {
        self.walks.lock().unwrap()
    }

    /// Walks all open orders in turn until there are none. Skips orders that other people hold.
    async fn work(self: Arc<Self>) {
        while let Some(mut walk) = self.next_walk() {
            let has_ended = self.walk(&mut walk).await;
            let mut walks = self.walks();
            if has_ended { walks.ended.push(walk) } else { walks.open.push_back(walk) }
        }
    }

    fn next_walk(&self) -> Option<Walk> {
        let mut walks = self.walks();
        if walks.open.len() < MAX_OPEN && !walks.to_place.is_empty() {
            return walks.to_place.pop();
        }
        walks.open.pop_front()
    }

    /// Executes all commands that are possible on an order at once, and returns whether it has ended.
    async fn walk(&self, walk: &mut Walk) -> bool {
        let number = walk.number;
        if walk.id.is_empty() {
            let mut order = self.order.clone();
            if let Some(token) = walk.token {
                order["payment_method"] = json!("card");
                order["payment_token"] = json!(token);
            }
            let placed = self.send("customer", &self.orders_path, &format!("walk-{number}"), &order).await;
            placed.as_ref().map(id_of).unwrap().clone_into(&mut walk.id);
            return false;
        }
        let path = format!("/v1/orders/{}", walk.id);
        let mut known = Some(self.read(&path).await);
        while let Some(order) = known {
            match next(walk.course, &order) {
                Next::Command(role, command, body) => {
                    let (path, key) = (format!("{path}/{command}"), format!("walk-{number}-{command}"));
                    known = self.send(role, &path, &key, &body).await;
                }
                Next::Wait => return false,
                Next::Nothing => return true,
            }
        }
        false
    }

    fn client(&self, role: &str) -> &Client {
        &self.clients[ROLES.iter().position(|known| *known == role).unwrap()]
    }

    /// Sends a request under a key until it is answered. Returns `None` if the request no longer fits the order, which
    /// has changed in the meantime.
    async fn send(&self, role: &str, path: &str, key: &str, body: &Value) -> Option<Value> {
        loop {
            let request = self.client(role).post(path).idempotency_key(key).json(body);
            match request.send().await {
                Ok(answer) => {
                    self.acknowledged.send_modify(|steps| *steps += 1);
                    return Some(answer.body);
                }
                Err(error) if error.problem().is_some_and(|problem| problem.status == 409) => return None,
                Err(error) => self.wait_for_server(&error).await,
            }
        }
    }

    async fn read(&self, path: &str) -> Value {
        loop {
            match self.client("admin").get(path).send().await {
                Ok(answer) => return answer.body,
                Err(error) => self.wait_for_server(&error).await,
            }
        }
    }

    /// Waits for a server. Panics on a refusal for another reason than an unavailable server.
    async fn wait_for_server(&self, error: &ClientError) {
        assert!(error.problem().is_none_or(|problem| problem.status == 503), "{error}");
        self.is_served.subscribe().wait_for(|is_served| *is_served).await.unwrap();
    }
}

/// Returns the next step that keeps an order on its course.
fn next(course: Course, order: &Value) -> Next {
    let text = |pointer: &str| order.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let payment = text("/payment/status");
    let minutes = json!({"preparation_minutes": 10});
    match (text("/status"), course) {
        ("created" | "confirmed", Course::CancelledByCustomer) => {
            Next::Command("customer", "cancel", json!({"reason": "changed_mind"}))
        }
        ("confirmed", _) => Next::Command("restaurant", "accept", minutes),
        ("preparing", Course::CancelledByKitchen) => {
            Next::Command("restaurant", "cancel", json!({"reason": "kitchen_closed"}))
        }
        ("preparing", _) if text("/courier_id").is_empty() => Next::Command("courier", "assign", json!({})),
        ("preparing", _) => Next::Command("restaurant", "ready", json!({})),
        ("ready_for_pickup", _) => Next::Command("courier", "pick-up", json!({})),
        ("out_for_delivery", _) => Next::Command("courier", "deliver", json!({})),
        ("delivered", Course::RefundedInPart)
            if payment == "captured" && order["payment"]["refunds"].is_null() =>
        {
            Next::Command("admin", "refund", json!({"reason": "late", "amount": PART}))
        }
        ("delivered", Course::Refunded) if payment == "captured" && order["payment"]["refunds"].is_null() => {
            Next::Command("admin", "refund", json!({"reason": "quality"}))
        }
        ("delivered", Course::Delivered) if payment == "captured" => Next::Nothing,
        ("delivered", Course::RefundedInPart) if payment == "partially_refunded" => Next::Nothing,
        ("cancelled", _) if payment == "voided" || payment == "failed" => Next::Nothing,
        ("refunded", _) => Next::Nothing,
        _ => Next::Wait,
    }
}

/// Proves that orders are delivered.
pub(crate) async fn check_delivered(admin: &Client, walks: &[Walk]) {
    for walk in walks {
        let order = admin.get(&format!("/v1/orders/{}", walk.id)).send().await.unwrap().body;
        assert_eq!(order["status"], "delivered", "{walk:?}: {order}");
    }
}

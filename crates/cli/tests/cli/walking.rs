//! Orders by card, placed and walked to their ends by people who repeat whatever they are not answered, each
//! time under the same key.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use dabba_engine::Random;
use dabba_sim::{Client, ClientError};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{provider::id_of, support::Server};

/// People who place orders and walk them on.
const PEOPLE: usize = 8;
/// Most orders that are on their way at once.
const MAX_OPEN: usize = 300;
/// What is paid with, one card as often as another.
const TOKENS: [&str; 5] =
    ["tok_succeed", "tok_flap", "tok_decline", "tok_timeout_all", "tok_error_after_all"];
/// How much is given back of an order of which a part is, in minor units.
pub(crate) const PART: i64 = 250;
/// Those who do something for an order.
const ROLES: [&str; 4] = ["customer", "restaurant", "courier", "admin"];

/// What is meant to become of an order, if it is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// The customer gets it.
    Delivered,
    /// The customer calls it off before it is accepted.
    CancelledByCustomer,
    /// The kitchen calls it off after it has begun.
    CancelledByKitchen,
    /// The customer gets it, and a part of the money back.
    RefundedInPart,
    /// The customer gets it, and all of the money back.
    Refunded,
}

/// Every course, those that are more usual more often.
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

/// An order, and what is meant to become of it.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Names the keys under which it is placed and moved.
    number: usize,
    pub(crate) token: &'static str,
    pub(crate) course: Course,
    /// There once it is placed.
    pub(crate) id: String,
}

/// What is done next with an order.
enum Next {
    /// Somebody with this role gives this command.
    Give(&'static str, &'static str, Value),
    /// Nothing, until more has become of it.
    Wait,
    /// Nothing any more.
    Nothing,
}

/// People at work.
pub(crate) struct Walking {
    shared: Arc<Shared>,
    people: JoinSet<()>,
}

/// What all people share.
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
    /// Lets people walk so many orders, whose cards and courses follow from `random`. The server is found at
    /// the same address for as long as they walk.
    pub(crate) fn start(server: &Server, orders: usize, random: &dyn Random) -> Self {
        let drawn = |count: usize| usize::try_from(random.next_u64() % count as u64).unwrap();
        let walk = |number| {
            let (token, course) = (TOKENS[drawn(TOKENS.len())], COURSES[drawn(COURSES.len())]);
            Walk { number, token, course, id: String::new() }
        };
        let walks = Walks { to_place: (0..orders).map(walk).collect(), ..Walks::default() };
        let shared = Arc::new(Shared {
            clients: ROLES.map(|role| server.client(role)),
            orders_path: format!("/v1/restaurants/{}/orders", server.said("/restaurant_id")),
            order: server.announcement["order"].clone(),
            walks: Mutex::new(walks),
            acknowledged: watch::Sender::new(0),
            is_served: watch::Sender::new(true),
        });
        let people = (0..PEOPLE).map(|_| Arc::clone(&shared).work()).collect();
        Self { shared, people }
    }

    /// Tells people whether there is a server, so that they do not knock in vain.
    pub(crate) fn set_served(&self, is_served: bool) {
        self.shared.is_served.send_replace(is_served);
    }

    /// Waits until so many more steps have been acknowledged, but no longer than `most`.
    pub(crate) async fn wait_for(&self, more: u64, most: Duration) {
        let mut acknowledged = self.shared.acknowledged.subscribe();
        let until = *acknowledged.borrow() + more;
        // Whether it was the steps or the time does not matter.
        let _ = timeout(most, acknowledged.wait_for(|steps| *steps >= until)).await;
    }

    /// How many orders have come to their ends.
    pub(crate) fn ended(&self) -> usize {
        self.shared.walks().ended.len()
    }

    /// Waits until all orders have come to their ends, but no longer than `most`. Answers them then.
    pub(crate) async fn finish(&mut self, most: Duration) -> Option<Vec<Walk>> {
        let leaving = async {
            while let Some(left) = self.people.join_next().await {
                left.unwrap();
            }
        };
        timeout(most, leaving).await.ok()?;
        Some(std::mem::take(&mut self.shared.walks().ended))
    }
}

impl Shared {
    fn walks(&self) -> MutexGuard<'_, Walks> {
        self.walks.lock().unwrap()
    }

    /// Walks by turns all orders that somebody has to see to, until there are none. Those that others have in
    /// hand just now are theirs.
    async fn work(self: Arc<Self>) {
        while let Some(mut walk) = self.take() {
            let has_ended = self.walk(&mut walk).await;
            let mut walks = self.walks();
            if has_ended { walks.ended.push(walk) } else { walks.open.push_back(walk) }
        }
    }

    fn take(&self) -> Option<Walk> {
        let mut walks = self.walks();
        if walks.open.len() < MAX_OPEN && !walks.to_place.is_empty() {
            return walks.to_place.pop();
        }
        walks.open.pop_front()
    }

    /// Does with an order all that can be done at once, and says whether it has ended.
    async fn walk(&self, walk: &mut Walk) -> bool {
        let number = walk.number;
        if walk.id.is_empty() {
            let mut order = self.order.clone();
            order["payment_method"] = json!("card");
            order["payment_token"] = json!(walk.token);
            let placed = self.give("customer", &self.orders_path, &format!("walk-{number}"), &order).await;
            placed.as_ref().map(id_of).unwrap().clone_into(&mut walk.id);
            return false;
        }
        let path = format!("/v1/orders/{}", walk.id);
        let mut known = Some(self.read(&path).await);
        while let Some(order) = known {
            match next(walk.course, &order) {
                Next::Give(role, command, body) => {
                    let (path, key) = (format!("{path}/{command}"), format!("walk-{number}-{command}"));
                    known = self.give(role, &path, &key, &body).await;
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

    /// Sends a request under a key until it is answered. Answers nothing when it does not fit the order any
    /// more: something has become of that meanwhile.
    async fn give(&self, role: &str, path: &str, key: &str, body: &Value) -> Option<Value> {
        loop {
            let request = self.client(role).post(path).idempotency_key(key).json(body);
            match request.send().await {
                Ok(answer) => {
                    self.acknowledged.send_modify(|steps| *steps += 1);
                    return Some(answer.body);
                }
                Err(error) if error.problem().is_some_and(|problem| problem.status == 409) => return None,
                Err(error) => self.wait_out(&error).await,
            }
        }
    }

    async fn read(&self, path: &str) -> Value {
        loop {
            match self.client("admin").get(path).send().await {
                Ok(answer) => return answer.body,
                Err(error) => self.wait_out(&error).await,
            }
        }
    }

    /// Waits for a server. What is refused for any other reason than that it is not able to is a fault.
    async fn wait_out(&self, error: &ClientError) {
        assert!(error.problem().is_none_or(|problem| problem.status == 503), "{error}");
        self.is_served.subscribe().wait_for(|is_served| *is_served).await.unwrap();
    }
}

/// What is done next with an order, as it is, to keep it on its course.
fn next(course: Course, order: &Value) -> Next {
    let text = |pointer: &str| order.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let payment = text("/payment/status");
    let minutes = json!({"preparation_minutes": 10});
    match (text("/status"), course) {
        ("created" | "confirmed", Course::CancelledByCustomer) => {
            Next::Give("customer", "cancel", json!({"reason": "changed_mind"}))
        }
        ("confirmed", _) => Next::Give("restaurant", "accept", minutes),
        ("preparing", Course::CancelledByKitchen) => {
            Next::Give("restaurant", "cancel", json!({"reason": "kitchen_closed"}))
        }
        ("preparing", _) if text("/courier_id").is_empty() => Next::Give("courier", "assign", json!({})),
        ("preparing", _) => Next::Give("restaurant", "ready", json!({})),
        ("ready_for_pickup", _) => Next::Give("courier", "pick-up", json!({})),
        ("out_for_delivery", _) => Next::Give("courier", "deliver", json!({})),
        ("delivered", Course::RefundedInPart)
            if payment == "captured" && order["payment"]["refunds"].is_null() =>
        {
            Next::Give("admin", "refund", json!({"reason": "late", "amount": PART}))
        }
        ("delivered", Course::Refunded) if payment == "captured" && order["payment"]["refunds"].is_null() => {
            Next::Give("admin", "refund", json!({"reason": "quality"}))
        }
        ("delivered", Course::Delivered) if payment == "captured" => Next::Nothing,
        ("delivered", Course::RefundedInPart) if payment == "partially_refunded" => Next::Nothing,
        ("cancelled", _) if payment == "voided" || payment == "failed" => Next::Nothing,
        ("refunded", _) => Next::Nothing,
        _ => Next::Wait,
    }
}

//! Requests that Dabba refuses to each caller. Their problems contain data of the order, the restaurant or the account.

use std::num::NonZeroUsize;

use dabba_testkit::TestServer;
use dabba_web::Rate;
use serde_json::{Value, json};

use super::{
    catalogue::{
        ADJUST, CHANGE_ACCOUNT, CLOSE, CREATE, Catalogue, LOG_IN, QUOTE, REGISTER, REPLACE, REPLACE_MENU,
        full_menu, full_settings, registration,
    },
    recorder::{
        Caller::{self, Admin, Customer, Staff},
        Recorder,
    },
    scene::{ACCEPT, ASSIGN, CANCEL, DELIVER, PICK_UP, PLACE, READY, REFUND, REJECT, Scene, id},
};

const STOCK: &str = "PUT /v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock";

/// `If-Match` of a version that nothing has.
const STALE: &str = "\"999\"";

/// A request that is refused: its `If-Match`, method and path template, values of the variables, and body.
type Probe<'a> = (&'static str, &'static str, Vec<&'a str>, Value);

impl Scene {
    /// Sends each request as each caller. Every response must be a refusal.
    pub(super) async fn probe(&mut self, catalogue: &Catalogue) {
        let delivered = self.order("delivered");
        let restaurant = self.server.restaurant.to_string();
        let customer = self.server.customer.id.to_string();
        let (open, ready) = (self.order("open"), self.order("ready"));
        let probes = [
            commands([&delivered, &open, &ready].map(id), &self.server.other_courier.id.to_string()),
            placements(&restaurant, catalogue),
            changes(&restaurant, &customer, catalogue),
        ];
        for (condition, request, values, body) in probes.concat() {
            for caller in Caller::ALL {
                let sent = self.recorder.send_if(condition, &self.server, caller, request, &values, &body);
                let answer = sent.await;
                assert!(answer.status >= 400, "{caller:?}: {request} {body}: {}", answer.text);
            }
        }
        // An admin may do both.
        let beyond_limit = json!({"reason": "late", "amount": 501});
        let promotion = json!({"role": "admin"});
        for caller in Caller::ALL.into_iter().filter(|caller| *caller != Admin) {
            for (request, value, body) in
                [(REFUND, id(&delivered), &beyond_limit), (CHANGE_ACCOUNT, customer.as_str(), &promotion)]
            {
                let answer = self.send(caller, request, &[value], body).await;
                assert!(answer.status >= 400, "{caller:?}: {request} {body}: {}", answer.text);
            }
        }
        self.review_not_retryable().await;
        too_often(&mut self.recorder).await;
    }

    /// Tries to retry a review, and resolves it.
    async fn review_not_retryable(&mut self) {
        let list = "GET /v1/tasks?limit=100";
        let tasks = self.done(Admin, list, &[], Value::Null).await;
        let tasks = tasks["tasks"].as_array().unwrap();
        let review = id(tasks.iter().find(|task| task["kind"] == "review").unwrap());
        let (retry, resolve) = ("POST /v1/tasks/{task_id}/retry", "POST /v1/tasks/{task_id}/resolve");
        for caller in Caller::ALL {
            let answer = self.send(caller, retry, &[review], &Value::Null).await;
            assert!(answer.status >= 400, "{}", answer.text);
        }
        self.done(Admin, resolve, &[review], json!({"reason": super::RESOLUTION})).await;
        self.done(Admin, list, &[], Value::Null).await;
    }
}

/// Returns commands that the orders' status or version does not allow.
fn commands<'a>([delivered, open, ready]: [&'a str; 3], other_courier: &str) -> Vec<Probe<'a>> {
    let minutes = json!({"preparation_minutes": 25});
    [
        ("*", REFUND, delivered, json!({"reason": "late", "amount": 1_000_000})),
        ("*", ACCEPT, delivered, minutes.clone()),
        ("*", REJECT, delivered, json!({"reason": "too_busy"})),
        ("*", CANCEL, delivered, json!({"reason": "other"})),
        ("*", ASSIGN, delivered, json!({"courier_id": other_courier})),
        ("*", READY, open, json!({})),
        ("*", PICK_UP, open, json!({})),
        ("*", DELIVER, open, json!({})),
        ("*", CANCEL, open, json!({"reason": "bored"})),
        ("*", DELIVER, ready, json!({})),
        (STALE, ACCEPT, open, minutes),
        (STALE, CANCEL, open, json!({"reason": "other"})),
    ]
    .map(|(condition, request, order, body)| (condition, request, vec![order], body))
    .into()
}

/// Returns orders and quotes that cannot be placed.
fn placements<'a>(restaurant: &'a str, catalogue: &'a Catalogue) -> Vec<Probe<'a>> {
    let collected = |item: &str, quantity: u32| {
        let mut order = TestServer::collection();
        order["lines"] = json!([{"item": item, "quantity": quantity}]);
        order
    };
    let mut by_card = collected("feast", 1);
    by_card["payment_method"] = json!("card");
    by_card["payment_token"] = json!("tok_succeed");
    let mut small = TestServer::order();
    small["lines"] = json!([{"item": "naan", "quantity": 1}]);
    let mut changed = TestServer::order();
    changed["expected_total"] = json!(1);
    let raita = json!({"group": "dips", "option": "raita", "quantity": 2});
    changed["lines"][0]["options"].as_array_mut().unwrap().push(raita);
    changed["lines"][0]["note"] = json!("no coriander");
    let mut sold_out = collected("thali", 1);
    sold_out["lines"][0]["options"] = json!([{"group": "sweet", "option": "kulfi"}]);
    let mut short = changed.clone();
    short["lines"] = json!([{"item": "naan", "quantity": 99}]);
    [
        (PLACE, restaurant, changed),
        (PLACE, restaurant, short),
        (PLACE, restaurant, collected("naan", 99)),
        (PLACE, restaurant, collected("dal", 1)),
        (PLACE, restaurant, small),
        (PLACE, restaurant, by_card),
        (PLACE, restaurant, sold_out),
        (PLACE, catalogue.paused.as_str(), collected("naan", 1)),
        (PLACE, catalogue.closed.as_str(), collected("naan", 1)),
        (PLACE, restaurant, json!({"lines": []})),
        (QUOTE, restaurant, json!({})),
    ]
    .map(|(request, restaurant, body)| ("*", request, vec![restaurant], body))
    .into()
}

/// Returns changes of restaurants, stock and accounts that are refused.
fn changes<'a>(restaurant: &'a str, customer: &'a str, catalogue: &'a Catalogue) -> Vec<Probe<'a>> {
    let mut settings = dabba_testkit::settings("Curry Mile Kitchen");
    settings["refund_limit"] = json!(1_000_001);
    settings["currency"] = json!("EUR");
    vec![
        (STALE, REPLACE, vec![restaurant], dabba_testkit::settings("Curry Mile Kitchen")),
        ("*", REPLACE, vec![restaurant], settings),
        (STALE, REPLACE_MENU, vec![restaurant], full_menu()),
        (STALE, STOCK, vec![restaurant, "naan"], json!({"remaining": 1})),
        ("*", ADJUST, vec![restaurant, "naan"], json!({"by": -1_000})),
        ("*", ADJUST, vec![restaurant, "feast"], json!({"by": 1})),
        ("*", CLOSE, vec![catalogue.closed.as_str()], json!({"reason": "Again."})),
        ("*", CREATE, vec![], full_settings()),
        (STALE, CHANGE_ACCOUNT, vec![customer], json!({"name": "Asha"})),
        ("*", REGISTER, vec![], registration("customer")),
        ("*", REGISTER, vec![], json!({})),
        ("*", LOG_IN, vec![], json!({"email": "customer@example.org", "password": "wrong horse"})),
        ("*", "GET /v1/orders?limit=0", vec![], Value::Null),
        ("*", "GET /v1/orders/{order_id}", vec![restaurant], Value::Null),
        ("*", "POST /v1/sandbox/clock/advance", vec![], json!({"seconds": 0})),
        ("*", "POST /v1/webhooks/payments", vec![], json!({"order_id": restaurant})),
    ]
}

/// Exceeds the limits of a server with low limits: of open orders, and of quotes.
async fn too_often(recorder: &mut Recorder) {
    let server = crate::builder()
        .engine(|engine| engine.max_open_orders = NonZeroUsize::new(1))
        .web(|web| web.rate_limits.quotes_per_address = Rate::per_minute(1))
        .start()
        .await;
    let restaurant = server.restaurant.to_string();
    let cart = json!({"lines": [{"item": "naan", "quantity": 1}], "fulfilment": "collection"});
    for caller in [Customer, Customer, Staff] {
        recorder.send(&server, caller, PLACE, &[&restaurant], &TestServer::collection()).await;
    }
    for caller in [Admin].into_iter().chain(Caller::ALL) {
        recorder.send(&server, caller, QUOTE, &[&restaurant], &cart).await;
    }
}

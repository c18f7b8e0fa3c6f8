//! Visible fields (I9): which caller sees which field of which response, in one table.
//!
//! The table is in the files of the directory `visible_fields`. It is complete in both directions: a field that a
//! caller sees without a letter in the table fails the test, and so does a letter for a field that the caller never
//! sees. So a new field of a response needs a decision, for each kind of caller, before it can be published.
//!
//! The table also names values, such as the customer's telephone number. A caller without a letter must not find the
//! value anywhere in the text of any response.

mod catalogue;
mod hooks;
mod paths;
mod probes;
mod reads;
mod recorder;
mod scene;
mod sessions;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use dabba_testkit::{PASSWORD, TestServer};
use serde_json::Value;

use self::{
    recorder::{Caller, KEY_PREFIX, PREVIEW, Response},
    scene::Scene,
    table::{PROBLEM, Section, VALUES},
};

/// Reason for resolving a task.
const RESOLUTION: &str = "paid by bank transfer, resolution 7319";

/// Fields that the API description contains and that no response of this test has: operation, reason, and fields.
const NEVER_SENT: &[(&str, &str, &[&str])] = &[
    (
        "GET /readyz",
        "nothing is down; shards.rs and supervised.rs test servers with parts that are down",
        &["/outdated_shards", "/parts", "/shards"],
    ),
    ("GET /v1/orders", INCOMPLETE, &["/incomplete"]),
    ("GET /v1/orders", "search.rs shows a search that reaches its limit", &["/searched_since"]),
    ("GET /v1/restaurants/{restaurant_id}/orders", INCOMPLETE, &["/incomplete"]),
    (
        "GET /v1/restaurants/{restaurant_id}/orders",
        "only admins search, and not in the list of a restaurant",
        &["/searched_since"],
    ),
    ("GET /v1/shards", "shards.rs shows a shard that does not answer", &["/shards/*/error"]),
    (
        "GET /v1/restaurants/{restaurant_id}/board",
        "the tests of dabba-outbound show a board with too many orders",
        &["/truncated"],
    ),
    (
        "GET /v1/restaurants/{restaurant_id}/board",
        "an order that has ended or waits for its payment is not on a board, and no open order has a refund here",
        &[
            "/orders/*/closure",
            "/orders/*/closure/borne_by",
            "/orders/*/closure/by",
            "/orders/*/closure/by/account_id",
            "/orders/*/closure/by/role",
            "/orders/*/closure/by/via",
            "/orders/*/closure/how",
            "/orders/*/closure/items",
            "/orders/*/closure/items/*/item",
            "/orders/*/closure/items/*/until",
            "/orders/*/closure/note",
            "/orders/*/closure/reason",
            "/orders/*/closure/waited_for",
            "/orders/*/payment/deadline",
            "/orders/*/payment/refunds",
            "/orders/*/payment/refunds/*/amount",
            "/orders/*/payment/refunds/*/borne_by",
            "/orders/*/payment/refunds/*/external",
            "/orders/*/payment/refunds/*/external/kind",
            "/orders/*/payment/refunds/*/external/money",
            "/orders/*/payment/refunds/*/external/money/amount",
            "/orders/*/payment/refunds/*/external/money/currency",
            "/orders/*/payment/refunds/*/external/reference",
            "/orders/*/payment/refunds/*/failure",
            "/orders/*/payment/refunds/*/lines",
            "/orders/*/payment/refunds/*/lines/*/line",
            "/orders/*/payment/refunds/*/lines/*/quantity",
            "/orders/*/payment/refunds/*/note",
            "/orders/*/payment/refunds/*/number",
            "/orders/*/payment/refunds/*/reason",
            "/orders/*/payment/refunds/*/status",
        ],
    ),
    (
        "GET /v1/restaurants/{restaurant_id}/board",
        "boards.rs shows a warned order",
        &["/orders/*/acceptance_due"],
    ),
    (
        "GET /v1/restaurants/{restaurant_id}/board",
        "only reads of restaurants state it",
        &["/restaurant/unattended_since"],
    ),
    ("GET /v1/restaurants", INCOMPLETE, &["/incomplete"]),
    ("GET /v1/statistics", "every shard answers; shards.rs has one that does not", &["/missing_shards"]),
    ("GET /v1/tasks", INCOMPLETE, &["/incomplete"]),
    (
        "GET /v1/tasks",
        "only the store's contract writes tasks of other subjects; expiry.rs shows them",
        &["/tasks/*/account_id", "/tasks/*/restaurant_id"],
    ),
    (
        "GET /v1/events",
        "the tests of the public events in dabba-outbound prove what each audience sees, and events.rs who reads the feed",
        &[
            "/at_end",
            "/events",
            "/events/*/data",
            "/events/*/datacontenttype",
            "/events/*/id",
            "/events/*/partitionkey",
            "/events/*/sequence",
            "/events/*/source",
            "/events/*/specversion",
            "/events/*/subject",
            "/events/*/time",
            "/events/*/type",
            "/incomplete",
            "/next_cursor",
        ],
    ),
    ("GET /v1/accounts/me", "the owner of an ended account cannot log in", &["/deleted_at", "/disabled_at"]),
    ("GET /v1/accounts/me", "none of the callers uses an API key; keys.rs has such a caller", &["/holder"]),
    ("GET /v1/session", ONLY_PERSONS, &["/account/deleted_at", "/account/disabled_at", "/account/holder"]),
    ("POST /v1/session", ONLY_PERSONS, &["/account/deleted_at", "/account/disabled_at", "/account/holder"]),
    ("POST /v1/accounts", "a new account has not ended", &["/deleted_at", "/disabled_at"]),
    ("POST /v1/accounts", "only persons register", &["/holder"]),
    (
        "POST /v1/service-accounts",
        "a new account has not ended, and a service account has no address",
        &["/deleted_at", "/disabled_at", "/email"],
    ),
    (
        "POST /v1/accounts/{account_id}/keys",
        "a new key is neither used nor revoked",
        &["/last_used_at", "/revoked_at"],
    ),
    ("GET /v1/accounts/{account_id}/keys", NEVER_USED, &["/keys/*/last_used_at"]),
    ("GET /v1/accounts/{account_id}/keys/{key_id}", NEVER_USED, &["/last_used_at"]),
    (
        "GET /v1/restaurants/{restaurant_id}/members",
        "a deleted account is no member",
        &["/members/*/deleted_at"],
    ),
    (
        "PUT /v1/restaurants/{restaurant_id}/members/{account_id}",
        "a deleted account is no member",
        &["/deleted_at"],
    ),
    (
        "GET /v1/webhook-endpoints/{endpoint_id}/attempts",
        ONLY_SENDERS,
        &[
            "/attempts/*/at",
            "/attempts/*/delivered",
            "/attempts/*/duration_ms",
            "/attempts/*/error",
            "/attempts/*/events",
            "/attempts/*/order_id",
            "/attempts/*/status",
            "/attempts/*/version",
            "/incomplete",
        ],
    ),
    (
        "GET /v1/webhook-endpoints/{endpoint_id}/failures",
        ONLY_SENDERS,
        &[
            "/failures/*/attempts",
            "/failures/*/dead_at",
            "/failures/*/first_failed_at",
            "/failures/*/last_failure",
            "/failures/*/last_failure/at",
            "/failures/*/last_failure/error",
            "/failures/*/last_failure/status",
            "/failures/*/next_attempt_at",
            "/failures/*/next_version",
            "/failures/*/order_id",
            "/incomplete",
            "/next_cursor",
        ],
    ),
    ("GET /v1/webhook-endpoints", NOT_FAILING, &["/endpoints/*/disabled_not_before"]),
    ("POST /v1/webhook-endpoints", NOT_FAILING, &["/disabled_not_before"]),
    ("GET /v1/webhook-endpoints/{endpoint_id}", NOT_FAILING, &["/disabled_not_before"]),
    ("PATCH /v1/webhook-endpoints/{endpoint_id}", NOT_FAILING, &["/disabled_not_before"]),
    ("POST /v1/webhook-endpoints/{endpoint_id}/enable", NOT_FAILING, &["/disabled_not_before"]),
    ("POST /v1/webhook-endpoints/{endpoint_id}/replay", NOT_FAILING, &["/disabled_not_before"]),
    ("POST /v1/webhook-endpoints/{endpoint_id}/rotate-secret", NOT_FAILING, &["/disabled_not_before"]),
    (
        "POST /v1/orders/{order_id}/tracking-link",
        "the server has no public URL; tracking.rs has a server with one",
        &["/url"],
    ),
    ("POST /v1/restaurants/{restaurant_id}/orders", NO_VIA, &["/closure/by/via"]),
    ("GET /v1/orders/{order_id}", NO_VIA, &["/closure/by/via"]),
    ("POST /v1/orders/{order_id}/accept", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/reject", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/ready", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/assign", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/pick-up", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/deliver", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/cancel", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/refund", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("GET /v1/orders", NO_VIA, &["/orders/*/closure/by/via"]),
    ("GET /v1/restaurants/{restaurant_id}/orders", NO_VIA, &["/orders/*/closure/by/via"]),
    ("GET /v1/session", NOT_SIMULATED, &["/server/simulated_payments"]),
    ("POST /v1/session", NOT_SIMULATED, &["/server/simulated_payments"]),
    ("GET /v1/tracking/{token}", NO_DEADLINE, &["/order/allowed_actions/*/deadline"]),
    (
        "GET /v1/tracking/{token}",
        NO_PLACE,
        &[
            "/restaurant/country",
            "/restaurant/location",
            "/restaurant/location/lat",
            "/restaurant/location/lng",
        ],
    ),
    ("POST /v1/tracking/{token}/cancel", NO_DEADLINE, &["/order/allowed_actions/*/deadline"]),
    (
        "POST /v1/tracking/{token}/cancel",
        NO_PLACE,
        &[
            "/restaurant/country",
            "/restaurant/location",
            "/restaurant/location/lat",
            "/restaurant/location/lng",
        ],
    ),
    (PROBLEM, "tracking.rs reaches the limit of tracking links", &["/tracking_links_limit"]),
    (PROBLEM, "webhook_endpoints.rs reaches the limit of webhook endpoints", &["/webhook_endpoints_limit"]),
    (PROBLEM, "keys.rs reaches the limit of active keys", &["/api_keys_limit"]),
    (
        PROBLEM,
        "with another obstacle than a shortage, the problem is the obstacle's and has no quote",
        &[
            "/quote/obstacles/*/amount",
            "/quote/obstacles/*/currency",
            "/quote/obstacles/*/items",
            "/quote/obstacles/*/items/*/item",
            "/quote/obstacles/*/items/*/until",
            "/quote/obstacles/*/maximum",
            "/quote/obstacles/*/minimum",
            "/quote/obstacles/*/multiple_of",
            "/quote/obstacles/*/opens_at",
            "/quote/obstacles/*/since",
            "/quote/obstacles/*/until",
        ],
    ),
];

/// Reason why the end of an order states no way.
const NO_VIA: &str = "the state of an order names the customer alone; the history shows the way";
const NOT_SIMULATED: &str = "sessions.rs has a server that simulates payments";

/// Reason why the actions of a link have no deadline.
const NO_DEADLINE: &str = "a cancellation has no deadline";

/// Reason why the restaurant of the orders has no place.
const NO_PLACE: &str = "its settings state neither; tracking.rs has a restaurant that states both";

/// Reason why no key was used.
const NEVER_USED: &str = "none of the callers uses an API key; keys.rs shows the time of a use";

/// Reason why an account that is logged in is neither ended nor a service account.
const ONLY_PERSONS: &str = "only persons whose account is enabled have sessions";

/// Reason why no delivery failed.
const NOT_FAILING: &str = "no delivery to the endpoint fails here; a unit test of dabba-store has every case";
const ONLY_SENDERS: &str = "senders write the entries while events are delivered; webhook_endpoints.rs shows them, and who may read them";

/// Reason why no list is incomplete.
const INCOMPLETE: &str = "every shard answers; shards.rs tests a server with a silent shard";

/// Callers who see something, and the fields or values that each of them sees.
type Seen = BTreeMap<Caller, BTreeSet<String>>;

/// Proves that each caller sees exactly the fields of the table in each response, that every response to a read has
/// all of them, and that no text of a response contains a value that the table hides from its caller.
#[tokio::test]
async fn each_caller_sees_exactly_the_fields_of_the_table() {
    let mut scene = Scene::start().await;
    scene.create_orders().await;
    let catalogue = scene.create_catalogue().await;
    scene.request_as_each_caller(&catalogue).await;
    scene.use_sessions().await;
    let endpoint = scene.create_webhooks().await;
    scene.leave_unattended().await;
    scene.read_everything(&catalogue).await;
    scene.resume().await;
    scene.read_webhooks(&endpoint).await;
    scene.probe(&catalogue).await;
    let sections = table::sections();
    let responses = &scene.recorder.responses;
    let mut findings = Vec::new();
    for section in &sections {
        match section.name {
            PROBLEM => check_problems(section, responses, &mut findings),
            VALUES => check_values(section, &values(&scene), responses, &mut findings),
            _ => check_fields(section, &sections, responses, &mut findings),
        }
    }
    let operations: BTreeSet<_> = sections.iter().flat_map(|section| section.operations.keys()).collect();
    for Response { operation, answer, .. } in responses {
        if answer.status < 300 && answer.json.is_object() && !operations.contains(operation) {
            findings.push(format!("{operation} is in no section"));
        }
    }
    findings.sort();
    findings.dedup();
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), findings.join("\n"));
}

/// Compares a section with the successful responses of its operations.
fn check_fields(section: &Section, all: &[Section], responses: &[Response], findings: &mut Vec<String>) {
    let mut total = Seen::new();
    for (operation, place) in &section.operations {
        let others = all.iter().filter_map(|other| other.operations.get(operation));
        let inner: Vec<_> = others.filter(|other| other.len() > place.len()).copied().collect();
        let mut seen = Seen::new();
        let of_operation = responses.iter().filter(|response| response.operation == *operation);
        for Response { caller, answer, .. } in of_operation.filter(|response| response.answer.status < 300) {
            let paths = paths::of_body(&answer.json);
            let is_here = |path: &&str| {
                path.starts_with('/') && !inner.iter().any(|other| is_below(path, &other[place.len()..]))
            };
            let here = paths.iter().filter_map(|path| path.strip_prefix(place)).filter(is_here);
            seen.entry(*caller).or_default().extend(here.map(str::to_owned));
        }
        if seen.is_empty() {
            findings.push(format!("[{}] {operation} never succeeded", section.name));
        }
        // A response to a read is complete: over all resources, it has every field that its caller may see.
        let is_read = operation.starts_with("GET ");
        let name = format!("[{}] {operation}", section.name);
        compare(&name, section, &seen, is_read, findings);
        for (caller, paths) in seen {
            total.entry(caller).or_default().extend(paths);
        }
    }
    for caller in Caller::ALL {
        total.entry(caller).or_default();
    }
    compare(&format!("[{}]", section.name), section, &total, true, findings);
}

/// Returns whether a path is a member of what is at `place`.
fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
}

/// Compares the section of refusals with all refusals.
fn check_problems(section: &Section, responses: &[Response], findings: &mut Vec<String>) {
    let mut seen: Seen = Caller::ALL.map(|caller| (caller, BTreeSet::new())).into();
    for Response { caller, answer, .. } in responses.iter().filter(|response| response.answer.status >= 400) {
        seen.entry(*caller).or_default().extend(paths::of_body(&answer.json));
    }
    compare("[Problem]", section, &seen, true, findings);
}

/// Compares the section of values with the texts and headers of all responses.
fn check_values(
    section: &Section,
    values: &BTreeMap<&str, String>,
    responses: &[Response],
    findings: &mut Vec<String>,
) {
    let named: BTreeSet<_> = section.rows.keys().copied().collect();
    assert_eq!(named, values.keys().copied().collect(), "each row of a value needs its value, and reverse");
    let mut seen: Seen = Caller::ALL.map(|caller| (caller, BTreeSet::new())).into();
    for Response { caller, operation, answer } in responses {
        let headers = format!("{:?}", answer.headers);
        for (name, value) in values {
            if contains(&answer.text, value) || contains(&headers, value) {
                let is_new = seen.entry(*caller).or_default().insert((*name).to_owned());
                if is_new && !section.rows[*name].contains(caller) {
                    findings
                        .push(format!("[Values] {operation} shows {caller:?} the {name}: {}", answer.text));
                }
            }
        }
    }
    compare("[Values]", section, &seen, true, findings);
}

/// Returns whether a text contains a value, and not only as the end of a longer word.
fn contains(text: &str, value: &str) -> bool {
    let is_whole = |(at, _): (usize, &str)| {
        !text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '-')
    };
    text.match_indices(value).any(is_whole)
}

/// Compares what callers see with a section. If `is_complete`, they must see everything that the section allows them.
fn compare(name: &str, section: &Section, seen: &Seen, is_complete: bool, findings: &mut Vec<String>) {
    let mut wrong = BTreeSet::new();
    for (caller, fields) in seen {
        let allowed = section.rows.iter().filter(|(_, callers)| callers.contains(caller));
        let allowed: BTreeSet<_> = allowed.map(|(field, _)| (*field).to_owned()).collect();
        wrong.extend(fields.difference(&allowed).cloned());
        if is_complete {
            wrong.extend(allowed.difference(fields).cloned());
        }
    }
    for field in wrong {
        let callers = seen.iter().filter(|(_, fields)| fields.contains(&field)).map(|(caller, _)| *caller);
        let row = table::print(&field, &callers.collect());
        findings.push(format!("{name}: the responses show\n    {row}"));
    }
}

/// Returns the values of the table by their names there.
fn values(scene: &Scene) -> BTreeMap<&'static str, String> {
    let TestServer { customer, other_customer, staff, other_staff, courier, other_courier, admin, .. } =
        &scene.server;
    let [line1, line2, city, postal_code] = scene::ADDRESS;
    let fixed = [
        ("contact's name", scene::CONTACT_NAME),
        ("contact's telephone number", scene::CONTACT_PHONE),
        ("address: street", line1),
        ("address: flat", line2),
        ("address: town", city),
        ("address: postal code", postal_code),
        ("address: instructions", scene::INSTRUCTIONS),
        ("note of the order", scene::ORDER_NOTE),
        ("note of an admin's refund", scene::REFUND_NOTE),
        ("note of the staff's refund", scene::STAFF_REFUND_NOTE),
        ("note of an admin's intervention", scene::INTERVENTION_NOTE),
        ("note of an admin's cancellation", scene::CANCELLATION_NOTE),
        ("note of the staff's cancellation", scene::STAFF_CANCELLATION_NOTE),
        ("note of a rejection", scene::REJECTION_NOTE),
        ("provider's reference of a refund", scene::PROVIDER_REFUND),
        ("restaurant's external id", catalogue::EXTERNAL_ID),
        ("failure of a task", scene::TASK_ERROR),
        ("resolution of a task", RESOLUTION),
        ("payment token", scene::PAYMENT_TOKEN),
        ("webhook secret", crate::suite::payments::SECRET),
        ("password", PASSWORD),
        ("hash of a password", "argon2"),
        ("idempotency key", KEY_PREFIX),
    ];
    let people = [
        ("customer's id", customer.id.to_string()),
        ("customer's e-mail address", customer.email.clone()),
        ("other customer's id", other_customer.id.to_string()),
        ("other customer's e-mail address", other_customer.email.clone()),
        ("staff's id", staff.id.to_string()),
        ("staff's e-mail address", staff.email.clone()),
        ("other staff's id", other_staff.id.to_string()),
        ("other staff's e-mail address", other_staff.email.clone()),
        ("courier's id", courier.id.to_string()),
        ("courier's e-mail address", courier.email.clone()),
        ("other courier's id", other_courier.id.to_string()),
        ("other courier's e-mail address", other_courier.email.clone()),
        ("admin's id", admin.id.to_string()),
        ("admin's e-mail address", admin.email.clone()),
    ];
    let mut values: BTreeMap<_, _> = fixed.map(|(name, value)| (name, value.to_owned())).into();
    values.extend(people);
    values.insert("provider's reference of a payment", scene.payment_reference.clone());
    values
}

/// Proves that the table has the fields of every body that the API description declares, and no others.
#[test]
fn the_table_has_every_field_of_the_description() {
    let description: Value = serde_json::from_str(&dabba_api::openapi_json()).unwrap();
    let sections = table::sections();
    let mut findings = Vec::new();
    let mut operations: BTreeSet<_> = sections
        .iter()
        .flat_map(|section| section.operations.keys())
        .map(|name| (*name).to_owned())
        .collect();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{} {path}", method.to_uppercase());
            let preview = format!("{name}{PREVIEW}");
            operations.remove(&name);
            operations.remove(&preview);
            let responses = operation["responses"].as_object().unwrap();
            let successes = responses.iter().filter(|(status, _)| status.starts_with('2'));
            let schema = successes.map(|(_, response)| &response["content"]["application/json"]["schema"]);
            let described: BTreeSet<_> =
                schema.flat_map(|schema| paths::of_schema(&description, schema)).collect();
            let mut fields = fields_of(&sections, &name);
            fields.extend(fields_of(&sections, &preview));
            compare_with_description(&name, described, &fields, &mut findings);
        }
    }
    let problems = paths::of_schema(&description, &description["components"]["schemas"]["Problem"]);
    compare_with_description(PROBLEM, problems, &fields_of(&sections, PROBLEM), &mut findings);
    findings.extend(operations.into_iter().map(|name| format!("{name} is not described")));
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// Returns the fields of an operation's responses by the table, without the names of shapes.
fn fields_of(sections: &[Section], operation: &str) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    for section in sections {
        let place = section.operations.get(operation).copied();
        let place = place.or_else(|| (section.name == operation).then_some(""));
        let Some(place) = place else { continue };
        fields.extend(section.rows.keys().map(|field| paths::without_shapes(&format!("{place}{field}"))));
    }
    fields
}

fn compare_with_description(
    operation: &str,
    mut described: BTreeSet<String>,
    fields: &BTreeSet<String>,
    findings: &mut Vec<String>,
) {
    for (_, reason, never) in NEVER_SENT.iter().filter(|(name, ..)| *name == operation) {
        for field in *never {
            assert!(described.remove(*field), "the description of {operation} lacks {field} ({reason})");
        }
    }
    findings.extend(described.difference(fields).map(|field| format!("{operation}: no row for {field}")));
    findings
        .extend(fields.difference(&described).map(|field| format!("{operation}: {field} is not described")));
}

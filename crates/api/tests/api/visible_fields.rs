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
mod never_sent;
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
    never_sent::NEVER_SENT,
    recorder::{Caller, KEY_PREFIX, PREVIEW, Response},
    scene::Scene,
    table::{PROBLEM, Section, VALUES},
};

/// Reason for resolving a task.
const RESOLUTION: &str = "paid by bank transfer, resolution 7319";

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
        ("address: district", scene::DISTRICT),
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

//! The pages `docs/reference/events.md` and `docs/reference/orders.md`, generated from the table and from events that
//! decisions caused.

use std::fmt::Write as _;

use dabba_outbound::public::{
    Audience, EventDescription, Member, PublicOrder, Shape, common_members, events, public_event,
};

use crate::{assert_current, lives::examples};

const INTRODUCTION: &str = "# Events

<!-- This page is generated from the code. Regenerate it:
DABBA_WRITE_DOCS=1 cargo test --workspace --test public current -->

Dabba publishes every event of an order. **Stability: unstable.** The content may still change; each change has an entry
in the [changelog](../../CHANGELOG.md). [events.schema.json](events.schema.json) is the JSON Schema of all events, and
[asyncapi.json](asyncapi.json) describes the streams that carry them; a server serves both at `/events.schema.json` and
`/asyncapi.json`. [The feed and the streams](api.md#the-feed-and-the-streams) describes how a client reads events and
stores its position.

## Envelope

An event is a [CloudEvent](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md) 1.0 in JSON:

| member | content |
|---|---|
| `specversion` | `1.0` |
| `id` | the order's id, a hyphen, and the event's number: the same for every delivery of the event |
| `source` | the path of the order in the API: `/v1/orders/…` |
| `type` | `app.dabba.order.NAME.v1`, where NAME is the short name of this page |
| `subject` | the id of the restaurant |
| `time` | the time of the event, RFC 3339 in UTC |
| `sequence` | the event's number in the order's history, from 1 without gaps, with leading zeros to ten digits |
| `partitionkey` | the id of the order: Dabba sends the events of one order in the order of their `sequence` |
| `datacontenttype` | `application/json` |
| `data` | the content, which depends on the audience |

Rules for clients:

- Ignore members and types that you do not know: later versions add some.
- Compare `id` to recognize an event that was delivered before. Compare `sequence` to put the events of an order in order.
- An event with `\"incomplete\": true` in `data` has only the members that every event has, for every audience: the server
  could not decode its content, because a newer version of Dabba wrote it or because it is damaged. Read the order instead.
- All amounts are in minor units of the currency that `placed` states.

To validate events with the schema:

1. Read `type`. Skip an event of a type that your copy of the schema does not list, before you validate it.
2. Validate the event against the definition of your audience, such as `RestaurantEvent`. The definition of a single type,
   such as `RestaurantPlaced`, does not allow `\"incomplete\": true`.
3. Do not refuse members or enum values that you do not know. The schema allows both: its objects are not closed, and
   its enums are open, as in all responses. Do not generate types that refuse an unknown value.

## Audiences

The role of the caller determines the audience, with one exception: an API key with the scope `events:partner` and
without `events:read` has the audience partner, whatever the role of its account. A key with both scopes, and a key
without scopes, have the audience of the role.

Every audience receives every type of event of the orders that it may read, so the numbers of an order's events have no
gaps; the content differs. An event of which an audience sees nothing still has the members that every event has.

| letter | audience | who | sees |
|---|---|---|---|
| C | customer | the customer who placed the order | the order as placed, its progress, the customer's own money |
| R | restaurant | staff of the order's restaurant | all that the kitchen and its accounts need |
| K | courier | the courier who carries the order | address, contact, content without prices, cash to collect |
| O | operations | admins | everything |
| P | partner | API keys with the scope `events:partner` and without `events:read` | everything that is neither personal nor an internal matter of the platform |

An explanation that an admin wrote (`note`) is an internal note, which only operations sees. The restaurant and the
customer see the explanations that the restaurant or the customer wrote. When the payment provider has made a refund, the
event `refunded` repeats the explanation of the request; only operations sees the repetition, because the event does not
state who wrote it.

The names in the column \"value\" are those of definitions in the schema.

";

/// Returns the kind of a value for the table.
fn kind_of(shape: &Shape) -> String {
    match shape {
        Shape::Value { name: Some(name), .. } => name.to_string(),
        Shape::Value { name: None, schema } => match (schema["format"].as_str(), schema["type"].as_str()) {
            (Some("date-time"), _) => "time".to_owned(),
            (_, Some(kind)) => kind.to_owned(),
            _ => "true".to_owned(),
        },
        Shape::Object(_) | Shape::OneOf(_) => "object".to_owned(),
        Shape::List(item) => format!("list of {}", kind_of(item)),
    }
}

/// Writes the row of a member and of the members in it. `seen_by` see the object around the member; `reason` states why the
/// others do not.
fn write_rows(page: &mut String, member: &Member, before: &str, seen_by: &[Audience], reason: &str) {
    let path = format!("{before}{}", member.name);
    let seen: Vec<Audience> = seen_by.iter().copied().filter(|it| member.is_visible_to(*it)).collect();
    let marks = Audience::ALL.map(|audience| if seen.contains(&audience) { "✓" } else { "–" });
    let is_narrowed = seen.len() < member.audiences.len();
    let reason = if is_narrowed { reason } else { member.reason };
    let presence = if member.is_required { "" } else { ", optional" };
    writeln!(
        page,
        "| `{path}` | {}{presence} | {} | {} | {reason} |",
        kind_of(&member.shape),
        member.description,
        marks.join(" | "),
    )
    .unwrap();
    let objects = match &member.shape {
        Shape::Object(object) => vec![(object, format!("{path}."))],
        Shape::List(item) => match &**item {
            Shape::Object(object) => vec![(object, format!("{path}[]."))],
            _ => return,
        },
        Shape::OneOf(objects) => {
            objects.iter().map(|(value, object)| (object, format!("{path}({value})."))).collect()
        }
        Shape::Value { .. } => return,
    };
    for (object, before) in objects {
        for inner in &object.members {
            write_rows(page, inner, &before, &seen, reason);
        }
    }
}

fn write_table(page: &mut String, members: &[Member]) {
    page.push_str("| member | value | meaning | C | R | K | O | P | why not all |\n");
    page.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for member in members {
        write_rows(page, member, "", &Audience::ALL, "");
    }
}

/// Returns the sentence that states which audiences receive an event, and which see content of its own.
fn audiences_of(members: &[Member]) -> String {
    let sees = |audience: &&Audience| members.iter().any(|member| member.is_visible_to(**audience));
    let seeing: Vec<&str> = Audience::ALL.iter().filter(sees).map(|audience| audience.as_str()).collect();
    if members.is_empty() {
        return "Audiences: all. The event has no content of its own.".to_owned();
    }
    if seeing.len() == Audience::ALL.len() {
        return "Audiences: all.".to_owned();
    }
    format!("Audiences: all; with content of its own: {}.", seeing.join(", "))
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("## Members of every event\n\n");
    write_table(&mut page, &common_members());
    page.push_str(
        "\nThe examples below are events that the rules of Dabba produced in a test, in the form for operations.\n",
    );
    let examples = examples();
    for EventDescription { name, happens, members } in events() {
        let audiences = audiences_of(&members);
        write!(page, "\n## {name}\n\n{happens}\n\n{audiences}\n\n").unwrap();
        if !members.is_empty() {
            write_table(&mut page, &members);
            page.push('\n');
        }
        let example = public_event(&examples[name], Audience::Operations);
        let example = indented(&serde_json::to_string(&example).unwrap());
        writeln!(page, "```json\n{example}\n```").unwrap();
    }
    page
}

/// Returns compact JSON in lines, with the members in their order. A parsed value would lose the order.
fn indented(compact: &str) -> String {
    let (mut text, mut depth, mut is_in_string, mut is_escaped) = (String::new(), 0_usize, false, false);
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    for letter in compact.chars() {
        let is_closing = !is_in_string && matches!(letter, '}' | ']');
        if is_closing {
            depth -= 1;
            line(&mut text, depth);
        }
        text.push(letter);
        if is_in_string {
            is_in_string = is_escaped || letter != '"';
            is_escaped = letter == '\\' && !is_escaped;
            continue;
        }
        match letter {
            '"' => is_in_string = true,
            ':' => text.push(' '),
            ',' => line(&mut text, depth),
            '{' | '[' => {
                depth += 1;
                line(&mut text, depth);
            }
            _ => {}
        }
    }
    text
}

const ORDERS: &str = "# Orders by role

<!-- This page is generated from the code. Regenerate it:
DABBA_WRITE_DOCS=1 cargo test --workspace --test public current -->

Dabba shows an order to each role with the members that are meant for the role. This holds for every response with an
order (`GET /v1/orders/{id}`, lists, placing, commands), and for the member `order` of webhooks with the payload `order`.
The history of an order (`GET /v1/orders/{id}/events`) shows of each event what [the page of the events](events.md) states
for the audience: `data` is absent if the audience sees nothing of the content.

[Audiences](events.md#audiences) describes the letters: C customer, R restaurant, K courier, O operations (admins), P
partner. A member that an audience does not see is absent. [openapi.json](openapi.json) describes one schema for all roles,
in which such members are optional.

";

fn orders_page() -> String {
    let mut page = ORDERS.to_owned();
    write_table(&mut page, &PublicOrder::object().members);
    page
}

/// Proves that the page describes the present events.
#[test]
fn the_page_is_current() {
    assert_current("events.md", &page());
}

/// Proves that the page describes the present bodies of orders.
#[test]
fn the_page_of_orders_is_current() {
    assert_current("orders.md", &orders_page());
}

//! `AsyncAPI` 3.0 description of the streams that carry the public events.

use serde_json::{Map, Value, json};

use super::{
    Audience,
    describe::events,
    schema::{INCOMPLETE, STABILITY, definition_name},
    type_of,
};
use crate::live::EndReason;

/// Time in milliseconds after which a client reconnects by default: the field `retry` of the first message.
pub const RECONNECT_MS: u64 = 2_000;

/// Audiences that may follow the events of many orders. Customers and couriers follow single orders.
const FEED_AUDIENCES: [Audience; 3] = [Audience::Restaurant, Audience::Operations, Audience::Partner];

/// Returns the `AsyncAPI` description. Its messages refer to `events.schema.json`, which must be beside it.
pub fn asyncapi() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of Dabba",
            "version": "v1",
            "description": format!(
                "Streams of server-sent events. The field `event` is the short name of the type, the field `data` is a CloudEvent \
                 in JSON, and the field `id` is the position from which a client resumes, in the header `Last-Event-ID`. The \
                 first message is a heartbeat, with the field `retry: {RECONNECT_MS}`: the time in milliseconds after which a \
                 client reconnects when the connection breaks. A client that receives no message for 25 seconds reconnects. The \
                 audience of a caller follows from the caller's role; an API key with the scope `events:partner` and without \
                 `events:read` has the audience partner. Skip messages of types that you do not know. The stream of a board consists \
                 of states instead of events, and its messages have no `id`: a client begins anew with each connection."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": "orders"}],
            "x-stability": STABILITY,
        },
        "defaultContentType": "application/json",
        "servers": {
            "demo": {
                "host": "127.0.0.1:8080",
                "protocol": "http",
                "description": "The server that `dabba serve --demo` starts.",
                "security": [{"$ref": "#/components/securitySchemes/bearer"}],
            },
        },
        "channels": {
            "feed": {
                "address": "/v1/events/stream",
                "title": "Feed",
                "description": "The events of many orders: of all restaurants or of one for admins, of one restaurant for its \
                                staff. A service account is an admin or staff of a restaurant by its role; its API key needs \
                                the scope `events:read` or `events:partner`.",
                "messages": channel_messages(&FEED_AUDIENCES),
            },
            "order": {
                "address": "/v1/orders/{order_id}/stream",
                "title": "Stream of an order",
                "description": "The events of one order, of all types and without gaps, for everyone who may read the order. \
                                An API key needs the scope `events:read` or `events:partner`.",
                "parameters": {"order_id": {"description": "Id of the order."}},
                "messages": channel_messages(&Audience::ALL),
            },
            "board": {
                "address": "/v1/restaurants/{restaurant_id}/board/stream",
                "title": "Stream of a board",
                "description": "The present state of a restaurant's board in parts, and then each change, for the restaurant's \
                                staff and admins. An API key needs the scope `orders:read`.",
                "parameters": {"restaurant_id": {"description": "Id of the restaurant."}},
                "messages": board_channel(),
            },
        },
        "operations": {
            "sendFeed": operation("feed", "Sends the events of many orders.", &feed_query()),
            "sendOrder": operation("order", "Sends the events of one order.", &order_query()),
            "sendBoard": {
                "action": "send",
                "summary": "Sends the state of a restaurant's board, and its changes.",
                "channel": {"$ref": "#/channels/board"},
                "bindings": {"http": {"method": "GET", "bindingVersion": "0.3.0"}},
            },
        },
        "components": {
            "messages": messages(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An access token or an API key."},
            },
        },
    })
}

fn operation(channel: &str, summary: &str, query: &Value) -> Value {
    json!({
        "action": "send",
        "summary": summary,
        "channel": {"$ref": format!("#/channels/{channel}")},
        "bindings": {"http": {"method": "GET", "query": query, "bindingVersion": "0.3.0"}},
        "x-headers": headers(),
    })
}

/// Returns the headers of the request. The binding of HTTP describes them for messages only.
fn headers() -> Value {
    json!({
        "type": "object",
        "properties": {
            "Last-Event-ID": {
                "type": "string",
                "description": "The `id` of the last message that the client received. It takes precedence over `after`.",
            },
        },
    })
}

fn feed_query() -> Value {
    json!({
        "type": "object",
        "properties": {
            "after": {
                "type": "string",
                "description": "Cursor after which the stream starts: an id of this stream or a `next_cursor` of the feed, with \
                                the same `restaurant`; `start` for the first event. Default: now.",
            },
            "types": {"type": "string", "description": "Short names of types, separated by commas. Default: all types."},
            "restaurant": {
                "type": "string",
                "format": "uuid",
                "description": "Restaurant whose events are sent. Required for staff. Default: all restaurants.",
            },
        },
    })
}

fn order_query() -> Value {
    json!({
        "type": "object",
        "properties": {
            "after": {
                "type": "integer",
                "minimum": 0,
                "default": 0,
                "description": "Number of the event after which the stream starts. Default 0: from the first event.",
            },
        },
    })
}

/// Returns the short names of all messages with events: those of the events, and that of withheld content.
fn names() -> impl Iterator<Item = &'static str> {
    events().into_iter().map(|event| event.name).chain([INCOMPLETE])
}

fn channel_messages(audiences: &[Audience]) -> Map<String, Value> {
    let of_audience = |audience: &Audience| {
        let audience = *audience;
        names().map(move |name| definition_name(audience, name))
    };
    let names = audiences.iter().flat_map(of_audience).chain(["Heartbeat", "Bye"].map(str::to_owned));
    names
        .map(|name| {
            let message = json!({"$ref": format!("#/components/messages/{name}")});
            (name, message)
        })
        .collect()
}

fn messages() -> Map<String, Value> {
    let mut messages = Map::new();
    for audience in Audience::ALL {
        for event in events() {
            let title = type_of(event.name);
            let message = message(audience, event.name, &title, event.happens);
            messages.insert(definition_name(audience, event.name), message);
        }
        let happens = "An event of any type whose content the server could not decode. The field `event` is its short name.";
        let message = message(audience, INCOMPLETE, "Event without its content", happens);
        messages.insert(definition_name(audience, INCOMPLETE), message);
    }
    messages.insert("Heartbeat".to_owned(), heartbeat());
    messages.insert("Bye".to_owned(), bye());
    messages.extend(BOARD_MESSAGES.map(|message| (message.0.to_owned(), board_message(message))));
    messages
}

/// The messages of a board: name, field `event`, schema of the field `data` in the description of the API, and meaning.
const BOARD_MESSAGES: [(&str, &str, &str, &str); 6] = [
    (
        "BoardSnapshot",
        "snapshot",
        "Board",
        "A part of the present state, with at most 100 orders. The stream begins with all parts.",
    ),
    ("BoardOrder", "order", "BoardOrder", "A whole order that is new on the board, or has changed."),
    ("BoardGone", "gone", "BoardGone", "An order that is no longer on the board."),
    ("BoardRestaurant", "restaurant", "Restaurant", "The whole restaurant after a change."),
    ("BoardItem", "item", "BoardItem", "An item after a change of its availability or its stock."),
    ("BoardHeartbeat", "heartbeat", "BoardHeartbeat", "The sums over the orders, every 10 seconds."),
];

fn board_message((title, name, schema, meaning): (&str, &str, &str, &str)) -> Value {
    json!({
        "name": name,
        "title": title,
        "summary": meaning,
        "payload": {
            "type": "object",
            "description": format!("`{schema}` among the schemas of the description of the API, `/openapi.json`."),
        },
    })
}

fn board_channel() -> Map<String, Value> {
    let names = BOARD_MESSAGES.iter().map(|message| message.0).chain(["Bye"]);
    names.map(|name| (name.to_owned(), json!({"$ref": format!("#/components/messages/{name}")}))).collect()
}

fn message(audience: Audience, name: &str, title: &str, happens: &str) -> Value {
    json!({
        "name": name,
        "title": title,
        "summary": format!("{happens} For the audience {}.", audience.as_str()),
        "tags": [{"name": audience.as_str()}],
        "payload": {"$ref": format!("./events.schema.json#/$defs/{}", definition_name(audience, name))},
    })
}

fn heartbeat() -> Value {
    json!({
        "name": "heartbeat",
        "title": "Heartbeat",
        "summary": "The first message of a stream, and every 10 seconds. The field `id` is the current position.",
        "payload": {
            "type": "object",
            "properties": {
                "now": {"type": "string", "format": "date-time", "description": "Time of the server, in UTC."},
            },
            "required": ["now"],
        },
    })
}

fn bye() -> Value {
    json!({
        "name": "bye",
        "title": "End of the stream",
        "summary": "The server ends the stream. The message has no field `id`: the client reconnects and resumes at the `id` of \
                    the message before.",
        "payload": {
            "type": "object",
            "properties": {
                "reason": {
                    "type": "string",
                    "anyOf": [{"enum": EndReason::ALL.map(EndReason::as_str)}, {"type": "string"}],
                    "description": "Reason. `lagging`: the client reads too slowly, or the position is no longer valid; \
                                    `shutdown`: the server stops; `session_ended`: the caller's credential or membership has \
                                    ended; `board_changed`: something has changed that concerns every order of a board. Later versions may add reasons: treat an unknown one as `lagging`.",
                },
                "retry_after_ms": {
                    "type": "integer",
                    "minimum": 0,
                    "description": "Time in milliseconds after which the client reconnects.",
                },
            },
            "required": ["reason", "retry_after_ms"],
        },
    })
}

//! `AsyncAPI` 3.0 description of the streams that carry the public events.

use serde_json::{Map, Value, json};

use super::{
    Audience,
    describe::events,
    schema::{INCOMPLETE, STABILITY, definition_name},
    type_of,
};

/// Audiences that may follow the events of many orders. Customers and couriers follow single orders.
const FEED_AUDIENCES: [Audience; 3] = [Audience::Restaurant, Audience::Operations, Audience::Partner];

/// Returns the `AsyncAPI` description. Its messages refer to `events.schema.json`, which must be beside it.
pub fn asyncapi() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of Dabba",
            "version": "v1",
            "description": "Streams of server-sent events. The field `event` is the short name of the type, the field `data` is \
                            a CloudEvent in JSON, and the field `id` is the position from which a client resumes. The \
                            audience of a caller follows from the caller's role.",
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
                "description": "The events of many orders: of a restaurant for its staff, of all for admins and services.",
                "messages": channel_messages(&FEED_AUDIENCES),
            },
            "order": {
                "address": "/v1/orders/{order_id}/stream",
                "title": "Stream of an order",
                "description": "The events of one order, without gaps, for everyone who may read the order.",
                "parameters": {"order_id": {"description": "Id of the order."}},
                "messages": channel_messages(&Audience::ALL),
            },
        },
        "operations": {
            "sendFeed": operation("feed", "Sends the events of many orders.", &feed_query()),
            "sendOrder": operation("order", "Sends the events of one order.", &order_query()),
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
    })
}

fn feed_query() -> Value {
    json!({
        "type": "object",
        "properties": {
            "after": {
                "type": "string",
                "description": "Cursor after which the stream starts; `start` for the first event. Default: now.",
            },
            "types": {"type": "string", "description": "Short names of types, separated by commas. Default: all types."},
            "restaurant": {"type": "string", "format": "uuid", "description": "Restaurant whose events are sent."},
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
                "description": "Number of the event after which the stream starts.",
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
    messages
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
        "summary": "Every 10 seconds. The field `id` is the current position.",
        "payload": {"type": "object"},
    })
}

fn bye() -> Value {
    json!({
        "name": "bye",
        "title": "End of the stream",
        "summary": "The server ends the stream. The client connects again and resumes at its last `id`.",
        "payload": {
            "type": "object",
            "properties": {
                "reason": {
                    "type": "string",
                    "enum": ["lagging", "shutdown", "session_ended"],
                    "description": "Reason: the client reads too slowly, the server stops, or the caller's access ended.",
                },
                "retry_after_ms": {
                    "type": "integer",
                    "minimum": 0,
                    "description": "Milliseconds until the client should connect again.",
                },
            },
            "required": ["reason", "retry_after_ms"],
        },
    })
}

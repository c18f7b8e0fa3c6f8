//! `dabba webhooks`: manages the webhook endpoints of a running server.

use std::fmt::Write as _;

use dabba_domain::{RestaurantId, Timestamp, WebhookEndpointId};
use dabba_sim::{Call, Client};
use serde_json::{Map, Value, json};

use crate::{
    commands::{
        block_on,
        keys::time,
        remote::{DEFAULT_SERVER, TokenArguments, server_url},
    },
    failure::Failure,
    output::{self, printable},
    settings::WebUrl,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Lists the endpoints: all of them, or those of a restaurant.
    List {
        /// Only the endpoints of this restaurant. Required with a token of the restaurant's staff.
        #[arg(long, value_name = "ID")]
        restaurant: Option<RestaurantId>,
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Creates an endpoint. Prints its secret once. The endpoint receives the events after its creation.
    Create(CreateArguments),
    /// Sends a signed test event to an endpoint now, and prints the result. Fails if the endpoint does not accept it.
    Test {
        #[command(flatten)]
        place: EndpointArguments,
    },
    /// Lists the latest attempts to deliver events, newest first.
    Attempts {
        /// Only the attempts that failed.
        #[arg(long)]
        failed: bool,
        /// Maximum number of attempts. 1 to 100; default 50.
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u32>,
        #[command(flatten)]
        place: EndpointArguments,
    },
    /// Lists the orders whose next event could not be delivered.
    Failures {
        /// Only the orders whose event is a dead letter, which only a replay sends again.
        #[arg(long)]
        dead: bool,
        #[command(flatten)]
        place: EndpointArguments,
    },
    /// Enables an endpoint. It receives the events since it was disabled; if it is enabled, its pause after failures ends.
    Enable {
        #[command(flatten)]
        place: EndpointArguments,
    },
    /// Sends events again, and retries dead letters: the events after a cursor, or since a time.
    Replay(ReplayArguments),
    /// Replaces the secret of an endpoint, and prints the new one once. Both secrets sign until the old one expires.
    RotateSecret {
        /// Time for which the old secret still signs, in seconds. 0 to 604,800; default 86,400.
        #[arg(long, value_name = "SECONDS")]
        overlap_seconds: Option<u32>,
        #[command(flatten)]
        place: EndpointArguments,
    },
    /// Deletes an endpoint.
    Delete {
        #[command(flatten)]
        place: EndpointArguments,
    },
}

/// A server, and the form of the output.
#[derive(clap::Args)]
struct PlaceArguments {
    /// Prints JSON, one object in each line.
    #[arg(long)]
    json: bool,
    /// URL of the running server.
    #[arg(long, value_name = "URL", value_parser = server_url, default_value = DEFAULT_SERVER)]
    server: WebUrl,
    #[command(flatten)]
    token: TokenArguments,
}

/// An endpoint at a server.
#[derive(clap::Args)]
struct EndpointArguments {
    /// Id of the endpoint; `dabba webhooks list` lists the ids.
    #[arg(value_name = "ENDPOINT")]
    id: WebhookEndpointId,
    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(clap::Args)]
struct CreateArguments {
    /// URL that receives the events.
    #[arg(value_name = "URL")]
    url: String,
    /// Id of the restaurant that owns the endpoint, and whose events it receives; default the platform, for admins.
    #[arg(long, value_name = "ID")]
    restaurant: Option<RestaurantId>,
    /// Type of events to send, such as accepted. Repeatable; default all types.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Content of a delivery: event, or order for the event with the whole order; default event.
    #[arg(long, value_name = "event|order")]
    payload: Option<String>,
    /// Content type of a delivery: application/json or application/cloudevents+json; default application/json.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Maximum number of concurrent deliveries, each of another order. 1 to 64; default 8.
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<u32>,
    /// Maximum number of events in a delivery. 1 to 100; default 1. Above 1, each delivery is an array.
    #[arg(long, value_name = "NUMBER")]
    batch: Option<u32>,
    #[command(flatten)]
    place: PlaceArguments,
}

impl CreateArguments {
    /// Returns the body of the request. The server checks the values.
    fn body(&self) -> Value {
        let members = [
            ("restaurant_id", self.restaurant.map(|id| json!(id))),
            ("url", Some(json!(self.url))),
            ("types", (!self.types.is_empty()).then(|| json!(self.types))),
            ("payload", self.payload.as_ref().map(|payload| json!(payload))),
            ("content_type", self.content_type.as_ref().map(|name| json!(name))),
            ("concurrency", self.concurrency.map(|number| json!(number))),
            ("batch", self.batch.map(|number| json!(number))),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Where a replay begins.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct BeginArguments {
    /// Cursor of the feed, such as `next_cursor` of `GET /v1/events`. Required without --since.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Time since which events are sent again, such as 2027-01-31T00:00:00Z. Required without --after.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
}

#[derive(clap::Args)]
struct ReplayArguments {
    #[command(flatten)]
    begin: BeginArguments,
    #[command(flatten)]
    place: EndpointArguments,
}

/// Performs a subcommand through the server.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::List { restaurant, place } => {
            let path = restaurant.map_or_else(
                || "/v1/webhook-endpoints?".to_owned(),
                |id| format!("/v1/webhook-endpoints?restaurant_id={id}&"),
            );
            place.show_all(&path, "endpoints", endpoint_text, "there is no endpoint")
        }
        Command::Create(arguments) => {
            let call = |client: &Client| client.post("/v1/webhook-endpoints").json(&arguments.body());
            show_secret(&arguments.place.send("creating the endpoint", call)?, arguments.place.json)
        }
        Command::Test { place } => {
            let result = place.post("/test", None)?;
            let text = attempt_text(&result);
            if result["delivered"] == true {
                return output::either(place.place.json, &result, text);
            }
            if place.place.json {
                output::json(&result)?;
            }
            Err(Failure::new(text))
        }
        Command::Attempts { failed, limit, place } => {
            let failed = if failed { "failed=true&" } else { "" };
            let mut path = format!("{}/attempts?{failed}", place.path());
            if let Some(limit) = limit {
                // Writing to a String cannot fail.
                let _ = write!(path, "limit={limit}&");
            }
            place.place.show_all(&path, "attempts", attempt_text, "there is no attempt")
        }
        Command::Failures { dead, place } => {
            let dead = if dead { "dead=true&" } else { "" };
            let path = format!("{}/failures?{dead}", place.path());
            place.place.show_all(&path, "failures", failure_text, "no order waits for a retry")
        }
        Command::Enable { place } => {
            let endpoint = place.post("/enable", None)?;
            output::either(place.place.json, &endpoint, endpoint_text(&endpoint))
        }
        Command::Replay(ReplayArguments { begin: BeginArguments { after, since }, place }) => {
            let mut body = Map::new();
            body.extend(after.map(|cursor| ("after".to_owned(), json!(cursor))));
            body.extend(since.map(|time| ("since".to_owned(), json!(time))));
            let endpoint = place.post("/replay", Some(&Value::Object(body)))?;
            output::either(place.place.json, &endpoint, endpoint_text(&endpoint))
        }
        Command::RotateSecret { overlap_seconds, place } => {
            let mut body = Map::new();
            body.extend(overlap_seconds.map(|seconds| ("overlap_seconds".to_owned(), json!(seconds))));
            show_secret(&place.post("/rotate-secret", Some(&Value::Object(body)))?, place.place.json)
        }
        Command::Delete { place } => {
            let id = place.id;
            place.place.send(&id.to_string(), |client| client.delete(&place.path()))?;
            output::either(place.place.json, &json!({"id": id}), format_args!("{id} is deleted"))
        }
    }
}

impl PlaceArguments {
    /// Sends a request, and returns the body of the response.
    fn send(&self, what: &str, call: impl FnOnce(&Client) -> Call) -> Result<Value, Failure> {
        let client = self.token.client(&self.server)?;
        let mut body = Value::Null;
        block_on(async {
            body = call(&client).send().await.map_err(Failure::during(what))?.body;
            Ok(())
        })?;
        Ok(body)
    }

    /// Prints all entries of a list. `path` ends with the separator before further parameters.
    fn show_all(
        &self,
        path: &str,
        list: &str,
        text: fn(&Value) -> String,
        none: &str,
    ) -> Result<(), Failure> {
        let client = self.token.client(&self.server)?;
        block_on(async {
            let (mut next, mut is_empty) = (path.trim_end_matches(['?', '&']).to_owned(), true);
            loop {
                let page =
                    client.get(&next).send().await.map_err(Failure::during(format!("listing {list}")))?;
                for entry in page.body[list].as_array().into_iter().flatten() {
                    is_empty = false;
                    output::either(self.json, entry, text(entry))?;
                }
                match page.body["next_cursor"].as_str() {
                    // A cursor consists of unreserved characters.
                    Some(cursor) => next = format!("{path}cursor={cursor}"),
                    None if is_empty && !self.json => return output::line(none),
                    None => return Ok(()),
                }
            }
        })
    }
}

impl EndpointArguments {
    fn path(&self) -> String {
        format!("/v1/webhook-endpoints/{}", self.id)
    }

    fn post(&self, operation: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let path = format!("{}{operation}", self.path());
        self.place.send(&self.id.to_string(), |client| match body {
            Some(body) => client.post(&path).json(body),
            None => client.post(&path),
        })
    }
}

/// Prints a new secret alone on standard output, so that a script can store it.
fn show_secret(endpoint: &Value, json: bool) -> Result<(), Failure> {
    if !json {
        output::note(format_args!(
            "secret of endpoint {}; store it now, because nothing shows it again",
            text_of(endpoint, "id")
        ));
    }
    output::either(json, endpoint, text_of(endpoint, "secret"))
}

/// Returns a text member without control characters; a hyphen if it is absent.
fn text_of(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::String(text) => printable(text),
        Value::Null => "-".to_owned(),
        other => printable(&other.to_string()),
    }
}

/// Returns the two lines of an endpoint.
fn endpoint_text(endpoint: &Value) -> String {
    let owner = match &endpoint["restaurant_id"] {
        Value::Null => "platform".to_owned(),
        _ => format!("restaurant {}", text_of(endpoint, "restaurant_id")),
    };
    let state = if endpoint["enabled"] == true {
        "enabled".to_owned()
    } else {
        let (at, reason) = (text_of(endpoint, "disabled_at"), text_of(endpoint, "disabled_reason"));
        format!("disabled at {at} ({reason})")
    };
    let types: Vec<_> =
        endpoint["types"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let types = if types.is_empty() { "all types".to_owned() } else { printable(&types.join(" ")) };
    let success = match &endpoint["last_success_at"] {
        Value::Null => "no success so far".to_owned(),
        _ => format!("last success {}", text_of(endpoint, "last_success_at")),
    };
    let mut text = format!(
        "{}  {}\n  {owner}  {state}  {types}  {success}",
        text_of(endpoint, "id"),
        text_of(endpoint, "url")
    );
    let failure = &endpoint["last_failure"];
    if !failure.is_null() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  last failure {}: {}", text_of(failure, "at"), text_of(failure, "error"));
    }
    if endpoint["disabled_not_before"].is_string() {
        let _ = write!(
            text,
            "\n  is disabled at {} or later if no delivery succeeds",
            text_of(endpoint, "disabled_not_before")
        );
    }
    text
}

/// Returns the line of an attempt, or of a test.
fn attempt_text(attempt: &Value) -> String {
    let mut text = text_of(attempt, "at");
    if attempt["order_id"].is_string() {
        let _ =
            write!(text, "  order {} version {}", text_of(attempt, "order_id"), text_of(attempt, "version"));
    }
    let _ = write!(text, "  {} ms  ", text_of(attempt, "duration_ms"));
    if attempt["delivered"] == true {
        let _ = write!(text, "delivered, status {}", text_of(attempt, "status"));
        if let Some(events) = attempt["events"].as_u64() {
            let _ = write!(text, ", {events} {}", if events == 1 { "event" } else { "events" });
        }
    } else {
        let _ = write!(text, "failed: {}", text_of(attempt, "error"));
    }
    text
}

/// Returns the two lines of an order whose event could not be delivered.
fn failure_text(failure: &Value) -> String {
    let next = match (&failure["dead_at"], &failure["next_attempt_at"]) {
        (Value::Null, Value::Null) => "waits".to_owned(),
        (Value::Null, _) => format!("next attempt {}", text_of(failure, "next_attempt_at")),
        _ => format!("dead letter since {}", text_of(failure, "dead_at")),
    };
    format!(
        "order {} version {}  {} failed attempts since {}  {next}\n  {}",
        text_of(failure, "order_id"),
        text_of(failure, "next_version"),
        text_of(failure, "attempts"),
        text_of(failure, "first_failed_at"),
        text_of(&failure["last_failure"], "error"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that an endpoint's lines contain its state, and that no text of a server changes the terminal.
    #[test]
    fn an_endpoint_is_shown_with_its_state() {
        let mut endpoint = json!({"id": "E", "url": "https://h/\u{1b}[2J", "enabled": true});
        assert_eq!(
            endpoint_text(&endpoint),
            "E  https://h/[2J\n  platform  enabled  all types  no success so far"
        );
        endpoint["enabled"] = json!(false);
        endpoint["disabled_reason"] = json!("gone");
        endpoint["disabled_at"] = json!("T1");
        endpoint["restaurant_id"] = json!("R");
        endpoint["types"] = json!(["placed", "accepted"]);
        endpoint["last_success_at"] = json!("T0");
        endpoint["last_failure"] = json!({"at": "T1", "error": "the endpoint responded with 410"});
        assert_eq!(
            endpoint_text(&endpoint),
            "E  https://h/[2J\n  restaurant R  disabled at T1 (gone)  placed accepted  last success T0\n  \
             last failure T1: the endpoint responded with 410"
        );
    }

    /// Proves that attempts and failures are shown with what happens next.
    #[test]
    fn attempts_and_failures_are_shown() {
        let delivered = json!({"at": "T", "order_id": "O", "version": 2, "duration_ms": 5, "delivered": true,
            "status": 204, "events": 1});
        assert_eq!(attempt_text(&delivered), "T  order O version 2  5 ms  delivered, status 204, 1 event");
        let failed = json!({"at": "T", "duration_ms": 5, "delivered": false, "error": "connect: refused"});
        assert_eq!(attempt_text(&failed), "T  5 ms  failed: connect: refused");
        let mut failure = json!({"order_id": "O", "next_version": 3, "attempts": 2, "first_failed_at": "T1",
            "next_attempt_at": "T2", "last_failure": {"error": "X"}});
        let begin = "order O version 3  2 failed attempts since T1  ";
        assert_eq!(failure_text(&failure), format!("{begin}next attempt T2\n  X"));
        failure["dead_at"] = json!("T3");
        assert_eq!(failure_text(&failure), format!("{begin}dead letter since T3\n  X"));
    }
}

//! `dabba webhooks`: manages the webhook endpoints of a running server.

mod refusal;
mod text;

use std::fmt::Write as _;

use dabba_domain::{RestaurantId, Timestamp, WebhookEndpointId};
use dabba_sim::{Call, Client, ClientResponse};
use serde_json::{Map, Value, json};

use self::{
    refusal::refused,
    text::{
        attempt_text, enabled_text, endpoint_text, failure_text, replayed_text, text_of, whole_endpoint_text,
    },
};
use crate::{
    commands::{block_on, keys::time, remote::RequiredServerArguments},
    failure::Failure,
    output,
};

/// Members of every endpoint in the API's responses, from which the command recognizes one.
const ENDPOINT: [&str; 3] = ["id", "url", "secrets"];

/// Members of an endpoint with a new secret.
const WITH_SECRET: [&str; 4] = ["id", "url", "secrets", "secret"];

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
    /// Shows an endpoint with all its settings.
    Show {
        #[command(flatten)]
        place: EndpointArguments,
    },
    /// Changes the settings of an endpoint, or disables it; `dabba webhooks enable` enables it again.
    Change(ChangeArguments),
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
    #[command(flatten)]
    server: RequiredServerArguments,
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
    /// Id of the restaurant that owns the endpoint, and whose events it receives; default: the platform, for admins.
    #[arg(long, value_name = "ID")]
    restaurant: Option<RestaurantId>,
    #[command(flatten)]
    deliveries: DeliveryArguments,
    #[command(flatten)]
    place: PlaceArguments,
}

impl CreateArguments {
    /// Returns the body of the request. The server checks the values.
    fn body(&self) -> Value {
        let owner =
            members([("restaurant_id", self.restaurant.map(|id| json!(id))), ("url", Some(json!(self.url)))]);
        Value::Object(owner.into_iter().chain(self.deliveries.members()).collect())
    }
}

/// The settings of deliveries, for a new endpoint and for a change.
#[derive(clap::Args)]
struct DeliveryArguments {
    /// Type of events to send, such as accepted. Repeatable; a new endpoint has all types by default, a change replaces
    /// the previous types.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Content of a delivery: event, or order for the event with the whole order. Default of a new endpoint: event.
    #[arg(long, value_name = "event|order")]
    payload: Option<String>,
    /// Content type of a delivery: application/json or application/cloudevents+json. Default of a new endpoint:
    /// application/json.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Maximum number of concurrent deliveries, each of another order. 1 to 64; default of a new endpoint 8.
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<u32>,
    /// Maximum number of events in a delivery. 1 to 100; default of a new endpoint 1. Above 1, each delivery is an array.
    #[arg(long, value_name = "NUMBER")]
    batch: Option<u32>,
}

impl DeliveryArguments {
    /// Returns the members of a request for the given options. The server checks the values.
    fn members(&self) -> Map<String, Value> {
        members([
            ("types", (!self.types.is_empty()).then(|| json!(self.types))),
            ("payload", self.payload.as_ref().map(|payload| json!(payload))),
            ("content_type", self.content_type.as_ref().map(|name| json!(name))),
            ("concurrency", self.concurrency.map(|number| json!(number))),
            ("batch", self.batch.map(|number| json!(number))),
        ])
    }
}

/// The settings to change. Omitted settings stay unchanged.
#[derive(clap::Args)]
struct Changes {
    /// URL that receives the events. All settings without an option stay unchanged.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    deliveries: DeliveryArguments,
    /// Sends events of all types.
    #[arg(long, conflicts_with = "types")]
    all_types: bool,
    /// Disables the endpoint: events wait until it is enabled.
    #[arg(long)]
    disable: bool,
}

#[derive(clap::Args)]
struct ChangeArguments {
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    place: EndpointArguments,
}

impl Changes {
    /// Returns the body of the request. The server checks the values.
    fn body(&self) -> Result<Value, Failure> {
        let mut body = members([
            ("url", self.url.as_ref().map(|url| json!(url))),
            ("types", self.all_types.then_some(Value::Null)),
            ("enabled", self.disable.then_some(json!(false))),
        ]);
        body.extend(self.deliveries.members());
        if body.is_empty() {
            return Err(Failure::new(
                "at least one option is required: --url, --type, --all-types, --payload, --content-type, --concurrency, \
                 --batch or --disable",
            ));
        }
        Ok(Value::Object(body))
    }
}

/// Returns the members that have a value.
fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Where a replay begins.
#[derive(clap::Args)]
#[group(multiple = false)]
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
            let created = arguments.place.send("creating the endpoint", "URL", call)?;
            let created =
                created.with_members(&WITH_SECRET).map_err(refused("creating the endpoint", "URL"))?;
            show_secret(&created.body, arguments.place.json)
        }
        Command::Show { place } => {
            let endpoint = place.send(Client::get, &ENDPOINT)?;
            output::either(place.place.json, &endpoint, whole_endpoint_text(&endpoint))
        }
        Command::Change(ChangeArguments { changes, place }) => {
            let body = changes.body()?;
            let endpoint = place.send(|client, path| client.patch(path).json(&body), &ENDPOINT)?;
            output::either(place.place.json, &endpoint, whole_endpoint_text(&endpoint))
        }
        Command::Test { place } => {
            let result = place.post("/test", None, &["delivered", "at"])?;
            let text = attempt_text(&result);
            if result["delivered"] == true {
                return output::either(place.place.json, &result, text);
            }
            if place.place.json {
                output::json(&result)?;
            }
            Err(Failure::new(text))
        }
        Command::Attempts { failed, limit, place } => place.show_attempts(failed, limit),
        Command::Failures { dead, place } => {
            let dead = if dead { "dead=true&" } else { "" };
            let path = format!("{}/failures?{dead}", place.path());
            place.place.show_all(&path, "failures", failure_text, "no order waits for a retry")
        }
        Command::Enable { place } => {
            let endpoint = place.post("/enable", None, &ENDPOINT)?;
            output::either(place.place.json, &endpoint, enabled_text(&endpoint))
        }
        Command::Replay(ReplayArguments { begin, place }) => {
            let endpoint = place.post("/replay", Some(&begin.body()?), &ENDPOINT)?;
            output::either(place.place.json, &endpoint, replayed_text(&endpoint, &begin.in_words()))
        }
        Command::RotateSecret { overlap_seconds, place } => {
            let body = members([("overlap_seconds", overlap_seconds.map(|seconds| json!(seconds)))]);
            let rotated = place.post("/rotate-secret", Some(&Value::Object(body)), &WITH_SECRET)?;
            show_secret(&rotated, place.place.json)
        }
        Command::Delete { place } => {
            let id = place.id;
            let deleted =
                place.place.send(&id.to_string(), "--url", |client| client.delete(&place.path()))?;
            deleted.without_content().map_err(refused(id, "--url"))?;
            output::either(place.place.json, &json!({"id": id}), format_args!("{id} is deleted"))
        }
    }
}

impl BeginArguments {
    /// Returns the body of the request.
    fn body(&self) -> Result<Value, Failure> {
        if self.after.is_none() && self.since.is_none() {
            return Err(Failure::new(
                "--since or --after is required: give --since TIME, such as --since 2027-01-31T00:00:00Z, or \
                 --after CURSOR",
            ));
        }
        Ok(Value::Object(members([
            ("after", self.after.as_ref().map(|cursor| json!(cursor))),
            ("since", self.since.map(|time| json!(time))),
        ])))
    }

    /// Returns where the replay begins, in words.
    fn in_words(&self) -> String {
        match (&self.after, self.since) {
            (Some(cursor), _) => format!("after the cursor {cursor}"),
            (None, Some(time)) => format!("since {time}"),
            (None, None) => String::new(),
        }
    }
}

impl PlaceArguments {
    /// Sends a request, and returns the response. `url` is the name of the command's argument for a URL.
    fn send(
        &self,
        what: &str,
        url: &'static str,
        call: impl FnOnce(&Client) -> Call,
    ) -> Result<ClientResponse, Failure> {
        let client = self.server.client()?;
        block_on(async { call(&client).send().await.map_err(refused(what, url)) })
    }

    /// Prints all entries of a list. `path` ends with the separator before further parameters.
    fn show_all(
        &self,
        path: &str,
        list: &str,
        text: fn(&Value) -> String,
        none: &str,
    ) -> Result<(), Failure> {
        let client = self.server.client()?;
        block_on(async {
            let (mut next, mut is_empty) = (path.trim_end_matches(['?', '&']).to_owned(), true);
            loop {
                let page = client.get(&next).send().await;
                let refused = || refused(format!("listing {list}"), "URL");
                let page = page.map_err(refused())?;
                for entry in page.list(list).map_err(refused())? {
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

    /// Sends a request about the endpoint, and returns the body of the response, which must have all of these members.
    fn send(&self, call: impl FnOnce(&Client, &str) -> Call, members: &[&str]) -> Result<Value, Failure> {
        let response = self.place.send(&self.id.to_string(), "--url", |client| call(client, &self.path()))?;
        Ok(response.with_members(members).map_err(refused(self.id, "--url"))?.body)
    }

    fn show_attempts(&self, failed: bool, limit: Option<u32>) -> Result<(), Failure> {
        let (failed, none) = if failed {
            ("failed=true&", "the log contains no failed attempts")
        } else {
            ("", "the log contains no attempts")
        };
        let mut path = format!("{}/attempts?{failed}", self.path());
        if let Some(limit) = limit {
            // Writing to a String cannot fail.
            let _ = write!(path, "limit={limit}&");
        }
        self.place.show_all(&path, "attempts", attempt_text, none)
    }

    fn post(&self, operation: &str, body: Option<&Value>, members: &[&str]) -> Result<Value, Failure> {
        let call = |client: &Client, path: &str| {
            let call = client.post(&format!("{path}{operation}"));
            match body {
                Some(body) => call.json(body),
                None => call,
            }
        };
        self.send(call, members)
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

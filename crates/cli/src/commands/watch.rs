//! `dabba watch`: prints events as they happen.

use std::time::Duration;

use dabba_domain::{OrderId, RestaurantId};
use dabba_engine::{Random as _, SystemRandom};
use dabba_sim::{Client, ClientError, MessageParser, StreamMessage};
use dabba_store::Backoff;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{
    commands::{block_on, remote::ServerArguments},
    failure::Failure,
    output,
};

/// Server of the command without `--server`.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Time without any message after which the command reconnects. The server sends a heartbeat every 10 s.
const SILENCE: Duration = Duration::from_secs(25);

/// Pauses before the command reconnects.
const PAUSES: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(10) };

/// Maximum pause that the command accepts from a server.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only the events of this restaurant's orders. Required with a token of the restaurant's staff.
    #[arg(long, value_name = "ID", conflicts_with = "order")]
    restaurant: Option<RestaurantId>,
    /// Only the events of this order, from its first one.
    #[arg(long, value_name = "ID")]
    order: Option<OrderId>,
    /// Prints each event as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Prints events until the command is interrupted, or the server refuses the stream.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { restaurant, order, json, server } = arguments;
    let client = server.client_or(DEFAULT_SERVER)?;
    let path = match (order, restaurant) {
        (Some(order), _) => format!("/v1/orders/{order}/stream"),
        (None, Some(restaurant)) => format!("/v1/events/stream?restaurant={restaurant}"),
        (None, None) => "/v1/events/stream".to_owned(),
    };
    block_on(async { Watch { client, path, json, last_id: None, failures: 0 }.run().await })
}

struct Watch {
    client: Client,
    path: String,
    json: bool,
    /// Id of the last message, after which a new stream resumes.
    last_id: Option<String>,
    /// Number of attempts in a row that received nothing.
    failures: u32,
}

/// Why a stream ended.
enum Ended {
    /// The server asked to reconnect after this time.
    Bye(Duration),
    /// The connection broke, or went silent.
    Broken(String),
}

impl Watch {
    async fn run(mut self) -> Result<(), Failure> {
        loop {
            let pause = match self.follow().await? {
                Ended::Bye(pause) => pause.min(MAX_PAUSE),
                Ended::Broken(reason) => {
                    self.failures = self.failures.saturating_add(1);
                    if self.failures == 1 {
                        output::note(format_args!("{reason}; the command reconnects"));
                    }
                    PAUSES.pause(self.failures, SystemRandom.next_u64())
                }
            };
            sleep(pause).await;
        }
    }

    /// Follows one stream to its end. Fails if the server refuses the request for a reason that a retry does not
    /// resolve.
    async fn follow(&mut self) -> Result<Ended, Failure> {
        let mut call = self.client.get(&self.path);
        if let Some(id) = &self.last_id {
            call = call.last_event_id(id);
        }
        let mut response = match call.open().await {
            Ok(response) => response,
            Err(error) if may_pass(&error) => return Ok(Ended::Broken(error.to_string())),
            Err(error) => return Err(Failure::new(error.to_string())),
        };
        let mut parser = MessageParser::default();
        loop {
            let bytes = match timeout(SILENCE, response.next()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return Ok(Ended::Broken("the stream ended".to_owned())),
                Ok(Err(error)) => return Ok(Ended::Broken(error.to_string())),
                Err(_) => return Ok(Ended::Broken("the server was silent".to_owned())),
            };
            let messages = parser.take(&bytes).map_err(|error| Failure::new(error.to_string()))?;
            for message in messages {
                if let Some(ended) = self.receive(message)? {
                    return Ok(ended);
                }
            }
        }
    }

    fn receive(&mut self, message: StreamMessage) -> Result<Option<Ended>, Failure> {
        let StreamMessage { id, event, data } = message;
        self.failures = 0;
        if event == "bye" {
            let bye: Value = serde_json::from_str(&data).unwrap_or_default();
            return Ok(Some(Ended::Bye(Duration::from_millis(
                bye["retry_after_ms"].as_u64().unwrap_or(1_000),
            ))));
        }
        if event != "heartbeat" {
            let parsed = serde_json::from_str(&data);
            let parsed: Value = parsed.map_err(Failure::during("reading an event of the server"))?;
            if self.json { output::json(&parsed)? } else { output::line(line(&event, &parsed))? }
        }
        // After the output, so that an event that could not be printed is not skipped.
        if !id.is_empty() {
            self.last_id = Some(id);
        }
        Ok(None)
    }
}

/// Returns whether a later attempt may succeed.
fn may_pass(error: &ClientError) -> bool {
    error.problem().is_none_or(|problem| problem.status == 429 || problem.status >= 500)
}

/// Returns the line of an event for people: time, display code, restaurant, what happened.
fn line(event: &str, public: &Value) -> String {
    let text = |name: &str| public[name].as_str().unwrap_or("-");
    let code = text("partitionkey").parse().ok().map_or_else(|| "-----".to_owned(), display_code);
    let reason = public["data"]["reason"].as_str().map_or_else(String::new, |reason| format!(" ({reason})"));
    let (time, restaurant, what) = (text("time"), text("subject"), event.replace('_', " "));
    format!("{time}  {code}  restaurant {restaurant}  {what}{reason}")
}

/// Returns the display code of an order: five characters of Crockford's base 32 for the last 25 bits of its id.
fn display_code(id: OrderId) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let bits = id.uuid().as_u128();
    let digit = |place: u32| char::from(DIGITS[usize::try_from((bits >> (5 * place)) & 31).unwrap_or(0)]);
    (0..5).rev().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Proves that a line contains the time, the code, the restaurant, the event and its reason.
    #[test]
    fn a_line_says_what_happened() {
        let event = json!({
            "time": "2026-06-01T12:00:00Z", "subject": "R", "partitionkey": "0198b2f4-0000-7000-8000-0000001fffff",
            "data": {"reason": "too_busy"},
        });
        assert_eq!(
            line("marked_ready", &event),
            "2026-06-01T12:00:00Z  1ZZZZ  restaurant R  marked ready (too_busy)"
        );
    }

    /// Proves that only refusals that a retry does not resolve end the command.
    #[test]
    fn a_refusal_that_a_retry_does_not_resolve_ends_the_command() {
        let problem = |status| {
            let (code, detail, body, elapsed) = (String::new(), String::new(), Value::Null, Duration::ZERO);
            let response = dabba_sim::ProblemResponse { status, code, detail, body, elapsed };
            ClientError::Problem(Box::new(response))
        };
        for (status, passes) in
            [(400, false), (401, false), (403, false), (404, false), (410, false), (429, true), (503, true)]
        {
            assert_eq!(may_pass(&problem(status)), passes, "{status}");
        }
    }
}

//! `dabba watch`: prints events as they happen.

use std::time::Duration;

use dabba_domain::{OrderId, RestaurantId, Timestamp};
use dabba_engine::{Random as _, SystemRandom};
use dabba_sim::{Client, ClientError, MessageParser, StreamMessage, printable};
use dabba_store::Backoff;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{
    commands::{block_on, remote::RequiredServerArguments},
    failure::Failure,
    output,
};

/// Time without any message after which the command reconnects. The server sends a heartbeat every 10 s.
const SILENCE: Duration = Duration::from_secs(25);

/// Pauses before the command reconnects.
const PAUSES: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(10) };

/// Maximum pause that the command accepts from a server.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Minimum pause before the command reconnects, whatever the server requests.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only the events of this restaurant's orders. Required with a token of the restaurant's staff.
    #[arg(long, value_name = "ID", conflicts_with = "order")]
    restaurant: Option<RestaurantId>,
    /// Only the events of this order, from its first one. The order's id, which every line shows; a display code names
    /// no order.
    #[arg(long, value_name = "ID", value_parser = order_id)]
    order: Option<OrderId>,
    /// Prints each event as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: RequiredServerArguments,
}

fn order_id(text: &str) -> Result<OrderId, String> {
    text.parse().map_err(|_| {
        "must be the id of an order, a UUID; the lines of `dabba watch` show it after the display code"
            .to_owned()
    })
}

/// Prints events until the command is interrupted, or the server refuses the stream. Fails if the server cannot be
/// reached at first; later it reconnects for as long as that takes.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { restaurant, order, json, server } = arguments;
    let client = server.client()?;
    let path = match (order, restaurant) {
        (Some(order), _) => format!("/v1/orders/{order}/stream"),
        (None, Some(restaurant)) => format!("/v1/events/stream?restaurant={restaurant}"),
        (None, None) => "/v1/events/stream".to_owned(),
    };
    let watch =
        Watch { client, server, path, json, last_id: None, failures: 0, answered: false, connected: false };
    block_on(watch.run())
}

struct Watch {
    client: Client,
    server: RequiredServerArguments,
    path: String,
    json: bool,
    /// Id of the last message, after which a new stream resumes.
    last_id: Option<String>,
    /// Number of attempts in a row that received nothing.
    failures: u32,
    /// Whether the server has answered, even with a refusal.
    answered: bool,
    /// Whether a stream was open.
    connected: bool,
}

/// Why a stream ended.
enum Ended {
    /// The server ended the stream for a reason, and asked to reconnect after this time.
    Bye(String, Duration),
    /// The connection broke, or went silent.
    Broken(String),
}

impl Watch {
    async fn run(mut self) -> Result<(), Failure> {
        loop {
            let pause = match self.follow().await? {
                Ended::Bye(reason, pause) => {
                    output::note(format_args!(
                        "the server ended the stream ({reason}); the command reconnects"
                    ));
                    pause.clamp(MIN_PAUSE, MAX_PAUSE)
                }
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
            Err(error) if may_pass(&error, self.answered) => {
                self.answered = true;
                return Ok(Ended::Broken(error.to_string()));
            }
            Err(error) if error.status().is_none() => {
                return Err(Failure::new(format!(
                    "{error}; start a server there, or name a running server with --server URL"
                )));
            }
            Err(error) => return Err(Failure::new(error.to_string())),
        };
        self.note_connection();
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

    /// Notes that a stream is open. Without the note, a reader cannot tell a quiet platform from a lost connection.
    fn note_connection(&mut self) {
        let what = if self.connected { "connected again to" } else { "connected to" };
        output::note(format_args!("{what} {}", self.server.url()));
        (self.answered, self.connected) = (true, true);
    }

    fn receive(&mut self, message: StreamMessage) -> Result<Option<Ended>, Failure> {
        let StreamMessage { id, event, data } = message;
        self.failures = 0;
        if event == "bye" {
            let bye: Value = serde_json::from_str(&data).unwrap_or_default();
            let pause = Duration::from_millis(bye["retry_after_ms"].as_u64().unwrap_or(1_000));
            return Ok(Some(Ended::Bye(printable(bye["reason"].as_str().unwrap_or("no reason")), pause)));
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

/// Returns whether a later attempt may succeed. Without any answer so far, the address is more likely wrong than the
/// server down.
fn may_pass(error: &ClientError, answered: bool) -> bool {
    error.status().map_or(answered, |status| status == 429 || status >= 500)
}

/// Returns the line of an event for people: time, display code, order, restaurant, short type of the event. The columns
/// have the same widths in every line.
fn line(event: &str, public: &Value) -> String {
    let text = |name: &str| public[name].as_str().unwrap_or("-");
    let (order, restaurant) = (text("partitionkey"), text("subject"));
    let code =
        order.parse::<OrderId>().ok().map_or_else(|| "-----".to_owned(), |id| id.display_code().to_string());
    let time = text("time").parse::<Timestamp>();
    let time = time.map_or_else(|_| text("time").to_owned(), |time| format!("{time:.3}"));
    let reason = public["data"]["reason"].as_str().map_or_else(String::new, |reason| format!(" ({reason})"));
    printable(&format!("{time}  {code}  order {order}  restaurant {restaurant}  {event}{reason}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Proves that a line contains the time in milliseconds, the code, the order, the restaurant, the event and its
    /// reason.
    #[test]
    fn a_line_says_what_happened() {
        let order = "0198b2f4-0000-7000-8000-0000001fffff";
        for (time, shown) in [
            ("2026-06-01T12:00:00Z", "2026-06-01T12:00:00.000Z"),
            ("2026-06-01T12:00:00.12Z", "2026-06-01T12:00:00.120Z"),
            ("2026-06-01T12:00:00.123456789Z", "2026-06-01T12:00:00.123Z"),
            ("noon", "noon"),
        ] {
            let event = json!({
                "time": time, "subject": "R", "partitionkey": order, "data": {"reason": "too_busy"},
            });
            let expected = format!("{shown}  1ZZZZ  order {order}  restaurant R  marked_ready (too_busy)");
            assert_eq!(line("marked_ready", &event), expected);
        }
    }

    /// Proves that no text of a server changes the terminal.
    #[test]
    fn a_line_contains_no_control_characters() {
        let event = json!({"time": "\u{1b}[2J", "subject": "R\n", "partitionkey": "\u{7}", "data": {}});
        assert_eq!(line("pla\rced", &event), "[2J  -----  order   restaurant R  placed");
    }

    /// Proves that a display code is refused as the id of an order with the place where the id is.
    #[test]
    fn a_display_code_is_no_id() {
        assert!(order_id("0198b2f4-0000-7000-8000-0000001fffff").is_ok());
        assert!(order_id("TZT5G").unwrap_err().contains("UUID"));
    }

    /// Proves that refusals that a retry does not resolve end the command, and that a missing answer ends it only
    /// before the server has answered.
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
            for answered in [false, true] {
                assert_eq!(may_pass(&problem(status), answered), passes, "{status}");
            }
        }
        let refused = ClientError::Transport { url: "http://h".to_owned(), reason: "refused".to_owned() };
        assert_eq!((may_pass(&refused, false), may_pass(&refused, true)), (false, true));
    }
}

//! `dabba tasks`: lists, retries and resolves parked tasks.

use std::fmt;

use dabba_domain::{TaskId, Timestamp, text::Note};
use dabba_engine::{Engine, Error, Principal};
use dabba_sim::{Client, ClientError, ClientResponse};
use dabba_store::{PageSize, ParkedTask};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    commands::remote::{AdminAction, PlaceArguments},
    failure::Failure,
    output,
};

/// Arguments of the command. Without a subcommand, the command lists the parked tasks.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(clap::Args)]
struct ListArguments {
    /// Prints JSON, one object for each task.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Retries a parked task. A review cannot be retried: resolve it.
    Retry {
        /// Id of the task.
        id: TaskId,
        /// Prints one object of JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Resolves a parked task or a review: it is never retried.
    Resolve {
        /// Id of the task.
        id: TaskId,
        /// What was done instead. Stored with the task.
        #[arg(long, value_parser = note)]
        reason: Note,
        /// Prints one object of JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: PlaceArguments,
    },
}

/// The action to perform.
enum Action {
    List { json: bool },
    Retry { id: TaskId, json: bool },
    Resolve { id: TaskId, reason: Note, json: bool },
}

fn note(text: &str) -> Result<Note, String> {
    Note::new(text).map_err(|error| error.to_string())
}

/// A parked task in the format of the API. Exactly one of the ids of its subject is present. The ids of the
/// subject are text, because those of a damaged task may be anything.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    id: TaskId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restaurant_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    kind: String,
    /// Reason why an operator must review the subject; only for reviews. Passed on unchanged, because a newer server may
    /// send a reason that this program does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Value>,
    /// The reason in words, with instructions; only for reviews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    attempts: u32,
    parked_at: Timestamp,
    failures: Vec<FailureRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FailureRow {
    attempt: u32,
    at: Timestamp,
    error: String,
}

impl From<ParkedTask> for Row {
    fn from(parked: ParkedTask) -> Self {
        let failures = parked.failures.into_iter().map(|recorded| FailureRow {
            attempt: recorded.attempt,
            at: recorded.failure.at,
            error: recorded.failure.error,
        });
        let subject = parked.task.subject;
        Self {
            id: parked.task.id,
            order_id: subject.order_id().map(|id| id.to_string()),
            restaurant_id: subject.restaurant_id().map(|id| id.to_string()),
            account_id: subject.account_id().map(|id| id.to_string()),
            kind: parked.task.kind.to_string(),
            reason: parked.task.review_reason().and_then(|reason| serde_json::to_value(reason).ok()),
            detail: parked.task.review_detail(),
            attempts: parked.attempts,
            parked_at: parked.parked_at,
            failures: failures.collect(),
        }
    }
}

/// A page of tasks in the API's response.
#[derive(Deserialize)]
struct Page {
    tasks: Vec<Row>,
    next_cursor: Option<String>,
    #[serde(default)]
    incomplete: bool,
}

/// Lists parked tasks, or retries or resolves a task.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let (action, place) = match arguments.command {
        None => (Action::List { json: arguments.list.json }, arguments.list.place),
        Some(Command::Retry { id, json, place }) => (Action::Retry { id, json }, place),
        Some(Command::Resolve { id, reason, json, place }) => (Action::Resolve { id, reason, json }, place),
    };
    place.run(action)
}

impl AdminAction for Action {
    fn reads_only(&self) -> bool {
        matches!(self, Self::List { .. })
    }

    async fn through(self, client: &Client) -> Result<(), Failure> {
        match self {
            Self::List { json } => {
                let (mut cursor, mut is_incomplete, mut is_empty) = (String::new(), false, true);
                loop {
                    let path = format!("/v1/tasks?state=parked{cursor}");
                    let page = client.get(&path).send().await.and_then(ClientResponse::read::<Page>);
                    let page = page.map_err(Failure::during("listing tasks"))?;
                    is_incomplete |= page.incomplete;
                    is_empty &= page.tasks.is_empty();
                    show(&page.tasks, json)?;
                    match page.next_cursor {
                        Some(next) => cursor = format!("&cursor={next}"),
                        None => return finish(is_empty, is_incomplete, json),
                    }
                }
            }
            Self::Retry { id, json } => {
                let retried = client.post(&format!("/v1/tasks/{id}/retry")).send().await;
                retried.and_then(|retried| retried.without_content()).map_err(refusal_of_server(id))?;
                done(id, "retried", json, format_args!("{id} is queued for a retry"))
            }
            Self::Resolve { id, reason, json } => {
                let call = client.post(&format!("/v1/tasks/{id}/resolve"));
                let resolved = call.json(&json!({"reason": reason})).send().await;
                resolved.and_then(|resolved| resolved.without_content()).map_err(refusal_of_server(id))?;
                done(id, "resolved", json, format_args!("{id} is resolved"))
            }
        }
    }

    async fn within(self, engine: &Engine, admin: &Principal) -> Result<(), Failure> {
        match self {
            Self::List { json } => {
                let (mut after, mut is_incomplete, mut is_empty) = (None, false, true);
                loop {
                    let page = engine.work.parked_tasks(admin, after, PageSize::DEFAULT).await;
                    let page = page.map_err(Failure::during("listing tasks"))?;
                    is_incomplete |= page.incomplete;
                    let is_last = page.tasks.len() < PageSize::DEFAULT.get() as usize;
                    after = page.tasks.last().map(|last| last.task.id);
                    let rows: Vec<Row> = page.tasks.into_iter().map(Row::from).collect();
                    is_empty &= rows.is_empty();
                    show(&rows, json)?;
                    if is_last {
                        return finish(is_empty, is_incomplete, json);
                    }
                }
            }
            Self::Retry { id, json } => {
                engine.work.retry_task(admin, id).await.map_err(refusal(id))?;
                done(id, "retried", json, format_args!("{id} is queued for a retry"))
            }
            Self::Resolve { id, reason, json } => {
                engine.work.resolve_task(admin, id, &reason).await.map_err(refusal(id))?;
                done(id, "resolved", json, format_args!("{id} is resolved"))
            }
        }
    }
}

/// Returns the failure of an action of the engine on a task.
fn refusal(id: TaskId) -> impl FnOnce(Error) -> Failure {
    move |error| match error {
        Error::NotFound(_) => not_parked(id),
        error => Failure::during(id)(error),
    }
}

/// Returns the failure of an action of a server on a task. The code `not_found` alone does not suffice: a server also
/// sends it for a wrong path, for example if the URL is that of its listener for operators.
fn refusal_of_server(id: TaskId) -> impl FnOnce(ClientError) -> Failure {
    move |error| {
        let is_not_parked = error
            .problem()
            .is_some_and(|problem| problem.code == "not_found" && problem.detail.contains("parked task"));
        if is_not_parked { not_parked(id) } else { Failure::during(id)(error) }
    }
}

/// Returns the failure of an action on a task that is not parked.
fn not_parked(id: TaskId) -> Failure {
    Failure::new(format!(
        "{id}: no parked task has this id: the task is completed, is resolved, or waits for a worker; `dabba tasks` lists \
         the parked tasks"
    ))
}

/// Prints the outcome of an action.
fn done(id: TaskId, outcome: &'static str, json: bool, text: fmt::Arguments<'_>) -> Result<(), Failure> {
    output::either(json, &Done { id, outcome }, text)
}

/// The JSON output of an action.
#[derive(Serialize)]
struct Done {
    id: TaskId,
    outcome: &'static str,
}

/// Prints tasks, as JSON or as several lines each, since an id fills half a line.
fn show(rows: &[Row], json: bool) -> Result<(), Failure> {
    for row in rows {
        if json { output::json(row)? } else { output::line(row)? }
    }
    Ok(())
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, order_id, restaurant_id, account_id, kind, attempts, parked_at, failures, .. } = self;
        let last_error = || failures.last().map(|last| last.error.as_str());
        let reason = self.detail.as_deref().or_else(last_error).unwrap_or_default();
        writeln!(formatter, "task       {id}")?;
        let order = order_id.as_ref().map(|id| ("order", id));
        let restaurant = restaurant_id.as_ref().map(|id| ("restaurant", id));
        let account = account_id.as_ref().map(|id| ("account", id));
        for (subject, id) in [order, restaurant, account].into_iter().flatten() {
            writeln!(formatter, "  {subject:<8} {id}")?;
        }
        writeln!(formatter, "  kind     {kind}, parked at {parked_at}, attempts: {attempts}")?;
        formatter.write_str(&output::wrapped("  reason   ", reason))
    }
}

/// Ends a list. Fails if the list may be incomplete.
fn finish(is_empty: bool, is_incomplete: bool, json: bool) -> Result<(), Failure> {
    if is_empty && !json {
        output::line("no task is parked")?;
    }
    if is_incomplete {
        return Err(Failure::new("a shard did not answer: its tasks are missing"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that each task is shown with its subject, and that a response of a server is read whatever the subject.
    #[test]
    fn a_task_is_shown_with_its_subject() {
        let id = "0198b2f4-0000-7000-8000-000000000001";
        for (member, label) in
            [("order_id", "order   "), ("restaurant_id", "restaurant"), ("account_id", "account ")]
        {
            let response = json!({
                "id": "0198b2f4-0000-7000-8000-000000000002", (member): id, "kind": "review", "attempts": 0,
                "parked_at": "2026-06-01T12:00:00Z", "failures": [], "reason": {"type": "payment_voided"},
            });
            let row: Row = serde_json::from_value(response.clone()).unwrap();
            let text = row.to_string();
            assert!(text.contains(&format!("\n  {label} {id}\n")), "{text}");
            assert_eq!(serde_json::to_value(&row).unwrap(), response);
        }
    }

    /// Proves that a review is shown with the server's explanation, whether the server sends a reason that this program knows,
    /// a reason that it does not know, or no reason, and that the JSON output contains the reason unchanged.
    #[test]
    fn a_review_is_shown_with_its_detail_whatever_its_reason() {
        let review = json!({
            "id": "0198b2f4-0000-7000-8000-000000000002", "order_id": "0198b2f4-0000-7000-8000-000000000001",
            "kind": "review", "attempts": 0, "parked_at": "2026-06-01T12:00:00Z", "failures": [],
            "detail": "ask the courier for the receipt",
        });
        let reasons = [
            json!({"type": "payment_voided"}),
            json!({"type": "receipt_missing", "pages": [1, 2]}),
            Value::Null,
        ];
        for reason in reasons {
            let mut response = review.clone();
            if !reason.is_null() {
                response["reason"] = reason;
            }
            let page = json!({"tasks": [response], "next_cursor": null});
            let page: Page = serde_json::from_value(page).unwrap();
            let text = page.tasks[0].to_string();
            assert!(text.contains("  reason   ask the courier for the receipt"), "{text}");
            assert_eq!(serde_json::to_value(&page.tasks[0]).unwrap(), response);
        }
    }
}

//! `dabba shards`

use std::fmt;

use dabba_store::StoreError;
use dabba_store_postgres::{
    Ownership,
    admin::{Administration, RowCounts, WalPosition},
};
use futures::future::join_all;
use serde::Serialize;

use super::with_shards;
use crate::{
    commands::DataArguments,
    databases::{Shard, ShardsFile},
    failure::Failure,
    output,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(super) struct ShowArguments {
    /// Prints JSON, one object for each shard.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: DataArguments,
}

/// State of one shard.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// Buckets according to the map.
    buckets: String,
    is_directory: bool,
    database: String,
    state: State,
    /// What the database states about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restaurants: Option<u64>,
    /// Number of restaurants that belong to another shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    foreign_restaurants: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orders: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    orders_is_estimate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<Replica>,
    /// Reason why no server would use the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// State of the database of a shard.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// The database does not answer.
    Unreachable,
    /// The database answers, and a server with this map would refuse it.
    Refused,
}

/// State of a replica.
#[derive(Debug, Default, Serialize)]
struct Replica {
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_bytes: Option<u64>,
    /// Age of the last transaction that the replica has replayed, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_seconds_ago: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Shows the shards. Fails if a server with this map would refuse to start.
pub(super) fn run(arguments: ShowArguments) -> Result<(), Failure> {
    let json = arguments.json;
    with_shards(arguments.settings, |shards| show(shards, json))
}

async fn show(shards: ShardsFile, json: bool) -> Result<(), Failure> {
    let rows = join_all(shards.iter().map(inspect)).await;
    rows.iter().try_for_each(|row| output::either(json, row, row))?;
    if !json {
        output::note(
            "this is the state of the databases; `GET /v1/shards` shows whether a running server reaches them",
        );
    }
    let problems: Vec<String> = rows
        .iter()
        .filter_map(|row| Some(format!("shard {}: {}", row.name, row.problem.as_ref()?)))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(Failure::new(problems.join("\n"))) }
}

async fn inspect(shard: Shard<'_>) -> Row {
    let mut row = Row {
        name: shard.name.to_owned(),
        buckets: shard.buckets.to_string(),
        is_directory: shard.is_directory,
        database: shard.url.to_string(),
        state: State::Ok,
        claims: None,
        restaurants: None,
        foreign_restaurants: None,
        orders: None,
        orders_is_estimate: false,
        replica: None,
        problem: None,
    };
    match ask(&shard).await {
        Ok((claimed, row_counts, position)) => {
            row.problem = problem(&shard.ownership(), claimed.as_ref(), &position);
            row.claims = Some(claimed.map_or_else(|| "in no map".to_owned(), |claimed| claimed.to_string()));
            row.restaurants = Some(row_counts.restaurants);
            row.foreign_restaurants = Some(row_counts.foreign_restaurants);
            row.orders = Some(row_counts.orders);
            row.orders_is_estimate = row_counts.is_estimate;
            row.replica = inspect_replica(&shard, &position).await;
            if row.problem.is_some() {
                row.state = State::Refused;
            }
        }
        Err(error) => {
            // A database that answers may have a schema with which no server of this version works.
            row.state =
                if matches!(error, StoreError::Unfit(_)) { State::Refused } else { State::Unreachable };
            row.problem = Some(error.to_string());
        }
    }
    row
}

async fn ask(shard: &Shard<'_>) -> Result<(Option<Ownership>, RowCounts, WalPosition), StoreError> {
    let database = Administration::new(shard.url.as_str())?;
    let claimed = database.ownership().await?;
    Ok((claimed, database.row_counts(shard.buckets).await?, database.position().await?))
}

/// Returns the reason why no server would use a database.
fn problem(expected: &Ownership, claimed: Option<&Ownership>, position: &WalPosition) -> Option<String> {
    match claimed {
        None => Some("the database is in no map yet: run `dabba migrate`".to_owned()),
        Some(claimed) if claimed != expected => {
            Some(format!("the map says {expected}; the database says that it is {claimed}"))
        }
        Some(_) if position.is_replica => Some("the database is a replica and accepts no writes".to_owned()),
        Some(_) => None,
    }
}

async fn inspect_replica(shard: &Shard<'_>, primary: &WalPosition) -> Option<Replica> {
    let url = shard.replica_url?;
    let position = async { Administration::new(url.as_str())?.position().await };
    Some(match position.await {
        Ok(position) if position.system_identifier != primary.system_identifier => {
            Replica { problem: Some("not a replica of this shard".to_owned()), ..Replica::default() }
        }
        Ok(position) if !position.is_replica => Replica {
            problem: Some("does not follow any database any more".to_owned()),
            ..Replica::default()
        },
        Ok(position) => Replica {
            lag_bytes: Some(primary.log_bytes.saturating_sub(position.log_bytes)),
            replayed_seconds_ago: position.replayed_seconds_ago,
            problem: None,
        },
        Err(error) => Replica { problem: Some(error.to_string()), ..Replica::default() },
    })
}

impl fmt::Display for Row {
    /// Formats a shard as a block of lines, since the URL of a database alone may fill a line.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (&self.problem, self.foreign_restaurants) {
            (Some(problem), _) => problem.clone(),
            (None, Some(foreign @ 1..)) => format!("healthy; {foreign} restaurants to purge"),
            (None, _) => "healthy".to_owned(),
        };
        let about = if self.orders_is_estimate { "about " } else { "" };
        let holds = match (self.restaurants, self.orders) {
            (Some(restaurants), Some(orders)) => format!("{restaurants} restaurants, {about}{orders} orders"),
            _ => "–".to_owned(),
        };
        let directory = if self.is_directory { " (directory)" } else { "" };
        writeln!(formatter, "shard {}{directory}, buckets {}", self.name, self.buckets)?;
        let lines = [
            ("  database         ", self.database.clone()),
            ("  says that it is  ", self.claims.clone().unwrap_or_else(|| "–".to_owned())),
            ("  holds            ", holds),
            ("  replica          ", self.replica.as_ref().map_or_else(|| "–".to_owned(), Replica::describe)),
        ];
        for (name, text) in lines {
            writeln!(formatter, "{}", output::wrapped(name, &text))?;
        }
        formatter.write_str(&output::wrapped("  state            ", &state))
    }
}

impl Replica {
    fn describe(&self) -> String {
        match (&self.problem, self.lag_bytes) {
            (Some(problem), _) => problem.clone(),
            (None, Some(0)) => "up to date".to_owned(),
            (None, bytes) => {
                let seconds = self.replayed_seconds_ago.unwrap_or_default();
                format!("{} bytes, {seconds:.1} s behind", bytes.unwrap_or_default())
            }
        }
    }
}

//! `dabba copy`

mod progress;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use dabba_engine::{Clock, Random as _, SystemClock, SystemRandom};
use dabba_sim::{
    AuditOptions, audit,
    audit::{AuditReport, FindingCode},
};
use dabba_store::{
    AuditStore, OrderStore, Store as _, StoreError,
    transfer::{Contents, PageLimit, Target as _, copy},
};
use dabba_store_postgres::{CopyTarget, Ownership, PostgresOptions, PostgresStore};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use serde::Serialize;

use self::progress::Progress;
use super::{DataArguments, block_on};
use crate::{
    databases::{Databases, ShardsFile, mark_as_copied},
    failure::Failure,
    output, sandbox,
    settings::{DatabaseUrl, Settings},
};

/// Environment variable with the number of rows per page. For tests of interrupted copies, and therefore not a setting.
pub(crate) const TEST_PAGE_ROWS: &str = "DABBA_TEST_COPY_ROWS";

/// Arguments of the command.
#[derive(clap::Args)]
#[command(
    after_help = "The server of the embedded database must be stopped, and the PostgreSQL database must be \
                        empty. The embedded database is not changed. The copy can be interrupted at any moment: run the \
                        same command again to resume it."
)]
pub(crate) struct Arguments {
    /// URL of the PostgreSQL database to copy to.
    #[arg(long, value_name = "URL")]
    to: DatabaseUrl,
    /// Copies the data although the audit finds breaches in it.
    #[arg(long)]
    despite_breaches: bool,
    /// Prints one object of JSON.
    #[arg(long)]
    json: bool,
    /// Settings file (TOML); default `dabba.toml`, if that file exists.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the embedded database to copy from.
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
}

/// Copies everything from the embedded database to an empty PostgreSQL database, or resumes an interrupted copy.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { to, despite_breaches, json, config, data } = arguments;
    let settings = DataArguments { config, data, ..DataArguments::default() }.load()?;
    let file = settings.storage.embedded_database();
    let databases = Databases::Embedded(file.clone());
    databases.require()?;
    if sandbox::is_one(&settings, &databases) {
        return Err(Failure::new(format!(
            "{} is a sandbox: its times are ahead of the clocks of all other servers, so it cannot be copied",
            settings.storage.data.display()
        )));
    }
    block_on(async {
        let source = SqliteStore::open(&file, &SqliteOptions::default())
            .map_err(Failure::during(format!("opening {} (stop the server that uses it)", file.display())))?;
        let copied = Copy { settings: &settings, source: &source, to, despite_breaches, json }.run().await;
        source.close().await;
        copied
    })
}

/// A copy with its source and target.
struct Copy<'a> {
    settings: &'a Settings,
    source: &'a SqliteStore,
    to: DatabaseUrl,
    despite_breaches: bool,
    json: bool,
}

impl Copy<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let file = self.settings.storage.embedded_database();
        let shards = ShardsFile::sole(self.to.clone(), None);
        let place = shards.iter().map(|shard| shard.to_string()).collect::<String>();
        let before = inspect(self.source, "the embedded database").await?;
        if !before.is_clean() && !self.despite_breaches {
            output::line(&before)?;
            return Err(Failure::new(format!(
                "the audit found breaches in the embedded database: {}. Nothing was copied; give --despite-breaches to \
                 copy the data as it is",
                before.breaches
            )));
        }
        let during = || {
            |error: StoreError| {
                let hint = match error {
                    StoreError::Unfit(_) | StoreError::WrittenByNewer(_) | StoreError::Corrupt(_) => "",
                    // The target stores the progress of the copy, whatever the outcome of the last page.
                    StoreError::Unavailable(_)
                    | StoreError::Contention(_)
                    | StoreError::OutcomeUnknown(_) => "; run the same command again to resume",
                };
                Failure::new(format!("{}{hint}", Failure::during(format_args!("copying to {place}"))(error)))
            }
        };
        let target = CopyTarget::prepare(
            self.to.as_str(),
            &Ownership::sole(),
            self.settings.pools.application_name.as_str(),
        )
        .await
        .map_err(Failure::during(format_args!("copying to {place}")))?;
        let mut progress = Progress::default();
        let mut watch = |phase, table: &'static _, done, all| progress.show(phase, table, done, all);
        let (contents, finished_at) =
            copy(self.source, &target, page_limit(), &mut watch).await.map_err(during())?;
        if let Some(at) = finished_at {
            mark_as_copied(&file, &format!("was copied to {place} at {at}"))?;
            let text = format!("{} was already copied to {place} at {at}", file.display());
            return output::either(self.json, &Json::new(&place, at.to_string(), &contents, None), text);
        }
        let after = self.inspect_target().await?;
        // Physical damage of the file is not copied.
        let of_data = |report: &AuditReport| {
            report.breaches - report.counts.get(&FindingCode::StorageDamaged).copied().unwrap_or_default()
        };
        if of_data(&after) != of_data(&before) || after.orders != before.orders {
            output::line(&after)?;
            return Err(Failure::new(format!(
                "the audit of {place} found {} breaches in {} orders, and the audit of the embedded database {} in {}: the \
                 copy is not complete",
                after.breaches, after.orders, before.breaches, before.orders
            )));
        }
        target.finish().await.map_err(during())?;
        let now = SystemClock.now();
        mark_as_copied(&file, &format!("was copied to {place} at {now}"))?;
        if self.json {
            return output::json(&Json::new(&place, now.to_string(), &contents, Some(&after)));
        }
        output::line(format_args!("{}", Summary { contents: &contents, report: &after }))?;
        output::line(format_args!(
            "{} is copied to {place} and verified. Serve with --database from now on, and move the file away.",
            file.display()
        ))
    }

    /// Audits the target, which other processes cannot open yet.
    async fn inspect_target(&self) -> Result<AuditReport, Failure> {
        let options = PostgresOptions { during_copy: true, ..PostgresOptions::default() };
        let randomness = Arc::new(|| SystemRandom.next_u64());
        let store = PostgresStore::open(self.to.as_str(), &Ownership::sole(), &options, randomness).await;
        let store = store.map_err(Failure::during("opening the copy"))?;
        let report = inspect(&store, "the copy").await;
        store.close().await;
        report
    }
}

async fn inspect<S: OrderStore + AuditStore>(store: &S, what: &str) -> Result<AuditReport, Failure> {
    let report = audit(store, None, &AuditOptions::new(SystemClock.now())).await;
    report.map_err(Failure::during(format!("auditing {what}")))
}

fn page_limit() -> PageLimit {
    let rows = std::env::var(TEST_PAGE_ROWS).ok().and_then(|rows| rows.parse().ok());
    PageLimit { rows: rows.unwrap_or(PageLimit::DEFAULT.rows), ..PageLimit::DEFAULT }
}

/// The JSON output.
#[derive(Serialize)]
struct Json<'a> {
    database: &'a str,
    copied_at: String,
    /// Number of rows by table.
    tables: BTreeMap<String, u64>,
    /// Findings of the audit of the copy; omitted if an earlier run completed the copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaches: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<u64>,
}

impl<'a> Json<'a> {
    fn new(database: &'a str, copied_at: String, contents: &Contents, report: Option<&AuditReport>) -> Self {
        let tables = contents.tables.iter().map(|(table, digest)| (table.clone(), digest.rows)).collect();
        let (breaches, warnings) =
            (report.map(|report| report.breaches), report.map(|report| report.warnings));
        Self { database, copied_at, tables, breaches, warnings }
    }
}

/// Summary of the copy for the operator.
struct Summary<'a> {
    contents: &'a Contents,
    report: &'a AuditReport,
}

impl std::fmt::Display for Summary<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (table, digest) in &self.contents.tables {
            writeln!(formatter, "rows of {table}: {}", digest.rows)?;
        }
        // `dabba audit` reports each warning. Tasks are overdue while no server runs.
        let AuditReport { orders, events, breaches, warnings, .. } = self.report;
        write!(formatter, "orders: {orders}, events: {events}, breaches: {breaches}, warnings: {warnings}")
    }
}

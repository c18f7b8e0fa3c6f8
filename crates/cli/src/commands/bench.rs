//! `dabba bench`

mod disposable;
mod events;
mod plot;
mod server;
mod table;
mod usage;
mod verify;

use std::{
    ffi::OsString,
    io::{IsTerminal as _, Write as _},
    num::{NonZeroU32, NonZeroU64},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_engine::{Clock as _, Random as _, SystemClock, SystemRandom};
use dabba_sim::workload::{
    Dataset, Load, LoadReport, MAX_CONNECTIONS, MAX_DURATION, MAX_PREFILL, Mix, OperationCount, PlacedOrders,
    prefill, prepare, run_load,
};

use self::{plot::Plot, server::Server, table::Line, verify::Expected};
use crate::{
    commands::DataArguments,
    databases::Databases,
    failure::Failure,
    open_files,
    settings::{Settings, WebUrl},
};

/// Number of orders that are placed first, so that reads find orders.
const ORDERS_TO_READ: u64 = 1_000;
/// Maximum time for placing these orders.
const PREPARATION_LIMIT: Duration = Duration::from_mins(1);
/// Maximum number of threads of a load.
const MAX_THREADS: usize = 64;
/// Maximum number of connections from one address to a server without other settings.
const CONNECTIONS_PER_ADDRESS: usize = 1_024;
/// Connections beside those of a load: preparation and verification.
const OTHER_CONNECTIONS: usize = 64;
/// Open files beside connections: standard streams, files, and the connections to databases.
const OTHER_FILES: usize = 128;
/// Interval between two progress reports.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of the command.
#[derive(clap::Args)]
#[command(
    after_help = "By default, the command starts its own server, on an embedded database in a temporary directory or on \
                        the given PostgreSQL databases, prepares restaurants and accounts, and loads the server from this \
                        machine. Afterwards it kills the server and verifies that every acknowledged order exists.\n\n\
                        A running server, given with --server, must be on this machine, and keeps running. Start \
                        it with --open-orders-limit 0, --customer-writes-limit 0 and so on (dabba settings), otherwise it \
                        refuses most of the load. The settings must locate its signing key, and --database or --shards its \
                        orders, so that the auditor can read them. If the server uses the embedded database, which only one \
                        process can open, the orders are listed over the API and not audited.\n\n\
                        The load writes restaurants, accounts and orders, and does not remove them. So a database that \
                        contains data is refused unless --disposable is given, and only the flags select the databases: \
                        the environment and the settings file do not.\n\n\
                        The mix events runs alone. It creates webhook endpoints whose receivers are in this command, opens \
                        streams, places orders at a rate (default 50 per second), and measures the time from an event to \
                        its receipt. Afterwards it compares the receipts of each endpoint and stream with the feed, and \
                        fails if a matching event is missing or out of order. A server given with --server must be started \
                        with webhook_allowed_hosts for the three ports of --receiver-port."
)]
pub(crate) struct Arguments {
    /// Operation to repeat: place, life (placed to delivered), menu, order, kitchen or replay. Several values,
    /// separated by commas, run one after the other. Or events, alone: orders whose events are received.
    #[arg(long, value_delimiter = ',', value_parser = kind, default_value = "place")]
    mix: Vec<Kind>,
    /// Number of connections. Several values, separated by commas, result in several runs.
    #[arg(long, value_delimiter = ',', default_value = "64", value_parser = connections)]
    connections: Vec<usize>,
    /// Number of threads of the load. 1 to 64; default 1, which leaves the other processors to the server; with
    /// --mix events the number of processors.
    #[arg(long, value_parser = threads)]
    threads: Option<usize>,
    /// Operations started per second, whether or not earlier ones are answered (open loop). By default, each connection
    /// starts an operation when the previous one is answered (closed loop). Several values result in several runs.
    #[arg(long, value_delimiter = ',')]
    rate: Vec<NonZeroU32>,
    /// Duration of a run, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=MAX_DURATION.as_secs()))]
    seconds: u64,
    /// Skips the audit of the whole database, which takes long for a large database. Acknowledged orders are verified
    /// nevertheless.
    #[arg(long)]
    skip_audit: bool,
    /// Prints one JSON object per run.
    #[arg(long)]
    json: bool,
    /// Draws latency over load into this file (SVG), with a curve for each mix.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// States that the data in the database is not needed. Without this flag, a database with data is refused.
    #[arg(long)]
    disposable: bool,
    /// Measures this running server instead of starting one, for example `http://127.0.0.1:8080`.
    #[arg(long, value_name = "URL", value_parser = super::remote::server_url)]
    server: Option<WebUrl>,
    /// Number of delivered orders to write to the database first, as a history. Not with --server.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, conflicts_with = "server")]
    #[arg(value_parser = clap::value_parser!(u64).range(..=MAX_PREFILL))]
    prefill: u64,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    events: events::EventArguments,
}

/// What a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Requests.
    Requests(Mix),
    /// The events that requests cause.
    Events,
}

fn kind(name: &str) -> Result<Kind, String> {
    if name == "events" {
        return Ok(Kind::Events);
    }
    let mix = Mix::from_name(name).map(Kind::Requests);
    mix.ok_or_else(|| "must be place, life, menu, order, kitchen, replay or events".to_owned())
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=MAX_THREADS).contains(&number) => Ok(number),
        _ => Err(format!("must be from 1 to {MAX_THREADS}")),
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=MAX_CONNECTIONS).contains(&number) => Ok(number),
        _ => Err(format!("must be from 1 to {MAX_CONNECTIONS}")),
    }
}

impl Arguments {
    fn is_of_events(&self) -> bool {
        self.mix.contains(&Kind::Events)
    }

    /// Returns the mixes of requests, in their order.
    fn mixes(&self) -> Vec<Mix> {
        let requests = self.mix.iter().filter_map(|kind| match kind {
            Kind::Requests(mix) => Some(*mix),
            Kind::Events => None,
        });
        requests.collect()
    }

    fn max_connections(&self) -> usize {
        self.connections.iter().copied().max().unwrap_or_default()
    }

    /// Refuses arguments that do not fit together.
    fn check(&self) -> Result<(), Failure> {
        if !self.is_of_events() {
            return if self.events == events::EventArguments::default() {
                Ok(())
            } else {
                Err(Failure::new("the options for events need --mix events"))
            };
        }
        if self.mix.len() > 1 || self.connections.len() > 1 || self.rate.len() > 1 {
            return Err(Failure::new(
                "the mix events runs alone, with one value of --connections and of --rate",
            ));
        }
        if self.plot.is_some() {
            return Err(Failure::new("--plot does not draw the mix events"));
        }
        self.events.check(self)
    }
}

/// Runs the load test and verifies the acknowledged orders.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    arguments.check()?;
    let wanted = arguments.max_connections() + arguments.events.connections();
    let needed = wanted + OTHER_CONNECTIONS + OTHER_FILES;
    // Each connection is an open file.
    if let Some(limit) = open_files::raise_limit().filter(|limit| *limit < needed) {
        return Err(Failure::new(format!(
            "{wanted} connections need {needed} open files, and the limit is {limit}: raise the limit (ulimit -n), or \
             give fewer connections"
        )));
    }
    let threads = arguments.threads.unwrap_or_else(|| {
        if arguments.is_of_events() { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 }
    });
    let runtime = if threads == 1 {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
    };
    let runtime = runtime.map_err(Failure::during("starting the runtime"))?;
    if arguments.is_of_events() {
        runtime.block_on(events::run(arguments))
    } else {
        runtime.block_on(bench(arguments))
    }
}

/// A server to measure.
struct Opened {
    server: Server,
    settings: Settings,
    /// Directory of the server that this command starts.
    _directory: tempfile::TempDir,
}

/// Starts a server with these further flags, or uses the running server that the arguments name.
async fn open(arguments: &Arguments, flags: &[OsString]) -> Result<Opened, Failure> {
    let directory = tempfile::tempdir().map_err(Failure::during("creating a temporary directory"))?;
    let mut data = arguments.data.clone();
    let (server, settings) = match &arguments.server {
        Some(url) => {
            let mut settings = data.load_for_test_data()?;
            settings.storage.migrate = false;
            let server = Server::running(url, &settings)?;
            if !arguments.disposable {
                disposable::refuse_server(&server).await?;
            }
            (server, settings)
        }
        None if data.data.is_some() => {
            return Err(Failure::new("--data needs --server, which gives the URL of a running server"));
        }
        None => {
            data.data = Some(directory.path().join("data"));
            let settings = data.clone().load_for_test_data()?;
            if !arguments.disposable {
                disposable::refuse_database(&settings).await?;
            }
            fill(&settings, arguments.prefill).await?;
            data.write_config_without_databases(&directory.path().join("settings.toml"))?;
            (Server::start(&settings, &data, flags).await?, settings)
        }
    };
    Ok(Opened { server, settings, _directory: directory })
}

/// Returns the flags with which a server accepts this number of connections and streams from one address. A server with
/// its own limits is not changed if they suffice.
fn connection_flags(connections: usize, streams: usize) -> Vec<OsString> {
    let wanted = connections + streams + OTHER_CONNECTIONS;
    if wanted <= CONNECTIONS_PER_ADDRESS + OTHER_CONNECTIONS {
        return Vec::new();
    }
    // Streams use at most three quarters of the connections.
    let limit = wanted.max(streams + streams.div_ceil(2)).to_string();
    let flags = ["--connection-limit", &limit, "--connections-per-address-limit", &limit];
    flags.map(OsString::from).into()
}

fn new_run() -> String {
    format!("bench-{:08x}", SystemRandom.next_u64() >> 32)
}

async fn bench(arguments: Arguments) -> Result<(), Failure> {
    let plot = arguments.plot.clone().map(Plot::at).transpose()?;
    let flags = connection_flags(arguments.max_connections(), 0);
    let Opened { server, settings, _directory } = open(&arguments, &flags).await?;
    let run = new_run();
    let client = server.client()?;
    let dataset = prepare(&client, &server, &run).await.map_err(Failure::during("preparing restaurants"))?;
    let mut bench = Bench {
        arguments,
        server,
        dataset: Arc::new(dataset),
        run,
        lines: Vec::new(),
        acknowledged: Vec::new(),
        unsure: 0,
    };
    bench.place_orders_to_read().await?;
    table::begin(bench.arguments.json)?;
    for mix in bench.arguments.mixes() {
        for connections in bench.arguments.connections.clone() {
            for rate in bench.rates() {
                bench.measure(mix, connections, rate).await?;
            }
        }
    }
    let Bench {
        server,
        dataset,
        lines,
        acknowledged,
        unsure,
        arguments: Arguments { json, skip_audit, .. },
        ..
    } = bench;
    let expected = Expected { acknowledged: &acknowledged, unsure, is_audited: !skip_audit };
    let verified = if server.is_own() {
        server.kill().await?;
        expected.verify_in_store(&settings).await
    } else {
        expected.verify_on_server(&client, &dataset.customers, &settings).await
    };
    verified?.print(json)?;
    plot.map_or(Ok(()), |plot| plot.draw(&lines, json))
}

/// Writes a history of orders to the databases of these settings.
async fn fill(settings: &Settings, orders: u64) -> Result<(), Failure> {
    if orders == 0 {
        return Ok(());
    }
    let store = Databases::from_settings(settings)?.open(settings).await?.store;
    let progress = OperationCount::default();
    let filled = with_progress(
        "orders written",
        &progress,
        prefill(&store, &SystemRandom, orders, SystemClock.now(), &progress),
    );
    let filled = filled.await.map_err(Failure::during("filling the database"));
    store.close().await;
    filled
}

/// Runs a future to its end, and shows its progress on a terminal.
async fn with_progress<T>(what: &str, progress: &OperationCount, running: impl Future<Output = T>) -> T {
    tokio::pin!(running);
    let done = loop {
        tokio::select! {
            done = &mut running => break done,
            () = tokio::time::sleep(PROGRESS_INTERVAL) => show(what, progress.load(Ordering::Relaxed)),
        }
    };
    hide();
    done
}

struct Bench {
    arguments: Arguments,
    server: Server,
    dataset: Arc<Dataset>,
    run: String,
    /// Results of the runs so far.
    lines: Vec<Line>,
    /// Ids of all acknowledged orders.
    acknowledged: Vec<String>,
    /// Number of requests whose outcome is unknown: they may or may not have placed an order.
    unsure: u64,
}

impl Bench {
    fn rates(&self) -> Vec<Option<NonZeroU32>> {
        let rates: Vec<_> = self.arguments.rate.iter().copied().map(Some).collect();
        if rates.is_empty() { vec![None] } else { rates }
    }

    async fn place_orders_to_read(&mut self) -> Result<(), Failure> {
        if !self.arguments.mixes().iter().any(|mix| matches!(mix, Mix::Order | Mix::Kitchen | Mix::Replay)) {
            return Ok(());
        }
        let load = self.load(Mix::Place, 8, None, "read");
        let load = Load { max_operations: ORDERS_TO_READ, duration: PREPARATION_LIMIT, ..load };
        let run = load.run.clone();
        // A single customer, so that the owner of the orders is known.
        let customers = self.dataset.customers[..1].to_vec();
        let dataset = Arc::new(Dataset { customers, ..Dataset::clone(&self.dataset) });
        let report = self.put(load, dataset).await?;
        if report.error_count() > 0 {
            return Err(Failure::new(format!(
                "the orders for the reads could not be placed: {:?}",
                report.errors
            )));
        }
        let placed = NonZeroU64::new(report.count()).map(|count| PlacedOrders { run, count });
        let orders = report.acknowledged.iter().map(|id| (id.clone(), 0)).collect();
        self.dataset = Arc::new(Dataset { orders, placed, ..Dataset::clone(&self.dataset) });
        Ok(())
    }

    fn load(&self, mix: Mix, connections: usize, rate: Option<NonZeroU32>, name: &str) -> Load {
        Load {
            address: self.server.address(),
            mix,
            connections,
            rate,
            duration: Duration::from_secs(self.arguments.seconds),
            max_operations: u64::MAX,
            run: format!("{}-{name}", self.run),
        }
    }

    async fn measure(
        &mut self,
        mix: Mix,
        connections: usize,
        rate: Option<NonZeroU32>,
    ) -> Result<(), Failure> {
        let rate_name = rate.map_or("closed".to_owned(), |rate| rate.to_string());
        let load = self.load(mix, connections, rate, &format!("{}-{connections}-{rate_name}", mix.as_str()));
        let dataset = Arc::clone(&self.dataset);
        let report = self.put(load, dataset).await?;
        let line = Line::new(mix, connections, rate, &report);
        line.print(self.arguments.json)?;
        self.lines.push(line);
        Ok(())
    }

    /// Loads the server, and adds the acknowledged orders to the list.
    async fn put(&mut self, load: Load, dataset: Arc<Dataset>) -> Result<LoadReport, Failure> {
        let progress = OperationCount::default();
        let report = with_progress("begun", &progress, run_load(load, dataset, Arc::clone(&progress))).await;
        let report = report.map_err(Failure::during("loading the server"))?;
        self.acknowledged.extend(report.acknowledged.iter().cloned());
        self.unsure += report.error_count();
        Ok(report)
    }
}

/// Shows progress on a terminal.
fn show(what: &str, count: u64) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        // A failed write of the progress is ignored.
        let _ = write!(stderr, "\r{count} {what}").and_then(|()| stderr.flush());
    }
}

fn hide() {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush());
    }
}

//! The mix `events`: how soon and how completely events reach webhook endpoints and streams.

mod arguments;
mod boards;
mod report;

use std::{
    ffi::OsString,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use dabba_domain::{RestaurantId, Role};
use dabba_sim::{
    Client,
    workload::{
        Dataset, Issuer as _, Load, LoadReport, Mix, OperationCount,
        events::{
            BoardLedger, Class, Endpoint, Expected, FeedReader, Interest, Latencies, Ledger, NEVER_CAUSED,
            Receipts, Receivers, StreamRequest, Streams, create_endpoints,
        },
        prepare_restaurants, run_load,
    },
};
use dabba_store::{FeedPosition, StoreError};
use tokio::net::TcpListener;

pub(super) use self::arguments::EventArguments;
use self::{
    boards::{planned_boards, restaurants_of},
    report::{Idle, Report, Row},
};
use super::{
    Arguments as BenchArguments, Opened, connection_flags, new_run, open,
    server::{Server, address_of},
    table::{self, Line, milliseconds},
    usage,
    verify::Expected as ExpectedOrders,
    with_progress,
};
use crate::{databases::Databases, failure::Failure, settings::Settings};

/// Number of idle streams per token: a server allows 64.
const STREAMS_PER_TOKEN: usize = 60;
/// Interval at which the receipts are compared with the feed after the load.
const COMPARISON_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum time for reading the feed from its start.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(10);
/// Number of events per read without HTTP: the page of the sender of webhooks.
const DIRECT_PAGE: u32 = 500;
/// An event that every whole life has.
const OF_EVERY_LIFE: &str = "delivered";
/// Maximum number of events in the feed for each event that the load may cause.
const FEED_MARGIN: usize = 2;

/// An endpoint, a stream or a board with what it received.
struct Subject {
    /// Index into the groups.
    group: usize,
    restaurant: Option<RestaurantId>,
    types: Vec<String>,
    ledger: Arc<dyn Receipts>,
}

impl Subject {
    fn interest(&self) -> Interest<'_> {
        Interest { restaurant: self.restaurant, types: &self.types }
    }
}

/// The classes of endpoints, and the streams and boards after them.
struct Group {
    name: &'static str,
    is_healthy: bool,
    latencies: Arc<Latencies>,
}

/// Index of the streams' group.
const STREAM_GROUP: usize = Class::ALL.len();
/// Index of the boards' group.
const BOARD_GROUP: usize = STREAM_GROUP + 1;

struct Run {
    arguments: BenchArguments,
    server: Server,
    dataset: Arc<Dataset>,
    name: String,
    admin_token: String,
    groups: Vec<Group>,
    subjects: Vec<Subject>,
    /// Ids of the created endpoints.
    endpoints: Vec<String>,
}

/// Runs the load, and compares what was received with the feed.
pub(super) async fn run(arguments: BenchArguments) -> Result<(), Failure> {
    let json = arguments.json;
    let (mut receivers, listeners) =
        Receivers::bind(arguments.events.ports()).map_err(Failure::during("starting the receivers"))?;
    let flags = flags(&arguments, &receivers);
    let Opened { server, settings, _directory } = open(&arguments, &flags).await?;
    let mut run = Run::prepare(arguments, server).await?;
    run.create_endpoints(&mut receivers, listeners).await?;
    let idle = run.open_idle_streams().await?;
    let streams = run.open_streams().await?;
    let mut feed = FeedReader::connect(run.server.address(), &run.admin_token).await.map_err(feed_failure)?;
    let cursor = feed.now().await.map_err(feed_failure)?;

    table::begin(json)?;
    let warmed_up = run.warm_up().await?;
    let before = run.processor();
    let load = run.load("", run.arguments.seconds).await?;
    let (line, ended) = (run.line(&load), Instant::now());
    line.print(json)?;
    let loads = [load, warmed_up];
    let (expected, incomplete) = run.expected(&mut feed, &cursor, &loads).await?;
    run.wait_for(&expected).await;
    let drained = ended.elapsed();
    let after = run.processor();
    let caught_up = feed.catch_up(CATCH_UP_LIMIT).await.map_err(feed_failure)?;
    let per_order = |before: Option<Duration>, after: Option<Duration>| {
        let used = after?.checked_sub(before?)?;
        Some(milliseconds(used) * 1_000.0 / to_float(loads[0].count()))
    };
    let report = Report {
        mix: "events",
        events: expected.count(),
        orders_incomplete: incomplete,
        drained_ms: milliseconds(drained),
        receivers: run.rows(&expected),
        streams_resumed: streams.ended(),
        idle_streams: idle.map(|(streams, idle)| Idle { ended: streams.ended(), ..idle }),
        catch_up_events: caught_up.events,
        catch_up_per_second: caught_up.per_second(),
        direct_per_second: None,
        server_us_per_order: per_order(before.0, after.0),
        database_us_per_order: per_order(before.1, after.1),
    };
    run.finish(&loads, &settings, report).await
}

/// Reads the feeds of all shards from their start as senders do, without HTTP. Returns the number of events per second.
async fn read_directly(settings: &Settings) -> Result<f64, Failure> {
    let store = Databases::from_settings(settings)?.open(settings).await?.store;
    let read = async {
        let (started, mut events) = (Instant::now(), 0);
        for shard in 0..store.feed_sources().len() {
            let mut after = FeedPosition::START;
            while started.elapsed() < CATCH_UP_LIMIT {
                let page = store.feed(shard, after, DIRECT_PAGE).await?;
                events += u64::try_from(page.events.len()).unwrap_or(u64::MAX);
                let Some(last) = page.events.last().filter(|_| !page.is_at_end) else { break };
                after = last.position;
            }
        }
        Ok::<_, StoreError>(to_float(events) / started.elapsed().as_secs_f64().max(f64::MIN_POSITIVE))
    };
    let read = read.await.map_err(Failure::during("reading the feed"));
    store.close().await;
    read
}

/// Returns the flags of a server that this command starts.
fn flags(arguments: &BenchArguments, receivers: &Receivers) -> Vec<OsString> {
    let hosts: Vec<String> = receivers.ports().addresses().iter().map(ToString::to_string).collect();
    let mut flags = connection_flags(arguments.max_connections(), arguments.events.connections());
    if arguments.events.endpoints() > 0 {
        flags.extend(["--webhook-allowed-hosts".into(), hosts.join(",").into()]);
    }
    flags
}

fn feed_failure(reason: impl std::fmt::Display) -> Failure {
    Failure::new(format!("reading the feed: {reason}"))
}

#[expect(clippy::cast_precision_loss, reason = "the number is only displayed")]
fn to_float(number: u64) -> f64 {
    number.max(1) as f64
}

impl Run {
    async fn prepare(arguments: BenchArguments, server: Server) -> Result<Self, Failure> {
        let name = new_run();
        let client = server.client()?;
        let restaurants = arguments.events.restaurants();
        let dataset = prepare_restaurants(&client, &server, &name, restaurants)
            .await
            .map_err(Failure::during("preparing restaurants"))?;
        let classes = Class::ALL.iter().map(|class| (class.as_str(), class.is_healthy()));
        let groups = classes.chain([("stream", true), ("board", true)]).map(|(name, is_healthy)| Group {
            name,
            is_healthy,
            latencies: Arc::default(),
        });
        Ok(Self {
            groups: groups.collect(),
            admin_token: server.token(server.fresh_account_id(), Role::Admin),
            arguments,
            server,
            dataset: Arc::new(dataset),
            name,
            subjects: Vec::new(),
            endpoints: Vec::new(),
        })
    }

    fn admin(&self) -> Result<Client, Failure> {
        Ok(self.server.client()?.with_token(&self.admin_token))
    }

    /// Returns the endpoints of the run: those of restaurants are distributed over the restaurants.
    fn planned(&self) -> Result<Vec<Endpoint>, Failure> {
        let restaurants = restaurants_of(&self.dataset)?;
        let arguments = &self.arguments.events;
        let endpoints = Class::ALL.into_iter().flat_map(|class| {
            let types = match class {
                Class::Unmatched => vec![NEVER_CAUSED.to_owned()],
                Class::Restaurant | Class::Platform => arguments.endpoint_types.clone(),
                Class::Hanging | Class::Dead => Vec::new(),
            };
            let owners = restaurants.iter().copied().cycle().take(arguments.endpoints_of(class));
            owners.map(move |owner| Endpoint {
                class,
                restaurant: (class != Class::Platform).then_some(owner),
                types: types.clone(),
            })
        });
        Ok(endpoints.collect())
    }

    async fn create_endpoints(
        &mut self,
        receivers: &mut Receivers,
        listeners: [TcpListener; 2],
    ) -> Result<(), Failure> {
        let endpoints = self.planned()?;
        let mut ledgers = Vec::with_capacity(endpoints.len());
        for endpoint in &endpoints {
            let group = Class::ALL.iter().position(|class| *class == endpoint.class).unwrap_or_default();
            let ledger = Arc::new(Ledger::new(Arc::clone(&self.groups[group].latencies)));
            ledgers.push(Arc::clone(&ledger));
            self.subjects.push(Subject {
                group,
                restaurant: endpoint.restaurant,
                types: endpoint.types.clone(),
                ledger,
            });
        }
        receivers.start(listeners, &ledgers.into(), &self.server.clock());
        let created = create_endpoints(&self.admin()?, &endpoints, receivers.ports()).await;
        self.endpoints = created.map_err(Failure::during("creating the webhook endpoints"))?;
        Ok(())
    }

    /// Opens the idle streams, and measures the server with them. Returns `None` without idle streams.
    async fn open_idle_streams(&self) -> Result<Option<(Streams, Idle)>, Failure> {
        let count = self.arguments.events.idle_streams();
        if count == 0 {
            return Ok(None);
        }
        let fresh = || self.server.token(self.server.fresh_account_id(), Role::Admin);
        let tokens: Vec<String> = (0..count.div_ceil(STREAMS_PER_TOKEN)).map(|_| fresh()).collect();
        let requests = (0..count).map(|number| StreamRequest {
            path: format!("/v1/events/stream?types={NEVER_CAUSED}"),
            token: tokens[number / STREAMS_PER_TOKEN].clone(),
            ledger: None,
        });
        let process = self.arguments.events.server_pid.or_else(|| self.server.process());
        let usage = || process.and_then(usage::of_process);
        let before = usage();
        let streams = Streams::open(self.server.address(), requests.collect(), &self.server.clock()).await;
        let streams = streams.map_err(|why| Failure::new(format!("opening idle streams: {why}")))?;
        let (opened, started) = (usage(), Instant::now());
        tokio::time::sleep(Duration::from_secs(self.arguments.events.idle_seconds())).await;
        let (after, elapsed) = (usage(), started.elapsed());
        let grown = before.zip(after).map(|(before, after)| {
            after.resident_bytes.saturating_sub(before.resident_bytes)
                / u64::try_from(count).unwrap_or(u64::MAX)
        });
        let share = opened.zip(after).map(|(opened, after)| {
            after.processor.saturating_sub(opened.processor).as_secs_f64() * 100.0 / elapsed.as_secs_f64()
        });
        let idle = Idle { count, ended: 0, bytes_each: grown, processor_percent: share };
        Ok(Some((streams, idle)))
    }

    /// Opens the measured streams and boards.
    async fn open_streams(&mut self) -> Result<Streams, Failure> {
        let address = match &self.arguments.events.stream_server {
            Some(url) => address_of(url)?,
            None => self.server.address(),
        };
        let mut requests = Vec::new();
        for _ in 0..self.arguments.events.streams() {
            let ledger = Ledger::new(Arc::clone(&self.groups[STREAM_GROUP].latencies));
            let (path, token) = ("/v1/events/stream".to_owned(), self.admin_token.clone());
            requests.push(self.measured(STREAM_GROUP, None, path, token, Arc::new(ledger)));
        }
        requests.extend(self.boards()?);
        let opened = Streams::open(address, requests, &self.server.clock()).await;
        opened.map_err(|why| Failure::new(format!("opening streams: {why}")))
    }

    /// Returns the requests for the boards. Staff open them, with a device, as the page of the kitchen does: the presence
    /// of boards is part of their cost.
    fn boards(&mut self) -> Result<Vec<StreamRequest>, Failure> {
        let count = self.arguments.events.boards();
        if count == 0 {
            return Ok(Vec::new());
        }
        let (staff, restaurants) = planned_boards(&self.dataset, count)?;
        let tokens = self.server.tokens(staff, Role::Restaurant, count.div_ceil(STREAMS_PER_TOKEN));
        let tokens = tokens.iter().flat_map(|token| std::iter::repeat_n(token, STREAMS_PER_TOKEN));
        let requests = restaurants.into_iter().zip(tokens).map(|(restaurant, token)| {
            let device = self.server.fresh_account_id();
            let path = format!("/v1/restaurants/{restaurant}/board/stream?device_id={device}&device=bench");
            let ledger = BoardLedger::new(Arc::clone(&self.groups[BOARD_GROUP].latencies));
            self.measured(BOARD_GROUP, Some(restaurant), path, token.clone(), Arc::new(ledger))
        });
        Ok(requests.collect())
    }

    /// Returns the request for a stream of a group, and keeps its receipts for the comparison.
    fn measured(
        &mut self,
        group: usize,
        restaurant: Option<RestaurantId>,
        path: String,
        token: String,
        ledger: Arc<dyn Receipts>,
    ) -> StreamRequest {
        self.subjects.push(Subject { group, restaurant, types: Vec::new(), ledger: Arc::clone(&ledger) });
        StreamRequest { path, token, ledger: Some(ledger) }
    }

    /// Returns the processor time of the server and of the database so far.
    fn processor(&self) -> (Option<Duration>, Option<Duration>) {
        let arguments = &self.arguments.events;
        let server = arguments.server_pid.or_else(|| self.server.process());
        let server = server.and_then(usage::of_process).map(|usage| usage.processor);
        (server, arguments.database_pid.and_then(usage::of_family))
    }

    fn rate(&self) -> Option<NonZeroU32> {
        self.arguments.rate.first().copied().or_else(|| NonZeroU32::new(arguments::DEFAULT_RATE))
    }

    fn mix(&self) -> Mix {
        if self.arguments.events.only_place { Mix::Place } else { Mix::Life }
    }

    /// Runs the load until connections are open and the sender knows the endpoints, which it reads once per second.
    async fn warm_up(&self) -> Result<LoadReport, Failure> {
        let seconds = self.arguments.events.warm_up_seconds();
        let report =
            if seconds == 0 { LoadReport::default() } else { self.load("-warm-up", seconds).await? };
        let now = self.server.clock().now();
        self.groups.iter().for_each(|group| group.latencies.measure_from(now));
        Ok(report)
    }

    /// Runs the load for some seconds. The suffix tells the loads of a run apart.
    async fn load(&self, suffix: &str, seconds: u64) -> Result<LoadReport, Failure> {
        let load = Load {
            address: self.server.address(),
            mix: self.mix(),
            connections: self.arguments.max_connections(),
            rate: self.rate(),
            duration: Duration::from_secs(seconds),
            max_operations: u64::MAX,
            run: format!("{}{suffix}", self.name),
        };
        let progress = OperationCount::default();
        let running = run_load(load, Arc::clone(&self.dataset), Arc::clone(&progress));
        with_progress("begun", &progress, running).await.map_err(Failure::during("loading the server"))
    }

    fn line(&self, load: &LoadReport) -> Line {
        Line::new(self.mix(), self.arguments.max_connections(), self.rate(), load)
    }

    /// Returns the events that the feed contains after the cursor, and how many of the acknowledged orders lack some. A
    /// transaction that is open delays the feed, so the feed is read again until none does, or for the maximum time.
    async fn expected(
        &self,
        feed: &mut FeedReader,
        cursor: &str,
        loads: &[LoadReport],
    ) -> Result<(Expected, u64), Failure> {
        let rate = u64::from(self.rate().map_or(1, NonZeroU32::get));
        let seconds = self.arguments.seconds.saturating_add(self.arguments.events.warm_up_seconds());
        let caused = rate.saturating_mul(seconds).saturating_mul(arguments::EVENTS_PER_ORDER);
        let max = usize::try_from(caused).unwrap_or(usize::MAX).saturating_mul(FEED_MARGIN);
        let needed = (self.mix() == Mix::Life).then_some(OF_EVERY_LIFE);
        let started = Instant::now();
        loop {
            let expected = feed.read_after(cursor, max).await.map(Expected::new).map_err(feed_failure)?;
            let incomplete = loads.iter().map(|load| expected.incomplete(&load.acknowledged, needed)).sum();
            if incomplete == 0 || started.elapsed() >= self.drain_limit() {
                return Ok((expected, incomplete));
            }
            tokio::time::sleep(COMPARISON_INTERVAL).await;
        }
    }

    fn drain_limit(&self) -> Duration {
        Duration::from_secs(self.arguments.events.drain_seconds())
    }

    /// Waits until everything has arrived at every healthy endpoint, stream and board, or for the maximum time.
    async fn wait_for(&self, expected: &Expected) {
        let (limit, started) = (self.drain_limit(), Instant::now());
        let lacks = |subject: &Subject| {
            self.groups[subject.group].is_healthy
                && subject.ledger.compare(expected, subject.interest()).missing > 0
        };
        while started.elapsed() < limit && self.subjects.iter().any(lacks) {
            tokio::time::sleep(COMPARISON_INTERVAL).await;
        }
    }

    /// Returns a row for each group with endpoints, streams or boards.
    fn rows(&self, expected: &Expected) -> Vec<Row> {
        let rows = self
            .groups
            .iter()
            .map(|Group { name, is_healthy, latencies }| Row::new(name, *is_healthy, latencies));
        let mut rows: Vec<Row> = rows.collect();
        for subject in &self.subjects {
            let finding = subject.ledger.compare(expected, subject.interest());
            rows[subject.group].add(subject.ledger.as_ref(), finding);
        }
        rows.retain(|row| row.count > 0);
        rows
    }

    /// Verifies the acknowledged orders and the receipts.
    async fn finish(
        self,
        loads: &[LoadReport],
        settings: &Settings,
        mut report: Report,
    ) -> Result<(), Failure> {
        let BenchArguments { json, skip_audit, .. } = self.arguments;
        let acknowledged: Vec<String> =
            loads.iter().flat_map(|load| load.acknowledged.iter().cloned()).collect();
        let orders = ExpectedOrders {
            acknowledged: &acknowledged,
            unsure: loads.iter().map(LoadReport::error_count).sum(),
            is_audited: !skip_audit,
        };
        let verified = if self.server.is_own() {
            self.server.kill().await?;
            report.direct_per_second = Some(read_directly(settings).await?);
            report.print(json)?;
            orders.verify_in_store(settings).await
        } else {
            report.print(json)?;
            self.delete_endpoints().await?;
            let client = self.server.client()?;
            orders.verify_on_server(&client, &self.dataset.customers, settings).await
        };
        verified?.print(json)?;
        report.require_clean()
    }

    /// Deletes the endpoints of the run, so that a running server does not retry their deliveries.
    async fn delete_endpoints(&self) -> Result<(), Failure> {
        let admin = self.admin()?;
        for id in &self.endpoints {
            let deleted = admin.delete(&format!("/v1/webhook-endpoints/{id}")).if_match("*").send().await;
            deleted.map_err(Failure::during("deleting the webhook endpoints"))?;
        }
        Ok(())
    }
}

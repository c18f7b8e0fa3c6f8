//! A simulation with random users, a failing payment provider, dying servers, hanging stores, wrong clocks and lost
//! responses, in virtual time that runs as fast as the machine allows.
//!
//! Real parts are the engine with its committers, workers and watchers, the sender of webhooks, the router over several shards, the stores,
//! the domain and the rules of the simulated provider. Simulated parts are the time, the randomness, and the layers
//! between the real parts, in which calls take time, fail and hang. Users act in parallel on two servers, so commits
//! share batches and servers conflict with each other.
//!
//! **Determinism.** The seed determines the whole simulation: equal seeds give equal hashes of all events and of all
//! store calls. So every failure can be reproduced. Everything runs on one thread, on a Tokio runtime whose clock is
//! paused. Tokio polls tasks in the order in which they became ready, and advances the clock to the next timer when
//! no task is ready. Real stores complete their calls on threads of their own, in an order that differs from run to
//! run. Therefore a layer runs each call of a real store to its end at one instant, while everything else stands
//! still, and another layer lets the call take a virtual time that is drawn from the seed, before and after the
//! effect (`store::InstantStore`, `store::FaultyStore`). The layers are deterministic for every store. Rejected:
//! a store in memory, which would be a store more to keep correct, and would prove less.
//!
//! **Rates.** Each seed draws how often and how long things fail (`rates`).
//!
//! **Coverage.** [`Mark`]s show which rare paths a simulation took. A test fails when a mark is missed.
//!
//! **The end.** At the end the simulation stops all failures and completes everything that has begun. Then every
//! order must have ended, with its payment; the auditor must find nothing, neither in the stores nor in comparison
//! with the provider; every key must stand for one order; no acknowledged version may be missing; the stock must match
//! the orders; and the receivers of webhooks must have accepted every matching event of every order, in order, and no
//! other event.
//!
//! [`Plant`] selects a deliberate defect, to prove that the simulation finds it.
//!
//! | module | contents |
//! |---|---|
//! | `rates`, `chaos` | what fails, how often, and what happened |
//! | `store`, `provider` | the layers between the servers and the stores, and between the servers and the provider |
//! | `receivers` | the receivers of webhooks, and the layer between them and the servers |
//! | `server` | servers: engine, workers, watchers, sender of webhooks, clock |
//! | `world` | restaurants, users, the true clock |
//! | `users` | the actions of users |
//! | `rest`, `verify` | the end of the simulation, and its final checks |
//! | `deliveries` | the final check of webhooks |
//! | `plant`, `sabotage` | deliberate defects |
//! | `coverage` | the marks |
//! | `problem` | problems, with the invariants that they violate |
//! | `watch` | panics and hangs of the simulation itself |

mod chaos;
mod coverage;
mod deliveries;
mod plant;
mod problem;
mod provider;
mod rates;
mod receivers;
mod rest;
mod sabotage;
mod server;
mod store;
mod users;
mod verify;
mod watch;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use dabba_gateways::simulated::ProviderHealth;
use dabba_store::Store;
use futures::future::join_all;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::Serialize;
use tokio::{task::JoinSet, time::sleep};

use self::{
    chaos::count,
    problem::Problem,
    rest::MAX_PROBLEMS,
    server::Server,
    users::User,
    world::{SERVERS, World, below},
};
pub use self::{coverage::Mark, plant::Plant};

/// Number of shards, each with a store of its own.
pub const SHARDS: usize = 2;

/// Number of steps per order to place. It is enough for the life of an order, including failures.
const STEPS_PER_ORDER: u32 = 30;
/// Maximum number of open orders, so that each of them makes progress.
const MAX_OPEN_ORDERS: usize = 60;
/// Maximum number of actions at the same time.
const MAX_ACTIONS: usize = 128;
/// Maximum time for which a shard hangs. Longer than a request waits for its commit, and than the lease of a
/// task.
const MAX_HANG_MILLISECONDS: usize = 40_000;
/// Maximum time for which a server is down before it is restarted.
const MAX_DOWNTIME_MILLISECONDS: usize = 5_000;
/// Maximum skew of a machine's clock with which a server works. Below the limit of a server.
const SMALL_SKEW_MILLISECONDS: usize = 4_500;
/// Maximum skew of a machine's clock.
const LARGE_SKEW_MILLISECONDS: usize = 20_000;

/// The parameters of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulationOptions {
    /// The seed, which determines the whole simulation.
    pub seed: u64,
    /// Approximate number of orders to place. It is approximate because users also try requests that are
    /// refused.
    pub orders: u32,
    /// A deliberate defect.
    pub plant: Option<Plant>,
}

/// The result of a simulation without problems.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SimulationReport {
    /// The seed.
    pub seed: u64,
    /// Number of orders in the stores.
    pub orders: u64,
    /// Number of their events.
    pub events: u64,
    /// Number of orders that are delivered and not refunded.
    pub delivered: u64,
    /// Number of actions that were drawn.
    pub steps: u64,
    /// Number of calls of the stores and of the provider that failed or whose response was lost.
    pub failures: u64,
    /// Number of servers that died during a task.
    pub deaths: u64,
    /// Number of shards and of calls of the provider that hung.
    pub hangs: u64,
    /// Number of servers that were killed between tasks.
    pub restarts: u64,
    /// Number of batches that committers wrote.
    pub batches: u64,
    /// Number of batches with more than one commit.
    pub shared_batches: u64,
    /// Number of refunds, of orders that did not end early, that failed after they had been reported as paid.
    pub reversed_refunds: u64,
    /// Number of refunds, of orders that ended early, that failed after they had been reported as paid.
    pub reversed_refunds_of_ended_orders: u64,
    /// Number of refunds in the provider's dashboard and chargebacks that the orders know.
    pub external_refunds: u64,
    /// Number of orders for which the provider authorized or captured another amount than the total.
    pub other_amounts: u64,
    /// Number of delivered card orders with a total of zero.
    pub of_nothing: u64,
    /// Number of rejections and cancellations that named unavailable items.
    pub ends_for_items: u64,
    /// Number of events that the receivers of webhooks accepted, repetitions included.
    pub deliveries: u64,
    /// Virtual duration, in seconds.
    pub simulated_seconds: i64,
    /// Number of times that each rare path was taken.
    pub marks: BTreeMap<Mark, u64>,
    /// A hash of the final orders. Runs with equal orders have equal digests.
    pub digest: u64,
    /// A hash of all events of all orders.
    pub event_hash: u64,
    /// A hash of all calls of the stores, with their order and their virtual times.
    pub call_hash: u64,
    /// A hash of all events that the receivers of webhooks accepted, in the order of acceptance.
    pub delivery_hash: u64,
}

/// The problems that a simulation found.
#[derive(Clone, Debug)]
pub struct SimulationError {
    /// The seed that reproduces the problems.
    pub seed: u64,
    /// The problems, one line each.
    pub problems: Vec<String>,
    /// Numbers of the invariants that the problems violate, as in `docs/explanation/architecture.md`.
    pub invariants: BTreeSet<&'static str>,
}

impl SimulationError {
    /// Returns the error with the first problems, and with the invariants that all problems violate.
    fn new(seed: u64, problems: Vec<Problem>) -> Self {
        let invariants = problems.iter().flat_map(|problem| problem.invariants.iter().copied()).collect();
        let problems = problems.into_iter().take(MAX_PROBLEMS).map(|problem| problem.text).collect();
        Self { seed, problems, invariants }
    }
}

impl fmt::Display for SimulationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the simulation with seed {} found problems:", self.seed)?;
        for problem in &self.problems {
            write!(formatter, "\n- {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SimulationError {}

/// Simulates orders on empty stores, one for each of the [`SHARDS`], and closes the stores. Blocks the thread. A panic
/// of the simulation is an error, as is a simulation that does not end within a limit of real time.
pub fn simulate(
    stores: &[Arc<dyn Store>],
    options: &SimulationOptions,
) -> Result<SimulationReport, SimulationError> {
    let (stores, options) = (stores.to_vec(), *options);
    watch::watched(options.seed, watch::time_limit(&options), move || simulate_now(&stores, &options))
}

fn simulate_now(
    stores: &[Arc<dyn Store>],
    options: &SimulationOptions,
) -> Result<SimulationReport, SimulationError> {
    let failed = |problem: String| SimulationError::new(options.seed, vec![problem.into()]);
    // Paused from its start: otherwise a fraction of a millisecond of real time would shift the timers.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| failed(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        let simulated = run(stores.to_vec(), options).await;
        store::at_once(join_all(stores.iter().map(|store| store.close())));
        simulated
    })
}

async fn run(
    stores: Vec<Arc<dyn Store>>,
    options: &SimulationOptions,
) -> Result<SimulationReport, SimulationError> {
    let failed = |problem: String| SimulationError::new(options.seed, vec![problem.into()]);
    let world = World::new(stores, options).await.map_err(failed)?;
    let report = SimulationReport { seed: options.seed, ..SimulationReport::default() };
    let mut simulation = Simulation {
        world,
        random: StdRng::seed_from_u64(options.seed),
        actions: JoinSet::new(),
        guardians: JoinSet::new(),
        report,
        options: *options,
    };
    simulation.run().await;
    simulation.settle().await?;
    simulation.verify().await
}

struct Simulation {
    world: Arc<World>,
    random: StdRng,
    /// The actions of users that have begun.
    actions: JoinSet<()>,
    /// The tasks that restart servers.
    guardians: JoinSet<()>,
    report: SimulationReport,
    options: SimulationOptions,
}

impl Simulation {
    async fn run(&mut self) {
        for (place, server) in self.world.servers().into_iter().enumerate() {
            let (world, random) = (Arc::clone(&self.world), StdRng::seed_from_u64(self.random.next_u64()));
            self.guardians.spawn(guard(world, place, server, random));
        }
        self.world.chaos.set_calm(false);
        let steps = u64::from(self.options.orders) * u64::from(STEPS_PER_ORDER);
        while self.report.steps < steps && self.world.state().placed.len() < self.options.orders as usize {
            for _ in 0..self.burst() {
                self.report.steps += 1;
                self.step();
            }
            sleep(self.lull()).await;
            while self.actions.len() > MAX_ACTIONS {
                self.finish_action().await;
            }
        }
    }

    /// Returns the number of steps that begin at the same instant.
    fn burst(&mut self) -> usize {
        match self.below(10) {
            0..3 => 1,
            3..5 => 2 + self.below(8),
            _ => 10 + self.below(40),
        }
    }

    /// Returns the time until the next burst: most often less than a second, sometimes minutes.
    fn lull(&mut self) -> Duration {
        let milliseconds = match self.below(120) {
            0 => self.below(600_000),
            1..10 => self.below(30_000),
            10..60 => self.below(2_000),
            _ => self.below(100),
        };
        Duration::from_millis(milliseconds as u64)
    }

    fn below(&mut self, bound: usize) -> usize {
        below(&mut self.random, bound)
    }

    /// Returns a user with random numbers of their own.
    fn user(&mut self) -> User {
        User::new(&self.world, self.random.next_u64())
    }

    /// Waits until an action has ended.
    async fn finish_action(&mut self) {
        if let Some(Err(error)) = self.actions.join_next().await {
            self.world.report_problem(format!("an action failed: {error}"));
        }
    }

    /// Begins an action, or changes the world.
    fn step(&mut self) {
        if self.strikes() {
            return;
        }
        let mut user = self.user();
        match self.below(100) {
            0..12 => self.begin_rush(),
            12..74 => drop(self.actions.spawn(async move { user.send_random_command().await })),
            74..84 => drop(self.actions.spawn(async move { user.deliver_random_report().await })),
            84..88 => drop(self.actions.spawn(async move { user.change_payment_at_provider().await })),
            88..91 => drop(self.actions.spawn(async move { user.change_restaurant().await })),
            91..93 => drop(self.actions.spawn(async move { user.reuse_key().await })),
            93 => drop(self.actions.spawn(async move { user.retry_tasks_as_admin().await })),
            94 => self.change_provider_health(),
            95 => drop(self.actions.spawn(async move { user.change_webhook().await })),
            _ => drop(self.actions.spawn(async move { user.look_around().await })),
        }
    }

    /// Some customers order at the same restaurant at the same time.
    fn begin_rush(&mut self) {
        let place = self.below(self.world.places.len());
        let restaurant_id = self.world.places[place].id;
        let customers = 1 + self.below(3);
        for _ in 0..customers {
            if self.world.state().open.len() < MAX_OPEN_ORDERS {
                let mut user = self.user();
                self.actions.spawn(async move { user.place_random_order(restaurant_id).await });
            }
        }
    }

    /// Kills a server, makes a shard hang, or changes a machine's clock, at the rates of the seed. Returns whether
    /// something happened.
    fn strikes(&mut self) -> bool {
        let world = Arc::clone(&self.world);
        let (chaos, rates) = (&world.chaos, &world.chaos.rates);
        let mut number = u32::try_from(self.below(10_000)).unwrap_or(0);
        if number < rates.server_killed {
            count(&chaos.counts.restarts);
            self.random_server().life.end();
            return true;
        }
        number -= rates.server_killed;
        if number < rates.shard_hangs {
            let (shard, time) = (self.below(SHARDS), self.below(MAX_HANG_MILLISECONDS));
            chaos.hang(shard, Duration::from_millis(time as u64));
            return true;
        }
        number -= rates.shard_hangs;
        if number < rates.clock_changes {
            let limit = if self.below(2) == 0 { LARGE_SKEW_MILLISECONDS } else { SMALL_SKEW_MILLISECONDS };
            let skew = random_skew(&mut self.random, limit);
            if self.random_server().set_skew(skew) {
                chaos.coverage.pass(Mark::ClockWentBack);
            }
            return true;
        }
        false
    }

    fn random_server(&mut self) -> Arc<Server> {
        let place = self.below(SERVERS);
        Arc::clone(&self.world.servers()[place])
    }

    fn change_provider_health(&mut self) {
        let health = match self.below(5) {
            0 => ProviderHealth::Down,
            1 => ProviderHealth::Flapping { percent: 40 },
            _ => ProviderHealth::Up,
        };
        self.world.site.provider.set_health(health);
    }
}

/// Returns a random skew of a clock, in milliseconds.
fn random_skew(random: &mut StdRng, limit: usize) -> i64 {
    let distance = i64::try_from(below(random, limit)).unwrap_or(0);
    if below(random, 2) == 0 { -distance } else { distance }
}

/// Restarts the server with this index whenever it dies.
async fn guard(world: Arc<World>, place: usize, mut server: Arc<Server>, mut random: StdRng) {
    loop {
        server.life.over().await;
        server.stop();
        sleep(Duration::from_millis(below(&mut random, MAX_DOWNTIME_MILLISECONDS) as u64)).await;
        let skew = if world.chaos.is_calm() { 0 } else { random_skew(&mut random, SMALL_SKEW_MILLISECONDS) };
        world.replace_server(place, skew).await;
        if let Some(started) = world.servers().get(place) {
            server = Arc::clone(started);
        }
    }
}

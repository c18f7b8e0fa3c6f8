//! A simulation: random people, a payment provider that fails, workers that die and answers that get lost,
//! in a time that passes as quickly as the machine can work.
//!
//! All of it follows from a seed. What happens next is drawn one thing after the other, and each is done
//! before the next is drawn; a call that hangs, or a worker that is overtaken, is one that is put aside and
//! taken up again later. So the same seed does the same on every machine, and what was found once can be
//! looked at again.
//!
//! What is real: the engine, the store, the domain, the rules of the simulated provider. What is not: time,
//! randomness, and what stands between these parts (`chaos`), where calls fail.
//!
//! At the end everything is let come to rest: nothing fails any more, and people finish what they have begun.
//! Then every order has to be at an end, with its payment; the auditor must find nothing, neither in the
//! store nor against the provider; every key must stand for one order; and the stock has to be what is left.
//!
//! [`Plant`] puts a defect in on purpose, to show that it is found.
//!
//! | module | what it is |
//! |---|---|
//! | `chaos` | what fails between the parts |
//! | `world` | restaurants, people, servers, the clock |
//! | `people` | what people do |
//! | `rest` | how everything comes to rest, and what has to be so then |

mod chaos;
mod people;
mod rest;
mod world;

use std::{fmt, pin::Pin, sync::Arc};

use dabba_domain::order::TaskQueue;
use dabba_gateways::simulated::Health;
use dabba_store::Store;
use jiff::SignedDuration;
use serde::Serialize;

use self::{
    chaos::Breakdown,
    world::{SERVERS, World},
};

/// Steps for each order that is to be placed: enough for its life, with what goes wrong in it.
const STEPS_PER_ORDER: u32 = 40;
/// Most orders that are open at a time, so that each comes to its turn.
const MAX_OPEN_ORDERS: usize = 25;
/// Most workers that hang at a time.
const MAX_HANGING: usize = 8;

/// What to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulationOptions {
    /// From which everything follows.
    pub seed: u64,
    /// How many orders are placed, about: people also try what is refused.
    pub orders: u32,
    /// A defect to put in.
    pub plant: Option<Plant>,
}

/// A defect that is put in on purpose, to show that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Plant {
    /// A call that is repeated has another idempotency key.
    ForgottenKeys,
    /// What an order took from stock does not come back.
    LostStock,
    /// Items that are named as unavailable stay on sale.
    LostMarks,
    /// Now and then what should be done later is not written down.
    LostTasks,
    /// Now and then the provider gives money back and says that it does not.
    WrongAnswers,
    /// What the provider reports of refunds that fail late is not heard.
    LostReversals,
    /// What the provider reports of refunds in its dashboard and of chargebacks is not heard.
    LostDashboardReports,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ForgottenKeys,
        Self::LostStock,
        Self::LostMarks,
        Self::LostTasks,
        Self::WrongAnswers,
        Self::LostReversals,
        Self::LostDashboardReports,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForgottenKeys => "forgotten-keys",
            Self::LostStock => "lost-stock",
            Self::LostMarks => "lost-marks",
            Self::LostTasks => "lost-tasks",
            Self::WrongAnswers => "wrong-answers",
            Self::LostReversals => "lost-reversals",
            Self::LostDashboardReports => "lost-dashboard-reports",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.as_str() == name)
    }
}

/// What happened in a simulation in which everything was as it must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SimulationReport {
    /// The seed.
    pub seed: u64,
    /// Orders in the store.
    pub orders: u64,
    /// Their events.
    pub events: u64,
    /// Orders that were delivered, and not given back since.
    pub delivered: u64,
    /// What was drawn and done.
    pub steps: u64,
    /// Calls of the store and of the provider that failed, or whose answers were lost.
    pub failures: u64,
    /// Workers that died in the middle of something.
    pub deaths: u64,
    /// Workers that hung, and came back late.
    pub hangs: u64,
    /// Servers that were killed and started again.
    pub restarts: u64,
    /// Refunds that failed after they were reported as made, of delivered orders.
    pub reversed_refunds: u64,
    /// The same of orders that had ended early.
    pub reversed_refunds_of_ended_orders: u64,
    /// Refunds in the provider's dashboard and chargebacks that the orders know of.
    pub external_refunds: u64,
    /// Orders of whose payment the provider authorized or captured another amount than the total.
    pub other_amounts: u64,
    /// Orders by card with a total of zero that were delivered.
    pub of_nothing: u64,
    /// Early ends that named unavailable items.
    pub ends_for_items: u64,
    /// How much time passed, in the simulation, in seconds.
    pub simulated_seconds: i64,
    /// A number that is the same when every order went the same way.
    pub digest: u64,
}

/// Something was not as it must be.
#[derive(Clone, Debug)]
pub struct SimulationError {
    /// The seed with which it happens again.
    pub seed: u64,
    /// What was wrong, one line each.
    pub problems: Vec<String>,
}

impl fmt::Display for SimulationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the simulation with seed {} found something wrong:", self.seed)?;
        for problem in &self.problems {
            write!(formatter, "\n- {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SimulationError {}

/// Simulates on a store that is empty. Has to run on a Tokio runtime with time.
pub async fn simulate(
    store: Arc<dyn Store>,
    options: &SimulationOptions,
) -> Result<SimulationReport, SimulationError> {
    let failed = |problem: String| SimulationError { seed: options.seed, problems: vec![problem] };
    let world = World::new(store, options).await.map_err(failed)?;
    let mut simulation =
        Simulation { world, hanging: Vec::new(), report: SimulationReport::default(), options: *options };
    simulation.report.seed = options.seed;
    simulation.run().await;
    simulation.come_to_rest().await?;
    simulation.judge().await
}

/// A worker in the middle of a task.
type Work = Pin<Box<dyn Future<Output = bool> + Send>>;

struct Simulation {
    world: World,
    /// Workers that hang, each with the bell that lets it go on.
    hanging: Vec<(Work, Arc<tokio::sync::Notify>)>,
    report: SimulationReport,
    options: SimulationOptions,
}

impl Simulation {
    async fn run(&mut self) {
        let steps = u64::from(self.options.orders) * u64::from(STEPS_PER_ORDER);
        while self.report.steps < steps && self.world.placed.len() < self.options.orders as usize {
            self.report.steps += 1;
            self.step().await;
        }
    }

    async fn step(&mut self) {
        match self.world.below(100) {
            0..12 if self.world.open.len() < MAX_OPEN_ORDERS => self.world.someone_orders().await,
            0..50 => self.world.someone_acts().await,
            50..72 => self.someone_works().await,
            72..77 => self.someone_goes_on().await,
            77..83 => self.world.the_provider_reports().await,
            83..95 => self.world.time_passes(),
            95 => self.world.the_restaurant_changes().await,
            96 => self.world.someone_at_the_provider().await,
            97 => self.the_provider_changes(),
            98 => self.world.an_admin_sees_to_tasks().await,
            _ => self.a_server_dies(),
        }
    }

    /// A worker takes a task, and does it, unless it dies or hangs on the way.
    async fn someone_works(&mut self) {
        let engine = self.world.server();
        let queue = if self.world.below(3) == 0 { TaskQueue::Deadlines } else { TaskQueue::Payments };
        let work = Box::pin(async move { engine.work_next(queue).await.unwrap_or(false) });
        self.go_on(work).await;
    }

    /// Works until it is done, or until it is said that the worker dies or hangs here.
    async fn go_on(&mut self, mut work: Work) -> bool {
        tokio::select! {
            biased;
            broken = self.world.chaos.breakdown() => match broken {
                Breakdown::Hangs(bell) if self.hanging.len() < MAX_HANGING => {
                    self.report.hangs += 1;
                    self.hanging.push((work, bell));
                }
                // Of those that hang there are enough.
                Breakdown::Dies | Breakdown::Hangs(_) => self.report.deaths += 1,
            },
            done = &mut work => return done,
        }
        true
    }

    /// A worker that hung goes on.
    async fn someone_goes_on(&mut self) {
        if self.hanging.is_empty() {
            return;
        }
        let place = self.world.below(self.hanging.len());
        let (work, bell) = self.hanging.swap_remove(place);
        bell.notify_one();
        self.go_on(work).await;
    }

    fn the_provider_changes(&mut self) {
        let health = match self.world.below(5) {
            0 => Health::Down,
            1 => Health::Flapping { percent: 40 },
            _ => Health::Up,
        };
        self.world.provider.set_health(health);
    }

    /// What it had in hand goes on elsewhere, or is never heard of again.
    fn a_server_dies(&mut self) {
        self.report.restarts += 1;
        let place = self.world.below(SERVERS);
        self.world.start_server(place);
        if self.world.below(2) == 0 {
            self.report.deaths += u64::try_from(self.hanging.len()).unwrap_or(0);
            self.hanging.clear();
        }
    }

    /// Finishes what hangs, when nothing fails any more.
    async fn finish_hanging(&mut self) {
        while let Some((work, bell)) = self.hanging.pop() {
            bell.notify_one();
            self.go_on(work).await;
        }
    }

    fn pass(&self, seconds: i64) {
        self.world.clock.advance(SignedDuration::from_secs(seconds));
    }
}

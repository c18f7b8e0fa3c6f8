//! A simulation with random users, a failing payment provider, dying workers and lost responses, in virtual
//! time that runs as fast as the machine allows.
//!
//! The seed determines the whole simulation. The simulation draws one action after the other and completes
//! each action before it draws the next. A call that hangs is suspended and resumed later, and so is a worker
//! that is slower than its lease. So the same seed has the same result on every machine, and every failure
//! can be reproduced.
//!
//! Real parts are the engine, the store, the domain and the rules of the simulated provider. Simulated parts
//! are the time, the randomness, and the layer between the real parts (`chaos`), in which calls fail.
//!
//! At the end the simulation stops all failures and completes everything that has begun. Then every order
//! must have ended, with its payment; the auditor must find nothing, neither in the store nor in comparison
//! with the provider; every key must stand for one order; and the stock must match the orders.
//!
//! [`Plant`] selects a deliberate defect, to prove that the simulation finds it.
//!
//! | module | contents |
//! |---|---|
//! | `chaos` | the failures between the parts |
//! | `world` | restaurants, users, servers, the clock |
//! | `people` | the actions of users |
//! | `rest` | the end of the simulation and its final checks |

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

/// Number of steps per order to place. It is enough for the life of an order, including failures.
const STEPS_PER_ORDER: u32 = 40;
/// Maximum number of open orders, so that each of them makes progress.
const MAX_OPEN_ORDERS: usize = 25;
/// Maximum number of workers that hang at the same time.
const MAX_HANGING: usize = 8;

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

/// A deliberate defect, which the simulation must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Plant {
    /// Every attempt of a call has a new idempotency key.
    ForgottenKeys,
    /// The stock that an order took is never returned.
    LostStock,
    /// Items that are named as unavailable stay available.
    LostMarks,
    /// Some tasks are not stored.
    LostTasks,
    /// Sometimes the provider refunds money and reports that it did not.
    WrongAnswers,
    /// Reports about refunds that fail late are lost.
    LostReversals,
    /// Reports about refunds in the provider's dashboard and about chargebacks are lost.
    LostDashboardReports,
}

impl Plant {
    /// All defects.
    pub const ALL: [Self; 7] = [
        Self::ForgottenKeys,
        Self::LostStock,
        Self::LostMarks,
        Self::LostTasks,
        Self::WrongAnswers,
        Self::LostReversals,
        Self::LostDashboardReports,
    ];

    /// Returns the name of the defect.
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

    /// Returns the defect with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.as_str() == name)
    }
}

/// The result of a simulation without problems.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SimulationReport {
    /// The seed.
    pub seed: u64,
    /// Number of orders in the store.
    pub orders: u64,
    /// Number of their events.
    pub events: u64,
    /// Number of orders that are delivered and not refunded.
    pub delivered: u64,
    /// Number of actions that were drawn.
    pub steps: u64,
    /// Number of calls of the store and of the provider that failed or whose response was lost.
    pub failures: u64,
    /// Number of workers that died during a task.
    pub deaths: u64,
    /// Number of workers that hung and were resumed or dropped.
    pub hangs: u64,
    /// Number of servers that were killed and restarted.
    pub restarts: u64,
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
    /// Virtual duration, in seconds.
    pub simulated_seconds: i64,
    /// A hash of the final orders. Runs with equal orders have equal digests.
    pub digest: u64,
}

/// The problems that a simulation found.
#[derive(Clone, Debug)]
pub struct SimulationError {
    /// The seed that reproduces the problems.
    pub seed: u64,
    /// The problems, one line each.
    pub problems: Vec<String>,
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

/// Simulates orders on an empty store. It must run on a Tokio runtime with a timer.
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
    simulation.settle().await?;
    simulation.verify().await
}

/// A worker during a task.
type Work = Pin<Box<dyn Future<Output = bool> + Send>>;

struct Simulation {
    world: World,
    /// The hanging workers, each with the notification that resumes it.
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
            0..12 if self.world.open.len() < MAX_OPEN_ORDERS => self.world.place_random_order().await,
            0..50 => self.world.send_random_command().await,
            50..72 => self.work_next_task().await,
            72..77 => self.resume_hanging_worker().await,
            77..83 => self.world.deliver_random_report().await,
            83..95 => self.world.advance_clock(),
            95 => self.world.change_restaurant().await,
            96 => self.world.change_payment_at_provider().await,
            97 => self.change_provider_health(),
            98 => self.world.retry_tasks_as_admin().await,
            _ => self.restart_server(),
        }
    }

    /// A worker works on the next task. It may die or hang on the way.
    async fn work_next_task(&mut self) {
        let engine = self.world.server();
        let queue = if self.world.below(3) == 0 { TaskQueue::Deadlines } else { TaskQueue::Payments };
        let work = Box::pin(async move { engine.work_next(queue).await.unwrap_or(false) });
        self.run_worker(work).await;
    }

    /// Runs a worker until its task is done or until the worker dies or hangs. Returns whether there was a
    /// task.
    async fn run_worker(&mut self, mut work: Work) -> bool {
        tokio::select! {
            biased;
            broken = self.world.chaos.breakdown() => match broken {
                Breakdown::Hangs(resumption) if self.hanging.len() < MAX_HANGING => {
                    self.report.hangs += 1;
                    self.hanging.push((work, resumption));
                }
                // The maximum number of workers hangs already, so this one dies.
                Breakdown::Dies | Breakdown::Hangs(_) => self.report.deaths += 1,
            },
            done = &mut work => return done,
        }
        true
    }

    /// Resumes a random hanging worker.
    async fn resume_hanging_worker(&mut self) {
        if self.hanging.is_empty() {
            return;
        }
        let place = self.world.below(self.hanging.len());
        let (work, resumption) = self.hanging.swap_remove(place);
        resumption.notify_one();
        self.run_worker(work).await;
    }

    fn change_provider_health(&mut self) {
        let health = match self.world.below(5) {
            0 => Health::Down,
            1 => Health::Flapping { percent: 40 },
            _ => Health::Up,
        };
        self.world.provider.set_health(health);
    }

    /// Restarts a random server. In half of the cases all hanging workers are dropped; otherwise they can
    /// still be resumed.
    fn restart_server(&mut self) {
        self.report.restarts += 1;
        let place = self.world.below(SERVERS);
        self.world.start_server(place);
        if self.world.below(2) == 0 {
            self.report.deaths += u64::try_from(self.hanging.len()).unwrap_or(0);
            self.hanging.clear();
        }
    }

    /// Finishes the hanging workers after the failures have stopped.
    async fn finish_hanging(&mut self) {
        while let Some((work, resumption)) = self.hanging.pop() {
            resumption.notify_one();
            self.run_worker(work).await;
        }
    }

    fn pass(&self, seconds: i64) {
        self.world.clock.advance(SignedDuration::from_secs(seconds));
    }
}

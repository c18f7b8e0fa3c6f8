//! What the engine measures about itself.

use std::time::Duration;

use crate::BreakerState;
use dabba_domain::order::{OrderStatus, TaskKind, TaskQueue};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// The status that orders came to.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StatusLabel {
    /// Its name.
    pub status: &'static str,
}

/// A state of the circuit breaker before a payment provider.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StateLabel {
    /// The provider's name.
    pub gateway: &'static str,
    /// The state's name.
    pub state: &'static str,
}

/// A step of payments.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StepLabel {
    /// The provider's name.
    pub gateway: &'static str,
    /// The name of the kind of task.
    pub step: &'static str,
}

/// A step of payments, and how a call for it ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CallLabel {
    /// The provider's name.
    pub gateway: &'static str,
    /// The name of the kind of task.
    pub step: &'static str,
    /// The name of a [`CallOutcome`].
    pub outcome: &'static str,
}

/// How a call of a payment provider ended.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum CallOutcome {
    /// The provider said what it did.
    Answered,
    /// The provider will say later what it did.
    Pending,
    /// The provider did not answer, or could not do it now.
    Unavailable,
    /// The provider does not take the request.
    Refused,
}

impl CallOutcome {
    /// All of them.
    const ALL: [Self; 4] = [Self::Answered, Self::Pending, Self::Unavailable, Self::Refused];

    /// Its name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Pending => "pending",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
        }
    }
}

/// The kind of tasks.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TaskLabel {
    /// Its name.
    pub kind: &'static str,
}

/// The kind of tasks, and what became of them.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TaskOutcomeLabel {
    /// The kind's name.
    pub kind: &'static str,
    /// What became of them.
    pub outcome: &'static str,
}

/// What became of a task that was claimed.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum TaskOutcome {
    /// It is done, together with what followed from it.
    Completed,
    /// It is to be done later: its time had not come, or it failed.
    Postponed,
    /// Somebody else has taken it over.
    LeaseLost,
    /// It is not known what became of it; it comes back when its lease runs out, unless it is done.
    Left,
    /// It failed as often as one of its kind may. It is parked: an operator has to see to it.
    GivenUp,
}

impl TaskOutcome {
    /// All of them.
    const ALL: [Self; 5] = [Self::Completed, Self::Postponed, Self::LeaseLost, Self::Left, Self::GivenUp];

    /// Its name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Postponed => "postponed",
            Self::LeaseLost => "lease_lost",
            Self::Left => "left",
            Self::GivenUp => "given_up",
        }
    }
}

/// What the engine measures about itself.
#[derive(Debug)]
pub struct EngineMetrics {
    /// Commits in a transaction.
    pub batch_size: Histogram,
    /// Time of a transaction, in seconds.
    pub commit_seconds: Histogram,
    /// Commits that wait for a committer.
    pub queue_depth: Gauge,
    /// Commits that were refused because the queue was full.
    pub queue_full: Counter,
    /// Decisions made again because the order or the catalogue had changed.
    pub decision_retries: Counter,
    /// Transactions for the good commits of batches that were refused as corrupt.
    pub isolating_transactions: Counter,
    /// Requests answered from an idempotency key.
    pub replays: Counter,
    /// Orders by the status that they came to.
    pub orders: Family<StatusLabel, Counter>,
    /// Idempotency keys forgotten for their age.
    pub keys_forgotten: Counter,
    /// Tasks that were claimed, by kind.
    pub tasks_claimed: Family<TaskLabel, Counter>,
    /// What became of them.
    pub tasks: Family<TaskOutcomeLabel, Counter>,
    /// Calls of payment providers, by how they ended.
    pub gateway_calls: Family<CallLabel, Counter>,
    /// Time of a call of a payment provider, in seconds.
    pub gateway_seconds: Family<StepLabel, Histogram>,
    /// 1 for the state in which a circuit breaker is, 0 for the others.
    pub breaker_state: Family<StateLabel, Gauge>,
}

impl Default for EngineMetrics {
    /// Counters of statuses and of tasks begin at 0: an alert on their growth needs a value before the first event.
    fn default() -> Self {
        let metrics = Self {
            batch_size: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            queue_depth: Gauge::default(),
            queue_full: Counter::default(),
            decision_retries: Counter::default(),
            isolating_transactions: Counter::default(),
            replays: Counter::default(),
            orders: Family::default(),
            keys_forgotten: Counter::default(),
            tasks_claimed: Family::default(),
            tasks: Family::default(),
            gateway_calls: Family::default(),
            gateway_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 15))
            }),
            breaker_state: Family::default(),
        };
        for status in OrderStatus::ALL {
            metrics.orders.get_or_create_owned(&StatusLabel { status: status.as_str() });
        }
        for kind in TaskKind::ALL.iter().filter(|kind| !kind.is_for_people()) {
            metrics.tasks_claimed(*kind);
            for outcome in TaskOutcome::ALL {
                metrics.tasks(*kind, outcome);
            }
        }
        metrics
    }
}

impl EngineMetrics {
    /// Registers everything under the names that `/metrics` shows. Counters get `_total` there.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("dabba_commit_batch_size", "Commits per transaction", self.batch_size.clone());
        registry.register(
            "dabba_commit_seconds",
            "Duration of a transaction, in seconds",
            self.commit_seconds.clone(),
        );
        registry.register(
            "dabba_commit_queue_depth",
            "Commits that wait for a committer",
            self.queue_depth.clone(),
        );
        registry.register(
            "dabba_commit_queue_full",
            "Commits refused because the queue was full",
            self.queue_full.clone(),
        );
        registry.register(
            "dabba_decision_retries",
            "Decisions repeated because the order or the catalogue had changed",
            self.decision_retries.clone(),
        );
        registry.register(
            "dabba_commit_isolations",
            "Transactions for the valid commits of batches that were refused as corrupt",
            self.isolating_transactions.clone(),
        );
        registry.register(
            "dabba_idempotent_replays",
            "Requests answered from an idempotency key",
            self.replays.clone(),
        );
        registry.register("dabba_orders", "Orders that reached a status", self.orders.clone());
        registry.register(
            "dabba_keys_forgotten",
            "Idempotency keys deleted because of their age",
            self.keys_forgotten.clone(),
        );
        registry.register("dabba_tasks_claimed", "Tasks that workers claimed", self.tasks_claimed.clone());
        registry.register("dabba_tasks", "Claimed tasks by outcome", self.tasks.clone());
        registry.register(
            "dabba_payment_calls",
            "Calls of payment providers by outcome",
            self.gateway_calls.clone(),
        );
        registry.register(
            "dabba_payment_call_seconds",
            "Duration of a call of a payment provider, in seconds",
            self.gateway_seconds.clone(),
        );
        registry.register(
            "dabba_payment_breaker",
            "1 for the present state of the circuit breaker, 0 for the others",
            self.breaker_state.clone(),
        );
    }

    /// Counts an order that came to a status.
    pub fn count_order(&self, status: OrderStatus) {
        self.orders.get_or_create(&StatusLabel { status: status.as_str() }).inc();
    }

    /// Has the counters of a payment provider begin at 0.
    pub(crate) fn show_gateway(&self, gateway: &'static str) {
        self.show_breaker(gateway, BreakerState::Closed);
        for kind in TaskKind::ALL.iter().filter(|kind| kind.queue() == TaskQueue::Payments) {
            let step = kind.as_str();
            self.gateway_seconds.get_or_create_owned(&StepLabel { gateway, step });
            for outcome in CallOutcome::ALL {
                let label = CallLabel { gateway, step, outcome: outcome.as_str() };
                self.gateway_calls.get_or_create_owned(&label);
            }
        }
    }

    /// Counts a call of a payment provider.
    pub(crate) fn count_call(&self, step: &StepLabel, outcome: CallOutcome, took: Duration) {
        let StepLabel { gateway, step: name } = step;
        let label = CallLabel { gateway, step: name, outcome: outcome.as_str() };
        self.gateway_calls.get_or_create(&label).inc();
        self.gateway_seconds.get_or_create(step).observe(took.as_secs_f64());
    }

    /// Shows in which state a circuit breaker is.
    pub(crate) fn show_breaker(&self, gateway: &'static str, current: BreakerState) {
        for state in BreakerState::ALL {
            let label = StateLabel { gateway, state: state.as_str() };
            self.breaker_state.get_or_create(&label).set(i64::from(state == current));
        }
    }

    /// How many tasks of a kind have been claimed.
    pub fn tasks_claimed(&self, kind: TaskKind) -> Counter {
        self.tasks_claimed.get_or_create_owned(&TaskLabel { kind: kind.as_str() })
    }

    /// Of how many claimed tasks of a kind this became.
    pub fn tasks(&self, kind: TaskKind, outcome: TaskOutcome) -> Counter {
        self.tasks.get_or_create_owned(&TaskOutcomeLabel { kind: kind.as_str(), outcome: outcome.as_str() })
    }
}

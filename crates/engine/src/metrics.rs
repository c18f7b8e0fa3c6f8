//! Metrics of the engine.

use std::time::Duration;

use crate::{BreakerState, KeyUse};
use dabba_domain::{
    order::OrderStatus,
    task::{TaskKind, TaskQueue},
};
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

/// Label: a status that orders reached.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StatusLabel {
    /// The status's name.
    pub status: &'static str,
}

/// Label: a state of the circuit breaker of a payment provider.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StateLabel {
    /// The provider's name.
    pub gateway: &'static str,
    /// The state's name.
    pub state: &'static str,
}

/// Label: a step of payments.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StepLabel {
    /// The provider's name.
    pub gateway: &'static str,
    /// The name of the kind of task.
    pub step: &'static str,
}

/// Label: a step of payments, and the outcome of a call for it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CallLabel {
    /// The provider's name.
    pub gateway: &'static str,
    /// The name of the kind of task.
    pub step: &'static str,
    /// The name of a [`CallOutcome`].
    pub outcome: &'static str,
}

/// Outcome of a call to a payment provider.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum CallOutcome {
    /// The provider answered with a result.
    Answered,
    /// The provider will report the result later.
    Pending,
    /// The provider did not answer, or was unavailable.
    Unavailable,
    /// The provider refused the call.
    Refused,
}

impl CallOutcome {
    /// Every outcome.
    const ALL: [Self; 4] = [Self::Answered, Self::Pending, Self::Unavailable, Self::Refused];

    /// Returns the outcome's name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Pending => "pending",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
        }
    }
}

/// Label: an outcome of requests with API keys.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KeyUseLabel {
    /// The outcome's name.
    pub outcome: &'static str,
}

/// Label: a kind of task.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TaskLabel {
    /// The kind's name.
    pub kind: &'static str,
}

/// Label: a kind of task, and the outcome of its execution.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TaskOutcomeLabel {
    /// The kind's name.
    pub kind: &'static str,
    /// The outcome's name.
    pub outcome: &'static str,
}

/// Outcome of a leased task.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum TaskOutcome {
    /// The task is completed, and its result is written.
    Completed,
    /// The task is retried later: it was not due, or it failed.
    Postponed,
    /// Another worker has leased the task.
    LeaseLost,
    /// The outcome is unknown; the task is retried when its lease expires, unless it is completed.
    Unknown,
    /// The task is parked, and an admin has to act: the task has reached the maximum number of failures of its kind, its
    /// content cannot be decoded, or it is a task for admins, which is parked when it is written.
    Parked,
}

impl TaskOutcome {
    /// Every outcome.
    const ALL: [Self; 5] = [Self::Completed, Self::Postponed, Self::LeaseLost, Self::Unknown, Self::Parked];

    /// Returns the outcome's name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Postponed => "postponed",
            Self::LeaseLost => "lease_lost",
            Self::Unknown => "left",
            Self::Parked => "given_up",
        }
    }
}

/// Metrics of the engine.
#[derive(Debug)]
pub struct EngineMetrics {
    /// Number of commits per transaction.
    pub batch_size: Histogram,
    /// Duration of a transaction, in seconds.
    pub commit_seconds: Histogram,
    /// Number of commits that wait for a committer.
    pub queue_depth: Gauge,
    /// Number of commits refused because the queue was full.
    pub queue_full: Counter,
    /// Number of decisions repeated because the order or the catalogue had changed.
    pub decision_retries: Counter,
    /// Number of transactions for the valid commits of batches that were refused as corrupt.
    pub isolating_transactions: Counter,
    /// Number of requests answered from an idempotency key.
    pub replays: Counter,
    /// Number of orders that reached a status.
    pub orders: Family<StatusLabel, Counter>,
    /// Number of idempotency keys deleted because of their age.
    pub keys_deleted: Counter,
    /// Number of tasks leased by workers, by kind.
    pub tasks_claimed: Family<TaskLabel, Counter>,
    /// Number of leased tasks, by kind and outcome.
    pub tasks: Family<TaskOutcomeLabel, Counter>,
    /// Number of calls to payment providers, by step and outcome.
    pub gateway_calls: Family<CallLabel, Counter>,
    /// Duration of a call to a payment provider, in seconds.
    pub gateway_seconds: Family<StepLabel, Histogram>,
    /// 1 for the current state of the circuit breaker, 0 for the other states.
    pub breaker_state: Family<StateLabel, Gauge>,
    /// Number of requests with API keys, by outcome.
    pub key_uses: Family<KeyUseLabel, Counter>,
    /// Number of requests with sessions, by outcome.
    pub session_uses: Family<KeyUseLabel, Counter>,
    /// Number of restaurants that this process paused because no board was connected.
    pub unattended_pauses: Counter,
    /// Number of such pauses that this process ended because a board had connected.
    pub attended_resumes: Counter,
}

impl Default for EngineMetrics {
    /// Counters of statuses and tasks start at 0: an alert on an increase needs a value before the first event.
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
            keys_deleted: Counter::default(),
            tasks_claimed: Family::default(),
            tasks: Family::default(),
            gateway_calls: Family::default(),
            gateway_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 15))
            }),
            breaker_state: Family::default(),
            key_uses: Family::default(),
            session_uses: Family::default(),
            unattended_pauses: Counter::default(),
            attended_resumes: Counter::default(),
        };
        for outcome in KeyUse::ALL {
            let label = KeyUseLabel { outcome: outcome.as_str() };
            metrics.key_uses.get_or_create_owned(&label);
            metrics.session_uses.get_or_create_owned(&label);
        }
        for status in OrderStatus::ALL {
            metrics.orders.get_or_create_owned(&StatusLabel { status: status.as_str() });
        }
        for kind in TaskKind::ALL.iter().filter(|kind| !kind.needs_admin()) {
            metrics.tasks_claimed(*kind);
            for outcome in TaskOutcome::ALL {
                metrics.tasks(*kind, outcome);
            }
        }
        metrics
    }
}

impl EngineMetrics {
    /// Registers all metrics under their names in `/metrics`. Counters get the suffix `_total` there.
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.register_writes(registry);
        self.register_work(registry);
        self.register_callers(registry);
    }

    /// Registers what concerns commits and orders.
    fn register_writes(&self, registry: &mut Registry) {
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
            self.keys_deleted.clone(),
        );
    }

    /// Registers what concerns tasks and payments.
    fn register_work(&self, registry: &mut Registry) {
        registry.register("dabba_tasks_claimed", "Tasks that workers leased", self.tasks_claimed.clone());
        registry.register(
            "dabba_tasks",
            "Leased tasks by outcome; given_up also counts reviews, which are parked when they are written",
            self.tasks.clone(),
        );
        registry.register(
            "dabba_payment_calls",
            "Calls to payment providers by outcome",
            self.gateway_calls.clone(),
        );
        registry.register(
            "dabba_payment_call_seconds",
            "Duration of a call to a payment provider, in seconds",
            self.gateway_seconds.clone(),
        );
        registry.register(
            "dabba_payment_breaker",
            "1 for the current state of the circuit breaker, 0 for the others",
            self.breaker_state.clone(),
        );
    }

    /// Registers what concerns credentials and boards.
    fn register_callers(&self, registry: &mut Registry) {
        registry.register("dabba_api_key_uses", "Requests with API keys by outcome", self.key_uses.clone());
        registry.register(
            "dabba_session_uses",
            "Requests with sessions by outcome",
            self.session_uses.clone(),
        );
        registry.register(
            "dabba_unattended_pauses",
            "Pauses of restaurants of which no board was connected",
            self.unattended_pauses.clone(),
        );
        registry.register(
            "dabba_unattended_pauses_ended",
            "Ends of such pauses because a board had connected",
            self.attended_resumes.clone(),
        );
    }

    /// Counts a request with an API key.
    pub(crate) fn count_key_use(&self, outcome: KeyUse) {
        self.key_uses.get_or_create(&KeyUseLabel { outcome: outcome.as_str() }).inc();
    }

    /// Counts a request with a session.
    pub(crate) fn count_session_use(&self, outcome: KeyUse) {
        self.session_uses.get_or_create(&KeyUseLabel { outcome: outcome.as_str() }).inc();
    }

    /// Counts an order that reached a status.
    pub fn count_order(&self, status: OrderStatus) {
        self.orders.get_or_create(&StatusLabel { status: status.as_str() }).inc();
    }

    /// Creates the counters of a payment provider, which start at 0.
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

    /// Counts a call to a payment provider.
    pub(crate) fn count_call(&self, step: &StepLabel, outcome: CallOutcome, took: Duration) {
        let StepLabel { gateway, step: name } = step;
        let label = CallLabel { gateway, step: name, outcome: outcome.as_str() };
        self.gateway_calls.get_or_create(&label).inc();
        self.gateway_seconds.get_or_create(step).observe(took.as_secs_f64());
    }

    /// Sets the state of a circuit breaker.
    pub(crate) fn show_breaker(&self, gateway: &'static str, current: BreakerState) {
        for state in BreakerState::ALL {
            let label = StateLabel { gateway, state: state.as_str() };
            self.breaker_state.get_or_create(&label).set(i64::from(state == current));
        }
    }

    /// Returns the counter of leased tasks of a kind.
    pub fn tasks_claimed(&self, kind: TaskKind) -> Counter {
        self.tasks_claimed.get_or_create_owned(&TaskLabel { kind: kind.as_str() })
    }

    /// Returns the counter of leased tasks of a kind with this outcome.
    pub fn tasks(&self, kind: TaskKind, outcome: TaskOutcome) -> Counter {
        self.tasks.get_or_create_owned(&TaskOutcomeLabel { kind: kind.as_str(), outcome: outcome.as_str() })
    }
}

//! Coverage marks: they show which rare paths a simulation took.
//!
//! A simulation without problems proves little about a path that it never took. Each rare path has a [`Mark`], and
//! the simulation counts how often it passed it. A test fails if the simulations of the test together missed a mark.
//! To add a path: add a mark with its meaning here, and call [`Coverage::pass`] where the path is taken.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde::{Serialize, Serializer};

macro_rules! marks {
    ($($(#[doc = $meaning:literal])+ $variant:ident $name:literal,)+) => {
        /// A rare path of a simulation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl Mark {
            /// All marks.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the name of the mark in reports.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Returns the meaning of the mark, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_start()),+ }
            }
        }
    };
}

marks! {
    /// A batch held more than one commit.
    SharedBatch "shared_batch",
    /// A retry found its idempotency key claimed by the first attempt.
    Replayed "replayed",
    /// A request reused the idempotency key of another request.
    KeyReused "key_reused",
    /// A commit found the order at a newer version than expected.
    VersionConflict "version_conflict",
    /// A commit found a newer catalogue than the one that priced the order.
    CatalogueChanged "catalogue_changed",
    /// A commit found too little stock.
    OutOfStock "out_of_stock",
    /// A worker tried to complete or to postpone a task whose lease another worker held.
    LeaseLost "lease_lost",
    /// A batch had an effect, and its response was lost.
    CommitResponseLost "commit_response_lost",
    /// A batch waited for a hanging shard for longer than its callers did.
    CommitHung "commit_hung",
    /// A server died while a batch of its committer was in the store.
    KilledDuringCommit "killed_during_commit",
    /// A call of the store hung after its effect.
    HungAfterEffect "hung_after_effect",
    /// A list was incomplete, because a shard did not answer.
    ListIncomplete "list_incomplete",
    /// A server read a catalogue again that another server had changed.
    CatalogueReloaded "catalogue_reloaded",
    /// A worker took over a task that an earlier attempt had not completed.
    TaskRetried "task_retried",
    /// A task failed too often and was parked.
    TaskParked "task_parked",
    /// A call of the provider had an effect, and its response was lost.
    ProviderResponseLost "provider_response_lost",
    /// A call of the provider took longer than its worker waited for it.
    ProviderHung "provider_hung",
    /// A server died after a call of the provider had had an effect.
    KilledDuringCall "killed_during_call",
    /// A circuit breaker stopped the calls of the provider.
    BreakerOpen "breaker_open",
    /// A client lost its connection, because its server died.
    ConnectionLost "connection_lost",
    /// A client disconnected before it got a response.
    ClientGaveUp "client_gave_up",
    /// A user was refused an order of others.
    AccessRefused "access_refused",
    /// The clock of a server's machine went back.
    ClockWentBack "clock_went_back",
    /// The clock of a server's machine was off beyond the limit.
    ClockOff "clock_off",
    /// An order expired.
    Expired "expired",
    /// An order ended because items were unavailable.
    EndedForItems "ended_for_items",
    /// A refund of an order that had not ended early failed after it had been reported as paid.
    RefundReversed "refund_reversed",
    /// A refund of an order that had ended early failed after it had been reported as paid.
    RefundOfEndedReversed "refund_of_ended_reversed",
    /// Nobody refunded an order again while calls failed, because its refunds had failed too often.
    RefundsStopped "refunds_stopped",
    /// An order learned of a refund or a chargeback that was made at the provider.
    ExternalRefund "refunded_elsewhere",
    /// The provider authorized or captured another amount than the total.
    OtherAmount "other_amount",
    /// A card order with a total of zero was delivered.
    NothingToPay "nothing_to_pay",
    /// A receiver of webhooks accepted an event that it had accepted before.
    WebhookRepeated "webhook_repeated",
    /// A receiver of webhooks accepted several events in one request.
    WebhookBatch "webhook_batch",
    /// A receiver of webhooks accepted a request, and its response was lost.
    WebhookResponseLost "webhook_response_lost",
    /// A webhook arrived after its sender had given it up.
    WebhookLate "webhook_late",
    /// A receiver of webhooks was unreachable.
    ReceiverDown "receiver_down",
    /// A receiver of webhooks responded that it is gone, which disables its endpoint.
    ReceiverGone "receiver_gone",
    /// The failure of a webhook was stored, so that it is retried from the history of its order.
    WebhookFailureStored "webhook_failure_stored",
    /// A webhook endpoint that was disabled was enabled again.
    WebhookEnabledAgain "webhook_enabled_again",
    /// A webhook endpoint began anew with the first event.
    WebhookReplayed "webhook_replayed",
    /// A sender of webhooks took over the lease of a shard from another server.
    SenderReplaced "sender_replaced",
    /// A sender of webhooks found that another server had taken over its lease.
    SenderLeaseLost "sender_lease_lost",
    /// A server died while one of its webhooks was under way.
    KilledDuringDelivery "killed_during_delivery",
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Counts how often a simulation passed each mark.
#[derive(Default)]
pub(super) struct Coverage(Mutex<BTreeMap<Mark, u64>>);

impl Coverage {
    /// Counts a path that was taken.
    pub(super) fn pass(&self, mark: Mark) {
        self.pass_times(mark, 1);
    }

    /// Counts a path that was taken this many times.
    pub(super) fn pass_times(&self, mark: Mark, times: u64) {
        if times > 0 {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(mark).or_default() += times;
        }
    }

    /// Returns the counts of the marks that were passed.
    pub(super) fn counts(&self) -> BTreeMap<Mark, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

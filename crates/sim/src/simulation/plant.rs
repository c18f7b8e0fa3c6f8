//! Deliberate defects, which a simulation must find.

use serde::Serialize;

macro_rules! plants {
    ($($(#[doc = $meaning:literal])+ $variant:ident $name:literal $invariant:literal,)+) => {
        /// A deliberate defect, which the simulation must find.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Plant {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl Plant {
            /// All defects.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the name of the defect.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Returns the number of the invariant that the defect violates, as in `docs/explanation/architecture.md`.
            pub const fn invariant(self) -> &'static str {
                match self { $(Self::$variant => $invariant),+ }
            }
        }
    };
}

plants! {
    /// Placing an order stores no idempotency key.
    LostKeys "lost-keys" "I1",
    /// The store acknowledges some commits and does not write them.
    LostCommits "lost-commits" "I2",
    /// Items that are named as unavailable stay available.
    LostMarks "lost-marks" "I3",
    /// Some tasks are not stored.
    LostTasks "lost-tasks" "I3",
    /// An accepted order is stored with a state that does not follow from its events.
    ForgedStates "forged-states" "I4",
    /// A courier who is assigned during the preparation picks up the order at once.
    SkippedSteps "skipped-steps" "I5",
    /// Orders are stored with a total that is one minor unit too high.
    WrongTotals "wrong-totals" "I6",
    /// Orders take no stock.
    Oversold "oversold" "I7",
    /// The stock that an order took is never returned.
    LostStock "lost-stock" "I7",
    /// Every attempt of a call of the payment provider has a new idempotency key.
    ForgottenKeys "forgotten-keys" "I8",
    /// Most often the provider refunds money and reports that it did not.
    WrongAnswers "wrong-answers" "I8",
    /// Reports about refunds that fail late are lost.
    LostReversals "lost-reversals" "I8",
    /// Reports about refunds in the provider's dashboard and about chargebacks are lost.
    LostDashboardReports "lost-dashboard-reports" "I8",
    /// The list of a customer's orders contains the orders of other customers.
    LeakedLists "leaked-lists" "I9",
    /// Customers cancel the orders of other customers.
    ForeignCancellations "foreign-cancellations" "I9",
    /// The sender of webhooks passes an event whose delivery failed, and its failure is not stored.
    SkippedEvent "skipped-event" "I10",
    /// Events are published whose commits were not acknowledged, and the commits are lost at a crash.
    UnacknowledgedEvent "unacknowledged-event" "I11",
}

impl Plant {
    /// Returns the defect with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|plant| plant.as_str() == name)
    }
}

//! Statistics of a platform: what is counted and measured per minute, and how values of several minutes, servers and
//! shards are merged.
//!
//! To add a statistic, add a variant to [`Statistic`] with its name, its kind and its unit. The compiler then names the
//! places that must derive its values.

mod histogram;
mod tally;

use serde::Serialize;

pub use self::{
    histogram::{Histogram, HistogramError, MAX_RELATIVE_ERROR},
    tally::Tally,
};
use crate::{Timestamp, order::named::named_variants};

/// A number that is counted or measured per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Orders that were placed.
    OrdersPlaced,
    /// Orders that were delivered.
    OrdersDelivered,
    /// Orders that ended before their delivery, for whatever reason.
    OrdersCancelled,
    /// Time from the confirmation of an order to its acceptance by the restaurant.
    AcceptanceTime,
    /// Time from the promised time to the time at which the food was ready; 0 if it was ready in time.
    Lateness,
    /// Time from the placing of an order to its delivery.
    DeliveryTime,
    /// Time that a server needed to place an order.
    PlacingLatency,
    /// Due tasks that wait for a worker.
    TasksWaiting,
    /// Time since which the oldest due task waits for a worker.
    TaskAge,
}

named_variants!(Statistic {
    OrdersPlaced => "orders_placed",
    OrdersDelivered => "orders_delivered",
    OrdersCancelled => "orders_cancelled",
    AcceptanceTime => "acceptance_time",
    Lateness => "lateness",
    DeliveryTime => "delivery_time",
    PlacingLatency => "placing_latency",
    TasksWaiting => "tasks_waiting",
    TaskAge => "task_age",
});

/// How the values of a statistic are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StatisticKind {
    /// Things that happened are counted.
    Count,
    /// Durations are measured, and counted by their size.
    Distribution,
    /// A state is measured once per minute.
    Gauge,
}

named_variants!(StatisticKind {
    Count => "count",
    Distribution => "distribution",
    Gauge => "gauge",
});

/// Unit of a statistic's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StatisticUnit {
    /// Orders.
    Orders,
    /// Seconds. Stored values are microseconds.
    Seconds,
    /// Tasks.
    Tasks,
}

named_variants!(StatisticUnit {
    Orders => "orders",
    Seconds => "seconds",
    Tasks => "tasks",
});

/// How the values that several shards measured in the same minute become the platform's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcrossShards {
    /// The platform's value is the sum.
    Sum,
    /// The platform's value is the largest one.
    Max,
}

impl Statistic {
    /// Returns how the values are merged.
    pub const fn kind(self) -> StatisticKind {
        match self {
            Self::OrdersPlaced | Self::OrdersDelivered | Self::OrdersCancelled => StatisticKind::Count,
            Self::AcceptanceTime | Self::Lateness | Self::DeliveryTime | Self::PlacingLatency => {
                StatisticKind::Distribution
            }
            Self::TasksWaiting | Self::TaskAge => StatisticKind::Gauge,
        }
    }

    /// Returns the unit of the values.
    pub const fn unit(self) -> StatisticUnit {
        match self {
            Self::OrdersPlaced | Self::OrdersDelivered | Self::OrdersCancelled => StatisticUnit::Orders,
            Self::AcceptanceTime
            | Self::Lateness
            | Self::DeliveryTime
            | Self::PlacingLatency
            | Self::TaskAge => StatisticUnit::Seconds,
            Self::TasksWaiting => StatisticUnit::Tasks,
        }
    }

    /// Returns how the values of several shards in the same minute are merged. Only for a gauge.
    pub const fn across_shards(self) -> AcrossShards {
        match self {
            Self::TaskAge => AcrossShards::Max,
            _ => AcrossShards::Sum,
        }
    }
}

/// A minute in UTC: the number of minutes since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(pub i64);

impl Minute {
    /// Number of seconds of a minute.
    pub const SECONDS: i64 = 60;

    /// Returns the minute that contains a time.
    pub fn of(at: Timestamp) -> Self {
        Self(at.as_second().div_euclid(Self::SECONDS))
    }

    /// Returns the time at which the minute begins. A minute outside the range of times returns the nearest time.
    pub fn start(self) -> Timestamp {
        let outside = if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_second(self.0.saturating_mul(Self::SECONDS)).unwrap_or(outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a minute contains its start and not the start of the next one, before and after 1970.
    #[test]
    fn a_time_belongs_to_one_minute() {
        for (second, minute) in
            [(0, 0), (59, 0), (60, 1), (-1, -1), (-60, -1), (-61, -2), (1_800_000_000, 30_000_000)]
        {
            let at = Timestamp::from_second(second).unwrap();
            assert_eq!(Minute::of(at), Minute(minute), "{second}");
            assert!(Minute(minute).start() <= at && at < Minute(minute + 1).start(), "{second}");
        }
        assert_eq!(Minute(i64::MAX).start(), Timestamp::MAX);
        assert_eq!(Minute(i64::MIN).start(), Timestamp::MIN);
    }

    /// Proves that only gauges and durations have units other than orders.
    #[test]
    fn every_statistic_has_a_fitting_unit() {
        for statistic in Statistic::ALL {
            let is_count = statistic.kind() == StatisticKind::Count;
            assert_eq!(is_count, statistic.unit() == StatisticUnit::Orders, "{statistic}");
            assert_eq!(Statistic::from_name(statistic.as_str()), Some(*statistic));
        }
    }
}

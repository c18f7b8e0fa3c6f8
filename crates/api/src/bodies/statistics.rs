//! Bodies of statistics.

use dabba_domain::{
    Timestamp,
    statistics::{Statistic, StatisticKind, StatisticUnit, Tally},
};
use dabba_engine::{StatisticsAnswer, StatisticsPoint, StatisticsSeries};
use serde::Serialize;
use utoipa::ToSchema;

/// Number of microseconds of a second: durations are stored in microseconds.
const MICROSECONDS: f64 = 1_000_000.0;

/// Statistics of the platform.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statistics)]
pub(crate) struct StatisticsBody {
    /// Start of the range: the start of the first step.
    from: Timestamp,
    /// End of the range.
    to: Timestamp,
    /// Length of a step in seconds.
    step: i64,
    /// Time up to which the events of all shards are counted, except those whose commit took unusually long. Not after
    /// `from` if a shard did not answer or has counted no events yet. Later steps may grow.
    complete_until: Timestamp,
    /// Time up to which the events of the shards that answered are counted. Equals `complete_until` if all answered.
    counted_until: Timestamp,
    /// Names of the shards that did not answer, whose values are missing. Absent if all answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    missing_shards: Vec<String>,
    /// The series, each statistic once; a statistic about queues once for each queue.
    series: Vec<SeriesBody>,
}

/// The values of a statistic.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatisticsSeries)]
struct SeriesBody {
    /// The statistic.
    name: Statistic,
    /// `count`: things that happened in a step. `distribution`: durations that ended in a step. `gauge`: a state that was
    /// measured once per minute.
    kind: StatisticKind,
    /// Unit of the values other than `count`.
    unit: StatisticUnit,
    /// The queue, for a statistic about queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    /// The steps with values, in the order of time.
    points: Vec<PointBody>,
}

/// The values of a step.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = StatisticsPoint)]
struct PointBody {
    /// Start of the step.
    at: Timestamp,
    /// Number of things that happened, of durations, or of minutes in which the state was measured.
    count: u64,
    /// Sum of the durations or of the measured states: `sum / count` is the mean. Absent for a `count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<f64>,
    /// Half of the durations were not longer. Only for a `distribution`. Quantiles differ from the exact ones by at
    /// most 3.2 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50: Option<f64>,
    /// 90 % of the durations were not longer. Only for a `distribution`.
    #[serde(skip_serializing_if = "Option::is_none")]
    p90: Option<f64>,
    /// 99 % of the durations were not longer. Only for a `distribution`.
    #[serde(skip_serializing_if = "Option::is_none")]
    p99: Option<f64>,
    /// The largest duration or state. Absent for a `count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
}

impl From<StatisticsAnswer> for StatisticsBody {
    fn from(answer: StatisticsAnswer) -> Self {
        let StatisticsAnswer {
            from,
            to,
            step_seconds,
            complete_until,
            counted_until,
            missing_shards,
            series,
        } = answer;
        let series = series.into_iter().map(SeriesBody::from).collect();
        Self { from, to, step: step_seconds, complete_until, counted_until, missing_shards, series }
    }
}

impl From<StatisticsSeries> for SeriesBody {
    fn from(series: StatisticsSeries) -> Self {
        let StatisticsSeries { statistic, queue, points } = series;
        let points = points.into_iter().map(|point| PointBody::new(statistic, &point)).collect();
        Self { name: statistic, kind: statistic.kind(), unit: statistic.unit(), queue, points }
    }
}

impl PointBody {
    fn new(statistic: Statistic, point: &StatisticsPoint) -> Self {
        let StatisticsPoint { at, tally } = point;
        #[expect(clippy::cast_precision_loss, reason = "a value with more than 15 digits is rounded")]
        let value = |stored: u64| match statistic.unit() {
            StatisticUnit::Seconds => stored as f64 / MICROSECONDS,
            StatisticUnit::Orders | StatisticUnit::Tasks => stored as f64,
        };
        let quantile = |tally: &Tally, thousandths| tally.quantile(thousandths).map(value);
        let point = Self { at: *at, count: tally.count, ..Self::default() };
        match statistic.kind() {
            StatisticKind::Count => point,
            StatisticKind::Gauge => {
                Self { sum: Some(value(tally.sum)), max: Some(value(tally.max)), ..point }
            }
            StatisticKind::Distribution => Self {
                sum: Some(value(tally.sum)),
                p50: quantile(tally, 500),
                p90: quantile(tally, 900),
                p99: quantile(tally, 990),
                max: Some(value(tally.max)),
                ..point
            },
        }
    }
}

//! Statistics of the platform.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use dabba_domain::{Timestamp, statistics::Statistic};
use dabba_engine::{StatisticsQuery, StatisticsQueryError};
use dabba_web::{
    Problem,
    extract::{Caller, Cursor as _, FromParameters, Parameters, QueryOf},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    bodies::statistics::StatisticsBody,
    problem::{BadParameter, Failures, NotAllowed, Result, Unauthenticated},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(get_statistics))
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct StatisticsParameters {
    /// Only these statistics: the parameter repeated, or once with names separated by commas. Default: all.
    #[param(value_type = Option<Vec<Statistic>>, style = Form, explode = true)]
    names: Vec<Statistic>,
    /// Start of the range, at most 30 days before `to` and not in the future; moves to the start of its step, or to the first step
    /// that is kept as a whole. Default: 24 hours before the earlier one of `to` and now.
    #[param(value_type = Option<Timestamp>)]
    from: Option<Timestamp>,
    /// End of the range. Default: now.
    #[param(value_type = Option<Timestamp>)]
    to: Option<Timestamp>,
    /// Length of a step in seconds, a multiple of 60, at most a day. The range, from the start of its first step, has at most 1500
    /// steps. Default 300.
    #[param(value_type = Option<u32>, minimum = 60, maximum = 86400, multiple_of = 60)]
    step: Option<u32>,
}

impl FromParameters for StatisticsParameters {
    fn take_from(parameters: &mut Parameters) -> Self {
        let names = parameters.take_list("names", |name| {
            Statistic::from_name(name).ok_or_else(|| {
                let all: Vec<&str> = Statistic::ALL.iter().map(|statistic| statistic.as_str()).collect();
                format!("must be names of statistics: {}", all.join(", "))
            })
        });
        let mut time = |name| {
            parameters.take(name, |value| {
                value
                    .parse()
                    .map_err(|_| "must be a time in RFC 3339, such as 2026-01-31T18:00:00Z".to_owned())
            })
        };
        let (from, to) = (time("from"), time("to"));
        let step = parameters.take("step", |value| {
            let step = u32::read(value).filter(|step| StatisticsQuery::is_step(*step));
            step.ok_or_else(|| format!("{} in digits", StatisticsQueryError::Step))
        });
        Self { names, from, to, step }
    }
}

/// Reads statistics
///
/// What happened on the platform, in steps of equal length: orders that were placed, delivered and cancelled; how long
/// restaurants took to accept, how late food was ready, how long deliveries and the placing of orders took; and how many
/// due tasks waited, and for how long. Dabba counts the events within seconds, by the minute in UTC, and keeps the
/// numbers for 30 days. For admins.
#[utoipa::path(
    get, path = "/v1/statistics", tag = "statistics",
    params(StatisticsParameters),
    responses(
        (status = 200, description = "The statistics.", body = StatisticsBody),
        Unauthenticated, NotAllowed, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn get_statistics(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    QueryOf(parameters): QueryOf<StatisticsParameters>,
) -> Result<Response> {
    let StatisticsParameters { names, from, to, step } = parameters;
    let query = StatisticsQuery::new(names, from, to, step, app.engine.now()).map_err(|errors| {
        let problems = errors.iter().map(|error| (error.parameter().to_owned(), error.to_string()));
        Problem::bad_parameters(&problems.collect::<Vec<_>>())
    })?;
    let statistics = app.engine.statistics.read(&caller, &query).await?;
    Ok(Json(StatisticsBody::from(statistics)).into_response())
}

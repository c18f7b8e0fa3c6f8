//! Refusals by a limit.

use std::time::Duration;

use super::{Code, Problem};
use crate::{
    Rate,
    limit::{Refusal, Report, whole_seconds},
};

impl Problem {
    pub(crate) fn too_many_requests(wait: Duration) -> Self {
        // The wait is rounded up, so that a client that waits as long is not refused again.
        let seconds = whole_seconds(wait).max(1);
        let mut problem = Self::new(
            Code::TooManyRequests,
            format!("More requests than the limit allows; retry after {seconds} s."),
        );
        problem.retry_after = Some(seconds);
        problem
    }

    /// Refused by a limit, which the headers report.
    pub(crate) fn limited(refusal: Refusal) -> Self {
        let Refusal { policy, wait } = refusal;
        let problem = Self::too_many_requests(wait);
        let Some((name, rate)) = policy else { return problem };
        let report = Report::exhausted(name, rate, whole_seconds(wait).max(1));
        Self { rate_limit: Some(Box::new(report)), ..problem.with_policy(name, rate) }
    }

    /// With the limit that refuses the request.
    pub(crate) fn with_policy(self, name: &str, rate: Rate) -> Self {
        self.with("policy", name)
            .with("quota", rate.requests)
            .with("window_seconds", rate.per.as_secs().max(1))
    }
}

//! Problems of requests that a rate limit refuses.

use std::time::Duration;

use super::{Code, Problem};
use crate::{
    Rate,
    limit::{Refusal, Report, whole_seconds},
};

impl Problem {
    pub(crate) fn too_many_requests(wait: Duration) -> Self {
        // The wait is rounded up, so that a client that waits for this time is not refused again.
        let seconds = whole_seconds(wait).max(1);
        let mut problem = Self::new(
            Code::TooManyRequests,
            format!("Too many requests: a rate limit is reached; retry after {seconds} s."),
        );
        problem.retry_after = Some(seconds);
        problem
    }

    /// Returns the problem of a refusal by a limit. The response's headers report the limit.
    pub(crate) fn limited(refusal: Refusal) -> Self {
        let Refusal { policy, wait } = refusal;
        let problem = Self::too_many_requests(wait);
        let Some((name, rate)) = policy else { return problem };
        let report = Report::exhausted(name, rate, whole_seconds(wait).max(1));
        Self { rate_limit: Some(Box::new(report)), ..problem.with_policy(name, rate) }
    }

    /// Adds the limit that refuses the request.
    pub(crate) fn with_policy(self, name: &str, rate: Rate) -> Self {
        self.with("policy", name)
            .with("quota", rate.requests)
            .with("window_seconds", rate.per.as_secs().max(1))
    }
}

//! Bodies of the sandbox's clock.

use dabba_domain::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The sandbox's time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SandboxClock)]
pub(crate) struct ClockBody {
    pub(crate) now: Timestamp,
}

/// Request to advance the clock.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ClockAdvance)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdvanceBody {
    /// Number of seconds.
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub(crate) seconds: u32,
}

//! Bodies of the sandbox's clock.

use dabba_domain::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Maximum time by which one request can advance the clock, in seconds (a year).
pub(crate) const MAX_ADVANCE_SECONDS: u32 = 31_536_000;

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
    pub(crate) seconds: u32,
}

//! The cost of open boards: alternating runs of `dabba bench --mix events` with and without them.

use super::events::{Measured, Plan, Scenario};

/// New orders of 1,000 restaurants: 500 per second, two events each.
const PLACING: &[&str] = &[
    "--only-place",
    "--rate",
    "500",
    "--restaurants",
    "1000",
    "--restaurant-endpoints",
    "0",
    "--platform-endpoints",
    "0",
    "--streams",
    "0",
];
/// Whole lives of the same restaurants: 100 per second, eight events each.
const LIVES: &[&str] = &[
    "--rate",
    "100",
    "--restaurants",
    "1000",
    "--restaurant-endpoints",
    "0",
    "--platform-endpoints",
    "0",
    "--streams",
    "0",
];
/// A board of each restaurant.
const BOARDS: &[&str] = &["--boards", "1000"];

/// With and without boards.
pub(super) const PLAN: Plan = Plan {
    scenarios: &[
        Scenario { name: "500 new orders/s, no board", load: PLACING, receivers: &[] },
        Scenario { name: "500 new orders/s, 1,000 boards", load: PLACING, receivers: BOARDS },
        Scenario { name: "100 whole lives/s, no board", load: LIVES, receivers: &[] },
        Scenario { name: "100 whole lives/s, 1,000 boards", load: LIVES, receivers: BOARDS },
    ],
    columns: &[
        ("p99 of an operation, ms", 1, |run| run.p99_ms),
        ("p50 to the board, ms", 1, |run| run.board_p50_ms),
        ("p99 to the board, ms", 1, |run| run.board_p99_ms),
        ("server, µs/order", 0, |run| run.server_us),
        ("PostgreSQL, µs/order", 0, |run| run.database_us),
        ("statements/order with the preparation", 2, |run| run.statements),
    ],
    ratios: &[
        ("processor time per new order with boards", 1, 0, Measured::processor_us, 1.2),
        ("processor time per life with boards", 3, 2, Measured::processor_us, 1.2),
    ],
};

//! Fields that no response of the test has, with the reasons.

use super::table::PROBLEM;

/// Fields that the API description contains and that no response of this test has: operation, reason, and fields.
pub(super) const NEVER_SENT: &[(&str, &str, &[&str])] = &[
    (
        "GET /readyz",
        "nothing is down; shards.rs and supervised.rs test servers with parts that are down",
        &["/outdated_shards", "/parts", "/shards"],
    ),
    ("GET /v1/orders", INCOMPLETE, &["/incomplete"]),
    ("GET /v1/orders", "search.rs shows a search that reaches its limit", &["/searched_since"]),
    ("GET /v1/restaurants/{restaurant_id}/orders", INCOMPLETE, &["/incomplete"]),
    (
        "GET /v1/restaurants/{restaurant_id}/orders",
        "only admins search, and not in the list of a restaurant",
        &["/searched_since"],
    ),
    ("GET /v1/shards", "shards.rs shows a shard that does not answer", &["/shards/*/error"]),
    (
        "GET /v1/restaurants/{restaurant_id}/board",
        "the tests of dabba-outbound show a board with too many orders",
        &["/truncated"],
    ),
    (
        "GET /v1/restaurants/{restaurant_id}/board",
        "an order that has ended or waits for its payment is not on a board, and no open order has a refund here",
        &[
            "/orders/*/closure",
            "/orders/*/closure/borne_by",
            "/orders/*/closure/by",
            "/orders/*/closure/by/account_id",
            "/orders/*/closure/by/role",
            "/orders/*/closure/by/via",
            "/orders/*/closure/how",
            "/orders/*/closure/items",
            "/orders/*/closure/items/*/item",
            "/orders/*/closure/items/*/until",
            "/orders/*/closure/note",
            "/orders/*/closure/reason",
            "/orders/*/closure/waited_for",
            "/orders/*/payment/deadline",
            "/orders/*/payment/refunds",
            "/orders/*/payment/refunds/*/amount",
            "/orders/*/payment/refunds/*/borne_by",
            "/orders/*/payment/refunds/*/external",
            "/orders/*/payment/refunds/*/external/kind",
            "/orders/*/payment/refunds/*/external/money",
            "/orders/*/payment/refunds/*/external/money/amount",
            "/orders/*/payment/refunds/*/external/money/currency",
            "/orders/*/payment/refunds/*/external/reference",
            "/orders/*/payment/refunds/*/failure",
            "/orders/*/payment/refunds/*/lines",
            "/orders/*/payment/refunds/*/lines/*/line",
            "/orders/*/payment/refunds/*/lines/*/quantity",
            "/orders/*/payment/refunds/*/note",
            "/orders/*/payment/refunds/*/number",
            "/orders/*/payment/refunds/*/reason",
            "/orders/*/payment/refunds/*/status",
            "/orders/*/payment/refunds/*/taxes",
            "/orders/*/payment/refunds/*/taxes/*/amount",
            "/orders/*/payment/refunds/*/taxes/*/tax",
        ],
    ),
    (
        "GET /v1/restaurants/{restaurant_id}/board",
        "boards.rs shows a warned order",
        &["/orders/*/acceptance_due"],
    ),
    (
        "GET /v1/restaurants/{restaurant_id}/board",
        "only reads of restaurants state it",
        &["/restaurant/unattended_since"],
    ),
    (
        "GET /v1/orders/{order_id}/receipt",
        "the refund of lines has failed here; taxes.rs shows one that was paid",
        &["/payment/refunds/*/taxes", "/payment/refunds/*/taxes/*/amount", "/payment/refunds/*/taxes/*/tax"],
    ),
    ("GET /v1/restaurants", INCOMPLETE, &["/incomplete"]),
    ("GET /v1/statistics", "every shard answers; shards.rs has one that does not", &["/missing_shards"]),
    ("GET /v1/tasks", INCOMPLETE, &["/incomplete"]),
    (
        "GET /v1/tasks",
        "only the store's contract writes tasks of other subjects; expiry.rs shows them",
        &["/tasks/*/account_id", "/tasks/*/restaurant_id"],
    ),
    (
        "GET /v1/events",
        "the tests of the public events in dabba-outbound prove what each audience sees, and events.rs who reads the feed",
        &[
            "/at_end",
            "/events",
            "/events/*/data",
            "/events/*/datacontenttype",
            "/events/*/id",
            "/events/*/partitionkey",
            "/events/*/sequence",
            "/events/*/source",
            "/events/*/specversion",
            "/events/*/subject",
            "/events/*/time",
            "/events/*/type",
            "/incomplete",
            "/next_cursor",
        ],
    ),
    ("GET /v1/accounts/me", "the owner of an ended account cannot log in", &["/deleted_at", "/disabled_at"]),
    ("GET /v1/accounts/me", "none of the callers uses an API key; keys.rs has such a caller", &["/holder"]),
    ("GET /v1/session", ONLY_PERSONS, &["/account/deleted_at", "/account/disabled_at", "/account/holder"]),
    ("POST /v1/session", ONLY_PERSONS, &["/account/deleted_at", "/account/disabled_at", "/account/holder"]),
    ("POST /v1/accounts", "a new account has not ended", &["/deleted_at", "/disabled_at"]),
    ("POST /v1/accounts", "only persons register", &["/holder"]),
    (
        "POST /v1/service-accounts",
        "a new account has not ended, and a service account has no address",
        &["/deleted_at", "/disabled_at", "/email"],
    ),
    (
        "POST /v1/accounts/{account_id}/keys",
        "a new key is neither used nor revoked",
        &["/last_used_at", "/revoked_at"],
    ),
    ("GET /v1/accounts/{account_id}/keys", NEVER_USED, &["/keys/*/last_used_at"]),
    ("GET /v1/accounts/{account_id}/keys/{key_id}", NEVER_USED, &["/last_used_at"]),
    (
        "GET /v1/restaurants/{restaurant_id}/members",
        "a deleted account is no member",
        &["/members/*/deleted_at"],
    ),
    (
        "PUT /v1/restaurants/{restaurant_id}/members/{account_id}",
        "a deleted account is no member",
        &["/deleted_at"],
    ),
    (
        "GET /v1/webhook-endpoints/{endpoint_id}/attempts",
        ONLY_SENDERS,
        &[
            "/attempts/*/at",
            "/attempts/*/delivered",
            "/attempts/*/duration_ms",
            "/attempts/*/error",
            "/attempts/*/events",
            "/attempts/*/order_id",
            "/attempts/*/status",
            "/attempts/*/version",
            "/incomplete",
        ],
    ),
    (
        "GET /v1/webhook-endpoints/{endpoint_id}/failures",
        ONLY_SENDERS,
        &[
            "/failures/*/attempts",
            "/failures/*/dead_at",
            "/failures/*/first_failed_at",
            "/failures/*/last_failure",
            "/failures/*/last_failure/at",
            "/failures/*/last_failure/error",
            "/failures/*/last_failure/status",
            "/failures/*/next_attempt_at",
            "/failures/*/next_version",
            "/failures/*/order_id",
            "/incomplete",
            "/next_cursor",
        ],
    ),
    ("GET /v1/webhook-endpoints", NOT_FAILING, &["/endpoints/*/disabled_not_before"]),
    ("POST /v1/webhook-endpoints", NOT_FAILING, &["/disabled_not_before"]),
    ("GET /v1/webhook-endpoints/{endpoint_id}", NOT_FAILING, &["/disabled_not_before"]),
    ("PATCH /v1/webhook-endpoints/{endpoint_id}", NOT_FAILING, &["/disabled_not_before"]),
    ("POST /v1/webhook-endpoints/{endpoint_id}/enable", NOT_FAILING, &["/disabled_not_before"]),
    ("POST /v1/webhook-endpoints/{endpoint_id}/replay", NOT_FAILING, &["/disabled_not_before"]),
    ("POST /v1/webhook-endpoints/{endpoint_id}/rotate-secret", NOT_FAILING, &["/disabled_not_before"]),
    (
        "POST /v1/orders/{order_id}/tracking-link",
        "the server has no public URL; tracking.rs has a server with one",
        &["/url"],
    ),
    (
        "POST /v1/accounts/{account_id}/login-links",
        "the server has no public URL; sessions.rs has a server with one",
        &["/url"],
    ),
    ("POST /v1/restaurants/{restaurant_id}/orders", NO_VIA, &["/closure/by/via"]),
    ("GET /v1/orders/{order_id}", NO_VIA, &["/closure/by/via"]),
    ("POST /v1/orders/{order_id}/accept", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/reject", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/ready", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/assign", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/pick-up", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/deliver", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/cancel", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("POST /v1/orders/{order_id}/refund", NO_VIA, &["/closure/by/via", "/order/closure/by/via"]),
    ("GET /v1/orders", NO_VIA, &["/orders/*/closure/by/via"]),
    ("GET /v1/restaurants/{restaurant_id}/orders", NO_VIA, &["/orders/*/closure/by/via"]),
    ("GET /v1/session", NOT_SIMULATED, &["/server/simulated_payments"]),
    ("POST /v1/session", NOT_SIMULATED, &["/server/simulated_payments"]),
    ("GET /v1/tracking/{token}", NO_DEADLINE, &["/order/allowed_actions/*/deadline"]),
    ("POST /v1/tracking/{token}/cancel", NO_DEADLINE, &["/order/allowed_actions/*/deadline"]),
    ("POST /v1/restaurants", NOT_SEARCHED, &NEAR),
    ("GET /v1/restaurants/{restaurant_id}", NOT_SEARCHED, &NEAR),
    ("PUT /v1/restaurants/{restaurant_id}", NOT_SEARCHED, &NEAR),
    ("POST /v1/restaurants/{restaurant_id}/pause", NOT_SEARCHED, &NEAR),
    ("POST /v1/restaurants/{restaurant_id}/resume", NOT_SEARCHED, &NEAR),
    ("POST /v1/restaurants/{restaurant_id}/close", NOT_SEARCHED, &NEAR),
    ("POST /v1/restaurants/{restaurant_id}/reopen", NOT_SEARCHED, &NEAR),
    (
        "GET /v1/restaurants/{restaurant_id}/board",
        NOT_SEARCHED,
        &[
            "/restaurant/near",
            "/restaurant/near/distance_metres",
            "/restaurant/near/fee",
            "/restaurant/near/free_from",
            "/restaurant/near/minimum_order",
            "/restaurant/near/minutes",
            "/restaurant/near/zone",
        ],
    ),
    (
        PROBLEM,
        "the restaurant whose menu changes has no delivery zones; zones.rs shows quotes of one that has",
        &["/quote/delivery_zone", "/quote/delivery_zone/id", "/quote/delivery_zone/minutes"],
    ),
    (PROBLEM, "tracking.rs reaches the limit of tracking links", &["/tracking_links_limit"]),
    (PROBLEM, "webhook_endpoints.rs reaches the limit of webhook endpoints", &["/webhook_endpoints_limit"]),
    (PROBLEM, "keys.rs reaches the limit of active keys", &["/api_keys_limit"]),
    (
        PROBLEM,
        "with another obstacle than a shortage, the problem is the obstacle's and has no quote",
        &[
            "/quote/obstacles/*/amount",
            "/quote/obstacles/*/currency",
            "/quote/obstacles/*/items",
            "/quote/obstacles/*/items/*/item",
            "/quote/obstacles/*/items/*/until",
            "/quote/obstacles/*/maximum",
            "/quote/obstacles/*/minimum",
            "/quote/obstacles/*/multiple_of",
            "/quote/obstacles/*/opens_at",
            "/quote/obstacles/*/options",
            "/quote/obstacles/*/options/*/group",
            "/quote/obstacles/*/options/*/item",
            "/quote/obstacles/*/options/*/option",
            "/quote/obstacles/*/options/*/until",
            "/quote/obstacles/*/since",
            "/quote/obstacles/*/until",
        ],
    ),
];

/// Reason why the end of an order states no way.
const NO_VIA: &str = "the state of an order names the customer alone; the history shows the way";
const NOT_SIMULATED: &str = "sessions.rs has a server that simulates payments";

/// Reason why the actions of a link have no deadline.
const NO_DEADLINE: &str = "a cancellation has no deadline";

/// Reason why a restaurant states no terms at a place, and the members that would state them.
const NOT_SEARCHED: &str = "only the results of a search by near have it";
const NEAR: [&str; 7] = [
    "/near",
    "/near/distance_metres",
    "/near/fee",
    "/near/free_from",
    "/near/minimum_order",
    "/near/minutes",
    "/near/zone",
];

/// Reason why no key was used.
const NEVER_USED: &str = "none of the callers uses an API key; keys.rs shows the time of a use";

/// Reason why an account that is logged in is neither ended nor a service account.
const ONLY_PERSONS: &str = "only persons whose account is enabled have sessions";

/// Reason why no delivery failed.
const NOT_FAILING: &str = "no delivery to the endpoint fails here; a unit test of dabba-store has every case";
const ONLY_SENDERS: &str = "senders write the entries while events are delivered; webhook_endpoints.rs shows them, and who may read them";

/// Reason why no list is incomplete.
const INCOMPLETE: &str = "every shard answers; shards.rs tests a server with a silent shard";

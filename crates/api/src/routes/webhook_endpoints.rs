//! Webhook endpoints: creation, changes, secrets, tests, replay, and the results of deliveries.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use dabba_domain::{OrderId, RestaurantId, WebhookEndpointId};
use dabba_engine::{Error, FailureFilter, NotTested, WebhookAnswer, Webhooks};
use dabba_outbound::webhooks::TestError;
use dabba_store::PageSize;
use dabba_web::{
    Problem,
    extract::{
        Caller, FromParameters, IfMatch, InPath, JsonBody, MaybeJsonBody, MaybeKey, Parameters, QueryOf,
    },
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    lists,
    paths::WebhookEndpointPath,
    writes::{AtVersion, ConditionalWrite, Created, KeyParameter, Shown, Written, created, mark, tagged},
};
use crate::{
    WebhookEndpoints,
    app::App,
    bodies::webhook_endpoints::{
        ReplayBody, RotationBody, WebhookAttemptListBody, WebhookEndpointBody, WebhookEndpointListBody,
        WebhookEndpointPatchBody, WebhookEndpointRequestBody, WebhookEndpointWithSecretBody,
        WebhookFailureListBody, WebhookTestBody,
    },
    code,
    problem::{
        ApiProblem, BadParameter, Expired, Failures, Missing, NoWebhookEndpoint, NotAllowed, NotRemoved,
        NotUpdated, NotWritten, Result, Unauthenticated, WriteFailures,
    },
};

/// Time after which a test may be sent again if the account has too many: that of the longest delivery.
const RETRY_AFTER_TESTS: Duration = Duration::from_secs(10);

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create_webhook_endpoint, list_webhook_endpoints))
        .routes(routes!(get_webhook_endpoint, change_webhook_endpoint, delete_webhook_endpoint))
        .routes(routes!(rotate_webhook_secret))
        .routes(routes!(test_webhook_endpoint))
        .routes(routes!(enable_webhook_endpoint))
        .routes(routes!(replay_webhook_endpoint))
        .routes(routes!(list_webhook_attempts))
        .routes(routes!(list_webhook_failures))
}

/// Returns the webhook endpoints. On a server without them the paths do not exist.
fn endpoints(app: &App) -> Result<&WebhookEndpoints> {
    Ok(app.config.webhook_endpoints.as_ref().ok_or_else(Problem::not_found)?)
}

fn manager(app: &App) -> Result<&Webhooks> {
    Ok(&endpoints(app)?.manager)
}

/// Makes the response to a write without a secret.
fn answer(manager: &Webhooks, answer: WebhookAnswer) -> Response {
    let WebhookAnswer { endpoint, replayed, .. } = answer;
    mark(tagged(endpoint.version, WebhookEndpointBody::new(endpoint, manager.now())), replayed)
}

/// Makes the response to a write with a secret, which no cache keeps.
fn answer_with_secret(manager: &Webhooks, answer: WebhookAnswer) -> Response {
    let WebhookAnswer { endpoint, secret, replayed } = answer;
    let version = endpoint.version;
    let body = WebhookEndpointBody::new(endpoint, manager.now()).with_secret(secret.as_ref());
    let mut response = mark(tagged(version, body), replayed);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Creates a webhook endpoint
///
/// The endpoint receives the events of a restaurant, or of all restaurants, that happen after its creation: each at
/// least once, and those of an order in their order. The response contains the secret that verifies deliveries, which
/// nothing shows again; a retry with the same `Idempotency-Key` gets the endpoint without it. A restaurant has at most 20
/// endpoints, the platform 100 (409 `too_many_webhook_endpoints`). With `restaurant_id`, for the restaurant's staff and
/// admins; without, for admins.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints", tag = "webhooks",
    params(KeyParameter),
    request_body = WebhookEndpointRequestBody,
    responses(
        Created<WebhookEndpointWithSecretBody>, Unauthenticated, NotAllowed, Missing, NoWebhookEndpoint, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn create_webhook_endpoint(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    MaybeKey(key): MaybeKey,
    JsonBody(body): JsonBody<WebhookEndpointRequestBody>,
) -> Result<Response> {
    let manager = manager(&app)?;
    let made = manager.create(&caller, body.into(), key).await?;
    let location = format!("/v1/webhook-endpoints/{}", made.endpoint.id);
    created(answer_with_secret(manager, made), &location)
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct WebhookEndpointListQuery {
    /// Only the endpoints of this restaurant. Required for the restaurant's staff. Default: all endpoints.
    #[param(value_type = Option<RestaurantId>)]
    restaurant_id: Option<RestaurantId>,
    /// Maximum number of endpoints in the page. 1 to 100; default 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// The `next_cursor` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<WebhookEndpointId>,
}

impl FromParameters for WebhookEndpointListQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        let restaurant_id = parameters
            .take("restaurant_id", |id| id.parse().map_err(|_| "must be the id of a restaurant".to_owned()));
        Self { restaurant_id, limit: parameters.take_limit(), cursor: parameters.take_cursor() }
    }
}

/// Lists webhook endpoints
///
/// Oldest first, without their secrets. With `restaurant_id`, for the restaurant's staff and admins; without, for admins.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints", tag = "webhooks",
    params(WebhookEndpointListQuery),
    responses(
        (status = 200, description = "A page of webhook endpoints.", body = WebhookEndpointListBody),
        Unauthenticated, NotAllowed, Missing, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_webhook_endpoints(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    QueryOf(query): QueryOf<WebhookEndpointListQuery>,
) -> Result<Json<WebhookEndpointListBody>> {
    let manager = manager(&app)?;
    let WebhookEndpointListQuery { restaurant_id, limit, cursor } = query;
    let mut endpoints = manager.endpoints(&caller, restaurant_id, cursor, limit.and_one_more()).await?;
    let next_cursor = lists::next_cursor(&mut endpoints, limit, |last| last.id);
    let body = |endpoint| WebhookEndpointBody::new(endpoint, manager.now());
    Ok(Json(WebhookEndpointListBody { endpoints: endpoints.into_iter().map(body).collect(), next_cursor }))
}

/// Reads a webhook endpoint
///
/// Without its secrets. For the staff of its restaurant and admins.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{endpoint_id}", tag = "webhooks",
    params(WebhookEndpointPath),
    responses(Shown<WebhookEndpointBody>, Unauthenticated, NotAllowed, Missing, Failures),
    security(("bearer" = [])),
)]
async fn get_webhook_endpoint(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<WebhookEndpointId>,
) -> Result<Response> {
    let manager = manager(&app)?;
    let endpoint = manager.endpoint(&caller, id).await?;
    Ok(answer(manager, WebhookAnswer { endpoint, secret: None, replayed: false }))
}

/// Changes a webhook endpoint
///
/// Deliveries after the change use the new settings, within some seconds. For the staff of its restaurant and admins.
#[utoipa::path(
    patch, path = "/v1/webhook-endpoints/{endpoint_id}", tag = "webhooks",
    params(WebhookEndpointPath, AtVersion<WebhookEndpointBody>, KeyParameter),
    request_body = WebhookEndpointPatchBody,
    responses(Written<WebhookEndpointBody>, NotWritten, NotUpdated),
    security(("bearer" = [])),
)]
async fn change_webhook_endpoint(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<WebhookEndpointId>,
    ConditionalWrite(conditional): ConditionalWrite,
    JsonBody(body): JsonBody<WebhookEndpointPatchBody>,
) -> Result<Response> {
    let manager = manager(&app)?;
    let changed = manager.change(&caller, id, body.into(), conditional).await?;
    Ok(answer(manager, changed))
}

/// Deletes a webhook endpoint
///
/// The endpoint receives nothing more; a delivery that is under way may still arrive. For the staff of its restaurant and
/// admins.
#[utoipa::path(
    delete, path = "/v1/webhook-endpoints/{endpoint_id}", tag = "webhooks",
    params(WebhookEndpointPath, AtVersion<WebhookEndpointBody>),
    responses((status = 204, description = "The webhook endpoint is deleted."), NotWritten, NotRemoved),
    security(("bearer" = [])),
)]
async fn delete_webhook_endpoint(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<WebhookEndpointId>,
    condition: IfMatch,
) -> Result<StatusCode> {
    manager(&app)?.delete(&caller, id, condition.into_versions()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Rotates the secret of a webhook endpoint
///
/// A new secret signs deliveries; until `overlap_seconds` have passed, each delivery also has signatures by the
/// previous secrets. At most 4 secrets sign at the same time: a fifth displaces the oldest. The response contains the
/// new secret, which nothing shows again; a retry gets the endpoint without it. For the staff of its restaurant and
/// admins.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{endpoint_id}/rotate-secret", tag = "webhooks",
    params(WebhookEndpointPath, AtVersion<WebhookEndpointBody>, KeyParameter),
    request_body = Option<RotationBody>,
    responses(Written<WebhookEndpointWithSecretBody>, NotWritten, NotUpdated),
    security(("bearer" = [])),
)]
async fn rotate_webhook_secret(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<WebhookEndpointId>,
    ConditionalWrite(conditional): ConditionalWrite,
    MaybeJsonBody(rotation): MaybeJsonBody<RotationBody>,
) -> Result<Response> {
    let manager = manager(&app)?;
    let RotationBody { overlap_seconds } = rotation.unwrap_or_default();
    let rotated = manager.rotate_secret(&caller, id, overlap_seconds, conditional).await?;
    Ok(answer_with_secret(manager, rotated))
}

/// Sends a test event to a webhook endpoint
///
/// One signed event of the type `app.dabba.webhook.test.v1`, once, whether the endpoint is enabled or not. The response is
/// 200 also if the delivery failed, and states why. A test changes nothing: 410 does not disable the endpoint. An account
/// can have 4 tests under way at a server (429 `too_many_requests`), and all accounts together 16 (503 `overloaded`). For
/// the staff of its restaurant and admins.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{endpoint_id}/test", tag = "webhooks",
    params(WebhookEndpointPath),
    responses(
        (status = 200, description = "The result of the delivery.", body = WebhookTestBody),
        NotWritten,
    ),
    security(("bearer" = [])),
)]
async fn test_webhook_endpoint(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<WebhookEndpointId>,
) -> Result<Json<WebhookTestBody>> {
    let WebhookEndpoints { manager, sender } = endpoints(&app)?;
    let _permit = manager.begin_test(&caller, id).await.map_err(not_tested)?;
    match sender.send_test(id).await {
        Ok(attempt) => Ok(Json(attempt.into())),
        Err(TestError::NotFound) => Err(Error::NotFound("webhook endpoint").into()),
        Err(TestError::Store(error)) => Err(Error::from(error).into()),
    }
}

/// Returns the problem of a test that is not sent.
fn not_tested(refused: NotTested) -> ApiProblem {
    match refused {
        NotTested::Account => {
            Problem::new(code::TOO_MANY_REQUESTS, refused.to_string()).retry_after(RETRY_AFTER_TESTS).into()
        }
        NotTested::Error(error) => error.into(),
    }
}

/// Enables a webhook endpoint
///
/// The endpoint receives the events since it was disabled. If it is enabled, only the version changes: its pause after
/// failures ends, and its failures are retried at once, but the time after which it is disabled as failing goes on. For
/// the staff of its restaurant and admins.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{endpoint_id}/enable", tag = "webhooks",
    params(WebhookEndpointPath, AtVersion<WebhookEndpointBody>, KeyParameter),
    responses(Written<WebhookEndpointBody>, NotWritten, NotUpdated),
    security(("bearer" = [])),
)]
async fn enable_webhook_endpoint(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<WebhookEndpointId>,
    ConditionalWrite(conditional): ConditionalWrite,
) -> Result<Response> {
    let manager = manager(&app)?;
    let enabled = manager.enable(&caller, id, conditional).await?;
    Ok(answer(manager, enabled))
}

/// Sends events to a webhook endpoint again
///
/// The events after a cursor of the feed, or since a time, are sent again, in the order of each order's history; dead
/// letters are due at once. A replay never skips events that were not delivered: if the endpoint has not received the
/// events before the cursor or the time, it begins with these. After `position_lost`, Dabba does not know which
/// events of the restored database were delivered: the replay contains the events after the cursor or the time, and
/// every event since Dabba noticed the restore. A void cursor gets 410 `cursor_expired`. For the staff of its restaurant
/// and admins.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{endpoint_id}/replay", tag = "webhooks",
    params(WebhookEndpointPath, AtVersion<WebhookEndpointBody>, KeyParameter),
    request_body = ReplayBody,
    responses(Written<WebhookEndpointBody>, NotWritten, NotUpdated, Expired),
    security(("bearer" = [])),
)]
async fn replay_webhook_endpoint(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<WebhookEndpointId>,
    ConditionalWrite(conditional): ConditionalWrite,
    JsonBody(from): JsonBody<ReplayBody>,
) -> Result<Response> {
    let manager = manager(&app)?;
    let replayed = manager.replay(&caller, id, from.into(), conditional).await?;
    Ok(answer(manager, replayed))
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct WebhookAttemptListQuery {
    /// Maximum number of attempts. 1 to 100; default 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// `true`: only failed attempts; `false`: only successful ones. Default: all attempts.
    failed: Option<bool>,
}

impl FromParameters for WebhookAttemptListQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        Self { limit: parameters.take_limit(), failed: parameters.take_bool("failed") }
    }
}

/// Lists the latest attempts of a webhook endpoint
///
/// Newest first, and some seconds late. The log keeps a limited number: of each shard, the latest 50 failed attempts and
/// 20 entries about successes, each of which may summarize the deliveries of a minute. For the staff of its restaurant
/// and admins.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{endpoint_id}/attempts", tag = "webhooks",
    params(WebhookEndpointPath, WebhookAttemptListQuery),
    responses(
        (status = 200, description = "The latest attempts.", body = WebhookAttemptListBody, headers(
            ("Dabba-Incomplete" = String, description = "`true` if attempts may be missing, like `incomplete` in the body."),
        )),
        Unauthenticated, NotAllowed, Missing, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_webhook_attempts(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<WebhookEndpointId>,
    QueryOf(WebhookAttemptListQuery { limit, failed }): QueryOf<WebhookAttemptListQuery>,
) -> Result<Response> {
    let read = manager(&app)?.attempts(&caller, id, failed, limit).await?;
    let incomplete = read.incomplete;
    let attempts = read.attempts.into_iter().map(Into::into).collect();
    Ok(lists::answer(WebhookAttemptListBody { attempts, incomplete }, incomplete))
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct WebhookFailureListQuery {
    /// `true`: only dead letters, for which no further attempt follows. Default: all failures.
    dead: Option<bool>,
    /// Maximum number of failures in the page. 1 to 100; default 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// The `next_cursor` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<OrderId>,
}

impl FromParameters for WebhookFailureListQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        let dead = parameters.take_bool("dead");
        Self { dead, limit: parameters.take_limit(), cursor: parameters.take_cursor() }
    }
}

/// Lists the orders whose delivery to a webhook endpoint failed
///
/// Oldest order first. An order leaves the list when its events are delivered. For the staff of the endpoint's
/// restaurant and admins.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{endpoint_id}/failures", tag = "webhooks",
    params(WebhookEndpointPath, WebhookFailureListQuery),
    responses(
        (status = 200, description = "A page of failures.", body = WebhookFailureListBody, headers(
            ("Dabba-Incomplete" = String, description = "`true` if failures may be missing, like `incomplete` in the body."),
        )),
        Unauthenticated, NotAllowed, Missing, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_webhook_failures(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<WebhookEndpointId>,
    QueryOf(query): QueryOf<WebhookFailureListQuery>,
) -> Result<Response> {
    let WebhookFailureListQuery { dead, limit, cursor } = query;
    let filter = FailureFilter { only_dead: dead == Some(true), after: cursor, limit: limit.and_one_more() };
    let mut page = manager(&app)?.failures(&caller, id, filter).await?;
    let next_cursor = lists::next_cursor(&mut page.failures, limit, |last| last.order);
    let failures = page.failures.into_iter().map(Into::into).collect();
    let incomplete = page.incomplete;
    Ok(lists::answer(WebhookFailureListBody { failures, next_cursor, incomplete }, incomplete))
}

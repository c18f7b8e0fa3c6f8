//! Bodies of webhook endpoints.

mod deliveries;

use dabba_domain::{AccountId, RestaurantId, Timestamp, WebhookEndpointId, order::Version};
use dabba_engine::{DEFAULT_OVERLAP_SECONDS, ReplayFrom, WebhookPatch, WebhookRequest, WebhookSecret};
use dabba_store::{
    DisabledReason, WebhookContentType, WebhookEndpoint, WebhookPayload, WebhookSettings, WebhookState,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

pub(crate) use self::deliveries::{
    FaultBody, WebhookAttemptListBody, WebhookFailureListBody, WebhookTestBody,
};

/// Concurrency of an endpoint without `concurrency` in the request.
const DEFAULT_CONCURRENCY: u32 = 8;

/// Content of a delivery.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookPayload)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PayloadBody {
    /// The event.
    #[default]
    Event,
    /// The event, with the whole order after it in `data`.
    Order,
}

/// Content type of a delivery to an endpoint without batches.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookContentType)]
pub(crate) enum ContentTypeBody {
    /// JSON.
    #[default]
    #[serde(rename = "application/json")]
    Json,
    /// An event in JSON (`CloudEvents`).
    #[serde(rename = "application/cloudevents+json")]
    CloudEvents,
}

/// Request for a webhook endpoint.
#[derive(Deserialize, ToSchema)]
#[schema(as = WebhookEndpointRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookEndpointRequestBody {
    /// The restaurant whose events the endpoint receives. Default: the events of all restaurants; only for admins.
    restaurant_id: Option<RestaurantId>,
    /// URL to which the events are sent: https on port 443 or 8443, and a public host.
    url: String,
    /// Short names of the types of events to send. Default: all types.
    types: Option<Vec<String>>,
    /// Content of a delivery. Default `event`.
    #[serde(default)]
    payload: PayloadBody,
    /// Content type of deliveries if `batch` is 1. Default `application/json`.
    #[serde(default)]
    content_type: ContentTypeBody,
    /// Maximum number of concurrent deliveries, each of another order. Default 8.
    #[serde(default = "default_concurrency")]
    concurrency: u32,
    /// Maximum number of events in a delivery. Above 1, every delivery is an array, also one of a single event, with
    /// the content type `application/cloudevents-batch+json`. Default 1.
    #[serde(default = "default_batch")]
    batch: u32,
}

const fn default_concurrency() -> u32 {
    DEFAULT_CONCURRENCY
}

const fn default_batch() -> u32 {
    1
}

impl From<WebhookEndpointRequestBody> for WebhookRequest {
    fn from(body: WebhookEndpointRequestBody) -> Self {
        let WebhookEndpointRequestBody {
            restaurant_id,
            url,
            types,
            payload,
            content_type,
            concurrency,
            batch,
        } = body;
        let (payload, content_type) = (payload.into(), content_type.into());
        Self { restaurant_id, url, types, payload, content_type, concurrency, batch }
    }
}

/// Changes of a webhook endpoint. At least one member; omitted members stay unchanged.
#[derive(Deserialize, ToSchema)]
#[schema(as = WebhookEndpointPatch)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookEndpointPatchBody {
    /// URL to which the events are sent.
    url: Option<String>,
    /// Short names of the types of events to send.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    types: Present<Vec<String>>,
    /// Content of a delivery.
    payload: Option<PayloadBody>,
    /// Content type of deliveries if `batch` is 1.
    content_type: Option<ContentTypeBody>,
    /// Maximum number of concurrent deliveries.
    concurrency: Option<u32>,
    /// Maximum number of events in a delivery. Above 1, every delivery is an array.
    batch: Option<u32>,
    /// `false` disables the endpoint: it receives nothing until it is enabled with the operation for this.
    enabled: Option<bool>,
}

/// A member whose `null` differs from an omitted member: `Some(None)` for `null`, `None` if it is omitted.
type Present<T> = Option<Option<T>>;

fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Present<T>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl From<WebhookEndpointPatchBody> for WebhookPatch {
    fn from(body: WebhookEndpointPatchBody) -> Self {
        let WebhookEndpointPatchBody { url, types, payload, content_type, concurrency, batch, enabled } =
            body;
        let (payload, content_type) = (payload.map(Into::into), content_type.map(Into::into));
        Self { url, types, payload, content_type, concurrency, batch, enabled }
    }
}

/// Rotation of an endpoint's secret.
#[derive(Deserialize, ToSchema)]
#[schema(as = WebhookSecretRotation)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationBody {
    /// Time for which the previous secrets still sign, in seconds; it only shortens the time of a secret that already
    /// has an end. 0 to 604800; default 86400: a day.
    #[serde(default = "default_overlap")]
    pub(crate) overlap_seconds: u32,
}

impl Default for RotationBody {
    fn default() -> Self {
        Self { overlap_seconds: DEFAULT_OVERLAP_SECONDS }
    }
}

const fn default_overlap() -> u32 {
    DEFAULT_OVERLAP_SECONDS
}

/// The position from which events are sent again: exactly one of the members.
#[derive(Deserialize, ToSchema)]
#[schema(as = WebhookReplay)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayBody {
    /// A `next_cursor` of the feed (`GET /v1/events`), or an id of its stream: the events after it are sent again. Use
    /// a cursor that was read with the endpoint's restaurant as `restaurant`; for an endpoint of the platform, without
    /// `restaurant`.
    after: Option<String>,
    /// A time: every event from then on is sent again, and usually those of the minute before.
    since: Option<Timestamp>,
}

impl From<ReplayBody> for ReplayFrom {
    fn from(ReplayBody { after, since }: ReplayBody) -> Self {
        Self { after, since }
    }
}

/// A webhook endpoint, without its secrets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(crate) struct WebhookEndpointBody {
    id: WebhookEndpointId,
    /// Increases with every change; also the endpoint's `ETag`.
    #[schema(minimum = 1)]
    version: Version,
    /// The restaurant whose events the endpoint receives; absent if it receives those of all restaurants.
    #[serde(skip_serializing_if = "Option::is_none")]
    restaurant_id: Option<RestaurantId>,
    /// URL to which the events are sent.
    url: String,
    /// Short names of the types of events to send; absent for all types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    types: Vec<String>,
    payload: PayloadBody,
    content_type: ContentTypeBody,
    /// Maximum number of concurrent deliveries, each of another order.
    concurrency: u32,
    /// Maximum number of events in a delivery. Above 1, every delivery is an array.
    batch: u32,
    /// Whether the endpoint receives events. The events while it is disabled follow when it is enabled.
    enabled: bool,
    /// Reason why the endpoint is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<DisabledReasonBody>,
    /// Time at which the endpoint was disabled; absent if it is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_at: Option<Timestamp>,
    /// Time of the creation, or the latest time at which the endpoint was enabled after it had been disabled.
    enabled_at: Timestamp,
    /// Earliest time at which the endpoint is disabled if no delivery succeeds; absent unless the latest delivery failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_not_before: Option<Timestamp>,
    /// The secrets that sign deliveries, newest first. Each delivery has a signature for each of them.
    secrets: Vec<SigningSecretBody>,
    created_at: Timestamp,
    /// The account that created the endpoint.
    created_by: AccountId,
    /// Time of the latest successful delivery, up to some minutes old.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success_at: Option<Timestamp>,
    /// The latest failed delivery, up to some minutes old.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<FaultBody>,
}

/// Reason why a webhook endpoint is disabled.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = WebhookDisabledReason)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DisabledReasonBody {
    /// A request disabled it.
    Requested,
    /// It responded with 410.
    Gone,
    /// No delivery succeeded for five days.
    Failing,
    /// A database was restored, so the endpoint's position no longer applies. A replay determines where it continues.
    PositionLost,
}

/// A secret that signs deliveries. Only the response to its creation contains the secret itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSigningSecret)]
pub(crate) struct SigningSecretBody {
    /// Time until which the secret signs; absent for the newest secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

/// A webhook endpoint with a new secret.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpointWithSecret)]
pub(crate) struct WebhookEndpointWithSecretBody {
    #[serde(flatten)]
    endpoint: WebhookEndpointBody,
    /// The new secret, which verifies deliveries: `whsec_` and base64 (Standard Webhooks). Only this response contains
    /// it, so store it now. Absent in the response to a retry: if the first response was lost, rotate the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A page of webhook endpoints.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpointList)]
pub(crate) struct WebhookEndpointListBody {
    pub(crate) endpoints: Vec<WebhookEndpointBody>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

impl WebhookEndpointBody {
    /// Returns the body of an endpoint, with the secrets that sign at a time.
    pub(crate) fn new(endpoint: WebhookEndpoint, now: Timestamp) -> Self {
        let disabled_not_before = endpoint.disabled_not_before();
        let WebhookEndpoint { id, owner, settings, created_at, created_by, version, health, .. } = endpoint;
        let WebhookSettings {
            url,
            types,
            payload,
            content_type,
            concurrency,
            batch,
            state,
            enabled_at,
            secrets,
            ..
        } = settings;
        let (disabled_reason, disabled_at) = match state {
            WebhookState::Enabled => (None, None),
            WebhookState::Disabled { reason, at } => (Some(reason.into()), Some(at)),
        };
        let signing = secrets.iter().filter(|secret| secret.until.is_none_or(|until| now < until));
        Self {
            id,
            version,
            restaurant_id: owner.restaurant(),
            url,
            types,
            payload: payload.into(),
            content_type: content_type.into(),
            concurrency,
            batch,
            enabled: disabled_at.is_none(),
            disabled_reason,
            disabled_at,
            enabled_at,
            disabled_not_before,
            secrets: signing.map(|secret| SigningSecretBody { until: secret.until }).collect(),
            created_at,
            created_by,
            last_success_at: health.last_success,
            last_failure: health.last_failure.map(FaultBody::from),
        }
    }

    /// Returns the body with a new secret, if there is one.
    pub(crate) fn with_secret(self, secret: Option<&WebhookSecret>) -> WebhookEndpointWithSecretBody {
        WebhookEndpointWithSecretBody { endpoint: self, secret: secret.map(WebhookSecret::reveal) }
    }
}

impl From<PayloadBody> for WebhookPayload {
    fn from(payload: PayloadBody) -> Self {
        match payload {
            PayloadBody::Event => Self::Event,
            PayloadBody::Order => Self::Order,
        }
    }
}

impl From<WebhookPayload> for PayloadBody {
    fn from(payload: WebhookPayload) -> Self {
        match payload {
            WebhookPayload::Event => Self::Event,
            WebhookPayload::Order => Self::Order,
        }
    }
}

impl From<ContentTypeBody> for WebhookContentType {
    fn from(content_type: ContentTypeBody) -> Self {
        match content_type {
            ContentTypeBody::Json => Self::Json,
            ContentTypeBody::CloudEvents => Self::CloudEvents,
        }
    }
}

impl From<WebhookContentType> for ContentTypeBody {
    fn from(content_type: WebhookContentType) -> Self {
        match content_type {
            WebhookContentType::Json => Self::Json,
            WebhookContentType::CloudEvents => Self::CloudEvents,
        }
    }
}

impl From<DisabledReason> for DisabledReasonBody {
    fn from(reason: DisabledReason) -> Self {
        match reason {
            DisabledReason::Requested => Self::Requested,
            DisabledReason::Gone => Self::Gone,
            DisabledReason::Failing => Self::Failing,
            DisabledReason::PositionLost => Self::PositionLost,
        }
    }
}

//! An endpoint and its settings.

use std::{fmt, time::Duration};

use dabba_domain::{AccountId, RestaurantId, Timestamp, WebhookEndpointId, order::Version};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{WebhookFault, WebhookRevision};

/// A webhook endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// The endpoint's id.
    pub id: WebhookEndpointId,
    /// Owner, who determines the events and their representation.
    pub owner: WebhookOwner,
    /// The settings.
    pub settings: WebhookSettings,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Account that created the endpoint.
    pub created_by: AccountId,
    /// Time of deletion, if the endpoint is deleted. A deleted endpoint has no URL and no secrets.
    pub deleted_at: Option<Timestamp>,
    /// Version; increases with every change.
    pub version: Version,
    /// Revision of the latest change.
    pub revision: WebhookRevision,
    /// Revision of the latest change that set the endpoint to [`WebhookSettings::start`]: creation or replay.
    pub positioned: WebhookRevision,
    /// Results of the latest deliveries. May be some minutes old.
    pub health: WebhookHealth,
}

/// Owner of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebhookOwner {
    /// The platform: the endpoint receives the events of all restaurants.
    Platform,
    /// A restaurant: the endpoint receives this restaurant's events.
    Restaurant(RestaurantId),
}

impl WebhookOwner {
    /// Returns the restaurant; `None` for the platform.
    pub const fn restaurant(self) -> Option<RestaurantId> {
        match self {
            Self::Platform => None,
            Self::Restaurant(id) => Some(id),
        }
    }
}

impl From<Option<RestaurantId>> for WebhookOwner {
    fn from(restaurant: Option<RestaurantId>) -> Self {
        restaurant.map_or(Self::Platform, Self::Restaurant)
    }
}

/// Settings of an endpoint, stored as one document.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSettings {
    /// URL to which events are sent. May contain a secret of its owner.
    pub url: String,
    /// Short names of the types of events to send; all types if empty.
    pub types: Vec<String>,
    /// Content of a delivery.
    pub payload: WebhookPayload,
    /// Content type of a delivery.
    pub content_type: WebhookContentType,
    /// Maximum number of concurrent deliveries, each of another order.
    pub concurrency: u32,
    /// Maximum number of events in a delivery.
    pub batch: u32,
    /// Whether the endpoint receives events.
    pub state: WebhookState,
    /// Time since which failures count: the creation, or the latest time at which the endpoint was enabled after it had
    /// been disabled.
    pub enabled_at: Timestamp,
    /// How often the owner of the enabled endpoint asked the senders for an attempt at once. A number and not a time, because
    /// two requests may have the same time.
    #[serde(default)]
    pub requested_attempts: u64,
    /// Secrets that sign deliveries, newest first. Sealed: the store cannot read them.
    pub secrets: Vec<SealedSecret>,
    /// Cursor of the feed, over all shards, after which the endpoint receives events.
    pub start: String,
}

/// Content of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookPayload {
    /// The event.
    Event,
    /// The event with the whole order after it.
    Order,
}

/// Content type of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookContentType {
    /// `application/json`.
    Json,
    /// `application/cloudevents+json`.
    CloudEvents,
}

/// State of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WebhookState {
    /// The endpoint receives events.
    Enabled,
    /// The endpoint receives nothing. Its position stands still until it is enabled.
    Disabled {
        /// Reason.
        reason: DisabledReason,
        /// Time at which the endpoint was disabled.
        at: Timestamp,
    },
}

/// Reason why an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// Its owner disabled it.
    Requested,
    /// It responded with 410 Gone.
    Gone,
    /// No delivery succeeded for days.
    Failing,
    /// A database was restored, so the position at which the endpoint was to begin no longer applies, and it is unknown
    /// which events it has received. A replay determines where it continues.
    PositionLost,
}

impl DisabledReason {
    /// Returns the stored name, which the log shows as well.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Gone => "gone",
            Self::Failing => "failing",
            Self::PositionLost => "position_lost",
        }
    }
}

/// A secret, sealed by a key that the store does not know.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// The sealed bytes.
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    pub sealed: Box<[u8]>,
    /// Time until which the secret still signs, for a secret that a newer one replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Results of the latest deliveries to an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookHealth {
    /// Time of the latest successful delivery.
    pub last_success: Option<Timestamp>,
    /// The latest failure.
    pub last_failure: Option<WebhookFault>,
}

/// Shows neither URL nor secrets.
impl fmt::Debug for WebhookEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, owner, settings, version, revision, deleted_at, .. } = self;
        let mut shown = formatter.debug_struct("WebhookEndpoint");
        shown.field("id", id).field("owner", owner).field("settings", settings).field("version", version);
        shown.field("revision", revision).field("deleted_at", deleted_at).finish_non_exhaustive()
    }
}

/// Shows neither URL nor secrets.
impl fmt::Debug for WebhookSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { types, payload, state, .. } = self;
        let mut shown = formatter.debug_struct("WebhookSettings");
        shown.field("types", types).field("payload", payload).field("state", state).finish_non_exhaustive()
    }
}

/// Does not show the bytes.
impl fmt::Debug for SealedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SealedSecret").field("until", &self.until).finish_non_exhaustive()
    }
}

impl WebhookSettings {
    /// Time without a success after which a failing endpoint is disabled.
    pub const DISABLE_AFTER: Duration = Duration::from_hours(5 * 24);

    /// Maximum number of secrets. A further secret displaces the oldest. A delivery has a signature of each of them.
    pub const MAX_SECRETS: usize = 4;

    /// Returns whether the endpoint receives events.
    pub const fn is_enabled(&self) -> bool {
        matches!(self.state, WebhookState::Enabled)
    }

    /// Enables the endpoint: failures count anew from `at`. Returns `false`, and changes nothing, if it is enabled.
    pub fn enable(&mut self, at: Timestamp) -> bool {
        if self.is_enabled() {
            return false;
        }
        self.state = WebhookState::Enabled;
        self.enabled_at = at;
        true
    }

    /// Returns what the senders compare to learn that the owner wants an attempt at once.
    pub const fn attempt_wanted(&self) -> (Timestamp, u64) {
        (self.enabled_at, self.requested_attempts)
    }

    /// Disables the endpoint. Returns `false`, and changes nothing, if it is disabled.
    pub fn disable(&mut self, reason: DisabledReason, at: Timestamp) -> bool {
        if !self.is_enabled() {
            return false;
        }
        self.state = WebhookState::Disabled { reason, at };
        true
    }

    /// Adds a new secret, which signs from now on. The current secrets sign until `overlap_end` at the latest; secrets
    /// that no longer sign at `at` are dropped.
    pub fn rotate(&mut self, sealed: Box<[u8]>, at: Timestamp, overlap_end: Timestamp) {
        for secret in &mut self.secrets {
            secret.until = Some(secret.until.map_or(overlap_end, |until| until.min(overlap_end)));
        }
        self.secrets.retain(|secret| secret.until.is_some_and(|until| until > at));
        self.secrets.insert(0, SealedSecret { sealed, until: None });
        self.secrets.truncate(Self::MAX_SECRETS);
    }
}

impl WebhookEndpoint {
    /// Returns the earliest time at which the endpoint is disabled if no delivery succeeds; `None` if the latest
    /// delivery succeeded, or the endpoint is disabled. An endpoint that got no event for a while is disabled later:
    /// [`WebhookSettings::DISABLE_AFTER`] counts from the first failure.
    pub fn disabled_not_before(&self) -> Option<Timestamp> {
        let since =
            self.health.last_success.map_or(self.settings.enabled_at, |at| at.max(self.settings.enabled_at));
        let failure = self.health.last_failure.as_ref()?;
        let is_failing = self.settings.is_enabled() && failure.at > since;
        is_failing.then(|| since.checked_add(WebhookSettings::DISABLE_AFTER).unwrap_or(Timestamp::MAX))
    }

    /// Deletes the endpoint: removes URL and secrets. The rest stays, so that senders learn of the deletion.
    pub fn delete(&mut self, at: Timestamp) {
        self.settings.disable(DisabledReason::Requested, at);
        self.settings.url.clear();
        self.settings.secrets.clear();
        self.deleted_at = Some(at);
    }
}

#[expect(clippy::borrowed_box, reason = "serde passes a reference to the field")]
fn write_hex<S: Serializer>(bytes: &Box<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Hex(bytes))
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

fn read_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u8]>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let byte = |pair: &[u8]| {
        let digits = str::from_utf8(pair).ok().filter(|_| pair.iter().all(u8::is_ascii_hexdigit))?;
        u8::from_str_radix(digits, 16).ok()
    };
    let bytes = (text.len() % 2 == 0).then(|| text.as_bytes().chunks(2).map(byte).collect::<Option<_>>());
    bytes.flatten().ok_or_else(|| de::Error::custom("a sealed secret is not hexadecimal"))
}

#[cfg(test)]
mod tests {
    use dabba_domain::Bucket;
    use proptest::prelude::*;

    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn settings() -> WebhookSettings {
        WebhookSettings {
            url: "https://example.org/hook?token=hidden".to_owned(),
            types: vec!["placed".to_owned()],
            payload: WebhookPayload::Event,
            content_type: WebhookContentType::Json,
            concurrency: 8,
            batch: 1,
            state: WebhookState::Enabled,
            enabled_at: second(1),
            requested_attempts: 0,
            secrets: vec![SealedSecret { sealed: Box::from(*b"sealed"), until: None }],
            start: "r2".to_owned(),
        }
    }

    proptest! {
        /// Proves that sealed bytes are stored exactly.
        #[test]
        fn a_sealed_secret_is_stored_exactly(bytes: Vec<u8>) {
            let secret = SealedSecret { sealed: bytes.into(), until: Some(second(7)) };
            let json = serde_json::to_string(&secret).unwrap();
            prop_assert_eq!(serde_json::from_str::<SealedSecret>(&json).unwrap(), secret);
        }
    }

    /// Proves that text that is not hexadecimal is an error and no panic.
    #[test]
    fn a_damaged_secret_is_refused() {
        for sealed in ["0", "0g", "+1", "é1", "00é"] {
            let json = serde_json::json!({ "sealed": sealed }).to_string();
            assert!(serde_json::from_str::<SealedSecret>(&json).is_err(), "{sealed}");
        }
    }

    /// Proves that neither the URL nor a secret appears in a message.
    #[test]
    fn the_debug_form_hides_url_and_secrets() {
        let shown = format!("{:?} {:?}", settings(), settings().secrets);
        assert!(!shown.contains("hidden") && !shown.contains("115"), "{shown}");
    }

    /// Proves that replaced secrets sign until the overlap ends, that expired ones are dropped, and that their number
    /// is bounded.
    #[test]
    fn replaced_secrets_overlap() {
        let mut settings = settings();
        settings.rotate(Box::from(*b"2"), second(10), second(20));
        settings.rotate(Box::from(*b"3"), second(15), second(30));
        let shown: Vec<_> = settings.secrets.iter().map(|secret| (&*secret.sealed, secret.until)).collect();
        assert_eq!(
            shown,
            [(&b"3"[..], None), (&b"2"[..], Some(second(30))), (&b"sealed"[..], Some(second(20)))]
        );
        settings.rotate(Box::from(*b"4"), second(20), second(20));
        assert_eq!(settings.secrets.len(), 1, "without an overlap, only the new secret signs");
        for _ in 0..9 {
            settings.rotate(Box::from(*b"5"), second(21), second(90));
        }
        assert_eq!(settings.secrets.len(), WebhookSettings::MAX_SECRETS);
    }

    /// Proves that the time at which a failing endpoint is disabled counts from the latest success or the enabling,
    /// whichever is later, and that only an enabled endpoint whose latest delivery failed has one.
    #[test]
    fn a_failing_endpoint_states_when_it_is_disabled() {
        let fault = |at| Some(WebhookFault { at: second(at), status: None, error: String::new() });
        let mut endpoint = WebhookEndpoint {
            id: WebhookEndpointId::generate(second(1), Bucket::FIRST, 1),
            owner: WebhookOwner::Platform,
            settings: settings(),
            created_at: second(1),
            created_by: AccountId::generate(second(1), Bucket::FIRST, 1),
            deleted_at: None,
            version: 1,
            revision: 1,
            positioned: 1,
            health: WebhookHealth::default(),
        };
        let five_days = 5 * 24 * 3_600;
        for (last_success, last_failure, expected) in [
            (None, None, None),
            (Some(9), None, None),
            (Some(9), fault(8), None),
            (None, fault(8), Some(second(1 + five_days))),
            (Some(5), fault(8), Some(second(5 + five_days))),
        ] {
            endpoint.health = WebhookHealth { last_success: last_success.map(second), last_failure };
            assert_eq!(endpoint.disabled_not_before(), expected);
        }
        endpoint.settings.enabled_at = second(7);
        assert_eq!(endpoint.disabled_not_before(), Some(second(7 + five_days)));
        endpoint.settings.disable(DisabledReason::Requested, second(9));
        assert_eq!(endpoint.disabled_not_before(), None);
    }

    /// Proves that enabling counts failures anew, and that a repeated request changes nothing.
    #[test]
    fn an_endpoint_is_disabled_and_enabled_once() {
        let mut settings = settings();
        assert!(!settings.enable(second(2)));
        assert!(settings.disable(DisabledReason::Gone, second(3)));
        assert!(!settings.disable(DisabledReason::Requested, second(4)));
        assert_eq!(settings.state, WebhookState::Disabled { reason: DisabledReason::Gone, at: second(3) });
        assert!(settings.enable(second(5)));
        assert_eq!((settings.is_enabled(), settings.enabled_at), (true, second(5)));
    }
}

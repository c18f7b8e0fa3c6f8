//! Measurements of a server's connections.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Label with the reason why a connection was refused or closed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The reasons in `/metrics` why connections are refused or closed.
pub(super) const FOR_ADDRESS: &str = "too_many_of_address";
pub(super) const FOR_ALL: &str = "too_many";
pub(super) const FOR_ROOM: &str = "made_room";
pub(super) const FOR_UNSENT: &str = "unsent_bytes";
pub(super) const FOR_RECEIVED: &str = "received_bytes";
pub(super) const FOR_ABANDONED: &str = "abandoned_responses";

/// Measurements of a server's connections.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    pub(super) open: Gauge,
    pub(super) failed_handshakes: Counter,
    closed: Family<ReasonLabel, Counter>,
}

impl ConnectionMetrics {
    /// Registers the measurements.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("dabba_http_connections", "Open connections", metrics.open.clone());
        registry.register(
            "dabba_http_connections_closed",
            "Connections that were refused or closed to protect the others, by reason",
            metrics.closed.clone(),
        );
        registry.register(
            "dabba_tls_handshakes_failed",
            "Connections whose TLS handshake failed or took too long",
            metrics.failed_handshakes.clone(),
        );
        for reason in [FOR_ADDRESS, FOR_ALL, FOR_ROOM, FOR_UNSENT, FOR_RECEIVED, FOR_ABANDONED] {
            metrics.closed.get_or_create_owned(&ReasonLabel { reason });
        }
        metrics
    }

    pub(super) fn count(&self, reason: &'static str) {
        self.closed.get_or_create(&ReasonLabel { reason }).inc();
    }
}

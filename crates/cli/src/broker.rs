//! The message broker that the settings select.

use std::sync::Arc;

use dabba_engine::{Engine, SystemRandom};
use dabba_gateways::nats::{NatsConfig, NatsSink};
use dabba_outbound::broker::{
    BrokerConfig, BrokerMetrics, BrokerPublisher, BrokerStart, ShardsFeed, StoreLease,
};
use prometheus_client::registry::Registry;

use crate::{failure::Failure, settings::Settings};

/// The access to the broker, checked.
pub(crate) struct Broker {
    access: Option<(NatsConfig, BrokerStart)>,
}

impl Broker {
    /// Returns the broker of the settings. Changes nothing, and does not connect.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, Failure> {
        Ok(Self { access: settings.events.broker()? })
    }

    /// Returns the publisher, which [`crate::background::Background`] runs; `None` without a broker.
    pub(crate) fn publisher(
        self,
        engine: &Arc<Engine>,
        metrics: &mut Registry,
    ) -> Result<Option<Arc<BrokerPublisher>>, Failure> {
        // Registered without a broker, too, so that every server shows the same measurements.
        let metrics = BrokerMetrics::new(metrics);
        let Some((config, start)) = self.access else { return Ok(None) };
        let lease = StoreLease::new(engine).map_err(Failure::during("setting up the broker"))?;
        Ok(Some(Arc::new(BrokerPublisher::new(
            Arc::new(NatsSink::new(config)),
            Arc::new(ShardsFeed::new(engine)),
            Arc::new(lease),
            Arc::new(SystemRandom),
            metrics,
            BrokerConfig { start, ..BrokerConfig::default() },
        ))))
    }
}

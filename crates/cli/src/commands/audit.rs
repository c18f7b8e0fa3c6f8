//! `dabba audit`

use std::time::Duration;

use async_trait::async_trait;
use dabba_domain::OrderId;
use dabba_gateways::simulated::ledger::Summary;
use dabba_sim::{AuditOptions, Authorities, Client, ClientError, GatewayLedger, GatewaySummary, audit};

use crate::{
    commands::{DataArguments, block_on, remote::client_of},
    failure::Failure,
    output, sandbox,
    settings::WebUrl,
};

/// Timeout of one request to the simulated payment provider.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Prints the report as one object of JSON.
    #[arg(long)]
    json: bool,
    /// URL of a simulated payment provider (`dabba simulate-payments`) whose records the audit compares with the card
    /// payments.
    #[arg(long, value_name = "URL")]
    simulated_payments: Option<WebUrl>,
    #[command(flatten)]
    settings: DataArguments,
}

/// Audits all orders and prints the report. Fails if the audit finds a breach. Changes nothing: a missing database is
/// not created, and a database with an older schema is refused.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let (settings, databases) = arguments.settings.load_existing()?;
    let clock = sandbox::clock_of(&settings, &databases)?;
    block_on(async {
        let store = databases.open_to_read(&settings).await?.store;
        let provider = arguments.simulated_payments.as_ref().map(SimulatedLedger::new).transpose()?;
        let provider = provider.as_ref().map(|provider| provider as &dyn GatewayLedger);
        let audited = audit(&*store, provider, &AuditOptions::new(clock.now())).await;
        store.close().await;
        let report = audited.map_err(Failure::during("the audit could not read everything"))?;
        if arguments.json {
            output::json(&report)?;
        } else {
            output::line(&report)?;
        }
        if report.is_clean() {
            Ok(())
        } else {
            Err(Failure::new(format!("the audit found breaches: {}", report.breaches)))
        }
    })
}

/// The records of a simulated provider.
struct SimulatedLedger {
    client: Client,
}

impl SimulatedLedger {
    fn new(url: &WebUrl) -> Result<Self, Failure> {
        let client = client_of(url.as_str(), &Authorities::default())
            .map_err(Failure::during("--simulated-payments"))?;
        Ok(Self { client })
    }

    async fn fetch_summary(&self, order_id: OrderId) -> Result<Summary, ClientError> {
        self.client.get(&format!("/v1/summary/{order_id}")).timeout(PROVIDER_TIMEOUT).send().await?.read()
    }
}

#[async_trait]
impl GatewayLedger for SimulatedLedger {
    async fn summary(&self, order_id: OrderId) -> Result<Option<GatewaySummary>, String> {
        let summary = self.fetch_summary(order_id).await.map_err(|error| error.to_string())?;
        Ok(Some(summary.into()))
    }
}

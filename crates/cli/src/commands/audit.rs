//! `dabba audit`

use std::time::Duration;

use async_trait::async_trait;
use dabba_domain::OrderId;
use dabba_gateways::simulated::ledger::Summary;
use dabba_sim::{AuditOptions, GatewayLedger, GatewaySummary, audit};

use crate::{
    commands::{DataArguments, block_on},
    failure::Failure,
    output, sandbox,
    settings::WebUrl,
};

/// Longest time in which the payment provider has to answer.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Prints the report as one object of JSON.
    #[arg(long)]
    json: bool,
    /// A simulated payment provider (`dabba simulate-payments`) against which to hold the orders paid by card.
    #[arg(long, value_name = "URL")]
    simulated_payments: Option<WebUrl>,
    #[command(flatten)]
    settings: DataArguments,
}

/// Reads all orders and prints what is wrong with them; fails when something is. Nothing is changed: a
/// database that is not there is not made, one with an older schema is refused.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let (settings, databases) = arguments.settings.load_existing()?;
    let clock = sandbox::clock_of(&settings, &databases)?;
    block_on(async {
        let store = databases.open_to_read(&settings).await?.store;
        let provider = arguments.simulated_payments.as_ref().map(SimulatedLedger::new).transpose()?;
        let provider = provider.as_ref().map(|provider| provider as &dyn GatewayLedger);
        let audited = audit(&*store, provider, &AuditOptions::at(clock.now())).await;
        store.close().await;
        let report = audited.map_err(Failure::during("the audit could not look at everything"))?;
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

/// What a simulated provider has done, by its own account.
struct SimulatedLedger {
    client: reqwest::Client,
    base: String,
}

impl SimulatedLedger {
    fn new(url: &WebUrl) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().timeout(PROVIDER_TIMEOUT).build();
        let client = client.map_err(Failure::during("setting up the payment provider"))?;
        Ok(Self { client, base: url.as_str().trim_end_matches('/').to_owned() })
    }

    async fn ask(&self, order_id: OrderId) -> Result<Summary, reqwest::Error> {
        let url = format!("{}/v1/summary/{order_id}", self.base);
        self.client.get(url).send().await?.error_for_status()?.json().await
    }
}

#[async_trait]
impl GatewayLedger for SimulatedLedger {
    async fn summary(&self, order_id: OrderId) -> Result<Option<GatewaySummary>, String> {
        let summary = self.ask(order_id).await.map_err(|error| error.to_string())?;
        Ok(Some(summary.into()))
    }
}

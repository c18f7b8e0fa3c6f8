//! The payment provider that the settings select.

use std::{path::Path, sync::Arc, time::Duration};

use dabba_domain::Timestamp;
use dabba_engine::{
    Clock, PaymentGateway, ProviderNotice, SystemClock, SystemRandom, WebhookError, WebhookReader,
};
use dabba_gateways::{
    SimulatedWebhooks, StripeWebhooks,
    simulated::{InProcessGateway, Provider, SimulatedGateway, WebhookSecret},
    stripe::{StripeConfig, StripeGateway, is_live_key},
};

use crate::{
    failure::Failure,
    named_file,
    settings::{PaymentGatewayName, Settings},
};

/// Timeout for connecting to a payment provider.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The payment provider in both directions: calls to it and webhooks from it.
#[derive(Default)]
pub(crate) struct Payments {
    /// Client of the provider. `None`: cards are not accepted.
    pub(crate) gateway: Option<Arc<dyn PaymentGateway>>,
    /// Reader of the provider's webhooks. `None`: webhooks are not accepted.
    pub(crate) webhooks: Option<Arc<dyn WebhookReader>>,
    /// Whether the provider is simulated, and moves no money.
    pub(crate) is_simulated: bool,
}

impl Payments {
    /// Returns the payments of a server. With a demo and no provider in the settings, the server simulates the provider
    /// itself. A sandbox moves no real money. This function changes nothing; the returned function completes the
    /// simulated provider with the server's clock, which exists later.
    pub(crate) fn for_server(
        settings: &Settings,
        with_demo: bool,
        is_sandbox: bool,
    ) -> Result<impl FnOnce(&Arc<dyn Clock>) -> Self + use<>, Failure> {
        let default = with_demo.then_some(PaymentGatewayName::Simulated);
        let name = settings.payments.payment_gateway.or(default);
        let is_in_process =
            name == Some(PaymentGatewayName::Simulated) && settings.payments.payment_url.is_none();
        let payments = match name {
            None => Self::none(settings)?,
            Some(name) => {
                let gateway = if is_in_process { None } else { Some(client(name, settings, is_sandbox)?) };
                let webhooks = webhooks(name, settings)?;
                let webhooks = if is_sandbox { webhooks.map(with_machine_clock) } else { webhooks };
                Self { gateway, webhooks, is_simulated: name == PaymentGatewayName::Simulated }
            }
        };
        Ok(move |clock: &Arc<dyn Clock>| {
            if !is_in_process {
                return payments;
            }
            tracing::info!("card payments are simulated: no money moves");
            let provider = Arc::new(Provider::new(Arc::new(SystemRandom)));
            let gateway = InProcessGateway::new(provider, Arc::clone(clock));
            Self { gateway: Some(Arc::new(gateway)), ..payments }
        })
    }

    /// Returns the payments of workers without a server. Workers must share the provider with a server. In a sandbox
    /// they move no real money either.
    pub(crate) fn for_workers(settings: &Settings, is_sandbox: bool) -> Result<Self, Failure> {
        let Some(name) = settings.payments.payment_gateway else { return Self::none(settings) };
        if name == PaymentGatewayName::Simulated && settings.payments.payment_url.is_none() {
            return Err(Failure::new(
                "a provider that a server simulates itself is not available to workers: set payment_url to a provider that \
                 servers and workers share (`dabba simulate-payments` starts one)",
            ));
        }
        let is_simulated = name == PaymentGatewayName::Simulated;
        Ok(Self { gateway: Some(client(name, settings, is_sandbox)?), webhooks: None, is_simulated })
    }

    fn none(settings: &Settings) -> Result<Self, Failure> {
        for (setting, is_given) in [
            ("payment_url", settings.payments.payment_url.is_some()),
            ("payment_key_file", settings.payments.payment_key_file.is_some()),
            ("payment_webhook_secret_file", settings.payments.payment_webhook_secret_file.is_some()),
        ] {
            if is_given {
                let text = format!(
                    "the setting {setting} has no effect without payment_gateway: set payment_gateway, or remove {setting}"
                );
                return Err(Failure::new(text));
            }
        }
        Ok(Self::default())
    }
}

/// Returns the client of a provider in another process.
fn client(
    name: PaymentGatewayName,
    settings: &Settings,
    is_sandbox: bool,
) -> Result<Arc<dyn PaymentGateway>, Failure> {
    let url = settings.payments.payment_url.as_ref();
    match name {
        PaymentGatewayName::Simulated => {
            let url = url.ok_or_else(|| Failure::new("the setting payment_url is missing"))?;
            let gateway = SimulatedGateway::new(url.as_str(), CONNECT_TIMEOUT);
            Ok(Arc::new(gateway.map_err(Failure::during("setting up the payment provider"))?))
        }
        PaymentGatewayName::Stripe => {
            let file = settings.payments.payment_key_file.as_deref();
            let file = file
                .ok_or_else(|| Failure::new("payment_gateway stripe needs the setting payment_key_file"))?;
            let key = secret(file).map_err(Failure::during("the setting payment_key_file"))?;
            if is_sandbox && is_live_key(&key) {
                return Err(Failure::new(
                    "a sandbox refuses a live key of the payment provider, which would move real money: use a test key",
                ));
            }
            let mut config = StripeConfig { connect_timeout: CONNECT_TIMEOUT, ..StripeConfig::new(key) };
            if let Some(url) = url {
                url.as_str().clone_into(&mut config.base_url);
            }
            let gateway = StripeGateway::new(config);
            Ok(Arc::new(gateway.map_err(Failure::during("setting up the payment provider"))?))
        }
    }
}

fn webhooks(
    name: PaymentGatewayName,
    settings: &Settings,
) -> Result<Option<Arc<dyn WebhookReader>>, Failure> {
    let Some(file) = &settings.payments.payment_webhook_secret_file else { return Ok(None) };
    let secret = secret(file).map_err(Failure::during("the setting payment_webhook_secret_file"))?;
    Ok(Some(match name {
        PaymentGatewayName::Simulated => {
            let secret = WebhookSecret::new(&secret)
                .map_err(Failure::during("the setting payment_webhook_secret_file"))?;
            Arc::new(SimulatedWebhooks::new(secret))
        }
        PaymentGatewayName::Stripe => Arc::new(StripeWebhooks::new(secret)),
    }))
}

/// Makes a reader verify signatures by the machine's clock. For sandboxes, whose clock may be far ahead of the clock by
/// which the provider signs.
fn with_machine_clock(reader: Arc<dyn WebhookReader>) -> Arc<dyn WebhookReader> {
    Arc::new(MachineClockWebhooks(reader))
}

struct MachineClockWebhooks(Arc<dyn WebhookReader>);

impl WebhookReader for MachineClockWebhooks {
    fn signature_header(&self) -> &'static str {
        self.0.signature_header()
    }

    fn read(
        &self,
        signature: &str,
        body: &[u8],
        _: Timestamp,
    ) -> Result<Option<ProviderNotice>, WebhookError> {
        self.0.read(signature, body, SystemClock.now())
    }
}

/// Returns the secret in a file, without surrounding white space.
pub(crate) fn secret(file: &Path) -> Result<String, Failure> {
    let text = named_file::read(file).map_err(Failure::new)?;
    match text.trim() {
        "" => Err(Failure::new(format!("the file {} is empty; write the secret into it", file.display()))),
        secret => Ok(secret.to_owned()),
    }
}

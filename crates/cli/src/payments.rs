//! The payment provider, as the settings name it.

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

/// Longest time for connecting to a payment provider.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The payment provider, both ways.
#[derive(Default)]
pub(crate) struct Payments {
    /// Whom to tell what to do. None, and no cards are taken.
    pub(crate) gateway: Option<Arc<dyn PaymentGateway>>,
    /// Who reads what is posted. None, and nothing can be posted.
    pub(crate) webhooks: Option<Arc<dyn WebhookReader>>,
}

impl Payments {
    /// For a server. One with a demo simulates the provider itself when the settings name none. A sandbox moves
    /// no real money. Nothing is changed; the simulated provider needs the server's clock, which comes later.
    pub(crate) fn for_server(
        settings: &Settings,
        with_demo: bool,
        is_sandbox: bool,
    ) -> Result<impl FnOnce(&Arc<dyn Clock>) -> Self + use<>, Failure> {
        let default = with_demo.then_some(PaymentGatewayName::Simulated);
        let name = settings.payment_gateway.or(default);
        let is_in_process = name == Some(PaymentGatewayName::Simulated) && settings.payment_url.is_none();
        let payments = match name {
            None => Self::none(settings)?,
            Some(name) => {
                let gateway = if is_in_process { None } else { Some(client(name, settings, is_sandbox)?) };
                let webhooks = webhooks(name, settings)?;
                let webhooks = if is_sandbox { webhooks.map(by_the_machines_clock) } else { webhooks };
                Self { gateway, webhooks }
            }
        };
        Ok(move |clock: &Arc<dyn Clock>| {
            if !is_in_process {
                return payments;
            }
            tracing::info!("payments by card are only simulated: no money moves");
            let provider = Arc::new(Provider::new(Arc::new(SystemRandom)));
            let gateway = InProcessGateway::new(provider, Arc::clone(clock));
            Self { gateway: Some(Arc::new(gateway)), ..payments }
        })
    }

    /// For workers without a server, which have to share the provider with one. In a sandbox they move no
    /// real money either.
    pub(crate) fn for_workers(settings: &Settings, is_sandbox: bool) -> Result<Self, Failure> {
        let Some(name) = settings.payment_gateway else { return Self::none(settings) };
        if name == PaymentGatewayName::Simulated && settings.payment_url.is_none() {
            return Err(Failure::new(
                "a provider that is played within a server is that server's alone: name one for all with \
                 payment_url (`dabba simulate-payments` starts one)",
            ));
        }
        Ok(Self { gateway: Some(client(name, settings, is_sandbox)?), webhooks: None })
    }

    fn none(settings: &Settings) -> Result<Self, Failure> {
        for (setting, is_given) in [
            ("payment_url", settings.payment_url.is_some()),
            ("payment_key_file", settings.payment_key_file.is_some()),
            ("payment_webhook_secret_file", settings.payment_webhook_secret_file.is_some()),
        ] {
            if is_given {
                let text = format!("the setting {setting} means nothing without payment_gateway");
                return Err(Failure::new(text));
            }
        }
        Ok(Self::default())
    }
}

/// A provider that is somewhere else.
fn client(
    name: PaymentGatewayName,
    settings: &Settings,
    is_sandbox: bool,
) -> Result<Arc<dyn PaymentGateway>, Failure> {
    let url = settings.payment_url.as_ref();
    match name {
        PaymentGatewayName::Simulated => {
            let url = url.ok_or_else(|| Failure::new("payment_url is missing"))?;
            let gateway = SimulatedGateway::new(url.as_str(), CONNECT_TIMEOUT);
            Ok(Arc::new(gateway.map_err(Failure::during("setting up the payment provider"))?))
        }
        PaymentGatewayName::Stripe => {
            let file = settings.payment_key_file.as_deref();
            let file = file.ok_or_else(|| Failure::new("payment_gateway stripe needs payment_key_file"))?;
            let key = secret(file).map_err(Failure::during("the setting payment_key_file"))?;
            if is_sandbox && is_live_key(&key) {
                return Err(Failure::new("a sandbox takes no live key: it would move real money"));
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
    let Some(file) = &settings.payment_webhook_secret_file else { return Ok(None) };
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

/// For a sandbox, whose clock may be far ahead of that by which the provider signs.
fn by_the_machines_clock(reader: Arc<dyn WebhookReader>) -> Arc<dyn WebhookReader> {
    Arc::new(ByTheMachinesClock(reader))
}

struct ByTheMachinesClock(Arc<dyn WebhookReader>);

impl WebhookReader for ByTheMachinesClock {
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

/// The secret in a file, without the white space around it.
pub(crate) fn secret(file: &Path) -> Result<String, Failure> {
    let text = named_file::read(file).map_err(Failure::new)?;
    match text.trim() {
        "" => Err(Failure::new(format!("the file {} is empty; write the secret into it", file.display()))),
        secret => Ok(secret.to_owned()),
    }
}

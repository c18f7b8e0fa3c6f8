//! `dabba simulate-payments`

use std::{path::PathBuf, sync::Arc, time::Duration};

use dabba_engine::{SystemClock, SystemRandom};
use dabba_gateways::simulated::{
    Provider, WebhookSecret, WebhookTarget, router, router_with_webhooks, tokens,
};
use dabba_web::{ConnectionMetrics, ServeOptions};
use serde::Serialize;

use crate::{
    commands::block_on, failure::Failure, listening::ListenAddress, output, payments, settings::WebUrl,
    signals::Signals,
};

/// Time for running calls to end after a stop signal.
const GRACE: Duration = Duration::from_secs(2);

/// Arguments of the command.
#[derive(clap::Args)]
#[command(
    after_help = "The provider keeps its state in memory: after a restart, it has no payments. `GET /v1/ledger` lists \
                        its payments, `PUT /v1/health` makes it fail."
)]
pub(crate) struct Arguments {
    /// Host (name or address) and port to serve on. Port 0 selects any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: ListenAddress,
    /// URL to which webhooks are posted: `/v1/webhooks/payments` of a server. Some webhooks are posted late, some
    /// twice.
    #[arg(long, value_name = "URL", requires = "webhook_secret_file")]
    webhook_url: Option<WebUrl>,
    /// File with the secret that signs the webhooks.
    #[arg(long, value_name = "FILE", requires = "webhook_url")]
    webhook_secret_file: Option<PathBuf>,
    /// Prints the address as one JSON object on standard output.
    #[arg(long)]
    json: bool,
}

/// The JSON output.
#[derive(Serialize)]
struct Json {
    address: String,
}

/// Simulates a payment provider until a signal stops it.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { listen, webhook_url, webhook_secret_file, json } = arguments;
    let signals = Signals::listen()?;
    let provider = Arc::new(Provider::new(Arc::new(SystemRandom)));
    let clock = Arc::new(SystemClock);
    let app = match (webhook_url, webhook_secret_file) {
        (Some(url), Some(file)) => {
            let secret = WebhookSecret::new(&payments::secret(&file)?);
            let secret = secret.map_err(Failure::during(file.display()))?;
            let target = WebhookTarget::new(url.as_str(), secret, Arc::new(SystemRandom));
            let target = target.map_err(Failure::during("--webhook-url"))?;
            router_with_webhooks(provider, clock, target)
        }
        _ => router(provider, clock),
    };
    let listener = listen.bind("--listen").await?;
    let address = listener.local_addr().map_err(Failure::during("listening"))?;
    if json {
        output::json(&Json { address: format!("http://{address}") })?;
    } else {
        let tokens: Vec<&str> = tokens::known().collect();
        output::line(format_args!(
            "A simulated payment provider, which moves no money, serves at http://{address}\n\
             Cards: {}\nStop with Ctrl-C.",
            tokens.join(" ")
        ))?;
    }
    let options = ServeOptions { grace: GRACE, ..ServeOptions::default() };
    let served =
        dabba_web::serve(listener, app, signals.first(), options, ConnectionMetrics::default()).await;
    served.map_err(Failure::during("serving"))
}

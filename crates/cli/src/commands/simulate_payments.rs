//! `dabba simulate-payments`

use std::{path::PathBuf, sync::Arc, time::Duration};

use dabba_engine::{SystemClock, SystemRandom};
use dabba_gateways::simulated::{
    Provider, WebhookSecret, WebhookTarget, router, router_with_webhooks, tokens,
};
use dabba_http::{ConnectionMetrics, ServeOptions};
use serde::Serialize;

use crate::{
    commands::block_on, failure::Failure, listening::ListenAddress, output, payments, settings::WebUrl,
    signals::Signals,
};

/// Time for the calls in flight when the provider is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// What the command takes.
#[derive(clap::Args)]
#[command(
    after_help = "Everything is kept in memory: a provider that is started anew knows nothing of what was \
                        before. `GET /v1/ledger` lists what was done, `PUT /v1/health` makes it fail."
)]
pub(crate) struct Arguments {
    /// Host, by name or address, and port to serve on. Port 0 takes any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: ListenAddress,
    /// Where to post what has become of payments: `/v1/webhooks/payments` of a server. Some of it late,
    /// some twice.
    #[arg(long, value_name = "URL", requires = "webhook_secret_file")]
    webhook_url: Option<WebUrl>,
    /// File with the secret to sign that with.
    #[arg(long, value_name = "FILE", requires = "webhook_url")]
    webhook_secret_file: Option<PathBuf>,
    /// Prints where it serves as one JSON object on standard output.
    #[arg(long)]
    json: bool,
}

/// The form for programs.
#[derive(Serialize)]
struct Json {
    address: String,
}

/// Plays a payment provider until a signal says to stop.
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
    let listener = listen.bind().await?;
    let address = listener.local_addr().map_err(Failure::during("listening"))?;
    if json {
        output::json(&Json { address: format!("http://{address}") })?;
    } else {
        let tokens: Vec<&str> = tokens::known().collect();
        output::line(format_args!(
            "A payment provider that moves no money serves at http://{address}\n\
             Cards: {}\nStop with Ctrl-C.",
            tokens.join(" ")
        ))?;
    }
    let options = ServeOptions { grace: GRACE, ..ServeOptions::default() };
    let served =
        dabba_http::serve(listener, app, signals.first(), options, ConnectionMetrics::default()).await;
    served.map_err(Failure::during("serving"))
}

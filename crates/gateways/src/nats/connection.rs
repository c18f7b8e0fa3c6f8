//! Connecting to a NATS server: TLS, credentials, and the errors that the server reports without a request.

use std::{
    error::Error as _,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event,
    jetstream::{self, context::ContextBuilder},
};
use dabba_engine::SinkError;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, MAX_OUTSTANDING, NatsConfig, PING_INTERVAL};

/// Name of the client in the server's monitoring.
const CLIENT_NAME: &str = "dabba";

/// Maximum length of a server's text in an error.
const MAX_TEXT_LENGTH: usize = 300;

/// A connection to a server.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) jetstream: jetstream::Context,
    /// The last error that the server reported without a request, such as a missing right.
    complaint: Arc<Mutex<Option<String>>>,
    /// Whether the connection was interrupted. The library restores it, but the server may have lost messages meanwhile.
    is_interrupted: Arc<AtomicBool>,
}

impl Connection {
    /// Returns whether the connection has lasted without interruption.
    pub(super) fn has_lasted(&self) -> bool {
        !self.is_interrupted.load(Ordering::Relaxed)
    }

    /// Returns the error for a request that failed with `text` and without an answer. The server does not answer a request for which
    /// the user has no right; it reports an error instead.
    pub(super) fn no_answer(&self, text: &str) -> SinkError {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match complaint {
            Some(complaint) => SinkError::Refused(format!("{text}; the server reports: {complaint}")),
            None => SinkError::Unavailable(text.to_owned()),
        }
    }
}

/// Connects to one of the servers.
pub(super) async fn connect(config: &NatsConfig) -> Result<Connection, SinkError> {
    let complaint = Arc::new(Mutex::new(None));
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let options = options(config, &complaint, &is_interrupted).await?;
    let connecting = options.connect(config.servers.clone());
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
    let connected = connected.map_err(|_| {
        SinkError::Unavailable(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))
    })?;
    let client = connected.map_err(|error| not_connected(&error))?;
    let server = client.server_info();
    tracing::info!(server = server.server_name, version = server.version, "connected to the broker");
    let jetstream = ContextBuilder::new()
        .timeout(ANSWER_TIMEOUT)
        .ack_timeout(ANSWER_TIMEOUT)
        .max_ack_inflight(MAX_OUTSTANDING)
        .backpressure_on_inflight(true)
        .build(client.clone());
    Ok(Connection { client, jetstream, complaint, is_interrupted })
}

async fn options(
    config: &NatsConfig,
    complaint: &Arc<Mutex<Option<String>>>,
    is_interrupted: &Arc<AtomicBool>,
) -> Result<ConnectOptions, SinkError> {
    let (complaint, is_interrupted) = (Arc::clone(complaint), Arc::clone(is_interrupted));
    let options = ConnectOptions::new()
        .name(CLIENT_NAME)
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(ANSWER_TIMEOUT))
        .ping_interval(PING_INTERVAL)
        // One attempt per server. The publisher connects again, and reads the last stored message then.
        .max_reconnects(config.servers.len())
        .ignore_discovered_servers()
        .require_tls(config.ca_file.is_some())
        .tls_client_config(tls_config(config.ca_file.clone()).await?)
        .event_callback(move |event| {
            match event {
                Event::ServerError(error) => {
                    *complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut(&error.to_string()));
                }
                Event::Disconnected | Event::Closed => is_interrupted.store(true, Ordering::Relaxed),
                _ => {}
            }
            async {}
        });
    let Some(file) = &config.credentials_file else { return Ok(options) };
    options.credentials_file(file).await.map_err(|error| {
        SinkError::Refused(format!(
            "the credentials file {} cannot be used: {}",
            file.display(),
            // The library's text for other errors may contain a part of the file.
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) {
                error.to_string()
            } else {
                "it must contain a user's JWT and its NKEY seed, as nsc writes them".to_owned()
            }
        ))
    })
}

/// Returns the configuration of TLS with the authorities in a file; by default with those of the machine.
async fn tls_config(ca_file: Option<PathBuf>) -> Result<ClientConfig, SinkError> {
    let reading = tokio::task::spawn_blocking(move || root_certificates(ca_file.as_deref()));
    let roots = reading.await.map_err(|error| SinkError::Unavailable(error.to_string()))?;
    let roots = roots.map_err(SinkError::Refused)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SinkError::Refused(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn root_certificates(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca_file else {
        // A machine without authorities can still connect without encryption.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates =
        read.map_err(|error| format!("the authorities' file {} cannot be read: {error}", file.display()))?;
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(format!(
            "the authorities' file {} contains no certificate: name a PEM file with the certificate of the authority that issued \
             the server's",
            file.display()
        ));
    }
    Ok(roots)
}

fn not_connected(error: &ConnectError) -> SinkError {
    let text = cut(&error.to_string());
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            SinkError::Refused(format!("the server does not accept the credentials: {text}"))
        }
        ConnectErrorKind::Tls | ConnectErrorKind::ServerParse => SinkError::Refused(text),
        _ if is_tls_refusal(error) => {
            SinkError::Refused(format!("the connection cannot be encrypted: {text}"))
        }
        _ => SinkError::Unavailable(text),
    }
}

/// Returns whether TLS itself failed, for example because of the server's certificate.
fn is_tls_refusal(error: &ConnectError) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let refusal = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if error.is::<rustls::Error>() || refusal.is_some() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Returns at most [`MAX_TEXT_LENGTH`] characters of a text from elsewhere.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT_LENGTH).collect()
}

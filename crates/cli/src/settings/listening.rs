//! Listeners, the clients that may use them, and the proxies in front of them.

mod lists;
mod public_url;

use std::path::{Path, PathBuf};

use confique::Config;
use dabba_web::{ServeOptions, SigningKey, WebConfig};

pub(crate) use self::{
    lists::{Hosts, Networks, Origins},
    public_url::PublicUrl,
};
use super::Bounded;
use crate::{failure::Failure, listening::ListenAddress};

/// Listeners and proxies.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(command(next_help_heading = "Settings: listening and proxies")))]
pub(crate) struct Listening {
    /// Host (name or address) and port to serve on. Port 0 selects any free port.
    #[config(env = "DABBA_LISTEN", default = "127.0.0.1:8080")]
    #[config(layer_attr(arg(long, value_name = "ADDRESS")))]
    pub(crate) listen: ListenAddress,

    /// Host (name or address) and port of a listener for operators; default none. Port 0 selects any free port. `dabba serve`
    /// then serves `/metrics`, `/docs`, `/openapi.json`, `/asyncapi.json`, `/events.schema.json` and the probes there, and only
    /// the API, the pages and the probes on `listen`; without it, one listener serves everything. `dabba work` serves `/metrics` and the
    /// probes there; without it, `dabba work` does not listen.
    #[config(env = "DABBA_ADMIN_LISTEN")]
    #[config(layer_attr(arg(long, value_name = "ADDRESS")))]
    pub(crate) admin_listen: Option<ListenAddress>,

    /// PEM file with the certificate of the server for `listen`, followed by those of intermediate authorities; default none.
    /// Needs `tls_key_file`. With both, `listen` accepts only HTTPS, with HTTP/2 and HTTP/1.1. `dabba serve` notices within 10
    /// seconds that one of the files has changed. `admin_listen` and `dabba work` serve plain HTTP in any case.
    #[config(env = "DABBA_TLS_CERTIFICATE_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) tls_certificate_file: Option<PathBuf>,

    /// PEM file with the private key of `tls_certificate_file`, without a password; default none.
    #[config(env = "DABBA_TLS_KEY_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) tls_key_file: Option<PathBuf>,

    /// Whether the server serves the web pages (board of the kitchen, tracking, ordering, console) on `listen`, beside the API.
    /// Default true. With `false`, their paths respond with 404.
    #[config(env = "DABBA_PAGES", default = true)]
    #[config(layer_attr(arg(long, value_name = "true|false")))]
    pub(crate) pages: bool,

    /// URL under which people reach the server, such as `https://orders.example.org`; default none. Tracking links and login links
    /// are then links under this URL; without it, responses contain only their paths. A path is allowed; user, query and fragment
    /// are not.
    #[config(env = "DABBA_PUBLIC_URL")]
    #[config(layer_attr(arg(long, value_name = "URL")))]
    pub(crate) public_url: Option<PublicUrl>,

    /// Hosts under which the API and the pages are served, separated by commas and without ports, such as `api.example.org,127.0.0.1`. Requests
    /// for other hosts are refused with 421. This protects a server in a private network from pages that rebind their name to its
    /// address. The probes and `admin_listen` are served under any host. Empty by default: any host.
    #[config(env = "DABBA_ALLOWED_HOSTS", default = "")]
    #[config(layer_attr(arg(long, value_name = "HOSTS")))]
    pub(crate) allowed_hosts: Hosts,

    /// Origins whose pages may call the API from a browser, separated by commas, such as `https://shop.example.org`; `*` for any
    /// origin. Empty by default: no other origin may.
    #[config(env = "DABBA_CORS_ORIGINS", default = "")]
    #[config(layer_attr(arg(long, value_name = "ORIGINS")))]
    pub(crate) cors_origins: Origins,

    /// Time for which browsers use HTTPS only, in seconds (`Strict-Transport-Security`). 0 to 63,072,000; default 0, which omits
    /// the header. Set it only if clients reach the server exclusively by HTTPS.
    #[config(env = "DABBA_HSTS_SECONDS", default = 0)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) hsts_seconds: Bounded<0, 63_072_000>,

    /// Networks or addresses of the proxies in front of the server, separated by commas, such as `10.0.0.0/8`; default none. For
    /// a request from a trusted proxy, the client's address is the last address in `X-Forwarded-For` that is not a proxy's; other
    /// clients could put any address into this header. `connections_per_address_limit` does not apply to the proxies.
    #[config(env = "DABBA_TRUSTED_PROXIES", default = "")]
    #[config(layer_attr(arg(long, value_name = "NETWORKS")))]
    pub(crate) trusted_proxies: Networks,

    /// Whether login with a session (`POST /v1/session`) is allowed over plain HTTP from other machines: `true` or `false`; default
    /// `false`. Anyone on the network between can then read passwords and sessions, so allow it only in a network that you trust.
    /// Logins over HTTPS are always allowed. Logins at the server's own machine (`http://localhost…`) are allowed unless a proxy has
    /// passed them on or they come from an address in `trusted_proxies`. A request counts as HTTPS if a proxy in
    /// `trusted_proxies` sends `X-Forwarded-Proto: https`.
    #[config(env = "DABBA_INSECURE_SESSIONS", default = false)]
    #[config(layer_attr(arg(long, value_name = "true|false")))]
    pub(crate) insecure_sessions: bool,

    /// Maximum number of connections from clients. 1 to 1,000,000; default 4,096. A connection beyond it replaces an idle
    /// connection, or is closed if all connections are busy. The limit on open files of the process may lower this limit.
    #[config(env = "DABBA_CONNECTION_LIMIT", default = 4096)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) connection_limit: Bounded<1, 1_000_000>,

    /// Maximum number of connections from one address, or from one IPv6 network (/64). 1 to 1,000,000; default 1,024. Further
    /// connections are closed. Connections from `trusted_proxies` do not count.
    #[config(env = "DABBA_CONNECTIONS_PER_ADDRESS_LIMIT", default = 1024)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) connections_per_address_limit: Bounded<1, 1_000_000>,

    /// Timeout for one request, in seconds. 1 to 600; default 30.
    #[config(env = "DABBA_REQUEST_TIMEOUT_SECONDS", default = 30)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) request_timeout_seconds: Bounded<1, 600>,

    /// Maximum time for finishing running work after a stop signal, in seconds. 1 to 600; default 10.
    #[config(env = "DABBA_SHUTDOWN_GRACE_SECONDS", default = 10)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) shutdown_grace_seconds: Bounded<1, 600>,
}

impl Listening {
    /// Returns the files of the certificate and of its key; `None` without TLS. Refuses one file without the other.
    pub(crate) fn tls_files(&self) -> Result<Option<(&Path, &Path)>, Failure> {
        match (&self.tls_certificate_file, &self.tls_key_file) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Failure::new(
                "tls_certificate_file needs the setting tls_key_file, the file with the private key of the certificate",
            )),
            (None, Some(_)) => Err(Failure::new(
                "tls_key_file needs the setting tls_certificate_file, the file with the certificate of the key",
            )),
        }
    }

    /// Refuses the same port for the two listeners of a server.
    pub(crate) fn refuse_shared_port(&self) -> Result<(), Failure> {
        match &self.admin_listen {
            Some(admin_listen) if admin_listen.shares_port_with(&self.listen) => Err(Failure::new(format!(
                "listen ({}) and admin_listen ({admin_listen}) are the same address: give admin_listen another port",
                self.listen
            ))),
            _ => Ok(()),
        }
    }

    /// Returns the options of a listener. The caller sets its maximum number of connections.
    pub(crate) fn serve_options(&self) -> ServeOptions {
        ServeOptions {
            grace: self.shutdown_grace_seconds.seconds(),
            max_connections_per_address: self.connections_per_address_limit.size(),
            trusted_proxies: self.trusted_proxies.to_vec(),
            ..ServeOptions::default()
        }
    }

    /// Returns the configuration of the HTTP faces, as far as these settings determine it.
    pub(crate) fn web_config(&self, signing_key: SigningKey) -> WebConfig {
        WebConfig {
            request_timeout: self.request_timeout_seconds.seconds(),
            trusted_proxies: self.trusted_proxies.to_vec(),
            cors_origins: self.cors_origins.to_rule(),
            allowed_hosts: self.allowed_hosts.to_vec(),
            hsts_seconds: self.hsts_seconds.small(),
            insecure_sessions: self.insecure_sessions,
            ..WebConfig::new(signing_key)
        }
    }
}

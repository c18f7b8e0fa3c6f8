//! Connection limits of the listeners.

use dabba_gateways::egress::{MAX_KEPT, MAX_LOOKUPS};
use dabba_outbound::webhooks::limits::MAX_IN_FLIGHT;
use dabba_web::ServeOptions;

use crate::{databases::Databases, open_files, settings::Settings, tls::ServerTls};

/// Number of open files besides the connections to clients and databases: standard streams, listeners, settings files,
/// connections to the payment provider.
const OTHER_FILES: usize = 256;

/// Maximum number of open files of webhooks: connections of requests in flight, connections that are kept for further
/// requests, and lookups of names.
const WEBHOOK_FILES: usize = MAX_IN_FLIGHT + MAX_KEPT + MAX_LOOKUPS;

/// Maximum number of connections to a listener for operators.
const OPERATOR_CONNECTIONS: usize = 64;

/// Returns the options of the listener for clients, with TLS if there is any. Each connection needs a file descriptor,
/// so the limit on open files also limits the connections.
pub(crate) fn options(settings: &Settings, databases: &Databases, tls: Option<&ServerTls>) -> ServeOptions {
    let wanted = settings.listening.connection_limit.size();
    let open_files = open_files::raise_limit();
    let others = OTHER_FILES + OPERATOR_CONNECTIONS + WEBHOOK_FILES + databases.open_files(settings);
    let max_connections = open_files.map_or(wanted, |limit| room(wanted, limit, others));
    if max_connections < wanted {
        tracing::warn!(
            connection_limit = wanted,
            max_connections,
            open_files,
            "connection_limit is lowered to the limit on open files of the process: raise that limit (ulimit -n, or \
             LimitNOFILE of systemd)"
        );
    }
    ServeOptions { max_connections, tls: tls.map(ServerTls::tls), ..settings.listening.serve_options() }
}

/// Returns the options of a listener for operators.
pub(crate) fn options_for_operators(settings: &Settings) -> ServeOptions {
    ServeOptions { max_connections: OPERATOR_CONNECTIONS, ..settings.listening.serve_options() }
}

/// Maximum number of streams of a process.
const MAX_STREAMS: usize = 10_000;

/// Returns the maximum number of streams and waiting polls: three quarters of the connections, at most [`MAX_STREAMS`], so that
/// streams leave connections to requests.
pub(crate) fn max_streams(options: &ServeOptions) -> usize {
    (options.max_connections - options.max_connections / 4).min(MAX_STREAMS)
}

/// Returns how many of the wanted connections fit into the limit on open files beside the other files; at least a
/// quarter of the limit, because the other files are hardly ever all open.
fn room(wanted: usize, limit: usize, others: usize) -> usize {
    wanted.min(limit.saturating_sub(others).max(limit / 4).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_other_files() {
        assert_eq!(room(4_096, 65_536, 336), 4_096);
        assert_eq!(room(4_096, 1_024, 336), 688);
        assert_eq!(room(4_096, 256, 336), 64);
        assert_eq!(room(4_096, 2, 336), 1);
    }

    /// Proves that streams leave a quarter of the connections to requests, and that their maximum holds.
    #[test]
    fn streams_leave_connections_to_requests() {
        let of = |max_connections| max_streams(&ServeOptions { max_connections, ..ServeOptions::default() });
        assert_eq!([1, 688, 4_096, 1_000_000].map(of), [1, 516, 3_072, 10_000]);
    }
}

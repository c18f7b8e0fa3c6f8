//! The database's address and the protection of the connection, both from the URL.
//!
//! | `sslmode` | connection |
//! |---|---|
//! | `disable` | unencrypted |
//! | `prefer`, or absent | encrypted if the server supports it |
//! | `require` | encrypted; any server certificate is accepted, as in PostgreSQL's own programs |
//! | `verify-full` | encrypted; the server's certificate and name are verified |
//!
//! With several hosts (`postgresql://user@one:5432,two:5432/dabba`), the store connects to the host that accepts
//! writes.
//!
//! `sslrootcert` names a PEM file with the trusted authorities; default: the machine's authorities.

use std::{borrow::Cow, path::Path, sync::Arc};

use dabba_store::StoreError;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, ServerName, UnixTime,
        pem::{self, PemObject as _},
    },
};
use tokio_postgres::{
    Config,
    config::{SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Maximum size of the file that `sslrootcert` names: 1 MiB.
const MAX_ROOT_FILE_BYTES: u64 = 1 << 20;

/// The address of a database, parsed.
#[derive(Clone)]
pub(crate) struct ConnectionTarget {
    pub(crate) config: Config,
    pub(crate) tls: MakeRustlsConnect,
}

impl ConnectionTarget {
    /// Parses a `postgresql://` URL.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        Self::read(url).map_err(|why| StoreError::Unfit(format!("the database's URL is wrong: {why}")))
    }

    /// Parses a URL as [`Self::parse`] does. The error is a clause that follows the name of the URL; it never
    /// contains the URL.
    pub(crate) fn read(url: &str) -> Result<Self, String> {
        let (plain_url, verifies, root_file) = split_verification(url);
        // The library's error would repeat parts of the URL, and so perhaps the password.
        let mut config: Config = plain_url.parse().map_err(|_| problem_of(&plain_url))?;
        if verifies {
            config.ssl_mode(SslMode::Require);
        }
        if config.get_hosts().len().max(config.get_hostaddrs().len()) > 1 {
            // A store writes, so only the host that accepts writes is useful.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let tls = MakeRustlsConnect::new(client_config(verifies, root_file.as_deref().map(Path::new))?);
        Ok(Self { config, tls })
    }
}

/// Allowed parameters of a URL: those of the client library, and `sslrootcert`.
const PARAMETERS: [&str; 20] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Describes why the client library refuses a URL, without any part that may belong to the password.
fn problem_of(url: &str) -> String {
    // Without the at sign itself: the log cuts displayed texts at the last at sign.
    let form = "it must have the form postgresql://HOST:PORT/DATABASE?PARAMETER=VALUE, with USER:PASSWORD and an at sign before \
                HOST; write special characters of the password as %XX (RFC 3986)";
    let Some((_, query)) = url.split_once('?').filter(|(_, query)| !query.contains('@')) else {
        return form.to_owned();
    };
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !PARAMETERS.contains(&name) {
            // Show the name only if it looks like a parameter name.
            let is_name =
                name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let shown = if is_name && parameter.contains('=') { format!(" {name}") } else { String::new() };
            return format!("the parameter{shown} is not known; known are: {}", PARAMETERS.join(", "));
        }
        if name != "sslrootcert" && format!("postgresql://host?{name}={value}").parse::<Config>().is_err() {
            return match (name, value) {
                ("sslmode", "verify-ca" | "allow") => format!(
                    "sslmode={value} is not supported: use verify-full, or require to encrypt without verification"
                ),
                ("sslmode", _) => "sslmode must be disable, prefer, require or verify-full".to_owned(),
                ("target_session_attrs", _) => {
                    "target_session_attrs must be any, read-write or read-only".to_owned()
                }
                _ => format!("the value of the parameter {name} is wrong"),
            };
        }
    }
    form.to_owned()
}

/// Removes the parameters that the client library does not know: `sslmode=verify-full` and `sslrootcert`. Returns the
/// remaining URL, whether to verify the server, and the root certificates' file.
fn split_verification(url: &str) -> (Cow<'_, str>, bool, Option<String>) {
    let Some((address, query)) = url.split_once('?') else { return (Cow::Borrowed(url), false, None) };
    let (mut verifies, mut root_file, mut kept) = (false, None, Vec::new());
    for parameter in query.split('&') {
        match parameter.split_once('=') {
            Some(("sslmode", "verify-full")) => verifies = true,
            Some(("sslrootcert", file)) => root_file = Some(percent_decoded(file)),
            _ => kept.push(parameter),
        }
    }
    (Cow::Owned(format!("{address}?{}", kept.join("&"))), verifies, root_file)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn client_config(verifies: bool, root_file: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = if verifies {
        builder.with_root_certificates(root_certificates(root_file)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer { provider }))
    };
    Ok(config.with_no_client_auth())
}

fn root_certificates(root_file: Option<&Path>) -> Result<RootCertStore, String> {
    let certificates = match root_file {
        Some(file) => certificates_in(file)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    match root_file {
        _ if !roots.is_empty() => Ok(roots),
        Some(file) => Err(format!(
            "sslrootcert={} contains no certificate: name a PEM file with the certificate of the authority that issued the \
             server's",
            file.display()
        )),
        None => Err("this machine has no root certificates to verify the server: install them \
                     (ca-certificates), or name a PEM file with sslrootcert"
            .to_owned()),
    }
}

fn certificates_in(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |why: &dyn std::fmt::Display| {
        format!("the file {} of sslrootcert cannot be read: {why}", file.display())
    };
    // The file is read for each connection pool, so it must be possible to read it several times.
    match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(unreadable(&"it does not exist"));
        }
        Err(error) => return Err(unreadable(&error)),
        Ok(metadata) if !metadata.is_file() => return Err(unreadable(&"it is not a regular file")),
        Ok(metadata) if metadata.len() > MAX_ROOT_FILE_BYTES => {
            return Err(unreadable(&"it has more than 1 MiB, which is the maximum; give another file"));
        }
        Ok(_) => {}
    }
    match CertificateDer::pem_file_iter(file).and_then(Iterator::collect) {
        Ok(certificates) => Ok(certificates),
        Err(pem::Error::Io(error)) => Err(unreadable(&error)),
        Err(_) => Err(unreadable(&"it is not in the format PEM")),
    }
}

/// Accepts every certificate, but still requires proof that the server has the certificate's key.
#[derive(Debug)]
struct AnyServer {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verification_parameters_are_removed_from_the_url() {
        let url = "postgresql://u@h/d?sslmode=verify-full&sslrootcert=%2Fca%20s.pem&connect_timeout=3";
        let (url, verifies, file) = split_verification(url);
        assert_eq!(
            (&*url, verifies, file.as_deref()),
            ("postgresql://u@h/d?connect_timeout=3", true, Some("/ca s.pem"))
        );
        assert_eq!(split_verification("postgresql://u@h/d"), ("postgresql://u@h/d".into(), false, None));
    }

    /// With several hosts, the connection goes to the primary, even if the URL does not ask for it.
    #[test]
    fn several_hosts_require_the_primary() {
        let session_attrs = |url| ConnectionTarget::parse(url).unwrap().config.get_target_session_attrs();
        assert_eq!(session_attrs("postgresql://u@one,two:5433/d"), TargetSessionAttrs::ReadWrite);
        assert_eq!(
            session_attrs("postgresql://u@one,two/d?target_session_attrs=read-write&sslmode=verify-full"),
            TargetSessionAttrs::ReadWrite
        );
        assert_eq!(session_attrs("postgresql://u@one/d"), TargetSessionAttrs::Any);
    }

    /// Proves that the size of the file with the authorities is limited.
    #[test]
    fn a_large_file_of_authorities_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (bytes, is_refused) in [(MAX_ROOT_FILE_BYTES, false), (MAX_ROOT_FILE_BYTES + 1, true)] {
            file.as_file().set_len(bytes).unwrap();
            let text = certificates_in(file.path()).err().unwrap_or_default();
            assert_eq!(text.contains("it has more than 1 MiB"), is_refused, "{bytes} bytes: {text}");
        }
    }

    /// The error for an invalid URL must not contain its password.
    #[test]
    fn an_error_does_not_contain_the_url() {
        for url in
            ["nonsense", "postgresql://u:secret@h/d?sslmode=verify-ca", "postgresql://u:secret@h/d?x=secret"]
        {
            let Err(error) = ConnectionTarget::parse(url) else { panic!("{url} was accepted") };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    /// The error names the invalid part, and what is allowed.
    #[test]
    fn an_error_names_the_invalid_part() {
        for (url, part) in [
            ("postgresql://h/d?sslmode=verify-ca", "sslmode=verify-ca is not supported: use verify-full"),
            ("postgresql://h/d?sslmode=full", "must be disable, prefer, require or verify-full"),
            (
                "postgresql://h/d?connect_timeout=3&ssl_mode=require",
                "parameter ssl_mode is not known; known are:",
            ),
            ("postgresql://h/d?passfile=/x", "parameter passfile is not known"),
            ("postgresql://h/d?connect_timeout=soon", "value of the parameter connect_timeout is wrong"),
            ("postgresql://h/d?target_session_attrs=primary", "must be any, read-write or read-only"),
            ("postgresql://u:se?cret=1@h:port/d", "must have the form"),
            ("postgresql://u:secret@h:port/d", "must have the form"),
            (
                "postgresql://h/d?sslmode=verify-full&sslrootcert=/absent.pem",
                "the file /absent.pem of sslrootcert cannot be read: it does not exist",
            ),
            ("postgresql://h/d?sslmode=verify-full&sslrootcert=/dev/null", "is not a regular file"),
            ("postgresql://h/d?sslmode=verify-full&sslrootcert=Cargo.toml", "contains no certificate"),
        ] {
            let Err(error) = ConnectionTarget::parse(url) else { panic!("{url} was accepted") };
            let text = error.to_string();
            assert!(
                text.contains(part) && !text.contains("secret") && !text.contains("cret=1"),
                "{url}: {text}"
            );
            assert!(!text.contains("unavailable"), "{text}");
        }
    }
}

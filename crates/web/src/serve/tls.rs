//! TLS of a listener: its certificate, which can be replaced while the server runs, and the protocol that a client chooses.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};
use x509_cert::der::Decode as _;

/// Name of HTTP/2 in the negotiation of the protocol (ALPN, RFC 7301).
const HTTP2: &[u8] = b"h2";
/// Name of HTTP/1.1 in the negotiation of the protocol.
const HTTP1: &[u8] = b"http/1.1";

/// Maximum number of bytes that TLS encrypts ahead for a client that does not read: as many as the kernel accepts.
const MAX_ENCRYPTED_AHEAD: usize = 64 * 1024;

/// A reason why a certificate and a key cannot be used, as a clause that follows the names of the files. It contains nothing
/// of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is no certificate.
    #[error(
        "the file of the certificate contains no certificate; it must contain the server's certificate in the format PEM, \
             followed by the certificates of the intermediate authorities"
    )]
    NoCertificate,
    /// The certificates cannot be read.
    #[error(
        "the file of the certificate cannot be used: {0}; it must contain the server's certificate in the format PEM, \
             followed by the certificates of the intermediate authorities"
    )]
    Certificate(String),
    /// The key cannot be read.
    #[error(
        "the file of the key contains no private key that can be used; it must contain one key in the format PEM (PKCS #8, \
             PKCS #1 or SEC 1), without a password"
    )]
    Key,
    /// The key belongs to another certificate.
    #[error(
        "the key does not belong to the certificate; give the key with which the certificate was requested"
    )]
    Mismatch,
}

/// A certificate with its key, checked to belong together.
#[derive(Clone)]
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    expires_at: u64,
}

impl Certificate {
    /// Reads the certificate of a server, followed by those of intermediate authorities, and the certificate's key, both in
    /// the format PEM. An expired certificate is accepted, because clients report the expiry better than a server that does
    /// not start.
    pub fn from_pem(certificates: &str, key: &str) -> Result<Self, CertificateError> {
        let refused = |error: &dyn fmt::Display| CertificateError::Certificate(error.to_string());
        let chain = CertificateDer::pem_slice_iter(certificates.as_bytes());
        let chain: Vec<_> =
            chain.collect::<Result<_, _>>().map_err(|_| refused(&"it is not in the format PEM"))?;
        let mut expires_at: Option<u64> = None;
        for certificate in &chain {
            let parsed = x509_cert::Certificate::from_der(certificate)
                .map_err(|_| refused(&"it contains something that is not an X.509 certificate"))?;
            let of_this = parsed.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
            expires_at = Some(expires_at.map_or(of_this, |earliest| earliest.min(of_this)));
        }
        let expires_at = expires_at.ok_or(CertificateError::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| CertificateError::Key)?;
        let key = provider().key_provider.load_private_key(key).map_err(|_| CertificateError::Key)?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(CertificateError::Mismatch),
            Err(error) => return Err(refused(&error)),
        }
        Ok(Self { certified: Arc::new(certified), expires_at })
    }

    /// Returns the time at which the first certificate of the chain expires, in seconds since 1970.
    pub const fn expires_at(&self) -> u64 {
        self.expires_at
    }
}

/// Hides the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certificate").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// TLS of a listener. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// The certificate for new connections.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

impl Tls {
    /// Returns TLS 1.2 and 1.3 with this certificate, for HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    ///
    /// If the library for TLS supports no version of TLS.
    pub fn new(certificate: Certificate) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current(RwLock::new(certificate.certified)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Self { acceptor: Arc::new(config).into(), current })
    }

    /// Replaces the certificate for new connections. Open connections keep theirs.
    pub fn replace(&self, certificate: Certificate) {
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = certificate.certified;
    }

    /// Begins the handshake on a connection.
    pub(super) fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Accept<S> {
        self.acceptor.accept_with(stream, |session| session.set_buffer_limit(Some(MAX_ENCRYPTED_AHEAD)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls(…)")
    }
}

/// Returns whether the client has chosen HTTP/2.
pub(super) fn is_http2<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

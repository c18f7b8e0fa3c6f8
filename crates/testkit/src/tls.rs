//! Certificates for servers of tests.

use std::{io, sync::Arc};

use dabba_web::{Certificate, Tls};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A key, and a certificate for one host name. The certificate is its own authority.
pub struct TlsIdentity {
    name: String,
    certified: CertifiedKey<KeyPair>,
}

impl TlsIdentity {
    /// Creates a key and a certificate for this host name.
    pub fn new(name: &str) -> Self {
        let certified = generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        Self { name: name.to_owned(), certified }
    }

    /// Creates a key and a certificate that expires at the beginning of this day.
    pub fn until(name: &str, year: i32, month: u8, day: u8) -> Self {
        let mut parameters = CertificateParams::new([name.to_owned()]).expect("a host name");
        parameters.not_after = date_time_ymd(year, month, day);
        let signing_key = KeyPair::generate().expect("a key");
        let cert = parameters.self_signed(&signing_key).expect("a certificate");
        Self { name: name.to_owned(), certified: CertifiedKey { cert, signing_key } }
    }

    /// Returns the host name of the certificate.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the certificate in the format PEM.
    pub fn certificate_pem(&self) -> String {
        self.certified.cert.pem()
    }

    /// Returns the certificate in the format DER.
    pub fn certificate_der(&self) -> &[u8] {
        self.certified.cert.der()
    }

    /// Returns the key in the format PEM.
    pub fn key_pem(&self) -> String {
        self.certified.signing_key.serialize_pem()
    }

    /// Returns the TLS of a Dabba server with this certificate.
    pub fn tls(&self) -> Tls {
        Tls::new(self.certificate()).expect("the library supports TLS")
    }

    /// Returns the certificate and the key of a Dabba server.
    pub fn certificate(&self) -> Certificate {
        Certificate::from_pem(&self.certificate_pem(), &self.key_pem())
            .expect("the key belongs to the certificate")
    }

    /// Opens a connection with TLS to a server with this certificate. The client offers these protocols.
    pub async fn connect(&self, stream: TcpStream, protocols: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certified.cert.der().clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(self.name.clone()).expect("a host name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Returns the configuration of a server with this certificate, which asks its clients for none.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.certified.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.certified.cert.der().clone()], key)
            .expect("the key belongs to the certificate");
        Arc::new(config)
    }
}

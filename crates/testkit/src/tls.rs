//! Certificates for servers of tests.

use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};

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

//! Authorities that issue certificates of servers.

use reqwest::{Certificate, ClientBuilder};

/// Certificates of authorities that a client trusts in addition to those of the machine.
#[derive(Clone, Debug, Default)]
pub struct Authorities(Vec<Certificate>);

impl Authorities {
    /// Reads certificates in the format PEM; `None` if there is none.
    pub fn from_pem(text: &str) -> Option<Self> {
        let certificates = Certificate::from_pem_bundle(text.as_bytes()).ok()?;
        (!certificates.is_empty()).then_some(Self(certificates))
    }

    /// Makes a client trust the authorities.
    pub(super) fn trusted_by(&self, client: ClientBuilder) -> ClientBuilder {
        if self.0.is_empty() { client } else { client.tls_certs_merge(self.0.iter().cloned()) }
    }
}

//! What API keys, sessions and login links share.

use std::fmt;

use crate::RevocationRevision;

/// SHA-256 digest of the secret of an API key, a session or a login link.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

/// Omits the digest: it identifies a secret.
impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretHash(…)")
    }
}

/// Outcome of the revocation of an API key or a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialRevocation {
    /// The credential is revoked, by this revision.
    Done(RevocationRevision),
    /// The credential was already revoked.
    Unchanged,
    /// The account has no such credential.
    NotFound,
    /// The caller's credential is void.
    CallerRevoked,
}

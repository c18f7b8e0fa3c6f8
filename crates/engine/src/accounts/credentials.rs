//! The credentials that the directory keeps: API keys and sessions.

use std::sync::Arc;

use dabba_domain::AccountId;
use dabba_store::{CredentialId, CredentialRevocation};

use super::Accounts;
use crate::{Error, Principal, writing::run_to_completion};

impl Accounts {
    /// Revokes a credential of an account. A credential that is already revoked does not change. The caller has checked the rights of
    /// `by`; it is absent if the credential ends itself.
    pub(super) async fn revoke_credential(
        &self,
        by: Option<&Principal>,
        account_id: AccountId,
        id: CredentialId,
    ) -> Result<(), Error> {
        let (store, revocations, at) =
            (Arc::clone(&self.store), Arc::clone(&self.revocations), self.clock.now());
        let by = by.map(|principal| principal.credential(at));
        run_to_completion(async move {
            match store.revoke_credential(account_id, id, by, at).await? {
                CredentialRevocation::Done(revision) => {
                    revocations.note(id.subject(), revision, at);
                    Ok(())
                }
                CredentialRevocation::Unchanged => Ok(()),
                CredentialRevocation::NotFound => Err(Error::NotFound(match id {
                    CredentialId::ApiKey(_) => "API key",
                    CredentialId::Session(_) => "session",
                })),
                CredentialRevocation::CallerRevoked => Err(Error::TokenRevoked),
            }
        })
        .await
    }
}

//! The sessions of the empty store.

use async_trait::async_trait;
use dabba_domain::{AccountId, SessionId, Timestamp};
use dabba_store::{
    Account, Credential, LoginLink, LoginLinkCreation, NewLoginLink, NewSession, PageSize, SecretHash,
    Session, SessionCreation, SessionStore, SessionUse, StoreError,
};

use super::EmptyStore;

#[async_trait]
impl SessionStore for EmptyStore {
    async fn create_session(&self, _: &NewSession) -> Result<SessionCreation, StoreError> {
        Ok(SessionCreation::Void)
    }
    async fn session(&self, _: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(None)
    }
    async fn session_by_hash(&self, _: &SecretHash) -> Result<Option<(Session, Account)>, StoreError> {
        Ok(None)
    }
    async fn sessions(
        &self,
        _: AccountId,
        _: Option<SessionId>,
        _: PageSize,
    ) -> Result<Vec<Session>, StoreError> {
        Ok(Vec::new())
    }
    async fn record_session_uses(&self, _: &[SessionUse]) -> Result<(), StoreError> {
        Ok(())
    }
    async fn delete_expired_sessions(&self, _: Timestamp, _: u32) -> Result<u32, StoreError> {
        Ok(0)
    }
    async fn create_login_link(
        &self,
        _: &NewLoginLink,
        _: Option<Credential>,
    ) -> Result<LoginLinkCreation, StoreError> {
        Ok(LoginLinkCreation::NotFound)
    }
    async fn login_link(&self, _: &SecretHash) -> Result<Option<(LoginLink, Account)>, StoreError> {
        Ok(None)
    }
    async fn delete_expired_login_links(&self, _: Timestamp, _: u32) -> Result<u32, StoreError> {
        Ok(0)
    }
}

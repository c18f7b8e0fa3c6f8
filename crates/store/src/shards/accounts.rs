//! Accounts, memberships, API keys and sessions: all are on the directory shard.

use async_trait::async_trait;
use dabba_domain::{AccountId, ApiKeyId, RestaurantId, Role, SessionId, Timestamp, order::Version};

use super::router::ShardedStore;
use crate::{
    Account, AccountCreation, AccountEdit, AccountEditOutcome, AccountHolder, AccountStore, ApiKey,
    ApiKeyCreation, ApiKeyStore, ClaimAt, ClaimOutcome, ClaimRecord, Credential, CredentialId,
    CredentialRevocation, IdempotencyKey, LoginLink, LoginLinkCreation, MembershipChange, NewApiKey,
    NewLoginLink, NewSession, PageSize, Resource, Revocation, RevocationRevision, SecretHash, Session,
    SessionCreation, SessionStore, SessionUse, StoreError, Subject, UnderKey,
};

#[async_trait]
impl AccountStore for ShardedStore {
    async fn create_account_under(
        &self,
        account: &Account,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().create_account_under(account, by, claim)).await
    }

    async fn accounts(
        &self,
        holder: Option<AccountHolder>,
        role: Option<Role>,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().accounts(holder, role, after, limit)).await
    }

    async fn edit_account_under(
        &self,
        edit: &AccountEdit,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountEditOutcome>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().edit_account_under(edit, claim)).await
    }

    async fn revoke(
        &self,
        subject: Subject,
        by: Option<Credential>,
        at: Timestamp,
    ) -> Result<Option<RevocationRevision>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().revoke(subject, by, at)).await
    }

    async fn revoke_credential(
        &self,
        account_id: AccountId,
        id: CredentialId,
        by: Option<Credential>,
        at: Timestamp,
    ) -> Result<CredentialRevocation, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().revoke_credential(account_id, id, by, at)).await
    }

    async fn revocations(
        &self,
        after: RevocationRevision,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().revocations(after, limit)).await
    }

    async fn revocation(&self, subject: Subject) -> Result<RevocationRevision, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().revocation(subject)).await
    }

    async fn claim_for_account(
        &self,
        claim: ClaimAt<'_>,
        resource: &Resource,
        version: Version,
    ) -> Result<ClaimOutcome, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().claim_for_account(claim, resource, version)).await
    }

    async fn find_account_claim(
        &self,
        account_id: AccountId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().find_account_claim(account_id, key)).await
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().account(id)).await
    }

    async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().account_by_email(email)).await
    }

    async fn set_membership(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
        is_member: bool,
        by: Option<Credential>,
    ) -> Result<MembershipChange, StoreError> {
        let directory = self.directory_shard();
        let set = directory.store().set_membership(restaurant_id, account_id, is_member, by);
        directory.answer(set).await
    }

    async fn members(
        &self,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().members(restaurant_id, after, limit)).await
    }

    async fn memberships(&self, account_id: AccountId) -> Result<Vec<RestaurantId>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().memberships(account_id)).await
    }
}

#[async_trait]
impl ApiKeyStore for ShardedStore {
    async fn create_api_key_under(
        &self,
        new: &NewApiKey,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<ApiKeyCreation>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().create_api_key_under(new, by, claim)).await
    }

    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().api_key(id)).await
    }

    async fn api_key_by_hash(&self, hash: &SecretHash) -> Result<Option<(ApiKey, Account)>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().api_key_by_hash(hash)).await
    }

    async fn api_keys(
        &self,
        account_id: AccountId,
        after: Option<ApiKeyId>,
        limit: PageSize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().api_keys(account_id, after, limit)).await
    }

    async fn record_key_uses(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().record_key_uses(uses)).await
    }
}

#[async_trait]
impl SessionStore for ShardedStore {
    async fn create_session(&self, new: &NewSession) -> Result<SessionCreation, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().create_session(new)).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().session(id)).await
    }

    async fn session_by_hash(&self, hash: &SecretHash) -> Result<Option<(Session, Account)>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().session_by_hash(hash)).await
    }

    async fn sessions(
        &self,
        account_id: AccountId,
        after: Option<SessionId>,
        limit: PageSize,
    ) -> Result<Vec<Session>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().sessions(account_id, after, limit)).await
    }

    async fn record_session_uses(&self, uses: &[SessionUse]) -> Result<(), StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().record_session_uses(uses)).await
    }

    async fn delete_expired_sessions(
        &self,
        expired_before: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().delete_expired_sessions(expired_before, limit)).await
    }

    async fn create_login_link(
        &self,
        new: &NewLoginLink,
        by: Option<Credential>,
    ) -> Result<LoginLinkCreation, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().create_login_link(new, by)).await
    }

    async fn login_link(&self, hash: &SecretHash) -> Result<Option<(LoginLink, Account)>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().login_link(hash)).await
    }

    async fn delete_expired_login_links(
        &self,
        expired_before: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().delete_expired_login_links(expired_before, limit)).await
    }
}

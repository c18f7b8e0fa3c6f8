//! Accounts and memberships: all are on the directory shard.

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, order::Version};

use super::router::ShardedStore;
use crate::{
    Account, AccountCreation, AccountEdit, AccountEditOutcome, AccountStore, ClaimAt, ClaimOutcome,
    ClaimRecord, Credential, IdempotencyKey, MembershipChange, PageSize, Resource, Revocation,
    RevocationRevision, StoreError, Subject, UnderKey,
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
        role: Option<Role>,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().accounts(role, after, limit)).await
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

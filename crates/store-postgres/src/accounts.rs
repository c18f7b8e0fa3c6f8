//! Accounts and memberships. Each call but those under a key is one statement.

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId, Role, ids::Id, order::Version, text::Name};
use dabba_store::encoding::exact_nanoseconds;
use dabba_store::{
    Account, AccountCreation, AccountStore, ClaimAt, ClaimOutcome, ClaimRecord, IdempotencyKey, PageSize,
    Resource, StoreError, UnderKey,
};
use tokio_postgres::{Row, types::ToSql};

use crate::{
    PostgresStore, claims,
    codec::{BELOW_EVERY_ID, read, read_id, read_name, read_timestamp, storable_text},
    failure::Failure,
};

/// The columns that [`account_of`] reads, in its order.
macro_rules! account_columns {
    () => {
        "accounts.id, email, name, role, password_hash, created_at_ns"
    };
}

const FIND_ACCOUNT: &str = concat!("SELECT ", account_columns!(), " FROM accounts WHERE id = $1");

const FIND_ACCOUNT_BY_EMAIL: &str = concat!("SELECT ", account_columns!(), " FROM accounts WHERE email = $1");

const FIND_MEMBERS: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM memberships JOIN accounts ON accounts.id = memberships.account_id \
     WHERE memberships.restaurant_id = $1 AND memberships.account_id > $2 \
     ORDER BY memberships.account_id LIMIT $3"
);

const FIND_MEMBERSHIPS: &str =
    "SELECT restaurant_id FROM memberships WHERE account_id = $1 ORDER BY restaurant_id";

/// An id that is taken is a defect, an address that is taken is not: only the latter is let pass.
const INSERT_ACCOUNT: &str = "\
    INSERT INTO accounts (id, email, name, role, password_hash, created_at_ns) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (email) DO NOTHING";

const INSERT_MEMBERSHIP: &str = "\
    INSERT INTO memberships (restaurant_id, account_id) VALUES ($1, $2) \
    ON CONFLICT (restaurant_id, account_id) DO NOTHING";

const DELETE_MEMBERSHIP: &str = "DELETE FROM memberships WHERE restaurant_id = $1 AND account_id = $2";

/// Every read of this part, for the test that looks at their plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("find_account", FIND_ACCOUNT),
    ("find_account_by_email", FIND_ACCOUNT_BY_EMAIL),
    ("find_members", FIND_MEMBERS),
    ("find_memberships", FIND_MEMBERSHIPS),
    ("delete_membership", DELETE_MEMBERSHIP),
];

#[async_trait]
impl AccountStore for PostgresStore {
    async fn create_account_under(
        &self,
        account: &Account,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError> {
        let created_at_ns = exact_nanoseconds(account.created_at)?;
        self.under_key(claim, None, |connection| async move {
            let parameters: [&(dyn ToSql + Sync); 6] = [
                &account.id.uuid(),
                &account.email,
                &account.name.as_str(),
                &account.role.as_str(),
                &account.password_hash,
                &created_at_ns,
            ];
            Ok(match connection.execute(INSERT_ACCOUNT, &parameters).await? {
                1 => (AccountCreation::Created, Some((Resource::Account(account.id), 1))),
                _ => (AccountCreation::EmailTaken, None),
            })
        })
        .await
    }

    async fn claim_for_account(
        &self,
        claim: ClaimAt<'_>,
        resource: &Resource,
        version: Version,
    ) -> Result<ClaimOutcome, StoreError> {
        let claimed = self
            .under_key(Some(claim), None, |_| async move { Ok(((), Some((resource.clone(), version)))) })
            .await?;
        Ok(match claimed {
            UnderKey::Ended(()) => ClaimOutcome::Claimed,
            UnderKey::Claimed(record) => ClaimOutcome::Found(record),
        })
    }

    async fn find_account_claim(
        &self,
        account_id: AccountId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        self.read(async |connection| {
            let found = claims::find_in(connection, account_id, None, key).await?;
            if found.is_some() {
                // The caller takes this answer for an acknowledgement.
                connection.confirm().await?;
            }
            Ok(found)
        })
        .await
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.read(async |connection| {
            connection.query(FIND_ACCOUNT, &[&id.uuid()]).await?.first().map(account_of).transpose()
        })
        .await
    }

    async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        let email = storable_text(email);
        self.read(async |connection| {
            connection.query(FIND_ACCOUNT_BY_EMAIL, &[&email]).await?.first().map(account_of).transpose()
        })
        .await
    }

    async fn add_member(&self, restaurant_id: RestaurantId, account_id: AccountId) -> Result<(), StoreError> {
        self.read(async |connection| {
            connection.write(INSERT_MEMBERSHIP, &[&restaurant_id.uuid(), &account_id.uuid()]).await?;
            Ok(())
        })
        .await
    }

    async fn remove_member(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<bool, StoreError> {
        self.read(async |connection| {
            let parameters = (restaurant_id.uuid(), account_id.uuid());
            Ok(connection.write(DELETE_MEMBERSHIP, &[&parameters.0, &parameters.1]).await? == 1)
        })
        .await
    }

    async fn members(
        &self,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, Id::uuid);
        self.read(async |connection| {
            let limit = i64::from(limit.get());
            let rows = connection.query(FIND_MEMBERS, &[&restaurant_id.uuid(), &after, &limit]).await?;
            rows.iter().map(account_of).collect()
        })
        .await
    }

    async fn memberships(&self, account_id: AccountId) -> Result<Vec<RestaurantId>, StoreError> {
        self.read(async |connection| {
            let rows = connection.query(FIND_MEMBERSHIPS, &[&account_id.uuid()]).await?;
            rows.iter().map(|row| read_id(row, 0)).collect()
        })
        .await
    }
}

fn account_of(row: &Row) -> Result<Account, Failure> {
    Ok(Account {
        id: read_id(row, 0)?,
        email: read(row, 1)?,
        name: Name::from_stored(read(row, 2)?),
        role: read_name(row, 3, Role::from_name)?,
        password_hash: read(row, 4)?,
        created_at: read_timestamp(row, 5)?,
    })
}

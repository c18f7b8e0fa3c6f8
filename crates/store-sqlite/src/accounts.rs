//! Accounts and memberships.

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId, Role, order::Version, text::Name};
use dabba_store::encoding::exact_nanoseconds;
use dabba_store::{
    Account, AccountCreation, AccountStore, ClaimAt, ClaimOutcome, ClaimRecord, IdempotencyKey, PageSize,
    Resource, StoreError, UnderKey,
};
use rusqlite::{Connection, Row, Transaction, params};

use crate::{
    SqliteStore,
    claims::{self, OwnedClaim},
    codec::{BELOW_EVERY_ID, id_bytes, read_id, read_name, read_text, read_timestamp},
    failure::Failure,
};

/// The columns that [`account_of`] reads, in its order.
macro_rules! account_columns {
    () => {
        "accounts.id, email, name, role, password_hash, created_at_ns"
    };
}

pub(crate) const FIND_ACCOUNT: &str = concat!("SELECT ", account_columns!(), " FROM accounts WHERE id = ?1");

pub(crate) const FIND_ACCOUNT_BY_EMAIL: &str =
    concat!("SELECT ", account_columns!(), " FROM accounts WHERE email = ?1");

/// The cross join keeps `SQLite` from beginning with the accounts, which are many more.
pub(crate) const FIND_MEMBERS: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM memberships CROSS JOIN accounts ON accounts.id = memberships.account_id \
     WHERE memberships.restaurant_id = ?1 AND memberships.account_id > ?2 \
     ORDER BY memberships.account_id LIMIT ?3"
);

pub(crate) const FIND_MEMBERSHIPS: &str =
    "SELECT restaurant_id FROM memberships WHERE account_id = ?1 ORDER BY restaurant_id";

/// An id that is taken is a defect, an address that is taken is not: only the latter is let pass.
const INSERT_ACCOUNT: &str = "\
    INSERT INTO accounts (id, email, name, role, password_hash, created_at_ns) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (email) DO NOTHING";

const INSERT_MEMBERSHIP: &str = "\
    INSERT INTO memberships (restaurant_id, account_id) VALUES (?1, ?2) \
    ON CONFLICT (restaurant_id, account_id) DO NOTHING";

pub(crate) const DELETE_MEMBERSHIP: &str =
    "DELETE FROM memberships WHERE restaurant_id = ?1 AND account_id = ?2";

#[async_trait]
impl AccountStore for SqliteStore {
    async fn create_account_under(
        &self,
        account: &Account,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError> {
        let (account, claim) = (account.clone(), claim.map(OwnedClaim::from));
        self.writer
            .write(move |transaction| {
                claims::under(transaction, claim.as_ref(), None, || {
                    let creation = create(transaction, &account)?;
                    let is_created = creation == AccountCreation::Created;
                    Ok((creation, is_created.then_some((Resource::Account(account.id), 1))))
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
        let (claim, resource) = (OwnedClaim::from(claim), resource.clone());
        self.writer
            .write(move |transaction| {
                let claimed =
                    claims::under(transaction, Some(&claim), None, || Ok(((), Some((resource, version)))))?;
                Ok(match claimed {
                    UnderKey::Ended(()) => ClaimOutcome::Claimed,
                    UnderKey::Claimed(record) => ClaimOutcome::Found(record),
                })
            })
            .await
    }

    async fn find_account_claim(
        &self,
        account_id: AccountId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        let key = key.clone();
        self.readers.read(move |connection| claims::find_in(connection, account_id, None, &key)).await
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(FIND_ACCOUNT)?;
                statement.query([id_bytes(id)])?.next()?.map(account_of).transpose()
            })
            .await
    }

    async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        let email = email.to_owned();
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(FIND_ACCOUNT_BY_EMAIL)?;
                statement.query([email])?.next()?.map(account_of).transpose()
            })
            .await
    }

    async fn add_member(&self, restaurant_id: RestaurantId, account_id: AccountId) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let parameters = [id_bytes(restaurant_id), id_bytes(account_id)];
                transaction.prepare_cached(INSERT_MEMBERSHIP)?.execute(parameters)?;
                Ok(())
            })
            .await
    }

    async fn remove_member(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<bool, StoreError> {
        self.writer
            .write(move |transaction| {
                let parameters = [id_bytes(restaurant_id), id_bytes(account_id)];
                Ok(transaction.prepare_cached(DELETE_MEMBERSHIP)?.execute(parameters)? == 1)
            })
            .await
    }

    async fn members(
        &self,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        self.readers.read(move |connection| members(connection, restaurant_id, after, limit)).await
    }

    async fn memberships(&self, account_id: AccountId) -> Result<Vec<RestaurantId>, StoreError> {
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(FIND_MEMBERSHIPS)?;
                let mut rows = statement.query([id_bytes(account_id)])?;
                let mut restaurants = Vec::new();
                while let Some(row) = rows.next()? {
                    restaurants.push(read_id(row, 0)?);
                }
                Ok(restaurants)
            })
            .await
    }
}

fn create(transaction: &Transaction<'_>, account: &Account) -> Result<AccountCreation, Failure> {
    let inserted = transaction.prepare_cached(INSERT_ACCOUNT)?.execute(params![
        id_bytes(account.id),
        account.email,
        account.name.as_str(),
        account.role.as_str(),
        account.password_hash,
        exact_nanoseconds(account.created_at)?,
    ])?;
    Ok(if inserted == 1 { AccountCreation::Created } else { AccountCreation::EmailTaken })
}

fn members(
    connection: &Connection,
    restaurant_id: RestaurantId,
    after: Option<AccountId>,
    limit: PageSize,
) -> Result<Vec<Account>, Failure> {
    let after = after.map_or(BELOW_EVERY_ID, id_bytes);
    let mut statement = connection.prepare_cached(FIND_MEMBERS)?;
    let mut rows = statement.query(params![id_bytes(restaurant_id), after, limit.get()])?;
    let mut members = Vec::new();
    while let Some(row) = rows.next()? {
        members.push(account_of(row)?);
    }
    Ok(members)
}

fn account_of(row: &Row<'_>) -> Result<Account, Failure> {
    Ok(Account {
        id: read_id(row, 0)?,
        email: read_text(row, 1)?.to_owned(),
        name: Name::from_stored(read_text(row, 2)?),
        role: read_name(row, 3, Role::from_name)?,
        password_hash: read_text(row, 4)?.to_owned(),
        created_at: read_timestamp(row, 5)?,
    })
}

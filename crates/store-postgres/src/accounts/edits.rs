//! Changes of accounts.

use std::ops::ControlFlow;

use dabba_store::{AccountEdit, AccountEditOutcome, AccountHolder, Subject, encoding::exact_nanoseconds};
use dabba_store_sql::{
    accounts::{account_of, apply_edit, edit_of},
    claims::Written,
};
use tokio_postgres::types::ToSql;

use super::{FIND_ACCOUNT, revocations, sessions};
use crate::{PostgresStore, codec::first, failure::Failure, pool::Connection};

pub(super) const UPDATE_ACCOUNT: &str = "\
    UPDATE accounts SET email = $2, name = $3, role = $4, password_hash = $5, version = $6, disabled_at_ns = $7, \
        deleted_at_ns = $8 \
    WHERE id = $1";

pub(super) const FIND_OTHER_ADMIN: &str = "SELECT 1 FROM accounts WHERE role = 'admin' AND id <> $1 AND disabled_at_ns IS NULL AND holder = 'person' LIMIT 1";

pub(super) const DELETE_MEMBERSHIPS: &str = "DELETE FROM memberships WHERE account_id = $1";

/// Changes an account according to the contract, in a SERIALIZABLE transaction. If two transactions each assume that
/// the other's account remains as the last admin, one of them fails with a conflict.
pub(super) async fn edit(
    store: &PostgresStore,
    connection: &Connection,
    edit: &AccountEdit,
) -> Result<(AccountEditOutcome, Written), Failure> {
    if let Some(by) = edit.by
        && revocations::is_void(connection, by).await?
    {
        return Ok((AccountEditOutcome::CallerRevoked, None));
    }
    let id = edit.id.uuid();
    let find = store.of_known_schema(FIND_ACCOUNT);
    let before = first(&connection.query(&find, &[&id]).await?, account_of)?;
    let edited = match apply_edit(edit, before) {
        ControlFlow::Continue(edited) => edited,
        ControlFlow::Break(outcome) => return Ok((outcome, None)),
    };
    let find_admin = store.of_known_schema(FIND_OTHER_ADMIN);
    if edited.steps_down && connection.query(&find_admin, &[&id]).await?.is_empty() {
        return Ok((AccountEditOutcome::LastAdmin, None));
    }
    let mut account = edited.account;
    let parameters: [&(dyn ToSql + Sync); 8] = [
        &id,
        &account.email,
        &account.name.as_str(),
        &account.role.as_str(),
        &account.password_hash,
        &i64::from(account.version),
        &account.disabled_at.map(exact_nanoseconds).transpose()?,
        &account.deleted_at.map(exact_nanoseconds).transpose()?,
    ];
    connection.execute(UPDATE_ACCOUNT, &parameters).await?;
    if edited.revokes {
        let subject = Subject::Account(account.id);
        account.revocation = revocations::revoke(connection, subject, edit.at).await?;
        // Only the test of upgrades has servers that know an earlier schema.
        if account.holder == AccountHolder::Service || store.known_schema >= sessions::SCHEMA {
            revocations::revoke_kept(connection, &account, edit.at).await?;
        }
    }
    if edited.leaves_restaurants {
        connection.execute(DELETE_MEMBERSHIPS, &[&id]).await?;
    }
    Ok(edit_of(account))
}

//! Changes of accounts.

use dabba_domain::order::Version;
use dabba_store::{AccountEdit, AccountEditOutcome, Resource, Subject, encoding::exact_nanoseconds};
use tokio_postgres::types::ToSql;

use super::{FIND_ACCOUNT, account_of, revocations};
use crate::{failure::Failure, pool::Connection};

pub(super) const UPDATE_ACCOUNT: &str = "\
    UPDATE accounts SET email = $2, name = $3, role = $4, password_hash = $5, version = $6, disabled_at_ns = $7, \
        deleted_at_ns = $8 \
    WHERE id = $1";

pub(super) const FIND_OTHER_ADMIN: &str =
    "SELECT 1 FROM accounts WHERE role = 'admin' AND id <> $1 AND disabled_at_ns IS NULL LIMIT 1";

pub(super) const DELETE_MEMBERSHIPS: &str = "DELETE FROM memberships WHERE account_id = $1";

type Edited = (AccountEditOutcome, Option<(Resource, Version)>);

/// Changes an account according to the contract, in a SERIALIZABLE transaction. If two transactions each assume that
/// the other's account remains as the last admin, one of them fails with a conflict. If the account was changed, also
/// returns the resource and version for the idempotency record.
pub(super) async fn edit(connection: &Connection, edit: &AccountEdit) -> Result<Edited, Failure> {
    if let Some(by) = edit.by
        && revocations::is_void(connection, by).await?
    {
        return Ok((AccountEditOutcome::CallerRevoked, None));
    }
    let id = edit.id.uuid();
    let before = connection.query(FIND_ACCOUNT, &[&id]).await?.first().map(account_of).transpose()?;
    let Some(before) = before.filter(|account| account.deleted_at.is_none()) else {
        return Ok((AccountEditOutcome::NotFound, None));
    };
    if edit.expected.as_ref().is_some_and(|versions| !versions.contains(&before.version)) {
        return Ok((AccountEditOutcome::Conflict { current: before.version }, None));
    }
    let Some(edited) = edit.applied_to(&before) else {
        return Ok((AccountEditOutcome::Done(Box::new(before)), None));
    };
    if edited.steps_down && connection.query(FIND_OTHER_ADMIN, &[&id]).await?.is_empty() {
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
    }
    if edited.leaves_restaurants {
        connection.execute(DELETE_MEMBERSHIPS, &[&id]).await?;
    }
    let written = (Resource::Account(account.id), account.version);
    Ok((AccountEditOutcome::Done(Box::new(account)), Some(written)))
}

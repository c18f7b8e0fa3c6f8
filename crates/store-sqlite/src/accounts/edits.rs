//! Changes of accounts.

use dabba_domain::{AccountId, order::Version};
use dabba_store::{AccountEdit, AccountEditOutcome, Resource, Subject, encoding::exact_nanoseconds};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{FIND_ACCOUNT, account_of, revocations};
use crate::{codec::id_bytes, failure::Failure};

pub(crate) const UPDATE_ACCOUNT: &str = "\
    UPDATE accounts SET email = ?2, name = ?3, role = ?4, password_hash = ?5, version = ?6, disabled_at_ns = ?7, \
        deleted_at_ns = ?8 \
    WHERE id = ?1";

pub(crate) const FIND_OTHER_ADMIN: &str =
    "SELECT 1 FROM accounts WHERE role = 'admin' AND id <> ?1 AND disabled_at_ns IS NULL LIMIT 1";

pub(crate) const DELETE_MEMBERSHIPS: &str = "DELETE FROM memberships WHERE account_id = ?1";

type Edited = (AccountEditOutcome, Option<(Resource, Version)>);

/// Changes an account as the contract requires. Returns the resource and version for the claim if the account
/// was changed.
pub(super) fn edit(transaction: &Transaction<'_>, edit: &AccountEdit) -> Result<Edited, Failure> {
    if revocations::is_void(transaction, edit.by)? {
        return Ok((AccountEditOutcome::CallerRevoked, None));
    }
    let mut statement = transaction.prepare_cached(FIND_ACCOUNT)?;
    let before = statement.query([id_bytes(edit.id)])?.next()?.map(account_of).transpose()?;
    let Some(before) = before.filter(|account| account.deleted_at.is_none()) else {
        return Ok((AccountEditOutcome::NotFound, None));
    };
    if edit.expected.as_ref().is_some_and(|versions| !versions.contains(&before.version)) {
        return Ok((AccountEditOutcome::Conflict { current: before.version }, None));
    }
    let Some(edited) = edit.applied_to(&before) else {
        return Ok((AccountEditOutcome::Done(Box::new(before)), None));
    };
    if edited.steps_down && !has_other_admin(transaction, edit.id)? {
        return Ok((AccountEditOutcome::LastAdmin, None));
    }
    let mut account = edited.account;
    transaction.prepare_cached(UPDATE_ACCOUNT)?.execute(params![
        id_bytes(account.id),
        account.email,
        account.name.as_str(),
        account.role.as_str(),
        account.password_hash,
        account.version,
        account.disabled_at.map(exact_nanoseconds).transpose()?,
        account.deleted_at.map(exact_nanoseconds).transpose()?,
    ])?;
    if edited.revokes {
        account.revocation = revocations::revoke(transaction, Subject::Account(account.id), edit.at)?;
    }
    if edited.leaves_restaurants {
        transaction.prepare_cached(DELETE_MEMBERSHIPS)?.execute([id_bytes(account.id)])?;
    }
    let written = (Resource::Account(account.id), account.version);
    Ok((AccountEditOutcome::Done(Box::new(account)), Some(written)))
}

fn has_other_admin(transaction: &Transaction<'_>, id: AccountId) -> Result<bool, Failure> {
    let mut statement = transaction.prepare_cached(FIND_OTHER_ADMIN)?;
    Ok(statement.query_row([id_bytes(id)], |_| Ok(())).optional()?.is_some())
}

//! Changes of accounts.

use std::ops::ControlFlow;

use dabba_domain::AccountId;
use dabba_store::{AccountEdit, AccountEditOutcome, Subject, encoding::exact_nanoseconds};
use dabba_store_sql::{
    accounts::{apply_edit, edit_of},
    claims::Written,
};
use rusqlite::{Transaction, params};

use super::{FIND_ACCOUNT, find_account, revocations};
use crate::{codec::id_bytes, failure::Failure};

pub(crate) const UPDATE_ACCOUNT: &str = "\
    UPDATE accounts SET email = ?2, name = ?3, role = ?4, password_hash = ?5, version = ?6, disabled_at_ns = ?7, \
        deleted_at_ns = ?8 \
    WHERE id = ?1";

pub(crate) const FIND_OTHER_ADMIN: &str = "SELECT 1 FROM accounts WHERE role = 'admin' AND id <> ?1 AND disabled_at_ns IS NULL AND holder = 'person' LIMIT 1";

pub(crate) const DELETE_MEMBERSHIPS: &str = "DELETE FROM memberships WHERE account_id = ?1";

/// Changes an account as the contract requires.
pub(super) fn edit(
    transaction: &Transaction<'_>,
    edit: &AccountEdit,
) -> Result<(AccountEditOutcome, Written), Failure> {
    if revocations::is_void(transaction, edit.by)? {
        return Ok((AccountEditOutcome::CallerRevoked, None));
    }
    let before = find_account(transaction, FIND_ACCOUNT, [id_bytes(edit.id)])?;
    let edited = match apply_edit(edit, before) {
        ControlFlow::Continue(edited) => edited,
        ControlFlow::Break(outcome) => return Ok((outcome, None)),
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
        revocations::revoke_kept(transaction, &account, edit.at)?;
    }
    if edited.leaves_restaurants {
        transaction.prepare_cached(DELETE_MEMBERSHIPS)?.execute([id_bytes(account.id)])?;
    }
    Ok(edit_of(account))
}

fn has_other_admin(transaction: &Transaction<'_>, id: AccountId) -> Result<bool, Failure> {
    Ok(transaction.prepare_cached(FIND_OTHER_ADMIN)?.exists([id_bytes(id)])?)
}

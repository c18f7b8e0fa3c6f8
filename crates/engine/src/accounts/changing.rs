//! Use cases that read, change, disable and delete accounts, and revoke their tokens.

use std::sync::Arc;

use dabba_domain::{
    AccountId, Problems, Role,
    order::Version,
    text::{Name, normalize_password},
};
use dabba_store::{
    Account, AccountChange, AccountEdit, AccountEditOutcome, AccountHolder, Claim, ClaimAt, ClaimRecord,
    IdempotencyKey, PageSize, Resource, Subject, UnderKey,
};
use serde::Serialize;

use super::{Accounts, passwords::forms_of, registering::normalise_email};
use crate::{
    Conditional, Conflict, Error, Principal, Scope,
    claims::{claim, is_same_request},
    writing::run_to_completion,
};

/// Changes of an account. Absent members stay unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AccountPatch {
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether the account is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// A new password of an account.
#[derive(Clone)]
pub struct NewPassword {
    /// The new password.
    pub password: String,
    /// The current password. Required from the account's owner.
    pub current: Option<String>,
}

/// Filter of the list of accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Only the account with this address.
    pub email: Option<String>,
    /// Only accounts with this holder.
    pub holder: Option<AccountHolder>,
    /// Only accounts with this role.
    pub role: Option<Role>,
}

/// An account after a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountAnswer {
    /// The account; for a replay, as it is now.
    pub account: Account,
    /// Whether this answer replays an earlier request with the same idempotency key.
    pub replayed: bool,
}

impl Accounts {
    /// Returns the caller's own account.
    pub async fn own_account(&self, principal: &Principal) -> Result<Account, Error> {
        self.account(principal, principal.account_id).await
    }

    /// Returns an account. For its owner and admins.
    pub async fn account(&self, principal: &Principal, id: AccountId) -> Result<Account, Error> {
        principal.require(Scope::ReadAccounts)?;
        self.stored_account(principal, id).await
    }

    async fn stored_account(&self, principal: &Principal, id: AccountId) -> Result<Account, Error> {
        check_owner(principal, id)?;
        self.store.account(id).await?.ok_or(Error::NotFound("account"))
    }

    /// Returns a page of accounts with ids after `after`, ordered by id. For admins.
    pub async fn accounts(
        &self,
        principal: &Principal,
        filter: AccountFilter,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, Error> {
        principal.require(Scope::ReadAccounts)?;
        principal.require_admin("list accounts")?;
        let AccountFilter { email, holder, role } = filter;
        let Some(email) = email else { return Ok(self.store.accounts(holder, role, after, limit).await?) };
        let Ok(email) = normalise_email(&email) else { return Ok(Vec::new()) };
        let account = self.store.account_by_email(&email).await?;
        let is_listed = |account: &Account| {
            role.is_none_or(|role| account.role == role)
                && holder.is_none_or(|holder| account.holder == holder)
                && after.is_none_or(|after| account.id > after)
        };
        Ok(account.into_iter().filter(is_listed).collect())
    }

    /// Returns the id of the account with an e-mail address.
    pub(crate) async fn id_of_email(&self, email: &str) -> Result<Option<AccountId>, Error> {
        let Ok(email) = normalise_email(email) else { return Ok(None) };
        Ok(self.store.account_by_email(&email).await?.map(|account| account.id))
    }

    /// Changes an account. The owner may change the name; an admin may also disable the account and, as a person,
    /// enable it and change the role: otherwise a leaked API key could give access that outlives the key. A change of
    /// the role and disabling revoke all credentials of the account.
    pub async fn change_account(
        &self,
        principal: &Principal,
        id: AccountId,
        patch: AccountPatch,
        conditions: Conditional,
    ) -> Result<AccountAnswer, Error> {
        principal.require(Scope::WriteAccounts)?;
        check_owner(principal, id)?;
        let Conditional { expected, key } = conditions;
        let claim =
            key.map(|key| claim(principal.account_id, key, &("change_account", id, &patch))).transpose()?;
        if principal.role != Role::Admin {
            let mut problems = Problems::new();
            if patch.role.is_some() {
                problems.add("/role", "only an admin may change a role");
            }
            if patch.disabled.is_some() {
                problems.add("/disabled", "only an admin may disable or enable an account");
            }
            problems.into_result().map_err(Error::ForbiddenChange)?;
        }
        if patch.role.is_some() {
            principal.require_person("change a role")?;
        }
        if patch.disabled == Some(false) {
            principal.require_person("enable accounts")?;
        }
        let AccountPatch { name, role, disabled } = patch;
        if name.is_none() && role.is_none() && disabled.is_none() {
            return Err(Error::Invalid(Problems::one("", "must contain name, role or disabled")));
        }
        let name = name.map(|name| Name::new(&name)).transpose();
        let name = name.map_err(|error| Error::Invalid(Problems::one("/name", error.to_string())))?;
        let change = AccountChange::Details { name, role, disabled };
        self.edit(principal, id, change, expected, claim).await
    }

    /// Sets an account's password and revokes all its tokens. The owner must prove the current password; an admin sets
    /// the password of other accounts without it. For persons.
    ///
    /// As in [`Self::register_under`], the fingerprint of the request does not contain the password: a retry proves
    /// the password.
    pub async fn set_password(
        &self,
        principal: &Principal,
        id: AccountId,
        new: NewPassword,
        key: Option<IdempotencyKey>,
    ) -> Result<AccountAnswer, Error> {
        principal.require(Scope::WriteAccounts)?;
        principal.require_person("set a password")?;
        let account = self.stored_account(principal, id).await?;
        if account.holder == AccountHolder::Service {
            return Err(Error::Forbidden(
                "a service account has no password; create an API key for it".into(),
            ));
        }
        let claim = key.map(|key| password_claim(principal, key, id)).transpose()?;
        let password = normalize_password(&new.password);
        // The retry is checked first: its current password is no longer the current one, and an earlier version may
        // have accepted a password that is refused now.
        if let Some(claim) = &claim
            && let Some(answer) = self.password_set_before(&account, claim, &password).await?
        {
            return Ok(answer);
        }
        let mut problems = Problems::new();
        let about = vec![account.email.clone(), account.name.to_string()];
        self.passwords.check(&mut problems, "/password", &password, about).await?;
        let mut expected = None;
        if principal.account_id == id {
            if !self.is_password(&account, new.current.unwrap_or_default()).await? {
                problems.add("/current_password", "is not the current password of the account");
            }
            // The write requires this version, so that the proved password is still the current one.
            expected = Some(vec![account.version]);
        }
        problems.into_result().map_err(Error::Invalid)?;
        let hash = self.passwords.hash(password.clone()).await?;
        let change = AccountChange::Password { hash };
        let answer = match self.edit(principal, id, change, expected, claim).await {
            Err(Error::VersionMismatch { .. }) => return Err(Conflict::TooManyChanges.into()),
            answer => answer?,
        };
        if answer.replayed && !self.is_password(&answer.account, password).await? {
            return Err(Error::KeyReused);
        }
        Ok(answer)
    }

    /// Answers the retry of a change of the caller's own password, sent with a token that this change revoked. Refuses
    /// every other request with a revoked token.
    pub async fn retry_set_password(
        &self,
        principal: &Principal,
        id: AccountId,
        new: NewPassword,
        key: Option<IdempotencyKey>,
    ) -> Result<AccountAnswer, Error> {
        principal.require(Scope::WriteAccounts)?;
        principal.require_person("set a password")?;
        let Some(key) = key.filter(|_| principal.account_id == id) else { return Err(Error::TokenRevoked) };
        let account = self.store.account(id).await?.ok_or(Error::TokenRevoked)?;
        let claim = password_claim(principal, key, id)?;
        let before = self.password_set_before(&account, &claim, &normalize_password(&new.password)).await?;
        before.filter(|answer| answer.account.disabled_at.is_none()).ok_or(Error::TokenRevoked)
    }

    /// Returns the answer of the request that set this password with this key, if there was one and the account has not
    /// changed since.
    async fn password_set_before(
        &self,
        account: &Account,
        claim: &Claim,
        password: &str,
    ) -> Result<Option<AccountAnswer>, Error> {
        let Some(record) = self.store.find_account_claim(claim.account_id, &claim.key).await? else {
            return Ok(None);
        };
        let is_of_account =
            record.resource == Resource::Account(account.id) && record.version == account.version;
        if !is_of_account
            || !is_same_request(&record, Some(claim))?
            || !self.is_password(account, password.to_owned()).await?
        {
            return Ok(None);
        }
        self.metrics.replays.inc();
        Ok(Some(AccountAnswer { account: account.clone(), replayed: true }))
    }

    /// Revokes all tokens or API keys of an account. For its owner and admins. An admin may also revoke the tokens of an id without
    /// an account, for which an operator has signed a token.
    pub async fn revoke_tokens(
        &self,
        principal: &Principal,
        id: AccountId,
        key: Option<IdempotencyKey>,
    ) -> Result<bool, Error> {
        principal.require(Scope::WriteAccounts)?;
        check_owner(principal, id)?;
        let claim = key.map(|key| claim(principal.account_id, key, &("revoke_tokens", id))).transpose()?;
        match self.edit(principal, id, AccountChange::RevokeTokens, None, claim).await {
            Ok(answer) => Ok(answer.replayed),
            Err(Error::NotFound(_)) => self.revoke(principal, id).await.map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// Deletes an account permanently: its name and address are removed, and it can no longer be used. For admins, and
    /// for customers their own account. Its orders are kept, and open orders continue.
    pub async fn delete_account(
        &self,
        principal: &Principal,
        id: AccountId,
        expected: Option<Vec<Version>>,
    ) -> Result<(), Error> {
        principal.require(Scope::WriteAccounts)?;
        check_owner(principal, id)?;
        if !matches!(principal.role, Role::Customer | Role::Admin) {
            return Err(Error::Forbidden("only an admin may delete an account with this role".into()));
        }
        self.edit(principal, id, AccountChange::Delete, expected, None).await.map(drop)
    }

    async fn is_password(&self, account: &Account, password: String) -> Result<bool, Error> {
        let hash = account.deleted_at.is_none().then(|| account.password_hash.clone());
        self.passwords.verify(forms_of(password), hash).await
    }

    /// Writes a change, and applies its effects to the caches of this server at once.
    async fn edit(
        &self,
        principal: &Principal,
        id: AccountId,
        change: AccountChange,
        expected: Option<Vec<Version>>,
        claim: Option<Claim>,
    ) -> Result<AccountAnswer, Error> {
        let at = self.clock.now();
        let edit = AccountEdit { id, change, expected, by: Some(principal.credential(at)), at };
        let (store, memberships, revocations) =
            (Arc::clone(&self.store), self.memberships.clone(), Arc::clone(&self.revocations));
        let written = claim.clone();
        let ended = run_to_completion(async move {
            let at = written.as_ref().map(|claim| ClaimAt { claim, at: edit.at });
            let ended = store.edit_account_under(&edit, at).await?;
            if let UnderKey::Ended(AccountEditOutcome::Done(account)) = &ended {
                if account.revocation > 0 {
                    revocations.note(Subject::Account(id), account.revocation, edit.at);
                }
                memberships.evict(id);
            }
            Ok(ended)
        });
        match ended.await? {
            UnderKey::Ended(AccountEditOutcome::Done(account)) => {
                Ok(AccountAnswer { account: *account, replayed: false })
            }
            UnderKey::Ended(AccountEditOutcome::NotFound) => Err(Error::NotFound("account")),
            UnderKey::Ended(AccountEditOutcome::Conflict { current }) => {
                Err(Error::VersionMismatch { current })
            }
            UnderKey::Ended(AccountEditOutcome::LastAdmin) => Err(Conflict::LastAdmin.into()),
            UnderKey::Ended(AccountEditOutcome::CallerRevoked) => Err(Error::TokenRevoked),
            UnderKey::Claimed(record) => self.replay_edit(id, &record, claim.as_ref()).await,
        }
    }

    /// Returns the answer to a retry with the same key.
    pub(super) async fn replay_edit(
        &self,
        id: AccountId,
        record: &ClaimRecord,
        claim: Option<&Claim>,
    ) -> Result<AccountAnswer, Error> {
        if record.resource != Resource::Account(id) || !is_same_request(record, claim)? {
            return Err(Error::KeyReused);
        }
        let account = self.store.account(id).await?.ok_or(Error::NotFound("account"))?;
        self.metrics.replays.inc();
        Ok(AccountAnswer { account, replayed: true })
    }

    /// Revokes the tokens of an id without an account.
    async fn revoke(&self, principal: &Principal, id: AccountId) -> Result<(), Error> {
        if principal.role != Role::Admin {
            return Err(Error::NotFound("account"));
        }
        let (store, revocations, at) =
            (Arc::clone(&self.store), Arc::clone(&self.revocations), self.clock.now());
        let by = Some(principal.credential(at));
        run_to_completion(async move {
            let subject = Subject::Account(id);
            let revision = store.revoke(subject, by, at).await?.ok_or(Error::TokenRevoked)?;
            revocations.note(subject, revision, at);
            Ok(())
        })
        .await
    }
}

/// Returns the claim of a change of a password. Its fingerprint does not contain the password.
fn password_claim(principal: &Principal, key: IdempotencyKey, id: AccountId) -> Result<Claim, Error> {
    claim(principal.account_id, key, &("set_password", id))
}

/// Checks that an account is the caller's own, or that the caller is an admin. Other callers must not learn whether the
/// account exists.
pub(super) fn check_owner(principal: &Principal, id: AccountId) -> Result<(), Error> {
    if principal.role == Role::Admin || principal.account_id == id {
        Ok(())
    } else {
        Err(Error::NotFound("account"))
    }
}

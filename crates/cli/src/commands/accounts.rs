//! `dabba accounts`: lists accounts, changes them and revokes access.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use dabba_domain::{AccountId, Role, Timestamp};
use dabba_engine::{AccountFilter, AccountPatch, Conditional, Engine, NewPassword, Principal};
use dabba_sim::{Call, Client, ClientResponse};
use dabba_store::{Account, AccountHolder, PageSize};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    commands::remote::{AdminAction, PlaceArguments},
    failure::Failure,
    named_file, output,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Lists accounts, oldest first.
    List {
        /// Only the account with this e-mail address.
        #[arg(long)]
        email: Option<String>,
        /// Only accounts with this holder: person, or service for service accounts.
        #[arg(long, value_parser = holder)]
        holder: Option<AccountHolder>,
        /// Only accounts with this role: customer, restaurant, courier or admin.
        #[arg(long, value_parser = super::token::role)]
        role: Option<Role>,
        /// Prints JSON, one object for each account.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Shows one account as JSON.
    Show {
        #[command(flatten)]
        account: AccountArguments,
    },
    /// Disables an account: login is refused, and all its tokens are revoked.
    Disable {
        #[command(flatten)]
        account: AccountArguments,
    },
    /// Enables a disabled account.
    Enable {
        #[command(flatten)]
        account: AccountArguments,
    },
    /// Changes the role of an account. Ends all its memberships and revokes all its tokens.
    SetRole {
        /// Role: customer, restaurant, courier or admin.
        #[arg(long, value_parser = super::token::role)]
        role: Role,
        #[command(flatten)]
        account: AccountArguments,
    },
    /// Sets the password of an account. Revokes all its tokens.
    SetPassword {
        /// File with the password; default standard input.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        account: AccountArguments,
    },
    /// Revokes all tokens of an account. Also works for an id without an account that `dabba token` used.
    RevokeTokens {
        #[command(flatten)]
        account: AccountArguments,
    },
    /// Deletes an account permanently: removes name, address and password, and revokes all its tokens.
    Delete {
        #[command(flatten)]
        account: AccountArguments,
    },
}

#[derive(clap::Args)]
struct AccountArguments {
    /// Id of the account.
    id: AccountId,
    #[command(flatten)]
    place: PlaceArguments,
}

/// The action to perform.
enum Action {
    List { filter: AccountFilter, json: bool },
    Show(AccountId),
    Patch(AccountId, AccountPatch),
    SetPassword(AccountId, String),
    RevokeTokens(AccountId),
    Delete(AccountId),
}

impl Command {
    fn into_action(self) -> Result<(Action, PlaceArguments), Failure> {
        let disabled = |id, disabled| {
            Action::Patch(id, AccountPatch { disabled: Some(disabled), ..AccountPatch::default() })
        };
        Ok(match self {
            Self::List { email, holder, role, json, place } => {
                (Action::List { filter: AccountFilter { email, holder, role }, json }, place)
            }
            Self::Show { account } => (Action::Show(account.id), account.place),
            Self::Disable { account } => (disabled(account.id, true), account.place),
            Self::Enable { account } => (disabled(account.id, false), account.place),
            Self::SetRole { role, account } => {
                let patch = AccountPatch { role: Some(role), ..AccountPatch::default() };
                (Action::Patch(account.id, patch), account.place)
            }
            Self::SetPassword { password_file, account } => {
                (Action::SetPassword(account.id, read_password(password_file.as_deref())?), account.place)
            }
            Self::RevokeTokens { account } => (Action::RevokeTokens(account.id), account.place),
            Self::Delete { account } => (Action::Delete(account.id), account.place),
        })
    }
}

fn holder(name: &str) -> Result<AccountHolder, String> {
    AccountHolder::from_name(name).ok_or_else(|| "must be person or service".into())
}

/// Reads a password from a file or from standard input. Passwords are never arguments, which other users of the machine can see.
/// The line break at the end is not part of the password.
fn read_password(file: Option<&Path>) -> Result<String, Failure> {
    let text = if let Some(file) = file {
        named_file::read(file).map_err(Failure::during("--password-file"))?
    } else {
        if io::stdin().is_terminal() {
            return Err(Failure::new(
                "the password is not read from the terminal, which would show it: give a file with --password-file, or \
                 redirect standard input",
            ));
        }
        let read = named_file::read_standard_input();
        read.map_err(Failure::during("reading the password from standard input"))?
    };
    let password = text.strip_suffix('\n').unwrap_or(&text);
    Ok(password.strip_suffix('\r').unwrap_or(password).to_owned())
}

/// An account in the format of the API.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    id: AccountId,
    version: u32,
    /// The holder's name, absent for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The role's name, unchanged: a newer server may have roles that this program does not know.
    role: String,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disabled_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
}

impl From<Account> for Row {
    fn from(account: Account) -> Self {
        let is_deleted = account.deleted_at.is_some();
        let is_service = account.holder == AccountHolder::Service;
        Self {
            id: account.id,
            version: account.version,
            holder: is_service.then(|| account.holder.as_str().to_owned()),
            email: account.address().map(str::to_owned),
            name: (!is_deleted).then(|| account.name.to_string()),
            role: account.role.as_str().to_owned(),
            created_at: account.created_at,
            disabled_at: account.disabled_at,
            deleted_at: account.deleted_at,
        }
    }
}

/// Members of every account in the API's responses.
const MEMBERS: [&str; 3] = ["id", "version", "role"];

/// A page of accounts in the API's response.
#[derive(Deserialize)]
struct Page {
    accounts: Vec<Row>,
    next_cursor: Option<String>,
}

/// Lists accounts, or changes one of them.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let (action, place) = arguments.command.into_action()?;
    place.run(action)
}

impl AdminAction for Action {
    fn reads_only(&self) -> bool {
        matches!(self, Self::List { .. } | Self::Show(_))
    }

    async fn through(self, client: &Client) -> Result<(), Failure> {
        match self {
            Self::List { filter: AccountFilter { email, holder, role }, json } => {
                let (mut cursor, mut is_empty) = (None, true);
                loop {
                    let path = list_path(email.as_deref(), holder, role, cursor.as_deref())?;
                    let page = client.get(&path).send().await.and_then(ClientResponse::read::<Page>);
                    let page = page.map_err(Failure::during("listing accounts"))?;
                    is_empty &= page.accounts.is_empty();
                    show(&page.accounts, json)?;
                    cursor = page.next_cursor;
                    if cursor.is_none() {
                        return finish(is_empty, json);
                    }
                }
            }
            Self::Show(id) => {
                let shown = client.get(&format!("/v1/accounts/{id}")).send().await;
                let shown = shown.and_then(|shown| shown.with_members(&MEMBERS));
                output::json(&shown.map_err(Failure::during(id))?.body)
            }
            Self::Patch(id, patch) => {
                let changed = client.patch(&format!("/v1/accounts/{id}")).json(&patch).send().await;
                let changed = changed.and_then(|changed| changed.with_members(&MEMBERS));
                output::json(&changed.map_err(Failure::during(id))?.body)
            }
            Self::SetPassword(id, password) => {
                let call = client.post(&format!("/v1/accounts/{id}/password"));
                without_content(id, call.json(&json!({"password": password}))).await?;
                output::line(format_args!("{id} has a new password, and its tokens are revoked"))
            }
            Self::RevokeTokens(id) => {
                without_content(id, client.post(&format!("/v1/accounts/{id}/revoke-tokens"))).await?;
                output::line(format_args!("the tokens of {id} are revoked"))
            }
            Self::Delete(id) => {
                without_content(id, client.delete(&format!("/v1/accounts/{id}"))).await?;
                output::line(format_args!("{id} is deleted"))
            }
        }
    }

    async fn within(self, engine: &Engine, admin: &Principal) -> Result<(), Failure> {
        match self {
            Self::List { filter, json } => {
                let (mut after, mut is_empty) = (None, true);
                loop {
                    let page =
                        engine.accounts.accounts(admin, filter.clone(), after, PageSize::DEFAULT).await;
                    let page = page.map_err(Failure::during("listing accounts"))?;
                    let is_last = page.len() < PageSize::DEFAULT.get() as usize;
                    after = page.last().map(|last| last.id);
                    let rows: Vec<Row> = page.into_iter().map(Row::from).collect();
                    is_empty &= rows.is_empty();
                    show(&rows, json)?;
                    if is_last {
                        return finish(is_empty, json);
                    }
                }
            }
            Self::Show(id) => {
                let account = engine.accounts.account(admin, id).await.map_err(Failure::during(id))?;
                output::json(&Row::from(account))
            }
            Self::Patch(id, patch) => {
                let changed = engine.accounts.change_account(admin, id, patch, Conditional::default()).await;
                output::json(&Row::from(changed.map_err(Failure::during(id))?.account))
            }
            Self::SetPassword(id, password) => {
                let new = NewPassword { password, current: None };
                engine.accounts.set_password(admin, id, new, None).await.map_err(Failure::during(id))?;
                output::line(format_args!("{id} has a new password, and its tokens are revoked"))
            }
            Self::RevokeTokens(id) => {
                engine.accounts.revoke_tokens(admin, id, None).await.map_err(Failure::during(id))?;
                output::line(format_args!("the tokens of {id} are revoked"))
            }
            Self::Delete(id) => {
                engine.accounts.delete_account(admin, id, None).await.map_err(Failure::during(id))?;
                output::line(format_args!("{id} is deleted"))
            }
        }
    }
}

/// Sends a request about an account. The response must have no content.
async fn without_content(id: AccountId, call: Call) -> Result<(), Failure> {
    call.send().await.and_then(|answer| answer.without_content()).map_err(Failure::during(id))
}

/// Returns the path of a page of the list.
pub(super) fn list_path(
    email: Option<&str>,
    holder: Option<AccountHolder>,
    role: Option<Role>,
    cursor: Option<&str>,
) -> Result<String, Failure> {
    // The host is not part of the path.
    let url = reqwest::Url::parse("http://localhost/v1/accounts");
    let mut url = url.map_err(Failure::during("listing accounts"))?;
    let (holder, role) = (holder.map(AccountHolder::as_str), role.map(Role::as_str));
    let parameters = [("email", email), ("holder", holder), ("role", role), ("cursor", cursor)];
    let given = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    url.query_pairs_mut().append_pair("limit", &PageSize::DEFAULT.get().to_string()).extend_pairs(given);
    Ok(format!("{}?{}", url.path(), url.query().unwrap_or_default()))
}

/// Prints accounts, as JSON or as two lines each, since an id fills half a line.
fn show(rows: &[Row], json: bool) -> Result<(), Failure> {
    for row in rows {
        let state = match (row.deleted_at, row.disabled_at) {
            (Some(_), _) => "deleted",
            (None, Some(_)) => "disabled",
            (None, None) => "enabled",
        };
        let address = row.email.as_deref().or_else(|| row.holder.as_ref().map(|_| "(service account)"));
        let (email, name) = (address.unwrap_or("-"), row.name.as_deref().unwrap_or("-"));
        let text = format!("{}  {}  {state}\n  {email}  {name}", row.id, row.role);
        output::either(json, row, text)?;
    }
    Ok(())
}

/// Prints a note if the list is empty.
fn finish(is_empty: bool, json: bool) -> Result<(), Failure> {
    if is_empty && !json { output::line("no account matches") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that an account of a newer server is read and printed unchanged, although this program does not know its role.
    #[test]
    fn an_account_with_an_unknown_role_is_read() {
        let response = json!({
            "id": "0198b2f4-0000-7000-8000-000000000001", "version": 1, "role": "auditor",
            "created_at": "2026-06-01T12:00:00Z",
        });
        let page: Page =
            serde_json::from_value(json!({"accounts": [response], "next_cursor": null})).unwrap();
        assert_eq!(serde_json::to_value(&page.accounts[0]).unwrap(), response);
    }
}

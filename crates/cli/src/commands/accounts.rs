//! `dabba accounts`: who has an account, and taking access away.

use std::{
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

use dabba_domain::{AccountId, Role, Timestamp};
use dabba_engine::{AccountFilter, AccountPatch, Conditional, Engine, NewPassword, Principal};
use dabba_sim::Client;
use dabba_store::{Account, PageSize};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    commands::remote::{Administration, PlaceArguments},
    failure::Failure,
    named_file, output,
};

/// What the command takes.
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
        whose: AccountArguments,
    },
    /// Disables an account: nobody can sign in to it, and all its tokens end.
    Disable {
        #[command(flatten)]
        whose: AccountArguments,
    },
    /// Enables an account that was disabled.
    Enable {
        #[command(flatten)]
        whose: AccountArguments,
    },
    /// Gives an account another role. All its tokens and memberships end.
    SetRole {
        /// customer, restaurant, courier or admin.
        #[arg(long, value_parser = super::token::role)]
        role: Role,
        #[command(flatten)]
        whose: AccountArguments,
    },
    /// Sets the password of an account. All its tokens end.
    SetPassword {
        /// File with the password; standard input, when absent.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        whose: AccountArguments,
    },
    /// Ends all tokens of an account, or of an id without an account for which `dabba token` was used.
    RevokeTokens {
        #[command(flatten)]
        whose: AccountArguments,
    },
    /// Deletes an account for good: its name, address and password are removed, and all its tokens end.
    Delete {
        #[command(flatten)]
        whose: AccountArguments,
    },
}

#[derive(clap::Args)]
struct AccountArguments {
    /// The account's id.
    id: AccountId,
    #[command(flatten)]
    place: PlaceArguments,
}

/// What is to be done.
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
            Self::List { email, role, json, place } => {
                (Action::List { filter: AccountFilter { email, role }, json }, place)
            }
            Self::Show { whose } => (Action::Show(whose.id), whose.place),
            Self::Disable { whose } => (disabled(whose.id, true), whose.place),
            Self::Enable { whose } => (disabled(whose.id, false), whose.place),
            Self::SetRole { role, whose } => {
                let patch = AccountPatch { role: Some(role), ..AccountPatch::default() };
                (Action::Patch(whose.id, patch), whose.place)
            }
            Self::SetPassword { password_file, whose } => {
                (Action::SetPassword(whose.id, read_password(password_file.as_deref())?), whose.place)
            }
            Self::RevokeTokens { whose } => (Action::RevokeTokens(whose.id), whose.place),
            Self::Delete { whose } => (Action::Delete(whose.id), whose.place),
        })
    }
}

/// Reads a password, which is never an argument: other users of the machine see arguments. The line's end is not part of it.
fn read_password(file: Option<&Path>) -> Result<String, Failure> {
    let text = if let Some(file) = file {
        named_file::read(file).map_err(Failure::during("--password-file"))?
    } else {
        if io::stdin().is_terminal() {
            return Err(Failure::new(
                "the password is read from standard input or a file, so that the terminal does not show it: name a file \
                 with --password-file",
            ));
        }
        let mut text = String::new();
        let read = io::stdin().read_to_string(&mut text);
        read.map_err(Failure::during("reading the password from standard input"))?;
        text
    };
    let password = text.strip_suffix('\n').unwrap_or(&text);
    Ok(password.strip_suffix('\r').unwrap_or(password).to_owned())
}

/// An account, as the API shows it too.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    id: AccountId,
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    role: Role,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disabled_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
}

impl From<Account> for Row {
    fn from(account: Account) -> Self {
        let is_deleted = account.deleted_at.is_some();
        Self {
            id: account.id,
            version: account.version,
            email: (!is_deleted).then_some(account.email),
            name: (!is_deleted).then(|| account.name.to_string()),
            role: account.role,
            created_at: account.created_at,
            disabled_at: account.disabled_at,
            deleted_at: account.deleted_at,
        }
    }
}

/// A page as the API gives it.
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

impl Administration for Action {
    fn reads_only(&self) -> bool {
        matches!(self, Self::List { .. } | Self::Show(_))
    }

    async fn through(self, client: &Client) -> Result<(), Failure> {
        match self {
            Self::List { filter: AccountFilter { email, role }, json } => {
                let (mut cursor, mut is_empty) = (None, true);
                loop {
                    let path = list_path(email.as_deref(), role, cursor.as_deref())?;
                    let answer =
                        client.get(&path).send().await.map_err(Failure::during("listing accounts"))?;
                    let page: Page =
                        serde_json::from_value(answer.body).map_err(Failure::during("listing accounts"))?;
                    is_empty &= page.accounts.is_empty();
                    show(&page.accounts, json)?;
                    cursor = page.next_cursor;
                    if cursor.is_none() {
                        return finish(is_empty, json);
                    }
                }
            }
            Self::Show(id) => {
                let call = client.get(&format!("/v1/accounts/{id}"));
                output::json(&call.send().await.map_err(Failure::during(id))?.body)
            }
            Self::Patch(id, patch) => {
                let call = client.patch(&format!("/v1/accounts/{id}")).json(&patch);
                output::json(&call.send().await.map_err(Failure::during(id))?.body)
            }
            Self::SetPassword(id, password) => {
                let call = client.post(&format!("/v1/accounts/{id}/password"));
                call.json(&json!({"password": password})).send().await.map_err(Failure::during(id))?;
                output::line(format_args!("{id} has a new password, and its tokens are revoked"))
            }
            Self::RevokeTokens(id) => {
                let call = client.post(&format!("/v1/accounts/{id}/revoke-tokens"));
                call.send().await.map_err(Failure::during(id))?;
                output::line(format_args!("the tokens of {id} are revoked"))
            }
            Self::Delete(id) => {
                let call = client.delete(&format!("/v1/accounts/{id}"));
                call.send().await.map_err(Failure::during(id))?;
                output::line(format_args!("{id} is deleted"))
            }
        }
    }

    async fn within(self, engine: &Engine, admin: &Principal) -> Result<(), Failure> {
        match self {
            Self::List { filter, json } => {
                let (mut after, mut is_empty) = (None, true);
                loop {
                    let page = engine.accounts(admin, filter.clone(), after, PageSize::DEFAULT).await;
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
                let account = engine.account(admin, id).await.map_err(Failure::during(id))?;
                output::json(&Row::from(account))
            }
            Self::Patch(id, patch) => {
                let changed = engine.change_account(admin, id, patch, Conditional::default()).await;
                output::json(&Row::from(changed.map_err(Failure::during(id))?.account))
            }
            Self::SetPassword(id, password) => {
                let new = NewPassword { password, current: None };
                engine.set_password(admin, id, new, None).await.map_err(Failure::during(id))?;
                output::line(format_args!("{id} has a new password, and its tokens are revoked"))
            }
            Self::RevokeTokens(id) => {
                engine.revoke_tokens(admin, id, None).await.map_err(Failure::during(id))?;
                output::line(format_args!("the tokens of {id} are revoked"))
            }
            Self::Delete(id) => {
                engine.delete_account(admin, id, None).await.map_err(Failure::during(id))?;
                output::line(format_args!("{id} is deleted"))
            }
        }
    }
}

/// The path of a page of the list.
fn list_path(email: Option<&str>, role: Option<Role>, cursor: Option<&str>) -> Result<String, Failure> {
    // The host is not part of the path.
    let url = reqwest::Url::parse("http://localhost/v1/accounts");
    let mut url = url.map_err(Failure::during("listing accounts"))?;
    let parameters = [("email", email), ("role", role.map(Role::as_str)), ("cursor", cursor)];
    let given = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    url.query_pairs_mut().append_pair("limit", &PageSize::DEFAULT.get().to_string()).extend_pairs(given);
    Ok(format!("{}?{}", url.path(), url.query().unwrap_or_default()))
}

/// Prints accounts, as JSON or for a person: an id fills half a line, so each account has two.
fn show(rows: &[Row], json: bool) -> Result<(), Failure> {
    for row in rows {
        let state = match (row.deleted_at, row.disabled_at) {
            (Some(_), _) => "deleted",
            (None, Some(_)) => "disabled",
            (None, None) => "enabled",
        };
        let (email, name) = (row.email.as_deref().unwrap_or("-"), row.name.as_deref().unwrap_or("-"));
        let text = format!("{}  {}  {state}\n  {email}  {name}", row.id, row.role.as_str());
        output::either(json, row, text)?;
    }
    Ok(())
}

/// Says so if nothing was listed.
fn finish(is_empty: bool, json: bool) -> Result<(), Failure> {
    if is_empty && !json { output::line("no account fits") } else { Ok(()) }
}

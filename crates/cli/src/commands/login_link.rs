//! `dabba login-link`: creates a link that logs a person in once.

use std::str::FromStr;

use dabba_domain::{AccountId, Timestamp};
use dabba_engine::{AccountFilter, Engine, Principal, check_email};
use dabba_sim::{Client, ClientResponse};
use dabba_store::PageSize;
use serde::{Deserialize, Serialize};

use crate::{
    commands::{
        accounts::list_path,
        remote::{AdminAction, PlaceArguments},
    },
    failure::Failure,
    output,
    settings::Settings,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Id or e-mail address of the person's account; `dabba accounts list` lists the accounts.
    #[arg(long, value_name = "ID|EMAIL")]
    account: Named,
    /// Path of the page that the link opens after the login, such as /kitchen/RESTAURANT; default the start page.
    #[arg(long, value_name = "PATH", value_parser = path)]
    next: Option<String>,
    /// Prints one object of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// An account, as the operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    Id(AccountId),
    Email(String),
}

impl FromStr for Named {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) if check_email(text).is_ok() => Ok(Self::Email(text.trim().to_owned())),
            Err(_) => Err("must be the id of an account, or an e-mail address"),
        }
    }
}

/// Parses the path of a page of the server. A path that begins with two slashes would be another server's address.
fn path(text: &str) -> Result<String, &'static str> {
    let is_path = text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'&'));
    if is_path {
        Ok(text.to_owned())
    } else {
        Err("must be a path of the server, such as /kitchen/RESTAURANT")
    }
}

/// The action to perform.
struct Action {
    account: Named,
    next: Option<String>,
    json: bool,
    /// URL before the path of the link: that of the server if one is given, otherwise that of the setting `public_url`.
    base: Option<String>,
}

/// The part of an account that the command needs.
#[derive(Deserialize)]
struct Account {
    id: AccountId,
}

/// A page of accounts in the API's response.
#[derive(Deserialize)]
struct Page {
    accounts: Vec<Account>,
}

/// A link in the API's response.
#[derive(Deserialize)]
struct Link {
    expires_at: Timestamp,
    path: String,
    /// Address of the link; absent if the server has no `public_url`.
    url: Option<String>,
}

/// The output.
#[derive(Serialize)]
struct Row {
    account_id: AccountId,
    /// Address of the link; its path if neither a server nor its public URL is known.
    link: String,
    expires_at: Timestamp,
}

impl Action {
    /// Prints the link: its address under the public URL, otherwise under the URL of the server; its path if both are unknown.
    fn show(&self, account_id: AccountId, link: Link) -> Result<(), Failure> {
        let Link { expires_at, path, url } = link;
        let next = self.next.as_ref().map(|next| format!("&next={next}")).unwrap_or_default();
        let base = self.base.as_deref().unwrap_or_default().trim_end_matches('/');
        let address = url.unwrap_or_else(|| format!("{base}{path}"));
        let has_host = !address.starts_with('/');
        let row = Row { account_id, link: format!("{address}{next}"), expires_at };
        if !self.json {
            let place = if has_host {
                ""
            } else {
                "; put the address of the server before it, or set public_url to that address"
            };
            output::note(format_args!(
                "this link logs account {account_id} in once, until {expires_at}; keep it secret until then{place}"
            ));
        }
        output::either(self.json, &row, &row.link)
    }
}

/// Returns the failure for an address without an account.
fn unknown(email: &str) -> Failure {
    Failure::new(format!(
        "no account has the e-mail address {email}; `dabba accounts list` lists the accounts"
    ))
}

/// Creates a link.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { account, next, json, place } = arguments;
    let base = place.server_url().map(str::to_owned);
    place.run(Action { account, next, json, base })
}

impl AdminAction for Action {
    fn reads_only(&self) -> bool {
        false
    }

    fn with_settings(self, settings: &Settings) -> Self {
        let public_url = settings.listening.public_url.as_ref();
        Self { base: public_url.map(|url| url.as_str().to_owned()), ..self }
    }

    async fn through(self, client: &Client) -> Result<(), Failure> {
        let id = match &self.account {
            Named::Id(id) => *id,
            Named::Email(email) => {
                let path = list_path(Some(email), None, None, None)?;
                let page = client.get(&path).send().await.and_then(ClientResponse::read::<Page>);
                let found = page.map_err(Failure::during("searching for the account"))?.accounts;
                found.first().ok_or_else(|| unknown(email))?.id
            }
        };
        let created = client.post(&format!("/v1/accounts/{id}/login-links")).send().await;
        let link = created.and_then(ClientResponse::read::<Link>);
        let link = link.map_err(Failure::during("creating the link"))?;
        self.show(id, link)
    }

    async fn within(self, engine: &Engine, admin: &Principal) -> Result<(), Failure> {
        let id = match &self.account {
            Named::Id(id) => *id,
            Named::Email(email) => {
                let filter = AccountFilter { email: Some(email.clone()), ..AccountFilter::default() };
                let found = engine.accounts.accounts(admin, filter, None, PageSize::DEFAULT).await;
                let found = found.map_err(Failure::during("searching for the account"))?;
                found.first().ok_or_else(|| unknown(email))?.id
            }
        };
        let created = engine.accounts.create_login_link(admin, id).await;
        let created = created.map_err(Failure::during("creating the link"))?;
        let path = format!("/login#{}", created.token.expose());
        self.show(id, Link { expires_at: created.link.expires_at, path, url: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_pages_are_read() {
        let id = "0195c2d4-0000-7000-8000-000000000000";
        assert_eq!(id.parse(), Ok(Named::Id(id.parse().unwrap())));
        assert_eq!(" ada@example.org".parse(), Ok(Named::Email("ada@example.org".to_owned())));
        for wrong in ["", "ada", "0195c2d4-0000-4000-8000-000000000000"] {
            assert!(wrong.parse::<Named>().is_err(), "{wrong}");
        }
        assert!(path("/kitchen/0195c2d4?a=b").is_ok() && path("/").is_ok());
        for wrong in ["", "kitchen", "//evil.example", "/\\evil.example", "/a b", "/a#b", "/a&next=b", "/é"]
        {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}

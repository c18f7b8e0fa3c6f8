//! `dabba keys`: creates, lists and revokes API keys of service accounts.

use dabba_domain::{AccountId, ApiKeyId, RestaurantId, Role, Timestamp};
use dabba_engine::{
    Clock as _, Engine, KeyRequest, Principal, Scope, ServiceRegistration, SystemClock, check_key_expiry,
};
use dabba_sim::{Client, ClientResponse};
use dabba_store::{ApiKey, PageSize};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    commands::remote::{AdminAction, PlaceArguments},
    failure::Failure,
    output,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Creates an API key, with --role for a new service account, with --account for an existing one. Prints the key
    /// once.
    Create(CreateArguments),
    /// Lists the keys of a service account, oldest first, without their secrets.
    List {
        /// Id of the service account; `dabba accounts list --holder service` lists them.
        #[arg(long, value_name = "ID")]
        account: AccountId,
        /// Prints JSON, one object for each key.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Revokes a key. Running servers refuse it within 5 s.
    Revoke {
        /// Id of the key.
        #[arg(value_name = "KEY")]
        id: ApiKeyId,
        /// Id of the key's service account.
        #[arg(long, value_name = "ID")]
        account: AccountId,
        #[command(flatten)]
        place: PlaceArguments,
    },
}

#[derive(clap::Args)]
struct CreateArguments {
    /// Name of the key, and of a new service account.
    #[arg(long)]
    name: String,
    /// Id of an existing service account, to replace its key or to add one. Required without --role.
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Role of the new service account: customer, restaurant, courier or admin. Required without --account.
    #[arg(long, value_parser = super::token::role, conflicts_with = "account")]
    role: Option<Role>,
    /// Id of a restaurant of which the account becomes a member, also the existing account that --account names: all
    /// keys of an account have its memberships. For the role restaurant. Repeatable.
    #[arg(long = "restaurant", value_name = "ID")]
    restaurants: Vec<RestaurantId>,
    /// Scope to which the key is restricted, such as orders:read. Repeatable; default all scopes.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<String>,
    /// Time from which the key is refused, such as 2027-01-31T00:00:00Z; default never.
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires: Option<Timestamp>,
    /// Prints one object of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

fn scope(name: &str) -> Result<String, String> {
    match Scope::from_name(name) {
        Some(scope) => Ok(scope.as_str().to_owned()),
        None => Err(format!("must be one of {}", Scope::ALL.map(Scope::as_str).join(", "))),
    }
}

pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "must be a time with its offset from UTC, such as 2027-01-31T00:00:00Z".to_owned())
}

/// The service account of a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// An existing account.
    Existing(AccountId),
    /// A new account with this role.
    New(Role),
}

impl Owner {
    fn of(account: Option<AccountId>, role: Option<Role>) -> Result<Self, Failure> {
        match (account, role) {
            (Some(id), _) => Ok(Self::Existing(id)),
            (None, Some(role)) => Ok(Self::New(role)),
            (None, None) => Err(Failure::new(
                "the key needs an account: create a service account with --role ROLE (customer, restaurant, courier or \
                 admin), or name an existing one with --account ID",
            )),
        }
    }

    /// Returns the failure after the account was created. The failure names a new account, so that a retry creates no
    /// other.
    fn after(self, id: AccountId) -> impl FnOnce(Failure) -> Failure {
        move |failure| match self {
            Self::Existing(_) => failure,
            Self::New(_) => Failure::new(format!(
                "{failure}\nThe service account {id} exists: continue with --account {id} in place of --role"
            )),
        }
    }
}

/// A key to create.
struct NewKey {
    name: String,
    owner: Owner,
    restaurants: Vec<RestaurantId>,
    scopes: Option<Vec<String>>,
    expires_at: Option<Timestamp>,
    json: bool,
}

impl NewKey {
    /// Checks the arguments before an account is created, so that a wrong argument leaves no account behind. The
    /// servers check them again.
    fn check(&self, now: Timestamp) -> Result<(), Failure> {
        if let Some(at) = self.expires_at {
            check_key_expiry(at, now).map_err(|text| Failure::new(format!("--expires {at} {text}")))?;
        }
        match self.owner {
            Owner::New(role) if role != Role::Restaurant && !self.restaurants.is_empty() => {
                Err(Failure::new(format!(
                    "--restaurant is for the role restaurant; an account with the role {} has no memberships",
                    role.as_str()
                )))
            }
            _ => Ok(()),
        }
    }
}

/// The action to perform.
enum Action {
    Create(NewKey),
    List { account: AccountId, json: bool },
    Revoke { account: AccountId, id: ApiKeyId },
}

impl Command {
    fn into_action(self) -> Result<(Action, PlaceArguments), Failure> {
        Ok(match self {
            Self::Create(arguments) => {
                let CreateArguments { name, account, role, restaurants, scopes, expires, json, place } =
                    arguments;
                let new = NewKey {
                    name,
                    owner: Owner::of(account, role)?,
                    restaurants,
                    scopes: (!scopes.is_empty()).then_some(scopes),
                    expires_at: expires,
                    json,
                };
                (Action::Create(new), place)
            }
            Self::List { account, json, place } => (Action::List { account, json }, place),
            Self::Revoke { id, account, place } => (Action::Revoke { account, id }, place),
        })
    }
}

/// A key in the format of the API.
#[derive(Serialize, Deserialize)]
struct Row {
    id: ApiKeyId,
    account_id: AccountId,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    created_at: Timestamp,
    created_by: AccountId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
    /// Only in the response that creates the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl Row {
    fn new(key: ApiKey, secret: Option<String>) -> Self {
        Self {
            id: key.id,
            account_id: key.account_id,
            name: key.name.to_string(),
            scopes: key.scopes,
            created_at: key.created_at,
            created_by: key.created_by,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            secret,
        }
    }

    /// Prints a new key: the secret alone on standard output, so that a script can store it.
    fn show_new(&self, json: bool) -> Result<(), Failure> {
        let secret = self.secret.as_deref().unwrap_or_default();
        if !json {
            output::note(format_args!(
                "key {} of service account {}; store it now, because nothing shows it again",
                self.id, self.account_id
            ));
        }
        output::either(json, self, secret)
    }

    /// Prints a key of a list, as JSON or as two lines.
    fn show(&self, json: bool) -> Result<(), Failure> {
        let state = match (self.revoked_at, self.expires_at) {
            (Some(at), _) => format!("revoked at {at}"),
            (None, Some(at)) => format!("expires at {at}"),
            (None, None) => "does not expire".to_owned(),
        };
        let scopes = self.scopes.as_ref().map_or_else(|| "all scopes".to_owned(), |scopes| scopes.join(" "));
        let used =
            self.last_used_at.map_or_else(|| "no use recorded".to_owned(), |at| format!("used at {at}"));
        let text = format!("{}  {}\n  {scopes}  {state}  {used}", self.id, self.name);
        output::either(json, self, text)
    }
}

/// A page of keys in the API's response.
#[derive(Deserialize)]
struct Page {
    keys: Vec<Row>,
    next_cursor: Option<String>,
}

/// The part of an account that the command needs.
#[derive(Deserialize)]
struct Created {
    id: AccountId,
}

/// Creates, lists or revokes keys.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let (action, place) = arguments.command.into_action()?;
    place.run(action)
}

/// Prints a note if the list is empty.
fn finish(is_empty: bool, json: bool) -> Result<(), Failure> {
    if is_empty && !json { output::line("the service account has no key") } else { Ok(()) }
}

/// Prints the result of a revocation. `before` is the time at which the key was already revoked.
fn show_revoked(id: ApiKeyId, before: Option<Timestamp>) -> Result<(), Failure> {
    match before {
        Some(at) => output::line(format_args!("{id} was already revoked at {at}; nothing has changed")),
        None => output::line(format_args!("{id} is revoked")),
    }
}

async fn create_through(client: &Client, new: &NewKey) -> Result<(), Failure> {
    new.check(SystemClock.now())?;
    for restaurant in &new.restaurants {
        let found = client.get(&format!("/v1/restaurants/{restaurant}")).send().await;
        found
            .and_then(|found| found.with_members(&["id"]))
            .map_err(Failure::during(format!("restaurant {restaurant}")))?;
    }
    let account = match new.owner {
        Owner::Existing(id) => id,
        Owner::New(role) => {
            let body = json!({"name": new.name, "role": role});
            let answer = client.post("/v1/service-accounts").json(&body).send().await;
            let created = answer.and_then(ClientResponse::read::<Created>);
            created.map_err(Failure::during("creating the service account"))?.id
        }
    };
    let created = async {
        for restaurant in &new.restaurants {
            let path = format!("/v1/restaurants/{restaurant}/members/{account}");
            let added = client.put(&path).send().await.and_then(|added| added.with_members(&["id"]));
            added.map_err(Failure::during(format!("restaurant {restaurant}")))?;
        }
        let mut body = Map::from_iter([("name".to_owned(), json!(new.name))]);
        body.extend(new.scopes.as_ref().map(|scopes| ("scopes".to_owned(), json!(scopes))));
        body.extend(new.expires_at.map(|at| ("expires_at".to_owned(), json!(at))));
        let call = client.post(&format!("/v1/accounts/{account}/keys")).json(&Value::Object(body));
        let created = call.send().await.and_then(ClientResponse::read::<Row>);
        created.map_err(Failure::during("creating the key"))
    };
    created.await.map_err(new.owner.after(account))?.show_new(new.json)
}

async fn create_within(engine: &Engine, admin: &Principal, new: &NewKey) -> Result<(), Failure> {
    new.check(engine.now())?;
    for restaurant in &new.restaurants {
        let found = engine.catalogue.entry(*restaurant).await;
        found.map_err(Failure::during(format!("restaurant {restaurant}")))?;
    }
    let account = match new.owner {
        Owner::Existing(id) => id,
        Owner::New(role) => {
            let registration = ServiceRegistration { name: new.name.clone(), role };
            let created = engine.accounts.create_service_account(admin, registration, None).await;
            created.map_err(Failure::during("creating the service account"))?.account.id
        }
    };
    let created = async {
        for restaurant in &new.restaurants {
            let added = engine.accounts.add_member(admin, *restaurant, account).await;
            added.map_err(Failure::during(format!("restaurant {restaurant}")))?;
        }
        let request =
            KeyRequest { name: new.name.clone(), scopes: new.scopes.clone(), expires_at: new.expires_at };
        let created = engine.accounts.create_api_key(admin, account, request, None).await;
        created.map_err(Failure::during("creating the key"))
    };
    let answer = created.await.map_err(new.owner.after(account))?;
    Row::new(answer.key, answer.secret.map(|secret| secret.expose().to_owned())).show_new(new.json)
}

impl AdminAction for Action {
    fn reads_only(&self) -> bool {
        matches!(self, Self::List { .. })
    }

    async fn through(self, client: &Client) -> Result<(), Failure> {
        match self {
            Self::Create(new) => create_through(client, &new).await,
            Self::List { account, json } => {
                let (mut path, mut is_empty) = (format!("/v1/accounts/{account}/keys"), true);
                loop {
                    let page = client.get(&path).send().await.and_then(ClientResponse::read::<Page>);
                    let page = page.map_err(Failure::during("listing keys"))?;
                    is_empty &= page.keys.is_empty();
                    page.keys.iter().try_for_each(|key| key.show(json))?;
                    match page.next_cursor {
                        // A cursor consists of unreserved characters.
                        Some(cursor) => path = format!("/v1/accounts/{account}/keys?cursor={cursor}"),
                        None => return finish(is_empty, json),
                    }
                }
            }
            Self::Revoke { account, id } => {
                let path = format!("/v1/accounts/{account}/keys/{id}");
                // Only for the text: a token that may not read keys may revoke one.
                let before = client.get(&path).send().await.and_then(ClientResponse::read::<Row>).ok();
                let revoked = client.delete(&path).send().await;
                revoked.and_then(|revoked| revoked.without_content()).map_err(Failure::during(id))?;
                show_revoked(id, before.and_then(|key| key.revoked_at))
            }
        }
    }

    async fn within(self, engine: &Engine, admin: &Principal) -> Result<(), Failure> {
        match self {
            Self::Create(new) => create_within(engine, admin, &new).await,
            Self::List { account, json } => {
                let (mut after, mut is_empty) = (None, true);
                loop {
                    let page = engine.accounts.api_keys(admin, account, after, PageSize::DEFAULT).await;
                    let page = page.map_err(Failure::during("listing keys"))?;
                    let is_last = page.len() < PageSize::DEFAULT.get() as usize;
                    after = page.last().map(|last| last.id);
                    is_empty &= page.is_empty();
                    page.into_iter().try_for_each(|key| Row::new(key, None).show(json))?;
                    if is_last {
                        return finish(is_empty, json);
                    }
                }
            }
            Self::Revoke { account, id } => {
                let before =
                    engine.accounts.api_key(admin, account, id).await.map_err(Failure::during(id))?;
                let revoked = engine.accounts.revoke_api_key(admin, account, id).await;
                revoked.map_err(Failure::during(id))?;
                show_revoked(id, before.revoked_at)
            }
        }
    }
}

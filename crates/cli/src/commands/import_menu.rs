//! `dabba import-menu`

use std::{fs, path::PathBuf};

use dabba_domain::{RestaurantId, Role, import, import::RestaurantDocument};
use dabba_engine::{Engine, Principal};
use dabba_sim::Client;
use serde::Serialize;

use crate::{
    commands::{CLOSING_TIME, DataArguments, block_on},
    data,
    databases::{Databases, Opened},
    demo_data,
    failure::Failure,
    logging, output, sandbox,
    settings::Settings,
};

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// JSON file: one restaurant, or a list of them.
    file: PathBuf,
    /// Replaces this restaurant's menu instead of registering a restaurant.
    #[arg(long, value_name = "ID")]
    restaurant: Option<RestaurantId>,
    /// Imports through a running server, for example `http://127.0.0.1:8080`.
    #[arg(long, value_name = "URL", requires = "token")]
    server: Option<String>,
    /// An admin's token for that server; with --restaurant, one of its staff will do.
    #[arg(long, requires = "server")]
    token: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: DataArguments,
}

/// A restaurant that has been imported.
#[derive(Debug, Serialize)]
struct Imported {
    id: String,
    name: String,
    items: usize,
    option_groups: usize,
    options: usize,
}

/// Imports a file. It is checked whole before anything is written.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { file, restaurant, server, token, json, settings } = arguments;
    let documents = read(&file)?;
    if restaurant.is_some() && documents.len() != 1 {
        return Err(Failure::new(format!(
            "--restaurant takes a file of one restaurant; {} holds {}",
            file.display(),
            documents.len()
        )));
    }
    if let (Some(server), Some(token)) = (server, token) {
        let client = Client::new(&server).map_err(Failure::during("--server"))?.with_token(&token);
        return block_on(import_through(&client, documents, restaurant, json));
    }
    let settings = settings.load()?;
    logging::start(&settings)?;
    block_on(import_into(&settings, documents, restaurant, json))
}

/// Reads the file, or lists all that is wrong with it.
fn read(file: &std::path::Path) -> Result<Vec<RestaurantDocument>, Failure> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(Failure::during(format_args!("reading {name}")))?;
    import::read(&text).map_err(|error| match error {
        import::ImportError::Wrong(problems) => {
            let mut text = format!("{name} cannot be imported; nothing was written:");
            for problem in problems.as_slice() {
                let pointer = if problem.pointer.is_empty() { "/" } else { &problem.pointer };
                text.push_str("\n  ");
                text.push_str(pointer);
                text.push_str(": ");
                text.push_str(&problem.detail);
            }
            Failure::new(text)
        }
        import::ImportError::Unreadable { .. } => {
            Failure::new(format!("{name} cannot be imported; nothing was written: {error}"))
        }
    })
}

impl Imported {
    fn new(id: impl Into<String>, document: &RestaurantDocument) -> Self {
        let items = || document.menu.categories.iter().flat_map(|category| &category.items);
        let groups = || items().flat_map(|item| &item.option_groups);
        Self {
            id: id.into(),
            name: document.settings.name.clone(),
            items: items().count(),
            option_groups: groups().count(),
            options: groups().map(|group| group.options.len()).sum(),
        }
    }

    /// Says what has been imported as soon as it is: what comes after may fail.
    fn report(&self, json: bool) -> Result<(), Failure> {
        let Self { id, name, items, option_groups, options } = self;
        if json {
            output::json(self)
        } else {
            output::line(format_args!(
                "{id}  {name}: {items} items, {option_groups} option groups, {options} options"
            ))
        }
    }
}

/// Imports into the databases. No server may be using the embedded one.
async fn import_into(
    settings: &Settings,
    documents: Vec<RestaurantDocument>,
    restaurant: Option<RestaurantId>,
    json: bool,
) -> Result<(), Failure> {
    let databases = Databases::from_settings(settings)?;
    let opened = databases.open(settings).await;
    let Opened { store, .. } = opened.map_err(|failure| match databases {
        Databases::Postgres(_) => failure,
        Databases::Embedded(_) => Failure::new(format!(
            "{failure}\nWhile a server runs on this data directory, import through it: \
             --server URL --token TOKEN (`dabba token --role admin` prints one)"
        )),
    })?;
    let clock = data::server_clock(sandbox::clock_of(settings, &databases)?, settings);
    data::synchronize(&clock, &*store).await?;
    let engine = data::start_engine(&store, clock, None, &databases, settings);
    let admin = Principal { account_id: demo_data::fresh_account_id(&engine), role: Role::Admin };
    let result = async {
        for document in documents {
            import_one_into(&engine, &admin, document, restaurant).await?.report(json)?;
        }
        Ok(())
    }
    .await;
    engine.shut_down(CLOSING_TIME).await;
    result
}

async fn import_one_into(
    engine: &Engine,
    admin: &Principal,
    document: RestaurantDocument,
    restaurant: Option<RestaurantId>,
) -> Result<Imported, Failure> {
    let during = format!("importing {}", document.settings.name);
    let mut imported = Imported::new("", &document);
    let RestaurantDocument { settings, menu } = document;
    let entry = match restaurant {
        None => engine.create_restaurant(admin, settings, menu).await,
        Some(id) => {
            let present = engine.catalogue(id).await.map_err(Failure::during(&during))?;
            check_currency(present.restaurant().settings.currency.code(), &settings.currency)?;
            engine.replace_menu(admin, id, menu, None).await
        }
    };
    imported.id = entry.map_err(Failure::during(&during))?.restaurant().id.to_string();
    Ok(imported)
}

/// Imports through a server.
async fn import_through(
    client: &Client,
    documents: Vec<RestaurantDocument>,
    restaurant: Option<RestaurantId>,
    json: bool,
) -> Result<(), Failure> {
    for document in documents {
        import_one_through(client, &document, restaurant).await?.report(json)?;
    }
    Ok(())
}

async fn import_one_through(
    client: &Client,
    document: &RestaurantDocument,
    restaurant: Option<RestaurantId>,
) -> Result<Imported, Failure> {
    let during = format!("importing {}", document.settings.name);
    let id = if let Some(id) = restaurant {
        let answer = client.get(&format!("/v1/restaurants/{id}")).send().await;
        let present = answer.map_err(Failure::during(&during))?.body;
        check_currency(present["currency"].as_str().unwrap_or_default(), &document.settings.currency)?;
        id.to_string()
    } else {
        let answer = client.post("/v1/restaurants").json(&document.settings).send().await;
        let made = answer.map_err(Failure::during(&during))?.body;
        made["id"].as_str().map(str::to_owned).ok_or_else(|| Failure::new("the server named no id"))?
    };
    let path = format!("/v1/restaurants/{id}/menu");
    let written = client.put(&path).if_match("*").json(&document.menu).send().await;
    written.map_err(|error| {
        Failure::new(format!(
            "{during}: {error}\nTo write the menu of restaurant {id} again, give --restaurant {id}"
        ))
    })?;
    Ok(Imported::new(id, document))
}

/// A menu's prices are in its restaurant's currency.
fn check_currency(present: &str, given: &str) -> Result<(), Failure> {
    if present == given {
        Ok(())
    } else {
        Err(Failure::new(format!("the restaurant's currency is {present}, the file's is {given}")))
    }
}

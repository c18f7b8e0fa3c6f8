//! `dabba import-menu`

mod target;

use std::{collections::HashMap, path::PathBuf};

use dabba_domain::{ExternalId, Problems, RestaurantId, Role, import, import::RestaurantDocument};
use dabba_engine::Principal;
use serde::Serialize;

use self::target::{EngineTarget, ServerTarget, Target};
use crate::{
    commands::{CLOSING_TIME, DataArguments, TOKEN_VARIABLE, block_on, remote::ServerArguments},
    data,
    databases::{Databases, Opened},
    demo_data,
    failure::Failure,
    named_file, output, sandbox,
    settings::Settings,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// JSON file with one restaurant or a list of restaurants. A restaurant with an `external_id` is registered, or
    /// updated if it exists.
    file: PathBuf,
    /// Id of a restaurant whose menu is replaced; no restaurant is registered then.
    #[arg(long, value_name = "ID")]
    restaurant: Option<RestaurantId>,
    /// Registers restaurants without an `external_id` even if restaurants of the same name exist.
    #[arg(long, conflicts_with = "restaurant")]
    new: bool,
    #[command(flatten)]
    server: ServerArguments,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: DataArguments,
}

/// The content and the options of an import.
struct Import {
    documents: Vec<RestaurantDocument>,
    restaurant: Option<RestaurantId>,
    new: bool,
    json: bool,
}

/// Result of the import of one restaurant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// The restaurant was registered.
    Created,
    /// The settings or the menu changed.
    Updated,
    /// Settings and menu are the same as in the file.
    Unchanged,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// An imported restaurant, as printed.
#[derive(Debug, Serialize)]
struct Imported {
    id: String,
    name: String,
    outcome: Outcome,
    items: usize,
    option_groups: usize,
    options: usize,
}

/// Imports a file. Checks the whole file before the first write.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { file, restaurant, new, server, json, settings } = arguments;
    let documents = read(&file)?;
    if restaurant.is_some() && documents.len() != 1 {
        return Err(Failure::new(format!(
            "--restaurant needs a file with one restaurant; {} contains {}",
            file.display(),
            documents.len()
        )));
    }
    let import = Import { documents, restaurant, new, json };
    if let Some(client) = server.client()? {
        return block_on(import.into_target(&ServerTarget { client }));
    }
    let (settings, databases) = settings.load_existing()?;
    block_on(import_into(&settings, &databases, import))
}

/// Reads the file. Fails with all problems of the file.
fn read(file: &std::path::Path) -> Result<Vec<RestaurantDocument>, Failure> {
    let name = file.display();
    let text = named_file::read_menus(file).map_err(Failure::new)?;
    import::read(&text).map_err(|error| {
        let problems = match problems_of(&text, &error) {
            Ok(problems) if !problems.is_empty() => problems,
            Ok(_) => return Failure::new(format!("{name} cannot be imported; nothing was written: {error}")),
            Err(error) => {
                return Failure::new(format!("{name} is not JSON; nothing was written: {error}"));
            }
        };
        let mut text = format!("{name} cannot be imported; nothing was written:");
        for problem in problems.as_slice() {
            let pointer = if problem.pointer.is_empty() { "/" } else { &problem.pointer };
            text.push_str("\n  ");
            text.push_str(pointer);
            text.push_str(": ");
            text.push_str(&problem.detail);
        }
        Failure::new(text)
    })
}

/// Returns every problem of a file that cannot be imported, with the same texts as the API's.
fn problems_of(text: &str, error: &import::ImportError) -> Result<Problems, dabba_web::NotJson> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut problems = dabba_api::problems_of_restaurants(text)?;
    if let import::ImportError::Invalid(found) = error {
        for problem in found.as_slice() {
            let is_known = problems.as_slice().iter().any(|known| known.pointer == problem.pointer);
            if !is_known {
                problems.add(&problem.pointer, &problem.detail);
            }
        }
    }
    Ok(problems)
}

impl Imported {
    fn new(id: RestaurantId, outcome: Outcome, document: &RestaurantDocument) -> Self {
        let items = || document.menu.categories.iter().flat_map(|category| &category.items);
        let groups = || items().flat_map(|item| &item.option_groups);
        Self {
            id: id.to_string(),
            name: document.settings.name.clone(),
            outcome,
            items: items().count(),
            option_groups: groups().count(),
            options: groups().map(|group| group.options.len()).sum(),
        }
    }

    /// Prints the result of one restaurant immediately, since a later restaurant may fail.
    fn report(&self, json: bool) -> Result<(), Failure> {
        let Self { id, name, outcome, items, option_groups, options } = self;
        if json {
            output::json(self)
        } else {
            output::line(format_args!(
                "{id}  {name}: {}, items: {items}, option groups: {option_groups}, options: {options}",
                outcome.as_str()
            ))
        }
    }
}

/// Imports into the databases. No server may use the embedded database.
async fn import_into(settings: &Settings, databases: &Databases, import: Import) -> Result<(), Failure> {
    let opened = databases.open(settings).await;
    let Opened { store, .. } = opened.map_err(|failure| match databases {
        Databases::Postgres(_) => failure,
        Databases::Embedded(_) => Failure::new(format!(
            "{failure}\nWhile a server uses this data directory, import through the server: \
             --server URL, with a token in {TOKEN_VARIABLE} (`dabba token --role admin` prints a token)"
        )),
    })?;
    let clock = data::server_clock(sandbox::clock_of(settings, databases)?, settings);
    data::synchronize(&clock, &*store).await?;
    let engine = data::start_engine(&store, clock, None, databases, settings);
    let admin = Principal::new(demo_data::fresh_account_id(&engine), Role::Admin);
    let result = import.into_target(&EngineTarget { catalogue: &engine.catalogue, admin }).await;
    engine.shut_down(CLOSING_TIME).await;
    result
}

impl Import {
    async fn into_target(self, target: &impl Target) -> Result<(), Failure> {
        self.check_names(target).await?;
        for document in &self.documents {
            let (id, outcome) = self.import_one(target, document).await?;
            Imported::new(id, outcome, document).report(self.json)?;
        }
        Ok(())
    }

    async fn import_one(
        &self,
        target: &impl Target,
        document: &RestaurantDocument,
    ) -> Result<(RestaurantId, Outcome), Failure> {
        let during = format!("importing {}", document.settings.name);
        let external_id = external_id_of(document);
        let present = match (self.restaurant, &external_id) {
            (Some(id), _) => Some(id),
            (None, Some(external_id)) => target.find(external_id).await.map_err(Failure::during(&during))?,
            (None, None) => None,
        };
        let id = if let Some(id) = present {
            id
        } else {
            match (target.create(document).await, &external_id) {
                (Ok(id), Some(_)) => return Ok((id, Outcome::Created)),
                (Ok(id), None) => {
                    eprintln!(
                        "dabba: {} has no external_id, so a later import cannot find it: give --restaurant {id} to a later import",
                        document.settings.name
                    );
                    return Ok((id, Outcome::Created));
                }
                // Another import may have registered the restaurant concurrently.
                (Err(failure), Some(external_id)) => match target.find(external_id).await {
                    Ok(Some(id)) => id,
                    Ok(None) | Err(_) => return Err(Failure::during(&during)(failure)),
                },
                (Err(failure), None) => return Err(Failure::during(&during)(failure)),
            }
        };
        let with_settings = self.restaurant.is_none();
        let updated = target.update(id, document, with_settings).await;
        let has_changed = updated.map_err(Failure::during(&during))?;
        Ok((id, if has_changed { Outcome::Updated } else { Outcome::Unchanged }))
    }

    /// Refuses to register a restaurant without an external id under the name of an existing restaurant: most often
    /// both are the same. Names are not unique, so no restaurant is updated by its name.
    async fn check_names(&self, target: &impl Target) -> Result<(), Failure> {
        let is_nameless = |document: &&RestaurantDocument| document.settings.external_id.is_none();
        if self.restaurant.is_some()
            || self.new
            || !self.documents.iter().any(|document| is_nameless(&document))
        {
            return Ok(());
        }
        let present = target.open_restaurants().await.map_err(Failure::during("reading the restaurants"))?;
        let present: HashMap<&str, RestaurantId> =
            present.iter().map(|(id, name)| (name.as_str(), *id)).collect();
        let names = self.documents.iter().filter(is_nameless).map(|document| document.settings.name.trim());
        let taken = names.filter_map(|name| present.get(name).map(|id| (name, id)));
        let text = taken
            .map(|(name, id)| format!("\n  {name}: restaurant {id} has this name"))
            .collect::<Vec<_>>()
            .concat();
        if text.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "nothing was written: the file contains restaurants without external_id whose names are in use:{text}\n\
             Give --restaurant ID to replace a restaurant's menu, or --new to register another restaurant of the same name."
        )))
    }
}

/// Returns the external id of a document. The document was checked before, so a given external id is valid.
fn external_id_of(document: &RestaurantDocument) -> Option<ExternalId> {
    document.settings.external_id.as_deref().and_then(|text| ExternalId::new(text).ok())
}

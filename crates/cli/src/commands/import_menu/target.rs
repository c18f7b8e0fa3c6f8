//! Targets of an import: an engine on the databases, or a server.

use dabba_domain::{ExternalId, RestaurantId, import::RestaurantDocument};
use dabba_engine::{Catalogues, Principal};
use dabba_sim::{Client, ClientResponse};
use dabba_store::PageSize;
use serde_json::Value;

use crate::failure::Failure;

/// Target of an import.
pub(super) trait Target {
    /// Returns the restaurant with this external id.
    async fn find(&self, external_id: &ExternalId) -> Result<Option<RestaurantId>, Failure>;

    /// Returns the names of all restaurants that are not permanently closed.
    async fn open_restaurants(&self) -> Result<Vec<(RestaurantId, String)>, Failure>;

    /// Registers a restaurant with its menu.
    async fn create(&self, document: &RestaurantDocument) -> Result<RestaurantId, Failure>;

    /// Replaces the menu of a restaurant, and its settings if `with_settings` is true. Returns whether anything
    /// changed.
    async fn update(
        &self,
        id: RestaurantId,
        document: &RestaurantDocument,
        with_settings: bool,
    ) -> Result<bool, Failure>;
}

/// An engine on the databases, as the target.
pub(super) struct EngineTarget<'a> {
    pub(super) catalogue: &'a Catalogues,
    pub(super) admin: Principal,
}

impl Target for EngineTarget<'_> {
    async fn find(&self, external_id: &ExternalId) -> Result<Option<RestaurantId>, Failure> {
        let found = self.catalogue.restaurant_by_external_id(external_id).await;
        Ok(found.map_err(plain)?.map(|entry| entry.restaurant().id))
    }

    async fn open_restaurants(&self) -> Result<Vec<(RestaurantId, String)>, Failure> {
        let mut all: Vec<(RestaurantId, String)> = Vec::new();
        loop {
            let after = all.last().map(|(id, _)| *id);
            let page = self.catalogue.restaurants(after, Some(false), PageSize::DEFAULT).await;
            let page = page.map_err(plain)?;
            if page.incomplete {
                return Err(incomplete_list());
            }
            if page.restaurants.is_empty() {
                return Ok(all);
            }
            let named = page.restaurants.iter();
            all.extend(named.map(|restaurant| (restaurant.id, restaurant.settings.name.as_str().to_owned())));
        }
    }

    async fn create(&self, document: &RestaurantDocument) -> Result<RestaurantId, Failure> {
        let RestaurantDocument { settings, menu } = document.clone();
        let created = self.catalogue.create_restaurant(&self.admin, settings, menu).await;
        Ok(created.map_err(plain)?.restaurant().id)
    }

    async fn update(
        &self,
        id: RestaurantId,
        document: &RestaurantDocument,
        with_settings: bool,
    ) -> Result<bool, Failure> {
        let RestaurantDocument { settings, menu } = document.clone();
        let before = self.catalogue.entry(id).await.map_err(plain)?;
        check_currency(before.restaurant().settings.currency.code(), &settings.currency)?;
        // The menu is replaced first, so that problems of the file in combination with the current menu are found
        // before anything changes.
        let mut after = self.catalogue.replace_menu(&self.admin, id, menu, None).await.map_err(plain)?;
        if with_settings {
            after = self.catalogue.replace_settings(&self.admin, id, settings, None).await.map_err(plain)?;
        }
        Ok(after.catalogue.guard() != before.catalogue.guard())
    }
}

/// Returns the failure of a list of restaurants that lacks those of a shard.
fn incomplete_list() -> Failure {
    Failure::new("a shard does not answer, so the list of restaurants is incomplete: try again later")
}

/// A server, as the target.
pub(super) struct ServerTarget {
    pub(super) client: Client,
}

impl ServerTarget {
    /// Reads a resource, which must have all of these members.
    async fn get(&self, path: &str, members: &[&str]) -> Result<ClientResponse, Failure> {
        let read = self.client.get(path).send().await;
        read.and_then(|read| read.with_members(members)).map_err(plain)
    }

    /// Replaces the resource at a path, if it is unchanged since it was read. Returns whether the resource changed.
    async fn replace(
        &self,
        path: &str,
        present: &ClientResponse,
        body: &impl serde::Serialize,
    ) -> Result<bool, Failure> {
        let etag = present.etag.as_deref().unwrap_or("*");
        let replaced = self.client.put(path).if_match(etag).json(body).send().await;
        let replaced = replaced.and_then(|replaced| replaced.with_members(&["revision"])).map_err(plain)?;
        Ok(replaced.etag != present.etag)
    }
}

impl Target for ServerTarget {
    async fn find(&self, external_id: &ExternalId) -> Result<Option<RestaurantId>, Failure> {
        let parameters = [("external_id", external_id.as_str())];
        let url =
            reqwest::Url::parse_with_params("http://server/v1/restaurants", parameters).map_err(plain)?;
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let found = self.get(&path, &[]).await?;
        found.list("restaurants").map_err(plain)?.first().map(id_of).transpose()
    }

    async fn open_restaurants(&self) -> Result<Vec<(RestaurantId, String)>, Failure> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/v1/restaurants?closed=false&limit=100{cursor}"), &[]).await?;
            if page.body["incomplete"] == true {
                return Err(incomplete_list());
            }
            for restaurant in page.list("restaurants").map_err(plain)? {
                let name = restaurant["name"].as_str().unwrap_or_default().to_owned();
                all.push((id_of(restaurant)?, name));
            }
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    async fn create(&self, document: &RestaurantDocument) -> Result<RestaurantId, Failure> {
        let created = self.client.post("/v1/restaurants").json(&document.settings).send().await;
        let id = id_of(&created.and_then(|created| created.with_members(&["id"])).map_err(plain)?.body)?;
        let path = format!("/v1/restaurants/{id}/menu");
        let written = self.client.put(&path).if_match("*").json(&document.menu).send().await;
        written.and_then(|written| written.with_members(&["revision"])).map_err(|error| {
            Failure::new(format!(
                "{error}\nTo write the menu of restaurant {id} again, give --restaurant {id}"
            ))
        })?;
        Ok(id)
    }

    async fn update(
        &self,
        id: RestaurantId,
        document: &RestaurantDocument,
        with_settings: bool,
    ) -> Result<bool, Failure> {
        let path = format!("/v1/restaurants/{id}");
        let present = self.get(&path, &["currency"]).await?;
        let currency = present.body["currency"].as_str().unwrap_or_default();
        check_currency(currency, &document.settings.currency)?;
        // The menu is replaced first, so that problems of the file in combination with the current menu are found
        // before anything changes.
        let menu_path = format!("{path}/menu");
        let menu = self.get(&menu_path, &["revision"]).await?;
        let has_changed = self.replace(&menu_path, &menu, &document.menu).await?;
        Ok(with_settings && self.replace(&path, &present, &document.settings).await? || has_changed)
    }
}

/// Returns a failure with the error's own text.
fn plain(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

fn id_of(restaurant: &Value) -> Result<RestaurantId, Failure> {
    let id = restaurant["id"].as_str().and_then(|id| id.parse().ok());
    id.ok_or_else(|| Failure::new("the server's response contains no restaurant id"))
}

/// Refuses a menu in another currency than the restaurant's.
fn check_currency(present: &str, given: &str) -> Result<(), Failure> {
    if present == given {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "the currency of the restaurant is {present}, and the currency in the file is {given}"
        )))
    }
}

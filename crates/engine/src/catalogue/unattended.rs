//! The pause of an unattended restaurant, by Dabba.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dabba_domain::{
    RestaurantId, Timestamp,
    restaurant::{Pause, Restaurant},
};
use dabba_store::CatalogueUpdate;

use super::{Catalogues, restaurants::UpdateConditions};
use crate::{Error, writing::run_to_completion};

impl Catalogues {
    /// Pauses a restaurant that is unattended since a time. Returns `false`, and changes nothing, if a board has connected,
    /// if the restaurant has changed, or if Dabba has paused the restaurant since a board was connected last.
    pub(crate) async fn pause_unattended(
        &self,
        restaurant: &Restaurant,
        since: Timestamp,
    ) -> Result<bool, Error> {
        let (id, expected) = (restaurant.id, restaurant.revision);
        let paused = Restaurant { pause: Some(Pause::UNATTENDED), ..restaurant.clone() };
        let (store, catalogue_cache) = (Arc::clone(&self.store), Arc::clone(&self.catalogue_cache));
        run_to_completion(async move {
            let update = store.pause_unattended(&paused, expected, since).await?;
            let Some(CatalogueUpdate::Done { revision }) = update else { return Ok(false) };
            if catalogue_cache.contains(id) {
                let contains = |entry: &super::CatalogueEntry| entry.restaurant().revision >= revision;
                catalogue_cache.refresh_unless(id, contains).await;
            }
            Ok(true)
        })
        .await
    }

    /// Ends the pause of a restaurant of which a board is connected, if Dabba has paused it. Returns whether it did.
    pub(crate) async fn resume_attended(&self, id: RestaurantId) -> Result<bool, Error> {
        let ends = AtomicBool::new(false);
        let update = self.update_restaurant_under(id, UpdateConditions::default(), |restaurant| {
            let is_paused = restaurant.is_paused_by_dabba();
            if is_paused {
                restaurant.pause = None;
            }
            ends.store(is_paused, Ordering::Relaxed);
            Ok(())
        });
        update.await?;
        Ok(ends.load(Ordering::Relaxed))
    }
}

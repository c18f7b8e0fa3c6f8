//! All operations: one file per group. Their bodies are in [`crate::bodies`].
//!
//! | module | what several groups share |
//! |---|---|
//! | `paths` | the parameters of paths |
//! | `writes` | the headers of writes, and responses with a resource |
//! | `lists` | the pages of lists |

#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod access;
mod accounts;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod boards;
mod commands;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod events;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod keys;
mod lists;
mod menus;
pub(crate) mod operations;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod orders;
mod paths;
mod quotes;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod restaurants;
mod sandbox;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod sessions;
mod shards;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod statistics;
mod stock;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod tasks;
mod tokens;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod tracking;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod webhook_endpoints;
mod webhooks;
mod writes;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

pub(crate) use tasks::TaskState;

use crate::app::App;

/// Returns all operations.
pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    api().merge(operations::router())
}

fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(accounts::router())
        .merge(access::router())
        .merge(keys::router())
        .merge(tokens::router())
        .merge(sessions::router())
        .merge(restaurants::router())
        .merge(menus::router())
        .merge(stock::router())
        .merge(quotes::router())
        .merge(orders::router())
        .merge(commands::router())
        .merge(events::router())
        .merge(boards::router())
        .merge(tracking::router())
        .merge(tasks::router())
        .merge(shards::router())
        .merge(statistics::router())
        .merge(webhook_endpoints::router())
        .merge(webhooks::router())
        .merge(sandbox::router())
}

/// Returns all operations except those of the operators' own listener.
pub(crate) fn public() -> OpenApiRouter<Arc<App>> {
    api().merge(operations::probes())
}

/// Returns the operations of the operators' listener.
pub(crate) fn admin() -> OpenApiRouter<Arc<App>> {
    operations::router()
}

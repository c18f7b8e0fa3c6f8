//! The parameters of paths in the description. `InPath` reads them.

use dabba_domain::{
    AccountId, ApiKeyId, OrderId, RestaurantId, SessionId, TaskId, WebhookEndpointId, text::Slug,
};
use utoipa::IntoParams;

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what InPath reads")]
pub(super) struct RestaurantPath {
    /// The restaurant.
    restaurant_id: RestaurantId,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what InPath reads")]
pub(super) struct ItemPath {
    /// The restaurant.
    restaurant_id: RestaurantId,
    /// The item's id in the menu.
    item_id: Slug,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what InPath reads")]
pub(super) struct MemberPath {
    /// The restaurant.
    restaurant_id: RestaurantId,
    /// The account.
    account_id: AccountId,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what InPath reads")]
pub(super) struct AccountPath {
    /// The account.
    account_id: AccountId,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what InPath reads")]
pub(super) struct ApiKeyPath {
    /// The service account.
    account_id: AccountId,
    /// The key.
    key_id: ApiKeyId,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what InPath reads")]
pub(super) struct SessionPath {
    /// The account.
    account_id: AccountId,
    /// The session.
    session_id: SessionId,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what InPath reads")]
pub(super) struct OrderPath {
    /// The order.
    order_id: OrderId,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what InPath reads")]
pub(super) struct TaskPath {
    /// The task.
    task_id: TaskId,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what InPath reads")]
pub(super) struct WebhookEndpointPath {
    /// The webhook endpoint.
    endpoint_id: WebhookEndpointId,
}

//! Bodies of stock.

use dabba_domain::{limits::MAX_STOCK, text::Slug};
use dabba_store::StockLevel;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::bodies::limited::null_or_at_most;

/// Stock of an item.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StockLevel)]
pub(crate) struct LevelBody {
    item: Slug,
    /// Remaining number; absent if the stock is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u32>,
    /// Increases with every change by hand; orders do not change it. Also the `ETag` of the stock. Absent if the stock
    /// is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub(crate) revision: Option<u32>,
}

impl LevelBody {
    /// Returns the stock of an item; `level` is `None` if the stock is not limited.
    pub(crate) fn new(item: Slug, level: Option<StockLevel>) -> Self {
        level.map_or(Self { item, remaining: None, revision: None }, Self::from)
    }
}

impl From<StockLevel> for LevelBody {
    fn from(level: StockLevel) -> Self {
        let StockLevel { item, remaining, revision } = level;
        Self { item, remaining: Some(remaining), revision: Some(revision) }
    }
}

/// The stock of a restaurant's limited items.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StockList)]
pub(crate) struct StockBody {
    pub(crate) stock: Vec<LevelBody>,
}

/// New stock of an item.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Stock)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemainingBody {
    /// Remaining number; `null` removes the limit.
    // The member is required, because omitting it by mistake must not remove the limit.
    #[serde(deserialize_with = "null_or_at_most::<MAX_STOCK, _>")]
    #[schema(required)]
    pub(crate) remaining: Option<u32>,
}

/// A relative change of an item's stock.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = StockAdjustment)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdjustmentBody {
    /// Number to add; negative to subtract. Not 0.
    pub(crate) by: i64,
}

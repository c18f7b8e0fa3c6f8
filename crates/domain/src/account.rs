//! Who acts: the role an account has, and the actor that a command or an event names.

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, RestaurantId};

/// What an account is for. An account has one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Orders food.
    Customer,
    /// Works for one or more restaurants.
    Restaurant,
    /// Carries orders to the door.
    Courier,
    /// Runs the platform.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Customer, Self::Restaurant, Self::Courier, Self::Admin];

    /// The role's name in the API and in stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Restaurant => "restaurant",
            Self::Courier => "courier",
            Self::Admin => "admin",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// Who gives a command, in the capacity in which they give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Actor {
    /// A customer.
    Customer {
        /// Their account.
        account_id: AccountId,
    },
    /// A member of a restaurant's staff, acting for that restaurant.
    Restaurant {
        /// Their account.
        account_id: AccountId,
        /// The restaurant for which they act; their membership has been checked.
        restaurant_id: RestaurantId,
    },
    /// A courier.
    Courier {
        /// Their account.
        account_id: AccountId,
    },
    /// Someone who runs the platform.
    Admin {
        /// Their account.
        account_id: AccountId,
    },
    /// Dabba itself: timers, payment results, confirmations.
    System,
}

impl Actor {
    /// The account behind the actor; none for the system.
    pub const fn account_id(&self) -> Option<AccountId> {
        match self {
            Self::Customer { account_id }
            | Self::Restaurant { account_id, .. }
            | Self::Courier { account_id }
            | Self::Admin { account_id } => Some(*account_id),
            Self::System => None,
        }
    }
}

//! Roles of accounts, and the actors that commands and events name.

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, RestaurantId};

/// Role of an account. Each account has one role.
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
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Customer, Self::Restaurant, Self::Courier, Self::Admin];

    /// Returns the name of the role in the API and in stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Restaurant => "restaurant",
            Self::Courier => "courier",
            Self::Admin => "admin",
        }
    }

    /// Returns the role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// The actor that gives a command, with the role in which the actor gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Actor {
    /// A customer.
    Customer {
        /// The customer's account.
        account_id: AccountId,
        /// Way in which the command was given, if not with the customer's account.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via: Option<Via>,
    },
    /// A member of a restaurant's staff, acting for that restaurant.
    Restaurant {
        /// The account of the member of staff.
        account_id: AccountId,
        /// The restaurant for which the member of staff acts. The membership has been checked.
        restaurant_id: RestaurantId,
    },
    /// A courier.
    Courier {
        /// The courier's account.
        account_id: AccountId,
    },
    /// An admin, who runs the platform.
    Admin {
        /// The admin's account.
        account_id: AccountId,
    },
    /// Dabba itself: timers, payment results, confirmations.
    System,
}

/// Way in which a command was given on behalf of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// With a tracking link, which the customer may have passed on.
    Link,
}

impl Actor {
    /// Returns a customer who uses the customer's own account.
    pub const fn customer(account_id: AccountId) -> Self {
        Self::Customer { account_id, via: None }
    }

    /// Returns the actor without the way in which the command was given. The state of an order contains only this: a
    /// program that does not know the way computes the same state from the events.
    #[must_use]
    pub const fn without_via(self) -> Self {
        match self {
            Self::Customer { account_id, via: _ } => Self::customer(account_id),
            other => other,
        }
    }

    /// Returns the account of the actor; `None` for the system.
    pub const fn account_id(&self) -> Option<AccountId> {
        match self {
            Self::Customer { account_id, .. }
            | Self::Restaurant { account_id, .. }
            | Self::Courier { account_id }
            | Self::Admin { account_id } => Some(*account_id),
            Self::System => None,
        }
    }
}

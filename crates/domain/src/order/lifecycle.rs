//! The lifecycle table: each command with its statuses, its actors and its target status.
//!
//! The table is the only definition of these rules. `decide` and `allowed_actions` use it, and [`table`] prints it.

use std::fmt::Write as _;

#[cfg(test)]
use super::{CancelReason, RejectReason};
use super::{CommandKind, Order, OrderStatus};
use crate::{Actor, Role, pricing::FulfilmentKind};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The command.
    pub command: CommandKind,
    /// Statuses in which the command is allowed.
    pub from: &'static [OrderStatus],
    /// Target status of the command.
    pub to: TargetStatus,
    /// Roles in which an actor may give the command in these statuses.
    pub roles: &'static [OrderRole],
    /// Kind of fulfilment to which the row applies; `None`: both.
    pub only: Option<FulfilmentKind>,
}

/// Target status of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetStatus {
    /// Moves to this status.
    Status(OrderStatus),
    /// The status does not change.
    Unchanged,
    /// Moves to `refunded` once the full amount is refunded; otherwise unchanged.
    RefundedOnceFullyRefunded,
}

/// The role towards an order in which an actor may give a command. Every role requires that the actor is a party to
/// the order, except the role of a free courier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderRole {
    /// The customer who placed the order.
    Customer,
    /// Staff of the order's restaurant.
    Restaurant,
    /// The courier who carries the order.
    AssignedCourier,
    /// Any courier, only for themselves, while no courier carries the order.
    FreeCourier,
    /// An admin.
    Admin,
    /// Dabba itself.
    System,
}

/// Returns the account roles that may give a command in some status, as text for people.
pub(super) fn roles(command: CommandKind) -> String {
    let mut roles = Vec::new();
    for order_role in rules_of(command).flat_map(|rule| rule.roles) {
        let role = match order_role {
            OrderRole::Customer => Role::Customer,
            OrderRole::Restaurant => Role::Restaurant,
            OrderRole::AssignedCourier | OrderRole::FreeCourier => Role::Courier,
            OrderRole::Admin => Role::Admin,
            OrderRole::System => continue,
        };
        if !roles.contains(&role.as_str()) {
            roles.push(role.as_str());
        }
    }
    roles.join(", ")
}

impl OrderRole {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Restaurant => "restaurant",
            Self::AssignedCourier => "assigned courier",
            Self::FreeCourier => "courier for themselves",
            Self::Admin => "admin",
            Self::System => "system",
        }
    }

    /// Returns whether an actor of this kind can have this role for some order.
    pub const fn has_role_of(self, actor: &Actor) -> bool {
        matches!(
            (self, actor),
            (Self::Customer, Actor::Customer { .. })
                | (Self::Restaurant, Actor::Restaurant { .. })
                | (Self::AssignedCourier | Self::FreeCourier, Actor::Courier { .. })
                | (Self::Admin, Actor::Admin { .. })
                | (Self::System, Actor::System)
        )
    }

    /// Returns whether `actor` has this role for `order`.
    pub fn is(self, actor: &Actor, order: &Order) -> bool {
        match (self, actor) {
            (Self::Customer, Actor::Customer { account_id, .. }) => *account_id == order.details.customer_id,
            (Self::Restaurant, Actor::Restaurant { restaurant_id, .. }) => {
                *restaurant_id == order.details.restaurant_id
            }
            (Self::AssignedCourier, Actor::Courier { account_id }) => order.courier_id == Some(*account_id),
            (Self::FreeCourier, Actor::Courier { account_id }) => {
                order.courier_id.is_none_or(|courier_id| courier_id == *account_id)
            }
            (Self::Admin, Actor::Admin { .. }) | (Self::System, Actor::System) => true,
            _ => false,
        }
    }
}

use CommandKind as C;
use FulfilmentKind::{Collection, Delivery};
use OrderStatus as S;

/// The table. A command with several rows is allowed if one of them allows it.
pub const RULES: &[Rule] = &[
    rule(C::Confirm, &[S::Created], TargetStatus::Status(S::Confirmed), &[OrderRole::System]),
    rule(C::Accept, &[S::Confirmed], TargetStatus::Status(S::Preparing), &[OrderRole::Restaurant]),
    rule(C::Reject, &[S::Confirmed], TargetStatus::Status(S::Cancelled), &[OrderRole::Restaurant]),
    rule(C::MarkReady, &[S::Preparing], TargetStatus::Status(S::ReadyForPickup), &[OrderRole::Restaurant]),
    rule(
        C::AssignCourier,
        &[S::Confirmed, S::Preparing, S::ReadyForPickup],
        TargetStatus::Unchanged,
        &[OrderRole::FreeCourier, OrderRole::Admin, OrderRole::System],
    )
    .only(Delivery),
    rule(C::AssignCourier, &[S::OutForDelivery], TargetStatus::Unchanged, &[OrderRole::Admin]).only(Delivery),
    rule(
        C::PickUp,
        &[S::ReadyForPickup],
        TargetStatus::Status(S::OutForDelivery),
        &[OrderRole::AssignedCourier],
    )
    .only(Delivery),
    rule(
        C::Deliver,
        &[S::OutForDelivery],
        TargetStatus::Status(S::Delivered),
        &[OrderRole::AssignedCourier, OrderRole::Admin],
    )
    .only(Delivery),
    rule(C::Deliver, &[S::ReadyForPickup], TargetStatus::Status(S::Delivered), &[OrderRole::Restaurant])
        .only(Collection),
    rule(C::Cancel, &[S::Created, S::Confirmed], TargetStatus::Status(S::Cancelled), &[OrderRole::Customer]),
    rule(
        C::Cancel,
        &[S::Created, S::Confirmed, S::Preparing, S::ReadyForPickup],
        TargetStatus::Status(S::Cancelled),
        &[OrderRole::Restaurant],
    ),
    rule(
        C::Cancel,
        &[S::Created, S::Confirmed, S::Preparing, S::ReadyForPickup, S::OutForDelivery],
        TargetStatus::Status(S::Cancelled),
        &[OrderRole::Admin],
    ),
    rule(C::Warn, &[S::Confirmed], TargetStatus::Unchanged, &[OrderRole::System]),
    rule(C::Expire, &[S::Created, S::Confirmed], TargetStatus::Status(S::Cancelled), &[OrderRole::System]),
    rule(
        C::Refund,
        &[S::Delivered, S::Cancelled],
        TargetStatus::RefundedOnceFullyRefunded,
        &[OrderRole::Admin, OrderRole::Restaurant],
    ),
];

const fn rule(command: C, from: &'static [S], to: TargetStatus, roles: &'static [OrderRole]) -> Rule {
    Rule { command, from, to, roles, only: None }
}

impl Rule {
    const fn only(mut self, kind: FulfilmentKind) -> Self {
        self.only = Some(kind);
        self
    }
}

/// Returns the rows of the table for a command.
pub fn rules_of(command: CommandKind) -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(move |rule| rule.command == command)
}

/// Returns the table as Markdown, for the documentation.
pub fn table() -> String {
    let mut text = String::from(
        "| command | from | to | who | only |\n|---|---|---|---|---|\n\
         | place | – | created | customer | |\n",
    );
    for rule in RULES {
        let from = rule.from.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ");
        let to = match rule.to {
            TargetStatus::Status(status) => status.as_str(),
            TargetStatus::Unchanged => "unchanged",
            TargetStatus::RefundedOnceFullyRefunded => {
                "refunded once the full amount is refunded; otherwise unchanged"
            }
        };
        let who = rule.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
        let only = match rule.only {
            Some(Delivery) => "delivery",
            Some(Collection) => "collection",
            None => "",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} | {from} | {to} | {who} | {only} |", rule.command);
    }
    text
}

/// Returns the reasons for an early end as Markdown, for the documentation: per command and actor.
#[cfg(test)]
fn reasons_table(actors: &[(&str, Actor)]) -> String {
    let mut text = String::from("| command | who | reasons |\n|---|---|---|\n");
    for (who, actor) in actors {
        for (command, reasons) in [
            (C::Cancel, CancelReason::of(actor).iter().map(|reason| reason.as_str()).collect::<Vec<_>>()),
            (C::Reject, RejectReason::of(actor).iter().map(|reason| reason.as_str()).collect()),
        ] {
            if !reasons.is_empty() {
                let _ = writeln!(text, "| {command} | {who} | `{}` |", reasons.join("`, `"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountId, Bucket, RestaurantId, Timestamp};

    #[test]
    fn the_table_contains_every_command() {
        for command in CommandKind::ALL {
            assert!(rules_of(*command).next().is_some(), "{command}");
        }
    }

    #[test]
    fn a_command_names_the_roles_that_may_give_it() {
        assert_eq!(roles(C::Accept), "restaurant");
        assert_eq!(roles(C::AssignCourier), "courier, admin");
        assert_eq!(roles(C::Cancel), "customer, restaurant, admin");
    }

    #[test]
    fn the_documentation_shows_this_table() {
        let documentation = include_str!("../../../../docs/reference/lifecycle.md");
        let table = table();
        // The heading, the separator and the command `place` come before the rules.
        assert_eq!(table.lines().count(), 3 + RULES.len());
        assert!(
            documentation.contains(&table),
            "docs/reference/lifecycle.md should contain this table:\n\n{table}"
        );
    }

    fn everyone() -> [(&'static str, Actor); 5] {
        let account_id = AccountId::generate(Timestamp::UNIX_EPOCH, Bucket::from_random(0), 0);
        let restaurant_id = RestaurantId::generate(Timestamp::UNIX_EPOCH, Bucket::from_random(0), 0);
        [
            ("customer", Actor::customer(account_id)),
            ("restaurant", Actor::Restaurant { account_id, restaurant_id }),
            ("courier", Actor::Courier { account_id }),
            ("admin", Actor::Admin { account_id }),
            ("system", Actor::System),
        ]
    }

    #[test]
    fn the_documentation_shows_the_reasons() {
        let documentation = include_str!("../../../../docs/reference/lifecycle.md");
        let table = reasons_table(&everyone()).replace('\n', "\n  ");
        assert!(
            documentation.contains(table.trim_end()),
            "docs/reference/lifecycle.md should contain:\n\n{table}"
        );
    }

    /// Proves that an actor has reasons for an early end if, and only if, a rule allows the actor the command.
    #[test]
    fn exactly_the_actors_with_a_rule_have_reasons() {
        for (name, actor) in everyone() {
            for (command, has_reasons) in [
                (C::Cancel, !CancelReason::of(&actor).is_empty()),
                (C::Reject, !RejectReason::of(&actor).is_empty()),
            ] {
                let has_rule =
                    rules_of(command).any(|rule| rule.roles.iter().any(|role| role.has_role_of(&actor)));
                assert_eq!(has_reasons, has_rule, "{command} by {name}");
            }
        }
    }

    #[test]
    fn only_a_refund_leaves_a_terminal_status() {
        for rule in RULES {
            let terminal = rule.from.iter().any(|status| status.is_terminal());
            assert_eq!(terminal, rule.command == CommandKind::Refund, "{rule:?}");
        }
    }
}

//! The customers and the couriers of the evening, whom the command registers as the demo's admin.

use dabba_engine::{Random as _, SystemRandom};
use serde_json::{Value, json};

/// A customer or a courier.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) account_id: String,
    pub(super) token: String,
}

/// A customer's telephone number and address. The numbers are reserved for drama, so nobody owns them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    pub(super) name: &'static str,
    phone: &'static str,
    line1: &'static str,
    line2: Option<&'static str>,
    postal_code: &'static str,
    instructions: Option<&'static str>,
}

/// The customers. Each may have the maximum number of open orders, so that a slow kitchen does not end the evening.
pub(super) const HOMES: [Home; 6] = [
    Home {
        name: "Priya Nair",
        phone: "+44 20 7946 0101",
        line1: "4 Cooper's Yard",
        line2: None,
        postal_code: "E2 0AB",
        instructions: None,
    },
    Home {
        name: "Tom Okafor",
        phone: "+44 20 7946 0102",
        line1: "71 Weaver Street",
        line2: Some("Flat 9"),
        postal_code: "E1 0CD",
        instructions: Some("Third floor; the lift is slow."),
    },
    Home {
        name: "Lena Fischer",
        phone: "+44 20 7946 0103",
        line1: "18 Chandler Lane",
        line2: None,
        postal_code: "E2 0EF",
        instructions: Some("Please knock, the baby sleeps."),
    },
    Home {
        name: "Yusuf Demir",
        phone: "+44 20 7946 0104",
        line1: "33 Ropewalk",
        line2: Some("Studio B"),
        postal_code: "E1 0GH",
        instructions: None,
    },
    Home {
        name: "Mei Tanaka",
        phone: "+44 20 7946 0105",
        line1: "2 Foundry Court",
        line2: Some("Flat 14"),
        postal_code: "E8 0JK",
        instructions: Some("Leave it with the porter."),
    },
    Home {
        name: "Sam Ortiz",
        phone: "+44 20 7946 0106",
        line1: "56 Gate Road",
        line2: None,
        postal_code: "E2 0LM",
        instructions: None,
    },
];

/// The couriers besides the demo's own.
pub(super) const COURIERS: [&str; 2] = ["Ines Costa", "Kofi Mensah"];

impl Home {
    /// Returns the customer as the contact of an order.
    pub(super) fn contact(self) -> Value {
        json!({"name": self.name, "phone": self.phone})
    }

    /// Returns the delivery to the customer's address.
    pub(super) fn delivery(self) -> Value {
        let mut address = json!({"line1": self.line1, "city": "London", "postal_code": self.postal_code});
        for (member, value) in [("line2", self.line2), ("instructions", self.instructions)] {
            if let Some(value) = value {
                address[member] = value.into();
            }
        }
        json!({"type": "delivery", "address": address})
    }
}

/// Domain of the e-mail addresses of these people. Nobody owns it (RFC 2606).
const DOMAIN: &str = "guests.dabba.example";

/// Returns whether an account with this e-mail address belongs to an evening.
pub(super) fn is_of_an_evening(email: &str) -> bool {
    email.split_once('@').is_some_and(|(_, domain)| domain == DOMAIN)
}

/// Returns the registration of a person. The address is new for each evening.
pub(super) fn registration(name: &str, role: &str, evening: &str) -> Value {
    let email = format!("{}.{evening}@{DOMAIN}", name.to_lowercase().replace(' ', "."));
    let password = format!("{:016x}{:016x}", SystemRandom.next_u64(), SystemRandom.next_u64());
    json!({"email": email, "name": name, "password": password, "role": role})
}

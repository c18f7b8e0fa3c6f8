//! The announcement of a ready server, as text or as JSON.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::PathBuf,
};

use dabba_domain::{AccountId, RestaurantId, Role, Timestamp};
use dabba_engine::{LOGIN_LINK_LIFETIME, Random as _, SystemRandom};
use dabba_web::{SigningKey, issue_token};
use serde::Serialize;
use serde_json::Value;

use crate::{
    demo_data::{self, Demo, DemoLinks},
    failure::Failure,
    output,
    settings::Settings,
};

/// Content of the announcement.
pub(super) struct Announcement<'a> {
    /// URL of the listener for clients, without a path.
    pub(super) url: &'a str,
    /// Address of the listener for operators, if there is one.
    pub(super) admin_address: Option<SocketAddr>,
    pub(super) demo: Option<&'a Demo>,
    pub(super) signing_key: &'a SigningKey,
    pub(super) now: Timestamp,
    pub(super) settings: &'a Settings,
    /// Location of the orders, as text.
    pub(super) place: &'a str,
}

/// The JSON output.
#[derive(Serialize)]
struct Json<'a> {
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_address: Option<String>,
    #[serde(flatten)]
    demo: Option<JsonDemo<'a>>,
}

#[derive(Serialize)]
struct JsonDemo<'a> {
    restaurant_id: RestaurantId,
    courier_id: AccountId,
    tokens: Tokens,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_links: Option<&'a DemoLinks>,
    order: &'a Value,
}

#[derive(Serialize)]
struct Tokens {
    customer: String,
    restaurant: String,
    courier: String,
    admin: String,
}

impl Announcement<'_> {
    /// Prints the announcement on standard output. With a demo, also writes its variables to a file for the shell.
    pub(super) fn publish(&self, json: bool) -> Result<(), Failure> {
        if let Some(demo) = self.demo {
            let path = self.environment_path();
            self.write_environment(demo)
                .map_err(Failure::during(format_args!("writing {}", path.display())))?;
        }
        if json {
            let demo = self.demo.map(|demo| JsonDemo {
                restaurant_id: demo.restaurant_id,
                courier_id: demo.bearer(Role::Courier).account_id,
                tokens: self.tokens(demo),
                login_links: demo.links.as_ref(),
                order: &demo.order,
            });
            return output::json(&Json { address: self.url, admin_address: self.admin_url(), demo });
        }
        let version = env!("CARGO_PKG_VERSION");
        let mut text = format!(
            "Dabba {version} serves at {url}, {place}\nAPI: {docs}/docs\n",
            url = self.url,
            docs = self.admin_url().as_deref().unwrap_or(self.url),
            place = self.place
        );
        if let Some(demo) = self.demo {
            self.introduce(demo, &mut text);
            if let Some(links) = &demo.links {
                self.introduce_pages(demo, links, &mut text);
            }
        }
        text.push_str("\nStop with Ctrl-C.");
        output::line(text)
    }

    fn admin_url(&self) -> Option<String> {
        self.admin_address.map(|address| format!("http://{address}"))
    }

    /// Returns the data directory, from the root: its reader may work in another directory.
    fn data(&self) -> PathBuf {
        let data = &self.settings.storage.data;
        std::path::absolute(data).unwrap_or_else(|_| data.clone())
    }

    fn environment_path(&self) -> PathBuf {
        self.data().join("demo.env")
    }

    fn tokens(&self, demo: &Demo) -> Tokens {
        let lifetime = self.settings.tokens.lifetime();
        let token = |role| issue_token(self.signing_key, &demo.bearer(role), self.now, lifetime);
        Tokens {
            customer: token(Role::Customer),
            restaurant: token(Role::Restaurant),
            courier: token(Role::Courier),
            admin: token(Role::Admin),
        }
    }

    /// Appends the tokens, and a command that places an order.
    fn introduce(&self, demo: &Demo, text: &mut String) {
        let Tokens { customer, restaurant, courier, admin } = self.tokens(demo);
        let hours = self.settings.tokens.token_lifetime_seconds.get() / 3_600;
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            text,
            "\nDemo restaurant: {} ({})\nTokens, valid for {hours} hours:\n  \
             customer    {customer}\n  restaurant  {restaurant}\n  courier     {courier}\n  admin       {admin}\n\
             As shell variables: . {}\n\nPlace an order:\n\n",
            demo.restaurant_name,
            demo.restaurant_id,
            output::shell_word(&self.environment_path()),
        );
        let _ = writeln!(
            text,
            "curl -sS '{}/v1/restaurants/{}/orders' -H 'Authorization: Bearer {customer}' \
             -H 'Content-Type: application/json' -H 'Idempotency-Key: demo-{:016x}' -d {}",
            self.url,
            demo.restaurant_id,
            SystemRandom.next_u64(),
            output::quoted(&demo.order.to_string()),
        );
    }

    /// Appends the links to the pages. They are not in the file for the shell, which outlives them.
    fn introduce_pages(&self, demo: &Demo, links: &DemoLinks, text: &mut String) {
        let DemoLinks { kitchen, console, ordering } = links;
        let ca_file = if self.url.starts_with("https:") {
            "\nIf these commands do not know the authority of the certificate: add --ca-file FILE, the authority's certificate; to \
             curl, --cacert FILE"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "\nPages (each link logs in once, within {} minutes):\n  kitchen   {kitchen}\n  console   {console}\n  \
             ordering  {ordering}\nCustomers and couriers for the kitchen's board: dabba demo --live --data {}\nNew links, in a shell with the variables: \
             DABBA_TOKEN=\"$ADMIN_TOKEN\" dabba login-link --server {} --account {} --next /kitchen/{}{ca_file}",
            LOGIN_LINK_LIFETIME.as_mins(),
            output::shell_word(&self.data()),
            self.url,
            demo_data::RESTAURANT_EMAIL,
            demo.restaurant_id,
        );
    }

    /// Writes the demo's variables for a shell, readable by their owner only, because the tokens grant full access.
    fn write_environment(&self, demo: &Demo) -> std::io::Result<()> {
        let Tokens { customer, restaurant, courier, admin } = self.tokens(demo);
        let lines = [
            ("ADDRESS", self.url.to_owned()),
            ("RESTAURANT", demo.restaurant_id.to_string()),
            ("CUSTOMER_TOKEN", customer),
            ("RESTAURANT_TOKEN", restaurant),
            ("COURIER_TOKEN", courier),
            ("ADMIN_TOKEN", admin),
            ("ORDER_BODY", demo.order.to_string()),
        ];
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.environment_path())?;
        // The file may exist with another mode.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        for (name, value) in lines {
            writeln!(file, "export {name}={}", output::quoted(&value))?;
        }
        Ok(())
    }
}

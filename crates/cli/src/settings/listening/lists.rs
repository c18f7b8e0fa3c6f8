//! Lists that are separated by commas: networks, origins and hosts.

use std::str::FromStr;

use dabba_web::{CorsOrigins, Network};

use super::super::values::{check_host_name, list, read_from_text};

/// Networks, separated by commas. An empty text means none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Networks(Vec<Network>);

impl Networks {
    /// Returns the networks.
    pub(crate) fn to_vec(&self) -> Vec<Network> {
        self.0.clone()
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hint = "give an address such as 10.0.0.7, or a network such as 10.0.0.0/8 or fd00::/8";
        list(text, "a network", hint, |part| part.parse().map_err(|_| String::new())).map(Self)
    }
}

read_from_text!(Networks);

/// Origins of pages, separated by commas; `*` for any. An empty text means none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origins(CorsOrigins);

impl Origins {
    /// Returns the origins.
    pub(crate) fn to_rule(&self) -> CorsOrigins {
        self.0.clone()
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self(CorsOrigins::Any));
        }
        let hint = "give a scheme and a host, and a port if it is not the scheme's, such as https://shop.example.org or \
                    http://localhost:5173; or * alone for any origin";
        let origins = list(text, "an origin", hint, |part| origin(part).ok_or_else(String::new))?;
        Ok(Self(if origins.is_empty() { CorsOrigins::None } else { CorsOrigins::List(origins) }))
    }
}

read_from_text!(Origins);

/// Returns an origin as a browser sends it: in lower case, without a path. `None` for a text that is no origin.
fn origin(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok()?;
    let origin = url.origin().ascii_serialization();
    (matches!(url.scheme(), "http" | "https") && origin.eq_ignore_ascii_case(text)).then_some(origin)
}

/// Hosts, separated by commas. An empty text means none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    /// Returns the hosts.
    pub(crate) fn to_vec(&self) -> Vec<String> {
        self.0.clone()
    }
}

impl FromStr for Hosts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = |name: &str| {
            let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
            let is_address = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
            if !is_address {
                // Networks of containers have names with underscores.
                check_host_name(&name.replace('_', "a"))?;
            }
            Ok(name.to_ascii_lowercase())
        };
        let hint = "give names or addresses without scheme, port and path, such as api.example.org, 192.0.2.7 or \
                    [2001:db8::7]";
        list(text, "a host", hint, host).map(Self)
    }
}

read_from_text!(Hosts);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_checked_when_read() {
        let networks: Networks = "10.0.0.0/8, fd00::/8,192.0.2.7".parse().unwrap();
        assert_eq!(networks.to_vec().len(), 3);
        assert_eq!("".parse::<Networks>().unwrap().to_vec(), []);
        for wrong in ["10.0.0.0/33", "proxy.example", "10.0.0.0/-1", "fd00::/129"] {
            assert!(wrong.parse::<Networks>().unwrap_err().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn origins_are_checked_when_read() {
        let rule = |text: &str| text.parse::<Origins>().unwrap().to_rule();
        assert_eq!((rule(""), rule(" * ")), (CorsOrigins::None, CorsOrigins::Any));
        let two = ["https://shop.example.org", "http://localhost:5173"];
        assert_eq!(rule(&two.join(", ").to_uppercase()), CorsOrigins::List(two.map(str::to_owned).to_vec()));
        for wrong in
            ["shop.example.org", "https://shop.example.org/", "ftp://x", "https://a:443", "*,https://a"]
        {
            assert!(wrong.parse::<Origins>().unwrap_err().contains("is not an origin"), "{wrong}");
        }
    }

    #[test]
    fn hosts_are_checked_when_read() {
        let hosts: Hosts = "API.example.org, 192.0.2.7,[2001:db8::7]".parse().unwrap();
        assert_eq!(hosts.to_vec(), ["api.example.org", "192.0.2.7", "[2001:db8::7]"]);
        assert_eq!("order_server".parse::<Hosts>().unwrap().to_vec(), ["order_server"]);
        for wrong in ["https://a", "a:80", "a/b", "[a]", "2001:db8::7", "a..b", "-a", "10.0.0.256"] {
            assert!(wrong.parse::<Hosts>().unwrap_err().contains("is not a host"), "{wrong}");
        }
    }
}

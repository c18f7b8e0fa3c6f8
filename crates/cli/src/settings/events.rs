//! Outgoing events: the message broker and webhooks.

use std::{net::Ipv6Addr, path::PathBuf, str::FromStr};

use confique::Config;
use dabba_gateways::{
    egress::AllowedHost,
    nats::{NatsConfig, check_stream_name},
};
use dabba_outbound::broker::BrokerStart;

use super::{
    NOT_REPEATED,
    values::{check_host_name, list, read_from_text},
};
use crate::{failure::Failure, named_file, redaction::shown};

/// Outgoing events.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(command(next_help_heading = "Settings: outgoing events")))]
pub(crate) struct Events {
    /// Message broker to which the events of all orders are published, without personal data: `nats`; default none.
    #[config(env = "DABBA_BROKER")]
    #[config(layer_attr(arg(long, value_name = "nats")))]
    pub(crate) broker: Option<BrokerName>,

    /// URL of the broker, such as `nats://127.0.0.1:4222`, or of up to 16 servers of one system, separated by commas. With `tls://`
    /// instead of `nats://`, the connection must be encrypted. Required with `broker`.
    #[config(env = "DABBA_BROKER_URL")]
    #[config(layer_attr(arg(long, value_name = "URL")))]
    pub(crate) broker_url: Option<BrokerUrl>,

    /// File with the credentials of the broker's user, as `nsc` writes it; default none. Dabba reads the file for each connection.
    #[config(env = "DABBA_BROKER_CREDENTIALS_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) broker_credentials_file: Option<PathBuf>,

    /// PEM file with the authorities that may issue the broker's certificate; default those of the machine. With this file, the
    /// connection must be encrypted.
    #[config(env = "DABBA_BROKER_CA_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) broker_ca_file: Option<PathBuf>,

    /// Event at which publishing begins if the broker holds no event: `start`, the first one, or `now`, the next one; default
    /// `start`.
    #[config(env = "DABBA_BROKER_START")]
    #[config(layer_attr(arg(long, value_name = "start|now")))]
    pub(crate) broker_start: Option<BrokerStartName>,

    /// Name of the broker's stream: 1 to 64 letters, digits, hyphens and underscores; default `DABBA_EVENTS`. Created if it does
    /// not exist.
    #[config(env = "DABBA_BROKER_STREAM")]
    #[config(layer_attr(arg(long, value_name = "NAME")))]
    pub(crate) broker_stream: Option<StreamName>,

    /// File with the keys that seal the secrets of webhook endpoints in the database, one key per line, the newest
    /// first: 1 to 16 lines of 64 to 2,048 hexadecimal digits; default `secrets-key` in the data directory, created by
    /// the first `dabba serve`. All servers and workers of a database need the same keys.
    #[config(env = "DABBA_SECRETS_KEY_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) secrets_key_file: Option<PathBuf>,

    /// Hosts with ports to which webhooks may go without encryption and although their addresses are private, separated
    /// by commas, such as `10.0.0.7:9000,hooks.internal:8080,[fd00::7]:80`; default none. A name consists of letters,
    /// digits, hyphens and dots (RFC 1123). Everyone who may create webhook endpoints can send requests to these hosts.
    /// At most 64.
    #[config(env = "DABBA_WEBHOOK_ALLOWED_HOSTS", default = "")]
    #[config(layer_attr(arg(long, value_name = "LIST")))]
    pub(crate) webhook_allowed_hosts: WebhookHosts,
}

impl Events {
    /// Returns the access to the broker, and where publishing begins; `None` without a broker. Fails if a setting has no effect.
    pub(crate) fn broker(&self) -> Result<Option<(NatsConfig, BrokerStart)>, Failure> {
        let Some(BrokerName::Nats) = self.broker else {
            for (setting, is_given) in [
                ("broker_url", self.broker_url.is_some()),
                ("broker_credentials_file", self.broker_credentials_file.is_some()),
                ("broker_ca_file", self.broker_ca_file.is_some()),
                ("broker_start", self.broker_start.is_some()),
                ("broker_stream", self.broker_stream.is_some()),
            ] {
                if is_given {
                    return Err(Failure::new(format!(
                        "the setting {setting} has no effect without broker: set broker, or remove {setting}"
                    )));
                }
            }
            return Ok(None);
        };
        // The client of the broker reads the files for each connection.
        for (setting, file) in [
            ("broker_credentials_file", &self.broker_credentials_file),
            ("broker_ca_file", &self.broker_ca_file),
        ] {
            if let Some(file) = file {
                named_file::check_regular_and_small(file).map_err(Failure::during(setting))?;
            }
        }
        let url = self.broker_url.as_ref();
        let url = url.ok_or_else(|| Failure::new("broker nats needs the setting broker_url"))?;
        let mut config = url.0.clone();
        config.credentials_file.clone_from(&self.broker_credentials_file);
        config.ca_file.clone_from(&self.broker_ca_file);
        if let Some(StreamName(stream)) = &self.broker_stream {
            config.stream.clone_from(stream);
        }
        Ok(Some((config, self.broker_start.map(|BrokerStartName(start)| start).unwrap_or_default())))
    }
}

/// Message broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokerName {
    /// NATS JetStream.
    Nats,
}

impl FromStr for BrokerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nats" => Ok(Self::Nats),
            _ => Err(format!("must be nats, not {:?}", shown(text))),
        }
    }
}

read_from_text!(BrokerName);

/// URL of a broker.
#[derive(Clone, Debug)]
pub(crate) struct BrokerUrl(NatsConfig);

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        NatsConfig::new(text).map(Self).map_err(|why| format!("{why}; {NOT_REPEATED}"))
    }
}

read_from_text!(BrokerUrl);

/// Where publishing begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BrokerStartName(BrokerStart);

impl FromStr for BrokerStartName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [BrokerStart::Start, BrokerStart::Now].into_iter().find(|start| start.name() == text);
        found.map(Self).ok_or_else(|| format!("must be start or now, not {:?}", shown(text)))
    }
}

read_from_text!(BrokerStartName);

/// Maximum number of hosts in the setting `webhook_allowed_hosts`.
const MAX_WEBHOOK_HOSTS: usize = 64;

/// Hosts with ports, separated by commas. An empty text means none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WebhookHosts(Vec<AllowedHost>);

impl WebhookHosts {
    /// Returns the hosts.
    pub(crate) fn to_vec(&self) -> Vec<AllowedHost> {
        self.0.clone()
    }
}

impl FromStr for WebhookHosts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hint = "give a name or an address, and a port, such as 127.0.0.1:9000, [::1]:9000 or hooks.internal:8080, \
                    without https:// and path";
        let hosts = list(text, "a host with a port", hint, webhook_host);
        let count = text.split(',').count();
        if count > MAX_WEBHOOK_HOSTS {
            let others = hosts.err().map_or_else(String::new, |others| format!("; {others}"));
            return Err(format!("must name at most {MAX_WEBHOOK_HOSTS} hosts, not {count}{others}"));
        }
        hosts.map(Self)
    }
}

/// Reads a host with a port. The error is the reason.
fn webhook_host(text: &str) -> Result<AllowedHost, String> {
    let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) else {
        return Err("the port is missing".to_owned());
    };
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        address.ok_or_else(|| "an IPv6 address must be complete, such as [2001:db8::7]".to_owned())?;
    } else if host.contains("://") || host.contains('/') || port.contains('/') {
        return Err("a scheme or a path is not allowed".to_owned());
    } else if host.contains(':') {
        return Err("an IPv6 address must be in brackets, such as [::1]:9000".to_owned());
    } else {
        check_host_name(host)?;
    }
    let is_plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    if !is_plain || !port.parse().is_ok_and(|port: u16| port > 0) {
        return Err(format!("the port must be a whole number from 1 to {}", u16::MAX));
    }
    // The client of webhooks refuses, for example, a name that is no Punycode.
    text.parse().map_err(|_| "no program can look up the name".to_owned())
}

read_from_text!(WebhookHosts);

/// Name of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamName(String);

impl FromStr for StreamName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        check_stream_name(text).map_err(|why| format!("{why}, not {:?}", shown(text)))?;
        Ok(Self(text.to_owned()))
    }
}

read_from_text!(StreamName);

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that wrong values are refused with what is allowed, and that a wrong URL is not repeated.
    #[test]
    fn wrong_values_are_refused() {
        assert_eq!("kafka".parse::<BrokerName>().unwrap_err(), "must be nats, not \"kafka\"");
        assert_eq!("end".parse::<BrokerStartName>().unwrap_err(), "must be start or now, not \"end\"");
        assert!("a.b".parse::<StreamName>().unwrap_err().contains("not \"a.b\""));
        let wrong = "nats://user:secret@host".parse::<BrokerUrl>().unwrap_err();
        assert!(wrong.contains("broker_credentials_file") && !wrong.contains("secret"), "{wrong}");
    }

    /// Proves that each host is checked, that a wrong one is named with what is allowed, and that their number is
    /// limited.
    #[test]
    fn hosts_of_webhooks_are_checked_when_read() {
        let hosts: WebhookHosts = "127.0.0.1:9000, [::1]:9000,Hooks.internal:8080".parse().unwrap();
        let shown: Vec<String> = hosts.to_vec().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:9000", "[::1]:9000", "hooks.internal:8080"]);
        assert_eq!("".parse::<WebhookHosts>().unwrap(), WebhookHosts::default());
        for (wrong, reason) in [
            ("hooks.internal", "the port is missing"),
            ("[::1]", "the port is missing"),
            ("https://a:80", "a scheme or a path"),
            ("a:80/b", "a scheme or a path"),
            ("a:0", "from 1 to 65535"),
            ("a:", "from 1 to 65535"),
            ("a:+80", "from 1 to 65535"),
            ("a:080", "from 1 to 65535"),
            ("a:99999", "from 1 to 65535"),
            (":80", "the host is missing"),
            ("*:80", "must consist of"),
            ("a..b:80", "an empty part"),
            ("u@h:80", "must consist of"),
            ("127.1:80", "an IPv4 address"),
            ("::1:80", "in brackets"),
            ("[::g]:80", "an IPv6 address must be complete"),
            ("[fe80::1%eth0]:80", "an IPv6 address must be complete"),
            ("xn--a:80", "no program can look up"),
        ] {
            let refusal = format!("a:80,{wrong}").parse::<WebhookHosts>().unwrap_err();
            let begin = format!("{wrong:?} is not a host with a port (");
            assert!(refusal.starts_with(&begin) && refusal.contains(reason), "{refusal}");
        }
        let refusal = "a,b:80,, c:0".parse::<WebhookHosts>().unwrap_err();
        let both = "\"a\" is not a host with a port (the port is missing); entry 3 is empty; \"c:0\" is not ";
        assert!(refusal.starts_with(both), "{refusal}");
        let many = vec!["a:80"; MAX_WEBHOOK_HOSTS + 1].join(",");
        assert_eq!(many.parse::<WebhookHosts>().unwrap_err(), "must name at most 64 hosts, not 65");
        let refusal = format!("{many},b").parse::<WebhookHosts>().unwrap_err();
        assert!(refusal.starts_with("must name at most 64 hosts, not 66; \"b\" is not a host"), "{refusal}");
    }

    /// Proves that a setting without a broker is refused by its name, that a broker needs a URL, and what the defaults are.
    #[test]
    fn settings_of_a_broker_need_the_broker() {
        let none = || Events {
            broker: None,
            broker_url: None,
            broker_credentials_file: None,
            broker_ca_file: None,
            broker_start: None,
            broker_stream: None,
            secrets_key_file: None,
            webhook_allowed_hosts: WebhookHosts::default(),
        };
        assert!(none().broker().unwrap().is_none());
        for (events, name) in [
            (Events { broker_url: Some("nats://one".parse().unwrap()), ..none() }, "broker_url"),
            (Events { broker_credentials_file: Some("file".into()), ..none() }, "broker_credentials_file"),
            (Events { broker_ca_file: Some("file".into()), ..none() }, "broker_ca_file"),
            (Events { broker_start: Some("now".parse().unwrap()), ..none() }, "broker_start"),
            (Events { broker_stream: Some("S".parse().unwrap()), ..none() }, "broker_stream"),
        ] {
            let refusal = events.broker().unwrap_err().to_string();
            assert!(
                refusal.contains(&format!("the setting {name} has no effect without broker")),
                "{refusal}"
            );
        }
        let nats = || Events { broker: Some(BrokerName::Nats), ..none() };
        assert!(nats().broker().unwrap_err().to_string().contains("needs the setting broker_url"));
        let events = Events { broker_url: Some("tls://one,tls://two".parse().unwrap()), ..nats() };
        let (config, start) = events.broker().unwrap().unwrap();
        assert_eq!((config.stream.as_str(), start), ("DABBA_EVENTS", BrokerStart::Start));
    }
}

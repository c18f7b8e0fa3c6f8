use proptest::prelude::*;

use super::*;

fn strict(text: &str) -> Result<String, EgressUrlError> {
    EgressPolicy::default().check(text).map(|target| target.url.to_string())
}

fn with_hosts(hosts: &[&str]) -> EgressPolicy {
    let allowed_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    EgressPolicy { allowed_hosts, allow_loopback: false }
}

/// Proves the normalized form of each spelling.
#[test]
fn a_public_url_is_normalized() {
    for (text, normalized) in [
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("HTTPS://Hooks.Example.COM:443/A?b=C", "https://hooks.example.com/A?b=C"),
        ("https://hooks.example.com.:8443/x", "https://hooks.example.com:8443/x"),
        ("https://hooks.example.com:0443/", "https://hooks.example.com/"),
        ("https://hooks.example.com/a/../b/%2e%2e/c", "https://hooks.example.com/c"),
        ("https://hooks.example.com/@x:y", "https://hooks.example.com/@x:y"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://hooks%2Eexample.com/", "https://hooks.example.com/"),
        ("https://0x08.8.8.010/", "https://8.8.8.8/"),
        ("https://134744072/", "https://8.8.8.8/"),
        ("https://[2606:4700:0:0::1111]/", "https://[2606:4700::1111]/"),
    ] {
        assert_eq!(strict(text).as_deref(), Ok(normalized), "{text}");
    }
}

/// Proves that every spelling of a loopback, private or link-local address is recognized.
#[test]
fn each_spelling_of_an_address_is_recognized() {
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "127.0.0.0x1",
        "%31%32%37.0.0.1",
        "127。0。0。1",
        "１２７.0.0.1",
        "①②⑦.0.0.1",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "0xa.1",
        "012.1",
        "169.254.169.254",
        "0xA9FEA9FE",
        "2852039166",
        "192.168.1.1",
        "172.16.1",
        "100.64.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
    ] {
        let error = strict(&format!("https://{host}/")).unwrap_err();
        assert!(matches!(error, EgressUrlError::Address { .. }), "{host}: {error:?}");
        assert!(error.to_string().starts_with("must lead to a public address; "), "{error}");
    }
}

/// Proves that ambiguous and incomplete URLs are refused, each with its own text.
#[test]
fn an_ambiguous_url_is_refused() {
    use EgressUrlError::{Characters, Credentials, Fragment, LocalName, Malformed, Port, Scheme, TooLong};
    let local = |name: &str| LocalName(name.to_owned());
    for (text, error) in [
        ("", Malformed),
        ("hooks.example.com", Malformed),
        ("https:hooks.example.com", Malformed),
        ("https:/hooks.example.com", Malformed),
        ("https://", Malformed),
        ("https:///hooks.example.com", Malformed),
        ("https://?x", Malformed),
        ("https://:443/", Malformed),
        ("https://./", Malformed),
        ("https://../", Malformed),
        ("https://hooks.example.com../", Malformed),
        ("https://hooks.example.com:port/", Malformed),
        ("https://hooks.example.com:65536/", Malformed),
        ("https://256.1.1.1/", Malformed),
        ("https://1.2.3.4.5/", Malformed),
        ("https://[fe80::1%25eth0]/", Malformed),
        ("https://[::1/", Malformed),
        (" https://hooks.example.com", Characters),
        ("https://hooks.example.com\n", Characters),
        ("https://hooks.exa\tmple.com", Characters),
        ("https://hooks.example.com\\@10.0.0.1/", Characters),
        ("https://hooks.example.com/\u{0}", Characters),
        ("https://hooks.example.com/\u{a0}", Characters),
        ("https://user:hush@hooks.example.com/", Credentials),
        ("https://@hooks.example.com/", Credentials),
        ("https://hooks.example.com:443@10.0.0.1/", Credentials),
        ("https://hooks.example.com/#x", Fragment),
        ("https://hooks.example.com/#", Fragment),
        ("https://hooks.example.com#@10.0.0.1/", Fragment),
        ("http://hooks.example.com/", Scheme("http".to_owned())),
        ("ftp://hooks.example.com/", Scheme("ftp".to_owned())),
        ("gopher://10.0.0.1/", Scheme("gopher".to_owned())),
        ("ws://hooks.example.com/", Scheme("ws".to_owned())),
        ("https://hooks.example.com:80/", Port(80)),
        ("https://hooks.example.com:0/", Port(0)),
        ("https://hooks.example.com:444/", Port(444)),
        ("https://8.8.8.8:22/", Port(22)),
        ("https://localhost/", local("localhost")),
        ("https://LOCALHOST./", local("localhost")),
        ("https://redis/", local("redis")),
        ("https://app.localhost/", local("app.localhost")),
        ("https://printer.local/", local("printer.local")),
        ("https://metadata.google.internal/", local("metadata.google.internal")),
        ("https://nas.home.arpa/", local("nas.home.arpa")),
        (&format!("https://hooks.example.com/{}", "x".repeat(MAX_TARGET_URL_LENGTH)), TooLong),
        // Normalization makes this URL longer than the limit.
        (&format!("https://hooks.example.com/{}", "é".repeat(1_000)), TooLong),
    ] {
        let found = strict(text).unwrap_err();
        assert!(found.to_string().starts_with("must ") && !found.to_string().contains("hush"), "{found}");
        assert_eq!(found, error, "{text}");
    }
}

/// Proves that the permission for a host lifts the checks of scheme, port and address for this host and this port only.
#[test]
fn an_allowed_host_is_allowed_with_its_port_only() {
    let policy = with_hosts(&["127.0.0.1:9000", "[::1]:9000", "Hooks.Internal.:8080", "bücher.local:443"]);
    for (text, is_allowed) in [
        ("http://127.0.0.1:9000/x", true),
        ("https://0x7f.1:9000/", true),
        ("http://[::1]:9000/", true),
        ("http://hooks.internal:8080/", true),
        ("https://HOOKS.internal.:8080/", true),
        ("https://xn--bcher-kva.local/", true),
        ("http://127.0.0.1:9001/", false),
        ("http://127.0.0.1/", false),
        ("https://127.0.0.1/", false),
        ("http://127.0.0.2:9000/", false),
        ("http://[::ffff:127.0.0.1]:9000/", false),
        ("http://localhost:9000/", false),
        ("https://hooks.internal/", false),
        ("http://x.hooks.internal:8080/", false),
        ("http://bücher.local/", false),
        ("ftp://127.0.0.1:9000/", false),
        ("http://user@127.0.0.1:9000/", false),
        ("http://127.0.0.1:9000/#x", false),
    ] {
        let found = policy.check(text);
        assert_eq!(found.as_ref().is_ok_and(|target| target.is_allowed_host), is_allowed, "{text}");
        assert_eq!(found.is_ok(), is_allowed, "{text}");
    }
    assert!(policy.check("https://hooks.example.com/").is_ok_and(|target| !target.is_allowed_host));
}

/// Proves that a demonstration allows this machine with any port, and nothing else.
#[test]
fn a_demonstration_allows_this_machine() {
    let policy = EgressPolicy { allow_loopback: true, ..EgressPolicy::default() };
    for (text, is_allowed) in [
        ("http://127.0.0.1:9000/", true),
        ("https://127.9.9.9/", true),
        ("http://[::1]:80/", true),
        ("http://localhost:9000/", true),
        ("ftp://127.0.0.1/", false),
        ("http://app.localhost:9000/", false),
        ("http://[::ffff:127.0.0.1]:9000/", false),
        ("http://0.0.0.0:9000/", false),
        ("http://10.0.0.1:9000/", false),
        ("http://hooks.example.com/", false),
    ] {
        let found = policy.check(text);
        assert_eq!(found.is_ok(), is_allowed, "{text}: {found:?}");
        assert!(found.is_err() || found.is_ok_and(|target| !target.is_allowed_host), "{text}");
    }
}

/// Proves which entries of the setting are accepted.
#[test]
fn an_allowed_host_needs_a_host_and_a_port() {
    for (text, shown) in [
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("[0::1]:80", "[::1]:80"),
        ("Hooks.Internal.:443", "hooks.internal:443"),
        ("redis:6379", "redis:6379"),
    ] {
        assert_eq!(text.parse::<AllowedHost>().map(|host| host.to_string()).as_deref(), Ok(shown), "{text}");
    }
    for text in [
        "",
        ":",
        ":80",
        "host",
        "host:",
        "host:0",
        "host:65536",
        "host:+80",
        "::1:80",
        "[::1]",
        "http://host:80",
        "u@host:80",
        "host:80/",
        "ho st:80",
        "host:80,other:80",
        "*:80",
        ".:80",
    ] {
        assert!(text.parse::<AllowedHost>().is_err(), "{text}");
    }
}

proptest! {
    /// Proves that no text makes the check panic, and that an accepted URL is stable under a second check: the URL that
    /// is stored is the URL that is used.
    #[test]
    fn an_accepted_url_is_stable(text in "(https?:/{1,3})?[a-z0-9.@:/\\[\\]%#?\\\\é。１ -]{0,30}") {
        if let Ok(url) = strict(&text) {
            prop_assert_eq!(strict(&url), Ok(url.clone()));
            prop_assert!(url.starts_with("https://"));
        }
    }

    /// Proves that every spelling of an IPv4 address gets the same decision as its usual form.
    #[test]
    fn each_spelling_gets_the_same_decision(
        bits in prop_oneof![any::<u32>(), (0_u32..=0xff_ffff).prop_flat_map(|low| prop_oneof![
            Just(0x0a00_0000 | low), Just(0x7f00_0000 | low), Just(0xa9fe_0000 | low & 0xffff), Just(0xc0a8_0000 | low & 0xffff),
        ])],
        form in 0..5,
    ) {
        let address = std::net::Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = address.octets();
        let spelling = match form {
            0 => bits.to_string(),
            1 => format!("{bits:#x}"),
            2 => format!("0{bits:o}"),
            3 => format!("{a:#x}.{}", bits & 0xff_ffff),
            _ => format!("0{a:o}.{b}.{c:#x}.{d}."),
        };
        let expected = check_public(IpAddr::V4(address)).is_ok();
        let found = strict(&format!("https://{spelling}/"));
        prop_assert_eq!(found.ok(), expected.then(|| format!("https://{address}/")));
    }
}

//! The addresses to which the egress client connects: public unicast addresses only.
//!
//! The tables follow the registries of special-purpose addresses of IANA
//! ([IPv4](https://www.iana.org/assignments/iana-ipv4-special-registry),
//! [IPv6](https://www.iana.org/assignments/iana-ipv6-special-registry)), RFC 6890. They refuse every IPv6 form that
//! contains an IPv4 address, whatever the IPv4 address is: receivers do not need these forms, and a router may
//! translate them to an address inside.
//!
//! An operator whose network translates a prefix of its own to IPv4 (NAT64 with a network-specific prefix, RFC 6052)
//! must block this prefix for Dabba in its firewall: such a prefix looks like any public address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const PRIVATE: &str = "a private address";
const LOOPBACK: &str = "a loopback address";
const LINK_LOCAL: &str = "a link-local address";
const MULTICAST: &str = "a multicast address";
const DOCUMENTATION: &str = "an address for documentation";
const BENCHMARK: &str = "an address for benchmarks";
const RESERVED: &str = "a reserved address";
const UNSPECIFIED: &str = "an unspecified address";
const EMBEDDED: &str = "an IPv6 address that contains an IPv4 address";

/// IPv4 networks to which the client does not connect: first address, length of the prefix, and kind.
const V4: [(Ipv4Addr, u32, &str); 20] = [
    (Ipv4Addr::UNSPECIFIED, 32, UNSPECIFIED),
    (Ipv4Addr::UNSPECIFIED, 8, RESERVED),
    (Ipv4Addr::new(10, 0, 0, 0), 8, PRIVATE),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a shared address of a network operator"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, LOOPBACK),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "an internal service of a cloud platform"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, LINK_LOCAL),
    (Ipv4Addr::new(172, 16, 0, 0), 12, PRIVATE),
    (Ipv4Addr::new(192, 0, 0, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 0, 2, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(192, 31, 196, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 52, 193, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay between IPv4 and IPv6"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, PRIVATE),
    (Ipv4Addr::new(198, 18, 0, 0), 15, BENCHMARK),
    (Ipv4Addr::new(198, 51, 100, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(203, 0, 113, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(224, 0, 0, 0), 4, MULTICAST),
    (Ipv4Addr::BROADCAST, 32, "the broadcast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, RESERVED),
];

/// IPv6 networks to which the client does not connect, in the same form. The first match states the kind.
const V6: [(Ipv6Addr, u32, &str); 19] = [
    (Ipv6Addr::UNSPECIFIED, 128, UNSPECIFIED),
    (Ipv6Addr::LOCALHOST, 128, LOOPBACK),
    // IPv4-compatible, IPv4-mapped and IPv4-translated addresses.
    (Ipv6Addr::UNSPECIFIED, 96, EMBEDDED),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, EMBEDDED),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, EMBEDDED),
    // NAT64, with the well-known prefix and with local prefixes.
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, EMBEDDED),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, EMBEDDED),
    // Teredo and 6to4.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, EMBEDDED),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, EMBEDDED),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, BENCHMARK),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, RESERVED),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, DOCUMENTATION),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, RESERVED),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, RESERVED),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, DOCUMENTATION),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, PRIVATE),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, LINK_LOCAL),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, PRIVATE),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, MULTICAST),
];

/// The only block from which IANA allocates public unicast addresses: `2000::/3`.
const PUBLIC_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Checks that an address is a public unicast address. The error is the kind of the address, with its article.
pub(super) fn check_public(address: IpAddr) -> Result<(), &'static str> {
    match address {
        IpAddr::V4(address) => {
            let found = V4.iter().find(|(network, length, _)| is_in_v4(address, *network, *length));
            found.map_or(Ok(()), |(_, _, kind)| Err(*kind))
        }
        IpAddr::V6(address) => check_public_v6(address),
    }
}

fn check_public_v6(address: Ipv6Addr) -> Result<(), &'static str> {
    if let Some((_, _, kind)) = V6.iter().find(|(network, length, _)| is_in_v6(address, *network, *length)) {
        return Err(kind);
    }
    let (network, length) = PUBLIC_V6;
    if !is_in_v6(address, network, length) {
        return Err(RESERVED);
    }
    // ISATAP (RFC 5214) may use any prefix. Its interface identifier is 5efe and an IPv4 address; two bits before it
    // are flags.
    let [_, _, _, _, flags, marker, _, _] = address.segments();
    if flags & !0x0300 == 0 && marker == 0x5efe {
        return Err(EMBEDDED);
    }
    Ok(())
}

fn is_in_v4(address: Ipv4Addr, network: Ipv4Addr, length: u32) -> bool {
    (address.to_bits() ^ network.to_bits()).leading_zeros() >= length
}

fn is_in_v6(address: Ipv6Addr, network: Ipv6Addr, length: u32) -> bool {
    (address.to_bits() ^ network.to_bits()).leading_zeros() >= length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Proves the kind of the first and the last address of each network, and that the addresses around it are public.
    #[test]
    fn each_network_ends_at_its_limits() {
        for (address, kind) in [
            ("0.0.0.0", UNSPECIFIED),
            ("0.0.0.1", RESERVED),
            ("0.255.255.255", RESERVED),
            ("10.0.0.0", PRIVATE),
            ("10.255.255.255", PRIVATE),
            ("100.64.0.0", "a shared address of a network operator"),
            ("100.100.100.200", "a shared address of a network operator"),
            ("100.127.255.255", "a shared address of a network operator"),
            ("127.0.0.1", LOOPBACK),
            ("127.255.255.255", LOOPBACK),
            ("168.63.129.16", "an internal service of a cloud platform"),
            ("169.254.169.254", LINK_LOCAL),
            ("172.16.0.0", PRIVATE),
            ("172.31.255.255", PRIVATE),
            ("192.0.0.192", RESERVED),
            ("192.0.2.255", DOCUMENTATION),
            ("192.31.196.1", RESERVED),
            ("192.52.193.1", RESERVED),
            ("192.88.99.1", "a relay between IPv4 and IPv6"),
            ("192.168.255.255", PRIVATE),
            ("198.18.0.0", BENCHMARK),
            ("198.19.255.255", BENCHMARK),
            ("198.51.100.7", DOCUMENTATION),
            ("203.0.113.7", DOCUMENTATION),
            ("224.0.0.1", MULTICAST),
            ("239.255.255.255", MULTICAST),
            ("240.0.0.1", RESERVED),
            ("255.255.255.255", "the broadcast address"),
            ("::", UNSPECIFIED),
            ("::1", LOOPBACK),
            ("::7f00:1", EMBEDDED),
            ("::8.8.8.8", EMBEDDED),
            ("::ffff:127.0.0.1", EMBEDDED),
            ("::ffff:8.8.8.8", EMBEDDED),
            ("::ffff:0:7f00:1", EMBEDDED),
            ("64:ff9b::7f00:1", EMBEDDED),
            ("64:ff9b::808:808", EMBEDDED),
            ("64:ff9b:1::a00:1", EMBEDDED),
            ("64:ff9b:1:ffff::1", EMBEDDED),
            ("64:ff9b:2::1", RESERVED),
            ("100::1", RESERVED),
            ("2001::1", EMBEDDED),
            ("2001:0:808:808::1", EMBEDDED),
            ("2001:2::1", BENCHMARK),
            ("2001:10::1", RESERVED),
            ("2001:20::1", RESERVED),
            ("2001:1ff:ffff::1", RESERVED),
            ("2001:db8::1", DOCUMENTATION),
            ("2002:7f00:1::", EMBEDDED),
            ("2002:808:808::1", EMBEDDED),
            ("2620:4f:8000::1", RESERVED),
            ("3ffe::1", RESERVED),
            ("3fff:fff::1", DOCUMENTATION),
            ("4000::1", RESERVED),
            ("5f00::1", RESERVED),
            ("fc00::1", PRIVATE),
            ("fd00:ec2::254", PRIVATE),
            ("fe80::1", LINK_LOCAL),
            ("febf::1", LINK_LOCAL),
            ("fec0::1", PRIVATE),
            ("ff02::1", MULTICAST),
            ("2a00:1450::5efe:7f00:1", EMBEDDED),
            ("2a00:1450::200:5efe:7f00:1", EMBEDDED),
            ("2a00:1450::300:5efe:808:808", EMBEDDED),
        ] {
            assert_eq!(check_public(address.parse().unwrap()), Err(kind), "{address}");
        }
        for address in [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700::1111",
            "2a00:1450::400:5efe:7f00:1",
            "2a00:1450:1::5eff:7f00:1",
            "3ffd::1",
            "3fff:1000::1",
        ] {
            assert_eq!(check_public(address.parse().unwrap()), Ok(()), "{address}");
        }
    }

    proptest! {
        /// Proves that no address passes that the standard library, or an independent statement of the rule, knows as
        /// not public.
        #[test]
        fn no_address_passes_that_is_not_public(
            v4 in any::<u32>().prop_map(Ipv4Addr::from_bits),
            high in prop_oneof![Just(0_u128), Just(0xffff_u128 << 32), any::<u128>(), (0..=0xffff_u128).prop_map(|top| top << 112)],
            low in any::<u32>(),
        ) {
            let [a, b, ..] = v4.octets();
            if check_public(IpAddr::V4(v4)).is_ok() {
                prop_assert!(!v4.is_private() && !v4.is_loopback() && !v4.is_link_local() && !v4.is_multicast());
                prop_assert!(!v4.is_broadcast() && !v4.is_documentation() && !v4.is_unspecified());
                prop_assert!(a != 0 && a < 224 && !(a == 100 && (64..128).contains(&b)));
                prop_assert!(!(a == 198 && (18..20).contains(&b)));
            }
            let v6 = Ipv6Addr::from_bits(high | u128::from(low));
            if check_public(IpAddr::V6(v6)).is_ok() {
                let [first, second, ..] = v6.segments();
                prop_assert!((0x2000..0x4000).contains(&first) && first != 0x2002);
                prop_assert!(!(first == 0x2001 && (second < 0x200 || second == 0xdb8)));
                prop_assert!(v6.to_ipv4().is_none());
            }
        }

        /// Proves that no form that contains an IPv4 address passes, whatever the IPv4 address is.
        #[test]
        fn no_address_passes_that_contains_an_ipv4_address(
            inner in any::<u32>().prop_map(u128::from),
            rest in any::<u128>(),
            form in 0..7_usize,
        ) {
            let low = |bits: u32| rest & ((1_u128 << bits) - 1);
            let bits = match form {
                0 => inner,
                1 => 0xffff_u128 << 32 | inner,
                2 => 0xffff_u128 << 48 | inner,
                3 => 0x64_ff9b_u128 << 96 | inner,
                4 => 0x64_ff9b_0001_u128 << 80 | low(80),
                5 => 0x2002_u128 << 112 | inner << 80 | low(80),
                _ => rest & !0xffff_ffff_ffff_ffff | 0x0200_5efe_u128 << 32 | inner,
            };
            prop_assert!(check_public(IpAddr::V6(Ipv6Addr::from_bits(bits))).is_err());
        }
    }
}

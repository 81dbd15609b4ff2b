//! Choice of a subnet: the first one of the configured pools that collides with nothing the host has.
//! A pure function over what the caller read from the kernel, so that the rule can be tested to death.

use crate::addr::Ipv4Net;

/// A range of addresses that is cut into subnets of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The whole range.
    pub base: Ipv4Net,
    /// Prefix length of each subnet, not shorter than that of `base`.
    pub size: u8,
}

impl Pool {
    /// The subnets of this pool, lowest first. None if `size` cannot hold a gateway and a container.
    fn subnets(&self) -> impl Iterator<Item = Ipv4Net> + use<> {
        let Self { base, size } = *self;
        let usable = size >= base.prefix() && size <= 30;
        let count = if usable { 1u64 << (size - base.prefix()) } else { 0 };
        let step = 1u64 << (32 - u64::from(size.min(32)));
        (0..count).map(move |n| {
            // Never above the base's last address, so it fits; the cast says so to the compiler.
            let offset = u32::try_from(n * step).unwrap_or(u32::MAX);
            Ipv4Net::containing(base.nth(offset).unwrap_or(base.network()), size)
        })
    }
}

/// The ranges that people expect of container networks: dockerd's own defaults.
#[must_use]
pub fn default_pools() -> Vec<Pool> {
    let pool = |a, b, prefix, size| Pool { base: Ipv4Net::containing(std::net::Ipv4Addr::new(a, b, 0, 0), prefix), size };
    vec![
        pool(172, 17, 16, 16),
        pool(172, 18, 16, 16),
        pool(172, 19, 16, 16),
        pool(172, 20, 14, 16),
        pool(172, 24, 14, 16),
        pool(172, 28, 14, 16),
        pool(192, 168, 16, 20),
    ]
}

/// First subnet of `pools` that overlaps none of `taken`.
///
/// At most 65,536 subnets of each pool are looked at: a pool may be written as 10.0.0.0/8 cut into /30.
#[must_use]
pub(crate) fn pick(pools: &[Pool], taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    const MOST: usize = 65_536;
    pools.iter().flat_map(|pool| pool.subnets().take(MOST)).find(|subnet| !taken.iter().any(|net| net.overlaps(subnet)))
}

/// A subnet for IPv6 out of those that everybody may draw for himself (RFC 4193).
pub(crate) fn random_v6() -> ipnet::Ipv6Net {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&rand::random::<[u8; 6]>());
    bytes[0] = 0xfd;
    ipnet::Ipv6Net::new_assert(bytes.into(), 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn skips_what_the_host_has() {
        let pools = default_pools();
        assert_eq!(pick(&pools, &[]), Some(net("172.17.0.0/16")));
        assert_eq!(pick(&pools, &[net("172.17.0.0/16")]), Some(net("172.18.0.0/16")));
        // A route to one small part of it, and a wide one over several.
        let taken = [net("172.17.9.0/24"), net("172.18.0.0/15"), net("172.20.0.0/16")];
        assert_eq!(pick(&pools, &taken), Some(net("172.21.0.0/16")));
        assert_eq!(pick(&pools, &[net("172.16.0.0/12")]), Some(net("192.168.0.0/20")));
        assert_eq!(pick(&pools, &[net("0.0.0.0/0")]), None);
    }

    #[test]
    fn a_pool_of_odd_size_gives_nothing() {
        let odd = |size| Pool { base: net("10.0.0.0/16"), size };
        for size in [0, 8, 15, 31, 32, 200] {
            assert_eq!(pick(&[odd(size)], &[]), None, "size {size}");
        }
        assert_eq!(pick(&[odd(30)], &[]), Some(net("10.0.0.0/30")));
    }

    prop_compose! {
        fn any_net()(addr: u32, prefix in 1u8..=32) -> Ipv4Net {
            Ipv4Net::containing(addr.into(), prefix)
        }
    }
    prop_compose! {
        fn near_net()(low in 0xac10_0000u32..0xac20_0000, prefix in 12u8..=32) -> Ipv4Net {
            Ipv4Net::containing(low.into(), prefix)
        }
    }

    proptest! {
        #[test]
        fn the_pick_is_free_and_first(
            taken in prop::collection::vec(prop_oneof![any_net(), near_net()], 0..40),
            base in near_net(), more in 0u8..8,
        ) {
            let mut pools = vec![Pool { base, size: base.prefix().saturating_add(more) }];
            pools.extend(default_pools());
            let all: Vec<_> = pools.iter().flat_map(Pool::subnets).collect();
            let free = |subnet: &Ipv4Net| !taken.iter().any(|net| net.overlaps(subnet));
            prop_assert_eq!(pick(&pools, &taken), all.iter().copied().find(free));
        }

        #[test]
        fn subnets_fill_their_pool_without_overlap(base in near_net(), more in 0u8..6) {
            let pool = Pool { base, size: base.prefix() + more };
            let all: Vec<_> = pool.subnets().collect();
            for pair in all.windows(2) {
                prop_assert!(pair[0].broadcast() < pair[1].network());
            }
            if let (Some(first), Some(last)) = (all.first(), all.last()) {
                prop_assert_eq!(first.network(), base.network());
                prop_assert_eq!(last.broadcast(), base.broadcast());
            }
        }
    }
}

//! Whether this kernel has what the networks need, for who asks without having any.

use crate::netlink::Netlink;
use crate::nft;
use netlink_sys::protocols::NETLINK_NETFILTER;
use std::io;

/// The number of the kernel's present nftables rule set; an error where there are no nftables.
pub fn nftables() -> io::Result<u32> {
    nft::generation(&mut Netlink::open(NETLINK_NETFILTER)?)
}

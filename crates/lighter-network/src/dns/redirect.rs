//! Inside a container's namespace: port 53 of the resolver's address leads to the port where it listens.
//!
//! In a table of its own, written whole in one transaction, so that a later daemon can write it again. That the answers
//! come from port 53 is the connection tracking's work.

use std::io;

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Cmp, DataAttribute, Expressions, Immediate, InetHookNumber, Meta, MetaKey, Operator, Payload, Register,
};

use super::ADDRESS;
use crate::netlink::Netlink;
use crate::netns::NETLINK_NETFILTER;
use crate::nft::{self, Expression};

/// Name of the table. Whoever looks into a container's rules shall know whose it is.
const TABLE: &str = "lighter_dns";
const CHAIN: &str = "output";
const COMMENT: &str = "the resolver at 127.0.0.11";
const PRIORITY_DESTINATION_NAT: i32 = -100;

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const NFPROTO_IPV4: u8 = 2;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const IPV4_DESTINATION: u32 = 16;
const DESTINATION_PORT: u32 = 2;
const DNS_PORT: u16 = 53;

/// Leads both kinds of questions to `port`, in the calling thread's namespace.
pub(super) fn to_port(port: u16) -> io::Result<()> {
    let mut nl = Netlink::open(NETLINK_NETFILTER)?;
    let table = || nft::new_table(TABLE, COMMENT);
    // A container of before, which an earlier daemon served. A deletion makes the kernel wait for all its processors, so it
    // is not asked for without need.
    let mut requests = match nft::table_comment(&mut nl, TABLE)? {
        Some(_) => vec![nft::delete_table(TABLE), table()],
        None => vec![table()],
    };
    requests.extend([
        nft::base_chain(TABLE, CHAIN, "nat", InetHookNumber::LocalOut, PRIORITY_DESTINATION_NAT),
        nft::rule(TABLE, CHAIN, redirect(PROTOCOL_UDP, port)),
        nft::rule(TABLE, CHAIN, redirect(PROTOCOL_TCP, port)),
    ]);
    nft::apply(&mut nl, requests)
}

/// Takes the table away, if it is there.
pub(super) fn remove() -> io::Result<()> {
    let mut nl = Netlink::open(NETLINK_NETFILTER)?;
    match nft::table_comment(&mut nl, TABLE)? {
        Some(_) => nft::apply(&mut nl, vec![nft::delete_table(TABLE)]),
        None => Ok(()),
    }
}

fn redirect(protocol: u8, port: u16) -> Vec<Expression> {
    vec![
        meta(MetaKey::Nfproto),
        equals(&[NFPROTO_IPV4]),
        payload(NETWORK_HEADER, IPV4_DESTINATION, 4),
        equals(&ADDRESS.octets()),
        meta(MetaKey::L4Proto),
        equals(&[protocol]),
        payload(TRANSPORT_HEADER, DESTINATION_PORT, 2),
        equals(&DNS_PORT.to_be_bytes()),
        constant(Register::Reg1, &ADDRESS.octets()),
        constant(Register::Reg2, &port.to_be_bytes()),
        change_destination(),
    ]
}

fn meta(key: MetaKey) -> Expression {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)]).into()
}

fn equals(bytes: &[u8]) -> Expression {
    let data = Cmp::Data(DataAttribute::Value(bytes.to_vec()));
    Expressions::Cmp(vec![Cmp::SourceRegister(Register::Reg1), Cmp::Op(Operator::Equal), data]).into()
}

fn payload(base: u32, offset: u32, len: u32) -> Expression {
    Expressions::Payload(vec![
        Payload::DestinationRegister(Register::Reg1),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(len),
    ])
    .into()
}

fn constant(register: Register, bytes: &[u8]) -> Expression {
    let data = Immediate::Data(DataAttribute::Value(bytes.to_vec()));
    Expressions::Immediate(vec![Immediate::DestinationRegister(register), data]).into()
}

/// The destination is the address in register 1 and the port in register 2.
fn change_destination() -> Expression {
    const TYPE: u16 = 1;
    const FAMILY: u16 = 2;
    const ADDRESS_REGISTER: u16 = 3;
    const PORT_REGISTER: u16 = 5;
    const DESTINATION: u32 = 1;
    let number = |kind, value: u32| DefaultNla::new(kind, value.to_be_bytes().to_vec());
    let attributes = vec![
        number(TYPE, DESTINATION),
        number(FAMILY, u32::from(NFPROTO_IPV4)),
        number(ADDRESS_REGISTER, Register::Reg1.into()),
        number(PORT_REGISTER, Register::Reg2.into()),
    ];
    Expressions::Other { expression_type: "nat".to_owned(), attributes }.into()
}

//! nf_tables over netlink: the words in which `firewall` writes its rules, and the reading back.
//!
//! The kernel's rules are little programs for registers. Each helper here is one instruction.

use std::io;

use netlink_packet_core::{DefaultNla, NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::{
    Bitwise, ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions, GenAttribute, GenMessage, Hook,
    HookNumber, Immediate, InetHookNumber, ListAttribute, Lookup, Meta, MetaKey, NfTablesMessage, Operator, Payload, Register,
    RuleAttribute, RuleMessage, TableAttribute, TableMessage, Verdict, VerdictAttribute,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use nix::errno::Errno;

use crate::netlink::{Netlink, Request};

/// One instruction of a rule.
pub(crate) type Expression = ListAttribute<ExpressionAttribute>;

/// Final words of a rule or the policy of a chain.
pub(crate) const DROP: u32 = 0;
pub(crate) const ACCEPT: u32 = 1;

/// Keys of the `ct` instruction and bits of what it loads.
const CT_KEY_STATE: u32 = 0;
const CT_KEY_STATUS: u32 = 2;
const CT_ESTABLISHED_OR_RELATED: u32 = 0b110;
const CT_DESTINATION_CHANGED: u32 = 1 << 5;

const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// Where in a packet an address begins: source, destination.
const IPV4_ADDRESSES: [u32; 2] = [12, 16];
const IPV6_ADDRESSES: [u32; 2] = [8, 24];
const DESTINATION_PORT: u32 = 2;
/// The kernel's kind of an address that is the machine's own.
const RTN_LOCAL: u32 = 2;
const IFNAMSIZ: usize = 16;
const NFNL_SUBSYS_NFTABLES: u16 = 10;

/// IPv4 or IPv6; the numbers are the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4 = 2,
    V6 = 10,
}

impl Family {
    pub(crate) fn of(ip: std::net::IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn bytes(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// Where source and destination are in the header.
    fn offsets(self) -> [u32; 2] {
        match self {
            Self::V4 => IPV4_ADDRESSES,
            Self::V6 => IPV6_ADDRESSES,
        }
    }
}

pub(crate) fn message(family: NetfilterProtoFamily, inner: NfTablesMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), inner)
}

pub(crate) fn inet(inner: NfTablesMessage, flags: u16) -> Request<NetfilterMessage> {
    Request { message: message(NetfilterProtoFamily::Inet, inner), flags }
}

pub(crate) fn new_table(name: &str, comment: &str) -> Request<NetfilterMessage> {
    let attributes = vec![TableAttribute::Name(name.to_owned()), TableAttribute::UserData(comment_to_userdata(comment))];
    inet(NfTablesMessage::NewTable(TableMessage { attributes }), NLM_F_CREATE)
}

pub(crate) fn delete_table(name: &str) -> Request<NetfilterMessage> {
    let attributes = vec![TableAttribute::Name(name.to_owned())];
    inet(NfTablesMessage::DeleteTable(TableMessage { attributes }), 0)
}

/// A chain that the kernel calls at `hook`.
pub(crate) fn base_chain(table: &str, name: &str, kind: &str, hook: InetHookNumber, priority: i32) -> Request<NetfilterMessage> {
    let attributes = vec![
        ChainAttribute::Table(table.to_owned()),
        ChainAttribute::Name(name.to_owned()),
        ChainAttribute::Hook(vec![Hook::Number(HookNumber::Inet(hook)), Hook::Priority(priority.cast_unsigned())]),
        ChainAttribute::Policy(ACCEPT),
        ChainAttribute::Type(kind.to_owned()),
    ];
    inet(NfTablesMessage::NewChain(ChainMessage { attributes }), NLM_F_CREATE)
}

pub(crate) fn rule(table: &str, chain: &str, expressions: Vec<Expression>) -> Request<NetfilterMessage> {
    let attributes = vec![
        RuleAttribute::Table(table.to_owned()),
        RuleAttribute::Chain(chain.to_owned()),
        RuleAttribute::Expressions(expressions),
    ];
    inet(NfTablesMessage::NewRule(RuleMessage { attributes }), NLM_F_CREATE | NLM_F_APPEND)
}

fn load(key: MetaKey) -> Expression {
    load_to(key, Register::Reg1)
}

fn load_to(key: MetaKey, register: Register) -> Expression {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(register)]).into()
}

fn payload(base: u32, offset: u32, len: u32, register: Register) -> Expression {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(len),
    ])
    .into()
}

fn compare(operator: Operator, bytes: Vec<u8>) -> Expression {
    Expressions::Cmp(vec![Cmp::SourceRegister(Register::Reg1), Cmp::Op(operator), Cmp::Data(DataAttribute::Value(bytes))]).into()
}

fn masked(mask: Vec<u8>) -> Expression {
    let len = mask.len();
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(u32::try_from(len).unwrap_or(0)),
        Bitwise::Mask(DataAttribute::Value(mask)),
        Bitwise::Xor(DataAttribute::Value(vec![0; len])),
    ])
    .into()
}

fn other(name: &str, attributes: Vec<DefaultNla>) -> Expression {
    Expressions::Other { expression_type: name.to_owned(), attributes }.into()
}

fn interface(key: MetaKey, operator: Operator, name: &str) -> [Expression; 2] {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(IFNAMSIZ, 0);
    [load(key), compare(operator, bytes)]
}

/// The packet came in by this interface.
pub(crate) fn from(name: &str) -> [Expression; 2] {
    interface(MetaKey::Iifname, Operator::Equal, name)
}

/// The packet leaves by this interface.
pub(crate) fn to(name: &str) -> [Expression; 2] {
    interface(MetaKey::Oifname, Operator::Equal, name)
}

/// The packet leaves by any other interface.
pub(crate) fn not_to(name: &str) -> [Expression; 2] {
    interface(MetaKey::Oifname, Operator::NotEqual, name)
}

/// The packet is of this family.
pub(crate) fn of_family(family: Family) -> [Expression; 2] {
    [load(MetaKey::Nfproto), compare(Operator::Equal, vec![family as u8])]
}

fn bytes(ip: std::net::IpAddr) -> Vec<u8> {
    match ip {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn address(which: usize, operator: Operator, net: ipnet::IpNet) -> Vec<Expression> {
    let family = Family::of(net.addr());
    let load = payload(NETWORK_HEADER, family.offsets()[which], family.bytes(), Register::Reg1);
    let [of, family] = of_family(family);
    vec![of, family, load, masked(bytes(net.netmask())), compare(operator, bytes(net.network()))]
}

/// The packet is of the network's family and its source is in it.
pub(crate) fn source_in(net: ipnet::IpNet) -> Vec<Expression> {
    address(0, Operator::Equal, net)
}

/// The packet is of the network's family and its destination is in it.
pub(crate) fn destination_in(net: ipnet::IpNet) -> Vec<Expression> {
    address(1, Operator::Equal, net)
}

/// The packet is of the network's family and its destination is not in it.
pub(crate) fn destination_not_in(net: ipnet::IpNet) -> Vec<Expression> {
    address(1, Operator::NotEqual, net)
}

/// The packet's destination is one of the machine's own addresses.
pub(crate) fn destination_local() -> [Expression; 2] {
    const DREG: u16 = 1;
    const RESULT: u16 = 2;
    const FLAGS: u16 = 3;
    const ADDRESS_TYPE: u32 = 3;
    const OF_DESTINATION: u32 = 2;
    let number = |kind, value: u32| DefaultNla::new(kind, value.to_be_bytes().to_vec());
    let attributes = vec![number(DREG, Register::Reg1.into()), number(RESULT, ADDRESS_TYPE), number(FLAGS, OF_DESTINATION)];
    [other("fib", attributes), compare(Operator::Equal, RTN_LOCAL.to_ne_bytes().to_vec())]
}

fn register(n: u32) -> Register {
    Register::from(u32::from(Register::Reg32_00) + n)
}

/// Loads what a key of `maps` has: protocol, destination address (if `addressed`) and port.
fn load_key(family: Family, addressed: bool) -> Vec<Expression> {
    let words = if addressed { family.bytes() / 4 } else { 0 };
    let mut rule = of_family(family).to_vec();
    rule.push(load_to(MetaKey::L4Proto, register(0)));
    if addressed {
        rule.push(payload(NETWORK_HEADER, family.offsets()[1], family.bytes(), register(1)));
    }
    rule.push(payload(TRANSPORT_HEADER, DESTINATION_PORT, 2, register(words + 1)));
    rule
}

/// The packet is of this family, and its protocol, destination address and port are in `set`.
pub(crate) fn is_in(family: Family, set: &str) -> Vec<Expression> {
    let mut rule = load_key(family, true);
    rule.push(Expressions::Lookup(vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(register(0))]).into());
    rule
}

/// The packet is a message about the network itself, such as `ping`.
pub(crate) fn icmp(family: Family) -> Vec<Expression> {
    let protocol = match family {
        Family::V4 => 1,
        Family::V6 => 58,
    };
    let [of, family] = of_family(family);
    vec![of, family, load(MetaKey::L4Proto), compare(Operator::Equal, vec![protocol])]
}

/// The packet's destination becomes what `map` says of its protocol, its destination address (`addressed`) and its port. What
/// is not in the map goes on to the next rule. The keys and values are those of `maps`.
pub(crate) fn translate(family: Family, map: &str, addressed: bool) -> Vec<Expression> {
    let mut rule = load_key(family, addressed);
    rule.push(
        Expressions::Lookup(vec![
            Lookup::Set(map.to_owned()),
            Lookup::SourceRegister(register(0)),
            Lookup::DestinationRegister(register(0)),
        ])
        .into(),
    );
    const TYPE: u16 = 1;
    const FAMILY: u16 = 2;
    const ADDRESS: u16 = 3;
    const PORT: u16 = 5;
    const DESTINATION: u32 = 1;
    let number = |kind, value: u32| DefaultNla::new(kind, value.to_be_bytes().to_vec());
    rule.push(other(
        "nat",
        vec![
            number(TYPE, DESTINATION),
            number(FAMILY, family as u32),
            number(ADDRESS, register(0).into()),
            number(PORT, register(family.bytes() / 4).into()),
        ],
    ));
    rule
}

fn connection(key: u32, bits: u32) -> [Expression; 3] {
    const CT_DREG: u16 = 1;
    const CT_KEY: u16 = 2;
    let attributes = vec![
        DefaultNla::new(CT_KEY, key.to_be_bytes().to_vec()),
        DefaultNla::new(CT_DREG, u32::from(Register::Reg1).to_be_bytes().to_vec()),
    ];
    [other("ct", attributes), masked(bits.to_ne_bytes().to_vec()), compare(Operator::NotEqual, vec![0; 4])]
}

/// The packet belongs to a connection that was let through before.
pub(crate) fn established() -> [Expression; 3] {
    connection(CT_KEY_STATE, CT_ESTABLISHED_OR_RELATED)
}

/// The packet's destination was changed on its way: a published port.
pub(crate) fn redirected() -> [Expression; 3] {
    connection(CT_KEY_STATUS, CT_DESTINATION_CHANGED)
}

/// Take the address of the outgoing interface as source.
pub(crate) fn masquerade() -> Expression {
    other("masq", Vec::new())
}

/// End of the rule: accept or drop.
pub(crate) fn verdict(code: u32) -> Expression {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(Verdict::Other(code))])),
    ])
    .into()
}

/// Hands all `requests` to the kernel, which takes all of them or none.
pub(crate) fn apply(nl: &mut Netlink, requests: Vec<Request<NetfilterMessage>>) -> io::Result<()> {
    let control = |message| {
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFNL_SUBSYS_NFTABLES);
        NetfilterMessage::new(header, message)
    };
    nl.transaction(control(ControlMessage::BatchBegin), requests, control(ControlMessage::BatchEnd)).map_err(|(_, error)| error)
}

/// Number of the current rule set: another one after every change that anybody makes.
pub(crate) fn generation(nl: &mut Netlink) -> io::Result<u32> {
    let ask = NfTablesMessage::GetGen(GenMessage { attributes: Vec::new() });
    let answer: NetfilterMessage = nl.get(message(NetfilterProtoFamily::Unspec, ask))?;
    let NetfilterMessageInner::NfTables(NfTablesMessage::NewGen(generation)) = answer.inner else {
        return Err(Errno::EBADMSG.into());
    };
    let id = generation.attributes.iter().find_map(|attribute| match attribute {
        GenAttribute::Id(id) => Some(*id),
        _ => None,
    });
    id.ok_or_else(|| Errno::EBADMSG.into())
}

/// The comment of a table, `None` if there is no such table.
pub(crate) fn table_comment(nl: &mut Netlink, name: &str) -> io::Result<Option<String>> {
    let attributes = vec![TableAttribute::Name(name.to_owned())];
    let ask = NfTablesMessage::GetTable(TableMessage { attributes });
    let answer: NetfilterMessage = match nl.get(message(NetfilterProtoFamily::Inet, ask)) {
        Ok(answer) => answer,
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => return Ok(None),
        Err(error) => return Err(error),
    };
    let NetfilterMessageInner::NfTables(NfTablesMessage::NewTable(table)) = answer.inner else {
        return Err(Errno::EBADMSG.into());
    };
    let comment = table.attributes.iter().find_map(|attribute| match attribute {
        TableAttribute::UserData(data) => userdata_to_comment(data),
        _ => None,
    });
    Ok(Some(comment.unwrap_or_default()))
}

/// The rules of a table in order: chain and instructions.
pub(crate) fn rules(nl: &mut Netlink, table: &str) -> io::Result<Vec<(String, Vec<Expression>)>> {
    let attributes = vec![RuleAttribute::Table(table.to_owned())];
    let ask = NfTablesMessage::GetRule(RuleMessage { attributes });
    let answers: Vec<NetfilterMessage> = match nl.dump(message(NetfilterProtoFamily::Inet, ask)) {
        Ok(answers) => answers,
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut rules = Vec::new();
    for answer in answers {
        let NetfilterMessageInner::NfTables(NfTablesMessage::NewRule(rule)) = answer.inner else { continue };
        let (mut chain, mut expressions, mut ours) = (String::new(), Vec::new(), false);
        for attribute in rule.attributes {
            match attribute {
                RuleAttribute::Table(name) => ours = name == table,
                RuleAttribute::Chain(name) => chain = name,
                RuleAttribute::Expressions(list) => expressions = list,
                _ => {}
            }
        }
        if ours {
            rules.push((chain, expressions));
        }
    }
    Ok(rules)
}

/// A chain that the kernel calls for forwarded packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForwardChain {
    pub(crate) family: &'static str,
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) drops: bool,
}

/// All chains at the forward hook that see IPv4 packets, whoever made them.
pub(crate) fn forward_chains(nl: &mut Netlink) -> io::Result<Vec<ForwardChain>> {
    let ask = NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() });
    let answers: Vec<NetfilterMessage> = nl.dump(message(NetfilterProtoFamily::Unspec, ask))?;
    let mut found = Vec::new();
    for answer in answers {
        let family = match answer.header.family {
            NetfilterProtoFamily::IPv4 => "ip",
            NetfilterProtoFamily::Inet => "inet",
            _ => continue,
        };
        let NetfilterMessageInner::NfTables(NfTablesMessage::NewChain(chain)) = answer.inner else { continue };
        let mut entry = ForwardChain { family, table: String::new(), name: String::new(), drops: false };
        let mut forward = false;
        for attribute in chain.attributes {
            match attribute {
                ChainAttribute::Table(name) => entry.table = name,
                ChainAttribute::Name(name) => entry.name = name,
                ChainAttribute::Policy(policy) => entry.drops = policy == DROP,
                ChainAttribute::Hook(hooks) => {
                    forward = hooks.contains(&Hook::Number(HookNumber::Inet(InetHookNumber::Forward)));
                }
                _ => {}
            }
        }
        if forward {
            found.push(entry);
        }
    }
    Ok(found)
}

/// A comment in the form in which `nft list ruleset` shows it: type 0, length, text, zero.
fn comment_to_userdata(comment: &str) -> Vec<u8> {
    const MOST: usize = 200;
    let end = (0..=comment.len().min(MOST)).rev().find(|&at| comment.is_char_boundary(at));
    let text = &comment.as_bytes()[..end.unwrap_or(0)];
    // At most 201, so it fits a byte.
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    [&[0, length], text, &[0]].concat()
}

fn userdata_to_comment(data: &[u8]) -> Option<String> {
    let [0, length, rest @ ..] = data else { return None };
    let text = rest.get(..usize::from(*length).checked_sub(1)?)?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_there_and_back() {
        for text in ["", "lighter /var/lib/lighter/network"] {
            assert_eq!(userdata_to_comment(&comment_to_userdata(text)).as_deref(), Some(text));
        }
        let long = "é".repeat(150);
        let back = userdata_to_comment(&comment_to_userdata(&long)).unwrap();
        assert_eq!(back, "é".repeat(100));
        for odd in [&[][..], &[0], &[0, 9, 1], &[1, 1, 0], &[0, 0]] {
            assert_eq!(userdata_to_comment(odd), None, "{odd:?}");
        }
    }
}

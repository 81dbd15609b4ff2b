//! From a question to its answer, without I/O: what is known here is answered here, the rest is for others.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use super::View;
use super::names::Zones;

/// Seconds for which a client may keep an answer, as dockerd has it.
const TTL: u32 = 600;
/// What a client takes by UDP that does not say otherwise.
const PLAIN_UDP: u16 = 512;
/// How much of a datagram we take.
pub(super) const OUR_UDP: u16 = 4096;

/// By which way a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// What becomes of a question.
#[derive(Debug)]
pub(super) enum Decision {
    Reply(Vec<u8>),
    /// Ask others; if nobody answers, this is the answer.
    Forward {
        otherwise: Vec<u8>,
    },
    /// No question at all.
    Ignore,
}

/// Decides on one question. `turn` rotates the addresses, so that clients which take the first are spread.
pub(super) fn decide(question: &[u8], transport: Transport, zones: &Zones, view: &View, turn: usize) -> Decision {
    let Ok(asked) = Message::from_vec(question) else { return malformed(question) };
    if asked.message_type != MessageType::Query {
        return Decision::Ignore;
    }
    let respond = |code, answers| Decision::Reply(encode(&asked, transport, code, answers));
    if asked.op_code != OpCode::Query {
        return respond(ResponseCode::NotImp, Vec::new());
    }
    let [query] = asked.queries.as_slice() else { return respond(ResponseCode::FormErr, Vec::new()) };
    if asked.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return respond(ResponseCode::BADVERS, Vec::new());
    }
    if query.query_class() == DNSClass::IN
        && let Some(answers) = known(query, zones, view, turn)
    {
        return respond(ResponseCode::NoError, answers);
    }
    let address = matches!(query.query_type(), RecordType::A | RecordType::AAAA);
    if address && view.ndots && query.name().num_labels() == 1 {
        return respond(ResponseCode::NoError, Vec::new());
    }
    let failure = encode(&asked, transport, ResponseCode::ServFail, Vec::new());
    if view.forward { Decision::Forward { otherwise: failure } } else { Decision::Reply(failure) }
}

/// The records of a name or address of ours: none of the wanted type is an answer, too (the name is not anyone else's).
fn known(query: &Query, zones: &Zones, view: &View, turn: usize) -> Option<Vec<Record>> {
    let name = query.name();
    let record = |data| Record::from_rdata(name.clone(), TTL, data);
    if query.query_type() == RecordType::PTR {
        let net = name.parse_arpa_name().ok()?;
        // A shorter name stands for a whole range.
        if net.prefix_len() != net.max_prefix_len() {
            return None;
        }
        let target = zones.find_name(view, net.addr())?;
        let target = Name::from_ascii(format!("{target}.")).ok()?;
        return Some(vec![record(RData::PTR(PTR(target)))]);
    }
    let text = name.to_ascii().to_ascii_lowercase();
    let addresses = zones.find(view, text.trim_end_matches('.'))?;
    let mut records: Vec<Record> = addresses
        .into_iter()
        .filter_map(|address| match (query.query_type(), address) {
            (RecordType::A, IpAddr::V4(ip)) => Some(record(RData::A(A(ip)))),
            (RecordType::AAAA, IpAddr::V6(ip)) => Some(record(RData::AAAA(AAAA(ip)))),
            _ => None,
        })
        .collect();
    if !records.is_empty() {
        let by = turn % records.len();
        records.rotate_left(by);
    }
    Some(records)
}

fn encode(asked: &Message, transport: Transport, code: ResponseCode, answers: Vec<Record>) -> Vec<u8> {
    let mut message = Message::response(asked.id, asked.op_code);
    message.metadata.response_code = code;
    message.metadata.recursion_desired = asked.recursion_desired;
    message.metadata.recursion_available = true;
    message.add_queries(asked.queries.iter().cloned());
    message.insert_answers(answers);
    if asked.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(OUR_UDP);
        message.set_edns(edns);
    }
    let most = match (transport, &asked.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => PLAIN_UDP,
        (Transport::Udp, Some(edns)) => edns.max_payload().max(PLAIN_UDP),
    };
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    // What does not fit is left out, and the answer marked as cut: the client comes again by TCP.
    encoder.set_max_size(most);
    match message.emit(&mut encoder) {
        Ok(()) => bytes,
        Err(error) => {
            tracing::debug!(%error, "a DNS answer cannot be written");
            bare(asked.id, ResponseCode::ServFail)
        }
    }
}

/// What cannot be read, but has an identifier and is a question, is told so.
fn malformed(question: &[u8]) -> Decision {
    const IS_RESPONSE: u8 = 0x80;
    match question {
        [a, b, flags, ..] if question.len() >= 12 && flags & IS_RESPONSE == 0 => {
            Decision::Reply(bare(u16::from_be_bytes([*a, *b]), ResponseCode::FormErr))
        }
        _ => Decision::Ignore,
    }
}

fn bare(id: u16, code: ResponseCode) -> Vec<u8> {
    const RESPONSE: u8 = 0x80;
    let [a, b] = id.to_be_bytes();
    vec![a, b, RESPONSE, code.low(), 0, 0, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{EndpointNames, Seat};
    use proptest::prelude::*;

    fn zones(replicas: u8) -> Zones {
        let mut zones = Zones::default();
        for n in 1..=replicas {
            let names = EndpointNames {
                name: format!("web_{n}"),
                aliases: vec!["web".into()],
                addresses: vec![IpAddr::from([10, 0, 0, n])],
            };
            zones.publish("n", "net", &format!("c{n}"), names);
        }
        let six = EndpointNames { name: "six".into(), aliases: vec![], addresses: vec!["fd00::6".parse().unwrap()] };
        zones.publish("n", "net", "six", six);
        zones
    }

    fn view() -> View {
        View { networks: vec![Seat { network: "n".into(), ..Seat::default() }], forward: true, ..View::default() }
    }

    fn question(name: &str, kind: RecordType, payload: Option<u16>) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
        }
        message.to_vec().unwrap()
    }

    fn reply(question: &[u8], transport: Transport, zones: &Zones, turn: usize) -> Message {
        match decide(question, transport, zones, &view(), turn) {
            Decision::Reply(bytes) => Message::from_vec(&bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn addresses(message: &Message) -> Vec<String> {
        message.answers.iter().map(|record| record.data.to_string()).collect()
    }

    #[test]
    fn a_name_in_any_case() {
        for name in ["web_1.", "WEB_1.", "Web_1.Net."] {
            let asked = question(name, RecordType::A, None);
            let got = reply(&asked, Transport::Udp, &zones(2), 0);
            assert_eq!(addresses(&got), ["10.0.0.1"]);
            assert_eq!(got.id, Message::from_vec(&asked).unwrap().id);
            assert!(got.recursion_available && got.recursion_desired && !got.truncation);
            // The question comes back as it was, in its own case.
            assert_eq!(got.queries[0].name().to_ascii(), name);
            assert_eq!(got.answers[0].ttl, 600);
        }
    }

    #[test]
    fn addresses_take_turns() {
        let zones = zones(3);
        let asked = question("web.", RecordType::A, None);
        let first: Vec<_> = (0..3).map(|turn| addresses(&reply(&asked, Transport::Udp, &zones, turn))[0].clone()).collect();
        assert_eq!(first, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    }

    #[test]
    fn a_known_name_without_such_a_record_is_not_passed_on() {
        for (name, kind) in [("web.", RecordType::AAAA), ("web.", RecordType::MX), ("six.", RecordType::A)] {
            let got = reply(&question(name, kind, None), Transport::Udp, &zones(1), 0);
            assert_eq!((got.response_code, got.answers.len()), (ResponseCode::NoError, 0), "{name} {kind}");
        }
        let six = reply(&question("six.", RecordType::AAAA, None), Transport::Udp, &zones(1), 0);
        assert_eq!(addresses(&six), ["fd00::6"]);
    }

    #[test]
    fn addresses_have_names() {
        let back = |name| reply(&question(name, RecordType::PTR, None), Transport::Udp, &zones(1), 0);
        assert_eq!(addresses(&back("1.0.0.10.in-addr.arpa.")), ["web_1.net."]);
        let six = format!("6.{}0.0.d.f.ip6.arpa.", "0.".repeat(27));
        assert_eq!(addresses(&back(&six)), ["six.net."]);
        for other in ["9.9.9.9.in-addr.arpa.", "0.10.in-addr.arpa."] {
            let decision = decide(&question(other, RecordType::PTR, None), Transport::Udp, &zones(1), &view(), 0);
            assert!(matches!(decision, Decision::Forward { .. }), "{other}");
        }
    }

    #[test]
    fn what_does_not_fit_is_marked_as_cut() {
        let zones = zones(100);
        let plain = question("web.", RecordType::A, None);
        let Decision::Reply(bytes) = decide(&plain, Transport::Udp, &zones, &view(), 0) else { panic!() };
        let cut = Message::from_vec(&bytes).unwrap();
        assert!(bytes.len() <= 512 && cut.truncation && cut.answers.len() > 20, "{}", bytes.len());
        let edns = reply(&question("web.", RecordType::A, Some(4096)), Transport::Udp, &zones, 0);
        assert!(!edns.truncation && edns.answers.len() == 100 && edns.edns.is_some());
        let tcp = reply(&plain, Transport::Tcp, &zones, 0);
        assert!(!tcp.truncation && tcp.answers.len() == 100);
    }

    #[test]
    fn what_is_not_ours_is_passed_on_unless_it_must_not() {
        let asked = |name, view: &View| decide(&question(name, RecordType::A, None), Transport::Udp, &zones(1), view, 0);
        let code = |decision| match decision {
            Decision::Reply(bytes) => Some(Message::from_vec(&bytes).unwrap().response_code),
            Decision::Forward { otherwise } => {
                assert_eq!(Message::from_vec(&otherwise).unwrap().response_code, ResponseCode::ServFail);
                None
            }
            Decision::Ignore => panic!(),
        };
        assert_eq!(code(asked("example.org.", &view())), None);
        assert_eq!(code(asked("single.", &view())), None);
        let internal = View { forward: false, ..view() };
        assert_eq!(code(asked("example.org.", &internal)), Some(ResponseCode::ServFail));
        assert_eq!(code(asked("web.", &internal)), Some(ResponseCode::NoError));
        let ndots = View { ndots: true, ..view() };
        assert_eq!(code(asked("single.", &ndots)), Some(ResponseCode::NoError));
        assert_eq!(code(asked("example.org.", &ndots)), None);
    }

    #[test]
    fn odd_questions() {
        let zones = zones(1);
        let mut two = Message::query();
        for name in ["web.", "six."] {
            two.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        }
        assert_eq!(reply(&two.to_vec().unwrap(), Transport::Udp, &zones, 0).response_code, ResponseCode::FormErr);
        let mut notify = Message::new(7, MessageType::Query, OpCode::Notify);
        notify.add_query(Query::query(Name::from_ascii("web.").unwrap(), RecordType::SOA));
        assert_eq!(reply(&notify.to_vec().unwrap(), Transport::Udp, &zones, 0).response_code, ResponseCode::NotImp);
        let response = Message::response(7, OpCode::Query).to_vec().unwrap();
        assert!(matches!(decide(&response, Transport::Udp, &zones, &view(), 0), Decision::Ignore));
        let broken = [1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63];
        assert_eq!(reply(&broken, Transport::Udp, &zones, 0).response_code, ResponseCode::FormErr);
        assert!(matches!(decide(&[1, 2, 3], Transport::Udp, &zones, &view(), 0), Decision::Ignore));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            decide(&bytes, Transport::Udp, &zones(1), &view(), 0);
        }

        #[test]
        fn no_change_of_a_question_makes_it_panic(at in 0usize..40, byte: u8) {
            let mut bytes = question("web_1.net.", RecordType::A, Some(1232));
            let at = at % bytes.len();
            bytes[at] = byte;
            decide(&bytes, Transport::Tcp, &zones(1), &view(), 0);
        }
    }
}

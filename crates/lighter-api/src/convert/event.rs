//! One event as one line.

use crate::shapes::Shapes;
use bytes::Bytes;
use lighter_domain::event::EventKind;
use lighter_domain::{Event, EventScope};
use lighter_wire::event::{Actor, Event as Wire};

pub fn line(event: &Event, shapes: Shapes) -> Bytes {
    let old = shapes.event_legacy_fields && matches!(event.kind, EventKind::Container | EventKind::Image);
    let from = event.attributes.get("image").filter(|_| event.kind == EventKind::Container);
    let wire = Wire {
        status: old.then_some(event.action.as_str()),
        id: old.then_some(event.actor_id.as_str()),
        from: from.filter(|_| old).map(String::as_str),
        kind: event.kind.as_str(),
        action: &event.action,
        actor: Actor { id: &event.actor_id, attributes: &event.attributes },
        scope: match event.scope {
            EventScope::Local => "local",
            EventScope::Swarm => "swarm",
        },
        time: event.time.unix_timestamp(),
        time_nano: i64::try_from(event.time.unix_timestamp_nanos()).unwrap_or(i64::MAX),
    };
    let mut bytes = serde_json::to_vec(&wire).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

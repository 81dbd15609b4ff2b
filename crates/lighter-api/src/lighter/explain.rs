//! What clients call containers, and what became of what was asked of one.

use super::{convert, page};
use crate::body::json;
use crate::call::{Answer, Call};
use crate::convert::container as inspection;
use crate::shapes::Shapes;
use http::StatusCode;
use lighter_core::{Explained, Inspected};
use lighter_domain::Container;
use lighter_engine::EngineDetails;
use lighter_engine::fields::{self, Decision};
use lighter_wire::lighter as wire;
use serde_json::{Map, Value};
use std::sync::Arc;

pub async fn mappings(call: Call) -> Answer {
    call.only(&["limit", "cursor"])?;
    let limit = call.limit()?;
    let mappings = call.daemon.mappings(call.query.get("cursor"), limit).await?;
    let mappings: Vec<_> = mappings.into_iter().map(convert::mapping).collect();
    Ok(json(StatusCode::OK, &page(mappings, limit, |m| m.shim_container_id.clone())))
}

pub async fn explain(call: Call) -> Answer {
    call.only(&[])?;
    let Explained { id, container, plain, events } = call.daemon.explain(&call.name).await?;
    let engine = call.daemon.describe().name;
    let fields = container.as_ref().map(|c| asked(c, plain, engine, call.shapes)).unwrap_or_default();
    let container = container.map(|c| wire::ExplainedContainer {
        name: c.name.clone(),
        image: c.config.image.clone(),
        stack: c.compose_project().map(str::to_owned),
        state: c.state.docker_status().to_owned(),
        engine: engine.to_owned(),
        api_version: c.api_version.clone(),
        created_at: c.created_at,
    });
    let events = events.into_iter().map(convert::event).collect();
    Ok(json(StatusCode::OK, &wire::Explained { id, container, fields, events }))
}

/// The fields in which a container differs from a plain one of its image, and what became of them.
fn asked(container: &Arc<Container>, plain: Option<Container>, engine: &str, shapes: Shapes) -> Vec<wire::Field> {
    let has = shown(container.clone(), shapes);
    let default = plain.map(|p| shown(Arc::new(p), shapes)).unwrap_or_default();
    let mut out = Vec::new();
    for (part, values) in &has {
        for (key, value) in values.as_object().into_iter().flatten() {
            let before = default.get(part).and_then(|d| d.get(key)).unwrap_or(&Value::Null);
            if key == "Image" || (value != before && !(nothing(value) && nothing(before)) && !derived(key, value, container)) {
                let value = if key == "Env" { names(value, before) } else { value.clone() };
                out.push(field(&format!("{part}.{key}"), value, container, engine));
            }
        }
    }
    // What is not honoured and is no field of these two, such as settings of an endpoint.
    for flag in &container.unsupported_flags {
        if !out.iter().any(|f| f.name == *flag || flag.strip_prefix(&f.name).is_some_and(|rest| rest.starts_with('.'))) {
            out.push(field(flag, Value::Null, container, engine));
        }
    }
    out
}

/// `Config` and `HostConfig` as inspect shows them.
fn shown(container: Arc<Container>, shapes: Shapes) -> Map<String, Value> {
    let links = container.host_config.links.clone();
    let inspected = Inspected { container, details: EngineDetails::default(), exec_ids: Vec::new(), links, size: None };
    let mut all = serde_json::to_value(inspection::inspect(&inspected, shapes)).unwrap_or_default();
    ["Config", "HostConfig"].into_iter().map(|part| (part.to_owned(), all[part].take())).collect()
}

/// What follows from something else: the name that every container gets, the swap that goes with a memory limit, and the
/// docker command's word for "as usual".
fn derived(key: &str, value: &Value, container: &Container) -> bool {
    match key {
        "Hostname" => value.as_str() == Some(container.id.short()),
        "MemorySwap" => value.as_i64() == Some(container.host_config.memory * 2),
        "MemorySwappiness" => value.as_i64() == Some(-1),
        _ => false,
    }
}

fn nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

/// Names of variables that were not there before; a value may be a secret.
fn names(env: &Value, before: &Value) -> Value {
    let all = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let old = all(before);
    let name = |v: &Value| v.as_str().map(|s| s.split('=').next().unwrap_or(s).to_owned());
    all(env).iter().filter(|v| !old.contains(v)).filter_map(name).map(Value::String).collect()
}

fn field(name: &str, value: Value, container: &Container, engine: &str) -> wire::Field {
    let known = fields::find(name);
    let decision = known.map_or(Decision::Honoured, |f| f.decision(engine));
    let dropped = |flag: &String| flag == name || flag.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let (fate, reason) = if container.unsupported_flags.iter().any(dropped) {
        let why = match decision {
            Decision::Warned(why) | Decision::Discarded(why) => why,
            _ => "this engine or this machine cannot do it",
        };
        (wire::Fate::Warned, why)
    } else {
        match decision {
            Decision::Ignored(why) => (wire::Fate::Ignored, why),
            Decision::Honoured | Decision::Warned(_) | Decision::Discarded(_) | Decision::Refused(_) | Decision::NotYet(_) => {
                (wire::Fate::Honoured, "")
            }
        }
    };
    let flags = known.map_or("", |f| f.flags).to_owned();
    wire::Field { name: name.to_owned(), flags, value, fate, reason: reason.to_owned() }
}

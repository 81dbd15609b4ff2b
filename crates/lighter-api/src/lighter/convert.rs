//! From the domain to the JSON of `/lighter/v1`.

use lighter_core::{PortState, PortUse};
use lighter_domain::{Finding, LogGap, LogLine, MetricsSample, MetricsSeries, Origin, ShimEvent, ShimMapping};
use lighter_wire::lighter as wire;

pub fn event(event: ShimEvent) -> wire::Event {
    let ShimEvent {
        id,
        status,
        container_id,
        image,
        kind,
        timestamp,
        method,
        path,
        api_version,
        http_status,
        duration_micros,
        client,
        request_id,
        error,
        unsupported_flags,
        host_paths,
        peer_uid,
        peer_pid,
        stack,
    } = event;
    wire::Event {
        id,
        timestamp,
        status: status.as_str().to_owned(),
        kind: kind.into_owned(),
        method: method.into_owned(),
        path,
        api_version,
        http_status,
        duration_micros,
        client,
        request_id: request_id.as_ref().to_owned(),
        container_id,
        stack,
        image,
        error,
        unsupported_flags,
        host_paths,
        peer_uid,
        peer_pid,
    }
}

pub fn mapping(mapping: ShimMapping) -> wire::Mapping {
    let ShimMapping {
        container_id,
        shim_container_id,
        name,
        engine_container_id,
        api_version,
        unsupported_flags,
        last_accessed_at,
    } = mapping;
    wire::Mapping {
        container_id: container_id.to_string(),
        shim_container_id,
        name,
        engine_container_id,
        api_version,
        unsupported_flags,
        last_accessed_at,
    }
}

pub fn port(port: PortUse) -> wire::Port {
    let PortUse { host_ip, host_port, container_port, container, state } = port;
    let (number, protocol) = container_port.split_once('/').unwrap_or((&container_port, "tcp"));
    let (state, holder) = match state {
        PortState::Held => (wire::PortState::Held, String::new()),
        PortState::Wanted => (wire::PortState::Wanted, String::new()),
        PortState::Taken(holder) => (wire::PortState::Taken, holder),
    };
    wire::Port {
        host_ip,
        host_port: host_port.parse().ok(),
        protocol: protocol.to_owned(),
        container_port: number.parse().unwrap_or_default(),
        container: container.name.clone(),
        container_id: container.id.as_str().to_owned(),
        stack: container.compose_project().map(str::to_owned),
        state,
        holder,
    }
}

pub fn finding(finding: Finding) -> wire::Finding {
    let Finding { subject, verdict, found, advice } = finding;
    wire::Finding { subject, verdict: verdict.as_str().to_owned(), found, advice }
}

pub fn log_line(line: LogLine) -> wire::LogLine {
    let LogLine { id, container_id, container, stack, at, source, level, message } = line;
    wire::LogLine {
        id,
        timestamp: at,
        container,
        container_id,
        stack,
        source: source.as_str().to_owned(),
        level: level.map(|level| level.as_str().to_owned()),
        message,
    }
}

pub fn log_gap(gap: LogGap) -> wire::LogGap {
    let LogGap { container_id, container, since, until } = gap;
    wire::LogGap { container, container_id, since, until }
}

pub fn series(series: MetricsSeries) -> wire::Series {
    let MetricsSeries { origin, samples } = series;
    let Origin { container: _, shim_id, name, stack } = origin;
    wire::Series { container: name, container_id: shim_id, stack, samples: samples.into_iter().map(metric).collect() }
}

fn metric(sample: MetricsSample) -> wire::Metric {
    let MetricsSample { at, cpu_usage, mem_usage, io_read, io_write, net_rx, net_tx } = sample;
    wire::Metric { timestamp: at, cpu_usage, mem_usage, io_read, io_write, net_rx, net_tx }
}

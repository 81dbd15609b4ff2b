//! `lighter stacks`

use super::Asker;
use crate::args::Stacks;
use crate::client::{Target, segment};
use crate::show::{self, table::Table, text};
use lighter_wire::lighter::{Page, Port, Stack, StackContainer, Wait};
use std::collections::{BTreeMap, BTreeSet};

type Graph = BTreeMap<String, Vec<Wait>>;

pub async fn run(asker: &Asker, what: Option<Stacks>) -> anyhow::Result<()> {
    match what {
        None => list(asker).await,
        Some(Stacks::Show { name }) => one(asker, &name).await,
    }
}

async fn list(asker: &Asker) -> anyhow::Result<()> {
    let stacks: Page<Stack> = asker.client.get(&Target::new("stacks")).await?;
    if asker.json {
        return show::json(stacks.items);
    }
    let mut table = Table::new(&["NAME", "STATUS", "RUNNING", "PORTS"]);
    for stack in stacks.items {
        let running = stack.containers.iter().filter(|c| c.state == "running").count();
        let ports: Vec<String> = stack.ports.iter().map(published).collect();
        table.row([stack.name.clone(), status(&stack), format!("{running} of {}", stack.containers.len()), ports.join(", ")]);
    }
    Ok(table.print()?)
}

async fn one(asker: &Asker, name: &str) -> anyhow::Result<()> {
    let stack: Stack = asker.client.get(&Target::new(&format!("stacks/{}", segment(name)))).await?;
    if asker.json {
        return show::json([stack]);
    }
    let what = if stack.compose { "a compose project" } else { "made by hand" };
    let purpose = stack.environment.as_ref().map(|e| format!(", for {e}")).unwrap_or_default();
    show::line(&text::inert(&format!("{}: {}, {what}{purpose}", stack.name, status(&stack))))?;
    show::line("")?;
    let mut table = Table::new(&["SERVICE", "CONTAINER", "STATE", "IMAGE", "PORTS"]);
    for c in &stack.containers {
        let ports: Vec<String> = stack.ports.iter().filter(|p| p.container_id == c.id).map(published).collect();
        let service = c.service.clone().unwrap_or_default();
        table.row([service, c.name.clone(), state(c), c.image.clone(), ports.join(", ")]);
    }
    table.print()?;
    let tree = tree(&stack.graph);
    if !tree.is_empty() {
        show::line("\nwhat waits for what:")?;
        tree.iter().try_for_each(|line| show::line(&format!("  {}", text::inert(line))))?;
    }
    for (title, names) in [("volumes", &stack.volumes), ("networks", &stack.networks)] {
        if !names.is_empty() {
            show::line(&format!("\n{title}: {}", text::inert(&names.join(", "))))?;
        }
    }
    Ok(())
}

/// `running`, `running (degraded)`, `paused`, `stopped`
fn status(stack: &Stack) -> String {
    if stack.degraded { format!("{} (degraded)", stack.status) } else { stack.status.clone() }
}

fn state(c: &StackContainer) -> String {
    match (&c.health, c.exit_code) {
        (Some(health), _) if c.state == "running" => format!("{} ({health})", c.state),
        (_, Some(code)) if c.state == "exited" => format!("{} ({code})", c.state),
        _ => c.state.clone(),
    }
}

/// `8080->80/tcp`, `127.0.0.1:53->53/udp`
fn published(port: &Port) -> String {
    let host = port.host_port.map_or("any".to_owned(), |p| p.to_string());
    let at = match port.host_ip.as_str() {
        "" | "0.0.0.0" | "::" => host,
        ip if ip.contains(':') => format!("[{ip}]:{host}"),
        ip => format!("{ip}:{host}"),
    };
    format!("{at}->{}/{}", port.container_port, port.protocol)
}

/// The graph as a tree for each service that nobody waits for; below each service, what it waits for. What was drawn already,
/// with what it waits for in turn, is not drawn out again.
fn tree(graph: &Graph) -> Vec<String> {
    let waited: BTreeSet<&str> = graph.values().flatten().map(|w| w.service.as_str()).collect();
    let waits = |service: &str| graph.get(service).is_some_and(|w| !w.is_empty());
    let mut lines = Vec::new();
    let mut drawn = BTreeSet::new();
    let roots = graph.keys().filter(|service| !waited.contains(service.as_str()) && waits(service));
    // Services that wait for each other have no root.
    for root in roots.chain(graph.keys().filter(|service| waits(service))) {
        if drawn.insert(root.clone()) {
            lines.push(root.clone());
            below(graph, root, "", &mut drawn, &mut lines);
        }
    }
    lines
}

fn below(graph: &Graph, service: &str, indent: &str, drawn: &mut BTreeSet<String>, lines: &mut Vec<String>) {
    let waits = graph.get(service).map_or(&[][..], Vec::as_slice);
    for (n, wait) in waits.iter().enumerate() {
        let last = n + 1 == waits.len();
        let (branch, rest) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let condition = match wait.condition.as_str() {
            "service_started" => "started",
            "service_healthy" => "healthy",
            "service_completed_successfully" => "completed",
            other => other,
        };
        let further = graph.get(&wait.service).is_some_and(|w| !w.is_empty());
        let first = drawn.insert(wait.service.clone());
        let more = if further && !first { ", as above" } else { "" };
        lines.push(format!("{indent}{branch}{} ({condition}{more})", wait.service));
        if first {
            below(graph, &wait.service, &format!("{indent}{rest}"), drawn, lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[(&str, &str)])]) -> Graph {
        let wait = |(service, condition): &(&str, &str)| Wait {
            service: (*service).to_owned(),
            condition: format!("service_{condition}"),
        };
        edges.iter().map(|(service, waits)| ((*service).to_owned(), waits.iter().map(wait).collect())).collect()
    }

    #[test]
    fn a_tree_for_each_root() {
        let shop = graph(&[
            ("web", &[("api", "started"), ("cache", "started")]),
            ("api", &[("db", "healthy"), ("migrate", "completed_successfully")]),
            ("migrate", &[("db", "healthy")]),
            ("db", &[]),
            ("cache", &[]),
        ]);
        assert_eq!(
            tree(&shop),
            [
                "web",
                "├─ api (started)",
                "│  ├─ db (healthy)",
                "│  └─ migrate (completed)",
                "│     └─ db (healthy)",
                "└─ cache (started)",
            ]
        );
    }

    #[test]
    fn what_is_shared_is_drawn_once_and_a_circle_ends() {
        let shared = graph(&[("a", &[("c", "started")]), ("b", &[("c", "started")]), ("c", &[("d", "started")]), ("d", &[])]);
        assert_eq!(tree(&shared), ["a", "└─ c (started)", "   └─ d (started)", "b", "└─ c (started, as above)"]);
        let circle = graph(&[("a", &[("b", "started")]), ("b", &[("a", "started")])]);
        assert_eq!(tree(&circle), ["a", "└─ b (started)", "   └─ a (started, as above)"]);
        assert_eq!(tree(&graph(&[("alone", &[])])), [""; 0]);
    }
}

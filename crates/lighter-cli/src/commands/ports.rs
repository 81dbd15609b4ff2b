//! `lighter ports`

use super::Asker;
use crate::client::Target;
use crate::show::{self, table::Table};
use lighter_wire::lighter::{Page, Port, PortState};

pub async fn run(asker: &Asker) -> anyhow::Result<()> {
    let ports: Page<Port> = asker.client.get(&Target::new("ports")).await?;
    if asker.json {
        return show::json(ports.items);
    }
    let mut table = Table::new(&["HOST", "CONTAINER PORT", "CONTAINER", "STACK", "STATE"]);
    for port in ports.items {
        let address = if port.host_ip.is_empty() { "*" } else { &port.host_ip };
        let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let state = match port.state {
            PortState::Held => "held".to_owned(),
            PortState::Wanted => "when it starts".to_owned(),
            PortState::Taken => format!("taken by {}", port.holder),
        };
        table.row([
            format!("{address}:{}", port.host_port.map_or("any".to_owned(), |p| p.to_string())),
            format!("{}/{}", port.container_port, port.protocol),
            port.container,
            port.stack.unwrap_or_default(),
            state,
        ]);
    }
    Ok(table.print()?)
}

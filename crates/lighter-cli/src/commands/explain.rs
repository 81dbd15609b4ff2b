//! `lighter explain`

use super::{Asker, events};
use crate::client::{Target, segment};
use crate::show::{self, text};
use lighter_wire::lighter::{Explained, Fate, Field};
use serde_json::Value;

pub async fn run(asker: &Asker, container: &str) -> anyhow::Result<()> {
    let told: Explained = asker.client.get(&Target::new(&format!("containers/{}/explain", segment(container)))).await?;
    if asker.json {
        return show::json([told]);
    }
    let short: String = told.id.chars().take(12).collect();
    match &told.container {
        Some(c) => {
            let stack = c.stack.as_ref().map(|s| format!(", of the stack {s}")).unwrap_or_default();
            let line = format!(
                "{} ({short}), {} from {}{stack}, on the {} engine, API {}",
                c.name, c.state, c.image, c.engine, c.api_version
            );
            show::line(&text::inert(&line))?;
        }
        None => show::line(&text::inert(&format!("{container} ({short}) is gone")))?,
    }
    for (fate, title) in [(Fate::Honoured, "honoured"), (Fate::Warned, "not honoured"), (Fate::Ignored, "without meaning here")] {
        let mut fields = told.fields.iter().filter(|f| f.fate == fate).peekable();
        if fields.peek().is_some() {
            show::line(&format!("\n{title}:"))?;
            fields.try_for_each(|field| show::line(&format!("  {}", text::inert(&said(field)))))?;
        }
    }
    let (mut refused, all) = (told.events.iter().filter(|e| e.status == "refused").peekable(), &told.events);
    if refused.peek().is_some() {
        show::line("\nrefused:")?;
        for event in refused {
            let line = format!(
                "  {} {}: {}",
                event.kind,
                event.http_status.unwrap_or_default(),
                event.error.as_deref().unwrap_or_default()
            );
            show::line(&text::inert(&line))?;
        }
    }
    show::line("\nrequests:")?;
    let mut oldest_first = all.clone();
    oldest_first.sort_by_key(|event| (event.timestamp, event.id));
    events::table(&oldest_first).print()?;
    Ok(())
}

/// `--cap-add NET_ADMIN   (HostConfig.CapAdd): why not`
fn said(field: &Field) -> String {
    let value = match &field.value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        Value::Array(all) if all.iter().all(Value::is_string) => {
            all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    let value = text::shortened(&value, 80);
    let why = if field.reason.is_empty() { String::new() } else { format!(": {}", field.reason) };
    match (field.flags.as_str(), value.as_str()) {
        ("", "") => format!("{}{why}", field.name),
        ("", value) => format!("{} {value}{why}", field.name),
        (flags, "") => format!("{flags}  ({}){why}", field.name),
        (flags, value) => format!("{flags} {value}  ({}){why}", field.name),
    }
}

//! `lighter logs search`

use super::Asker;
use crate::args::LogSearch;
use crate::client::Target;
use crate::show::{self, table::Table, text};
use lighter_wire::lighter::{LogGap, LogLine, LogPage};
use std::collections::BTreeMap;
use time::OffsetDateTime;

const SHOWN: u32 = 100;
const PAGE: usize = 1000;

pub async fn search(asker: &Asker, how: LogSearch) -> anyhow::Result<()> {
    let LogSearch { query, container, stack, level, source, since, until, limit } = how;
    let target = Target::new("logs/search")
        .with_all("query", (!query.is_empty()).then(|| terms(&query)))
        .with_all("container", &container)
        .with_all("stack", &stack)
        .with_all("level", &level)
        .with_all("source", &source)
        .with_all("since", &since)
        .with_all("until", &until);
    let (mut lines, gaps, more) = pages(asker, &target, limit.unwrap_or(SHOWN).max(1) as usize).await?;
    // The newest at the end, where the prompt is.
    lines.sort_by_key(|line| (line.timestamp, line.id));
    if asker.json {
        return show::json(lines);
    }
    let now = OffsetDateTime::now_utc();
    let mut table = Table::new(&["TIME", "CONTAINER", "LEVEL", "MESSAGE"]);
    for line in lines {
        table.row([text::moment(line.timestamp, now), line.container, line.level.unwrap_or_default(), line.message]);
    }
    table.print()?;
    // A container that floods has a gap at every look: one line for all of them.
    let mut told: BTreeMap<&str, (OffsetDateTime, OffsetDateTime, usize)> = BTreeMap::new();
    for gap in &gaps {
        let (since, until, count) = told.entry(&gap.container).or_insert((gap.since, gap.until, 0));
        (*since, *until, *count) = ((*since).min(gap.since), (*until).max(gap.until), *count + 1);
    }
    for (container, (since, until, count)) in told {
        let (since, until) = (text::moment(since, now), text::moment(until, now));
        let times = if count > 1 { format!(", {count} times") } else { String::new() };
        eprintln!(
            "{}",
            text::inert(&format!("({container} printed more than could be kept{times}, between {since} and {until})"))
        );
    }
    if more && limit.is_none() {
        eprintln!("(the newest {SHOWN}; more with -n)");
    }
    Ok(())
}

/// What the shell took apart: an argument of several words was quoted, and is meant so.
fn terms(query: &[String]) -> String {
    let term = |word: &String| match word.contains(char::is_whitespace) && !word.contains('"') && query.len() > 1 {
        true => format!("\"{word}\""),
        false => word.clone(),
    };
    query.iter().map(term).collect::<Vec<_>>().join(" ")
}

/// The gaps are those of the first page; all pages have the same.
async fn pages(asker: &Asker, target: &Target, limit: usize) -> anyhow::Result<(Vec<LogLine>, Vec<LogGap>, bool)> {
    let (mut lines, mut gaps, mut cursor): (Vec<LogLine>, _, Option<String>) = (Vec::new(), None, None);
    loop {
        let wanted = (limit - lines.len()).min(PAGE).to_string();
        let page: LogPage = asker.client.get(&target.clone().with("limit", wanted).with_all("cursor", &cursor)).await?;
        lines.extend(page.items);
        let gaps = gaps.get_or_insert(page.gaps);
        if page.next.is_none() || lines.len() >= limit {
            return Ok((lines, std::mem::take(gaps), page.next.is_some()));
        }
        cursor = page.next;
    }
}

//! `lighter metrics`: sparklines for people, CSV for tables, SVG for pages.

mod rates;
mod svg;

use super::Asker;
use crate::args::Metrics as Args;
use crate::client::Target;
use crate::show::{self, table::terminal_columns, text};
use anyhow::{Context as _, bail};
use lighter_wire::human;
use lighter_wire::lighter::{Metrics, Series};
use rates::{Rate, rates};
use std::path::Path;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Columns of a sparkline where nobody reads on a terminal, and of what stands beside it.
const WIDTH: usize = 60;
const BESIDE: usize = 46;

pub async fn run(asker: &Asker, how: Args) -> anyhow::Result<()> {
    let Args { name, since, until, csv, svg } = how;
    let width = terminal_columns().map_or(WIDTH, |all| all.saturating_sub(BESIDE).clamp(10, 120));
    // A picture and a table have room for more than a line.
    let points = if csv {
        10_000
    } else if svg.is_some() || asker.json {
        1000
    } else {
        width + 1
    };
    let target = Target::new("metrics").with("since", since).with_all("until", &until).with("points", points.to_string());
    let of = async |kind: &str| asker.client.get::<Metrics>(&target.clone().with(kind, &name)).await;
    let mut series = of("container").await?.items;
    if series.is_empty() {
        series = of("stack").await?.items;
    }
    if series.is_empty() {
        bail!("nothing is known of what {name} used in this time: no container or stack of this name ran");
    }
    if asker.json {
        return show::json(series);
    }
    if csv {
        return print_csv(&series);
    }
    if let Some(file) = svg {
        return draw(&name, &series, &file);
    }
    let now = OffsetDateTime::now_utc();
    for (n, one) in series.iter().enumerate() {
        if n > 0 {
            show::line("")?;
        }
        print(one, now, width)?;
    }
    Ok(())
}

/// A value in words.
type Shown = fn(f64) -> String;

fn percent(value: f64) -> String {
    format!("{value:.1}%")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no value is negative")]
fn size(value: f64) -> String {
    human::size(value.round() as u64)
}

fn per_second(value: f64) -> String {
    format!("{}/s", size(value))
}

fn print(series: &Series, now: OffsetDateTime, width: usize) -> anyhow::Result<()> {
    let short: String = series.container_id.chars().take(12).collect();
    let (Some(first), Some(last)) = (series.samples.first(), series.samples.last()) else { return Ok(()) };
    let stack = series.stack.as_ref().map(|s| format!(", of the stack {s}")).unwrap_or_default();
    let (from, to) = (text::moment(first.timestamp, now), text::moment(last.timestamp, now));
    show::line(&text::inert(&format!("{} ({short}){stack}, {from} to {to}", series.container)))?;
    let rates = rates(series);
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let memory: Vec<f64> = series.samples.iter().map(|s| s.mem_usage as f64).collect();
    let column = |of: fn(&Rate) -> f64| rates.iter().map(of).collect::<Vec<_>>();
    let lines: [(&str, Vec<f64>, Shown); 6] = [
        ("cpu", column(|r| r.cpu_percent), percent),
        ("memory", memory, size),
        ("read", column(|r| r.io_read), per_second),
        ("written", column(|r| r.io_write), per_second),
        ("received", column(|r| r.net_rx), per_second),
        ("sent", column(|r| r.net_tx), per_second),
    ];
    for (name, values, shown) in lines {
        let most = values.iter().copied().fold(0.0, f64::max);
        let newest = values.last().copied().unwrap_or(0.0);
        let line = spark(&values, width);
        show::line(&format!("  {name:<9} {line}  {} now, {} most", shown(newest), shown(most)))?;
    }
    Ok(())
}

/// One letter for each value, the newest `width` of them, from the bottom to the highest of them.
fn spark(values: &[f64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values = &values[values.len().saturating_sub(width)..];
    let most = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
        let n = if most > 0.0 { (value / most * 7.0).round().clamp(0.0, 7.0) as usize } else { 0 };
        BARS[n]
    };
    values.iter().map(bar).collect()
}

fn print_csv(series: &[Series]) -> anyhow::Result<()> {
    show::line("timestamp,container,containerId,cpuUsage,cpuPercent,memUsage,ioRead,ioWrite,netRx,netTx")?;
    for one in series {
        let rates = rates(one);
        // There is no rate before the second sample.
        let percents = std::iter::once(String::new()).chain(rates.iter().map(|r| format!("{:.3}", r.cpu_percent)));
        for (sample, percent) in one.samples.iter().zip(percents) {
            let at = sample.timestamp.format(&Rfc3339)?;
            show::line(&format!(
                "{at},{},{},{},{percent},{},{},{},{},{}",
                quoted(&one.container),
                one.container_id,
                sample.cpu_usage,
                sample.mem_usage,
                sample.io_read,
                sample.io_write,
                sample.net_rx,
                sample.net_tx
            ))?;
        }
    }
    Ok(())
}

/// A field that may have anything in it. One that a spreadsheet would compute is none.
fn quoted(field: &str) -> String {
    if field.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) && !field.starts_with('-') {
        return field.to_owned();
    }
    format!("\"{}\"", text::inert(field).replace('"', "\"\""))
}

fn draw(name: &str, series: &[Series], file: &Path) -> anyhow::Result<()> {
    std::fs::write(file, svg::chart(name, series)).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(show::line(&format!("{}: a chart of {}", file.display(), text::inert(name)))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines() {
        assert_eq!(spark(&[0.0, 1.0, 3.5, 7.0], 10), "▁▂▅█");
        assert_eq!(spark(&[9.0, 0.0, 0.0], 2), "▁▁");
        assert_eq!(spark(&[], 5), "");
    }

    #[test]
    fn fields_of_a_table() {
        assert_eq!(
            [quoted("web-1"), quoted("a,\"b\""), quoted("=1+1"), quoted("-x")],
            ["web-1", "\"a,\"\"b\"\"\"", "\"=1+1\"", "\"-x\""]
        );
    }
}

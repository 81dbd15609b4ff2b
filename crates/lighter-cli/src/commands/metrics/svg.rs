//! A chart as an SVG image that stands alone: four panels over one time axis, a line for each container.

use super::rates::{Rate, rates};
use super::{Shown, per_second, percent, size};
use lighter_wire::lighter::Series;
use std::fmt::Write as _;
use time::OffsetDateTime;

const WIDTH: f64 = 900.0;
const PANEL: f64 = 150.0;
const LEFT: f64 = 90.0;
const TOP: f64 = 50.0;
const GAP: f64 = 40.0;
const COLOURS: [&str; 8] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f"];

type Points = Vec<(OffsetDateTime, f64)>;

struct Panel {
    title: &'static str,
    unit: Shown,
    lines: Vec<Points>,
}

pub fn chart(name: &str, series: &[Series]) -> String {
    let rated: Vec<Vec<Rate>> = series.iter().map(rates).collect();
    let of = |value: fn(&Rate) -> f64| rated.iter().map(|all| all.iter().map(|r| (r.at, value(r))).collect()).collect();
    #[expect(clippy::cast_precision_loss, reason = "pixels are coarser")]
    let memory = series.iter().map(|s| s.samples.iter().map(|m| (m.timestamp, m.mem_usage as f64)).collect()).collect();
    let panels = [
        Panel { title: "processor, 100% is one core", unit: percent, lines: of(|r| r.cpu_percent) },
        Panel { title: "memory", unit: size, lines: memory },
        Panel { title: "block devices, read and written", unit: per_second, lines: of(|r| r.io_read + r.io_write) },
        Panel { title: "network, received and sent", unit: per_second, lines: of(|r| r.net_rx + r.net_tx) },
    ];
    let times = || series.iter().flat_map(|s| s.samples.iter().map(|m| m.timestamp));
    let (from, to) = (times().min(), times().max());
    let (Some(from), Some(to)) = (from, to) else { return String::new() };
    #[expect(clippy::cast_precision_loss, reason = "few containers, few panels")]
    let (legend, height) = (series.len() as f64 * 18.0, TOP + panels.len() as f64 * (PANEL + GAP));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"16\">{}</text>\n",
        height + legend,
        escaped(name)
    );
    let mut y = TOP;
    for panel in &panels {
        draw(&mut out, panel, y, (from, to));
        y += PANEL + GAP;
    }
    for (n, one) in series.iter().enumerate() {
        let y = y + 18.0 * f64::from(u32::try_from(n).unwrap_or(0));
        let colour = COLOURS[n % COLOURS.len()];
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"{y}\">{}</text>",
            y - 11.0,
            LEFT + 18.0,
            escaped(&one.container)
        );
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, panel: &Panel, top: f64, (from, to): (OffsetDateTime, OffsetDateTime)) {
    let right = WIDTH - 20.0;
    let span = (to - from).as_seconds_f64().max(1.0);
    let highest = panel.lines.iter().flatten().map(|(_, v)| *v).fold(0.0, f64::max);
    let scale = if highest > 0.0 { highest } else { 1.0 };
    let bottom = top + PANEL;
    // Writing to a string cannot fail.
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">{}</text>", top - 6.0, panel.title);
    for (y, value) in [(top, highest), (bottom, 0.0)] {
        let _ = writeln!(out, "<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\" stroke=\"#cccccc\"/>");
        let (x, y) = (LEFT - 6.0, y + 4.0);
        let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{}</text>", (panel.unit)(value));
    }
    for (at, x, anchor) in [(from, LEFT, "start"), (to, right, "end")] {
        let y = bottom + 16.0;
        let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"#777777\">{}</text>", stamp(at));
    }
    for (n, line) in panel.lines.iter().enumerate() {
        let mut points = String::new();
        for (at, value) in line {
            let x = LEFT + (*at - from).as_seconds_f64() / span * (right - LEFT);
            let _ = write!(points, "{x:.1},{:.1} ", bottom - value / scale * PANEL);
        }
        let colour = COLOURS[n % COLOURS.len()];
        let _ =
            writeln!(out, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>", points.trim_end());
    }
}

fn stamp(at: OffsetDateTime) -> String {
    let (h, m, s) = at.to_hms();
    format!("{} {h:02}:{m:02}:{s:02} UTC", at.date())
}

/// As text in XML; what XML does not allow is left out.
fn escaped(text: &str) -> String {
    let allowed = text.chars().filter(|c| !c.is_control());
    allowed.collect::<String>().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lighter_wire::lighter::Metric;

    #[test]
    fn a_chart_is_text_that_nothing_breaks_out_of() {
        let metric = |n: i64| Metric {
            timestamp: OffsetDateTime::from_unix_timestamp(1_770_000_000 + n * 10).unwrap(),
            cpu_usage: n.unsigned_abs() * 5_000_000_000,
            mem_usage: 1000 + n.unsigned_abs(),
            io_read: 0,
            io_write: 0,
            net_rx: 0,
            net_tx: 0,
        };
        let samples: Vec<_> = (0..4).map(metric).collect();
        let one =
            |name: &str| Series { container: name.into(), container_id: String::new(), stack: None, samples: samples.clone() };
        let text = chart("a & b", &[one("<script>"), one("x\u{1b}y")]);
        assert!(
            text.contains("a &amp; b") && text.contains("&lt;script&gt;") && !text.contains("<script>") && text.contains(">xy<")
        );
        assert_eq!(text.matches("<polyline").count(), 8);
        // Half a core all the time is a line along the top.
        assert!(text.contains("points=\"353.3,50.0 616.7,50.0 880.0,50.0\""), "{text}");
        assert!(text.ends_with("</svg>\n") && text.matches("<text").count() == text.matches("</text>").count());
        assert_eq!(chart("none", &[]), "");
    }
}

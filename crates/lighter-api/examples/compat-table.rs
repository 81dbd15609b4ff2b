//! The README's tables of flags and operations, from the tables that the daemon works by. Prints them, or with `--write`
//! puts them into the README: `cargo run -p lighter-api --example compat-table -- --write`.
#![expect(clippy::print_stdout, reason = "a program that prints")]

use lighter_api::routes::{Kind, ROUTES};
use lighter_engine::fields::{self, Decision, Field};
use std::fmt::Write as _;

/// The engine that the table speaks of first.
const ENGINE: &str = "linux";
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");

fn main() -> std::io::Result<()> {
    if std::env::args().any(|a| a == "--write") {
        let old = std::fs::read_to_string(README)?;
        return std::fs::write(README, renewed(&old));
    }
    println!("{}\n{}", flags(), operations());
    Ok(())
}

/// The README with the tables as they are to be.
pub fn renewed(readme: &str) -> String {
    [("flags", flags()), ("operations", operations())].into_iter().fold(readme.to_owned(), |text, (name, table)| {
        let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let Some((before, rest)) = text.split_once(&open) else { return text };
        let Some((_, after)) = rest.split_once(&close) else { return text };
        format!("{before}{open}{table}{close}{after}")
    })
}

fn operations() -> String {
    let mut out = String::from("| operation | request | answered |\n| --- | --- | --- |\n");
    for route in ROUTES.iter().filter(|r| !matches!(r.kind, Kind::Swarm)) {
        let pattern = route.pattern.replace('*', "");
        let _ = writeln!(out, "| {} | `{} {pattern}` | {} |", route.operation, route.method, route.status());
    }
    out
}

/// One row for each kind of decision, and what the fields come to.
fn flags() -> String {
    type Kind = (&'static str, fn(Decision) -> bool);
    const ROWS: [Kind; 5] = [
        ("yes", |d| d == Decision::Honoured),
        ("a warning, and a row in `unsupportedFlags`", |d| matches!(d, Decision::Warned(_) | Decision::Discarded(_))),
        ("refused (400)", |d| matches!(d, Decision::Refused(_))),
        ("501", |d| matches!(d, Decision::NotYet(_))),
        ("ignored, as by dockerd", |d| matches!(d, Decision::Ignored(_))),
    ];
    let mut out = String::from("| | flags, or fields of the API that have none |\n| --- | --- |\n");
    let mut counts = Vec::new();
    for (title, is) in ROWS {
        let fields: Vec<&Field> = fields::all().filter(|f| is(f.decision(ENGINE))).collect();
        let _ = writeln!(out, "| {title} | {} |", listed(&fields));
        counts.push(fields.iter().map(|f| 1 + f.parts.len()).sum::<usize>());
    }
    let total: usize = counts.iter().sum();
    let counts = counts.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let _ = writeln!(
        out,
        "\nThe {total} fields of a create request, nested ones too, in the order of the rows: {counts}. The memory engine, which runs\n\
         nothing, warns of everything that would need a process."
    );
    out
}

/// Fields with the same remark stand together; those without one come first.
fn listed(fields: &[&'static Field]) -> String {
    let mut groups: Vec<(&str, Vec<String>)> = vec![("", Vec::new())];
    for field in fields {
        let (name, remark) = shown(field);
        match groups.iter_mut().find(|(r, _)| *r == remark) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => groups.push((remark, vec![name])),
        }
    }
    let text = |(remark, names): &(&str, Vec<String>)| match *remark {
        "" => names.join(" "),
        remark => format!("{} ({remark})", names.join(" ")),
    };
    groups.iter().filter(|(_, names)| !names.is_empty()).map(text).collect::<Vec<_>>().join("; ")
}

fn shown(field: &'static Field) -> (String, &'static str) {
    let name = match field.flags {
        "" => format!("`{}`", field.name.rsplit_once('.').map_or(field.name, |(_, last)| last)),
        flags => format!("`{flags}`"),
    };
    let remark = match field.decision(ENGINE) {
        Decision::Honoured | Decision::Refused(_) => field.remark,
        Decision::Warned(why) | Decision::Discarded(why) | Decision::NotYet(why) | Decision::Ignored(why) => why,
    };
    (name, remark)
}

//! `lighter doctor`: what the daemon sees and what the command sees, also when there is no daemon.

use super::Asker;
use crate::client::Target;
use crate::local;
use crate::show::{self, text};
use lighter_wire::lighter::{Finding, Findings};
use std::process::ExitCode;

/// Fails when something is a problem.
pub async fn run(asker: &Asker) -> anyhow::Result<ExitCode> {
    let mut found = local::findings(asker.client.socket());
    match asker.client.get::<Findings>(&Target::new("doctor")).await {
        Ok(findings) => found.extend(findings.items),
        Err(error) => found.push(Finding {
            subject: "daemon".to_owned(),
            verdict: "problem".to_owned(),
            found: format!("{error:#}"),
            advice: "what only the daemon can see is not looked at".to_owned(),
        }),
    }
    let problem = found.iter().any(|f| f.verdict == "problem");
    let code = if problem { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if asker.json {
        show::json(found)?;
        return Ok(code);
    }
    for Finding { subject, verdict, found, advice } in &found {
        let mark = match verdict.as_str() {
            "good" => "ok",
            "note" => "--",
            "warning" => "!!",
            _ => "XX",
        };
        show::line(&text::inert(&format!("{mark}  {subject:<16} {found}")))?;
        if !advice.is_empty() {
            show::line(&text::inert(&format!("{:21}-> {advice}", "")))?;
        }
    }
    Ok(code)
}

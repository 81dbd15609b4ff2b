//! `lighter store`

use super::Asker;
use crate::args::Store;
use crate::client::Target;
use crate::show;
use anyhow::Context as _;
use http_body_util::BodyExt as _;
use lighter_wire::lighter::Check;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

pub async fn run(asker: &Asker, what: Store) -> anyhow::Result<ExitCode> {
    match what {
        Store::Backup { file } => backup(asker, &file).await.map(|()| ExitCode::SUCCESS),
        Store::Check => check(asker).await,
    }
}

async fn check(asker: &Asker) -> anyhow::Result<ExitCode> {
    let check: Check = asker.client.get(&Target::new("store/check")).await?;
    let code = if check.sound { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if asker.json {
        show::json([check])?;
    } else if check.sound {
        show::line("the database is sound")?;
    } else {
        check.faults.iter().try_for_each(|fault| show::line(&show::text::inert(fault)))?;
    }
    Ok(code)
}

/// The file is whole, or not there.
async fn backup(asker: &Asker, file: &Path) -> anyhow::Result<()> {
    let shown = file.display();
    let mut out =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).with_context(|| format!("cannot make {shown}"))?;
    let copied = async {
        let mut body = asker.client.stream(&Target::new("store/backup")).await?;
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.context("the copy broke off")?.into_data() {
                size += data.len();
                out.write_all(&data)?;
            }
        }
        out.sync_all()?;
        anyhow::Ok(size)
    };
    match copied.await {
        Ok(size) => Ok(show::line(&format!("{shown}: {size} bytes, readable by you alone"))?),
        Err(error) => {
            // It is half a copy at best.
            let _ = std::fs::remove_file(file);
            Err(error.context(format!("{shown} was not written")))
        }
    }
}

//! `lighter gc`

use super::Asker;
use crate::args::Gc;
use crate::client::Target;
use crate::show::{self, table::Table};
use lighter_wire::human;
use lighter_wire::lighter::Collection;

pub async fn run(asker: &Asker, how: &Gc) -> anyhow::Result<()> {
    let Gc { dry_run, keep_duration, max_used_space } = how;
    let target = Target::new("gc").with_all("keepDuration", keep_duration).with_all("maxUsedSpace", max_used_space);
    let done: Collection = if *dry_run { asker.client.get(&target).await? } else { asker.client.post(&target).await? };
    if asker.json {
        return show::json([done]);
    }
    if done.keep_seconds.is_none() && done.max_used_space.is_none() {
        show::line("The daemon has no policy: give --keep-duration or --max-used-space.")?;
        return Ok(());
    }
    if !done.images.is_empty() {
        let mut table = Table::new(&["IMAGE", "NAMES", "SIZE", "LAST USED", "REASON"]);
        for image in &done.images {
            let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
            table.row([
                id.chars().take(12).collect(),
                image.names.join(" "),
                human::size(image.size),
                image.last_used.clone(),
                image.reason.clone(),
            ]);
        }
        table.print()?;
    }
    let freed = human::size(done.size_before.saturating_sub(done.size_after));
    let (what, left) = (if *dry_run { "Would free" } else { "Freed" }, human::size(done.size_after));
    Ok(show::line(&format!("{what} {freed}; {left} are left."))?)
}

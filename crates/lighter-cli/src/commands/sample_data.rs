//! `lighter sample-data`

use super::Asker;
use crate::client::Target;
use crate::show;
use lighter_wire::lighter::SampleData;

pub async fn run(asker: &Asker, containers: u32, seed: u64) -> anyhow::Result<()> {
    let target = Target::new("sample-data").with("containers", containers.to_string()).with("seed", seed.to_string());
    let made: SampleData = asker.client.post(&target).await?;
    if asker.json {
        return show::json([made]);
    }
    let SampleData { containers, images, volumes, networks, stacks } = made;
    if containers + images == 0 {
        show::line("there are containers already: nothing was made")?;
        return Ok(());
    }
    let said = format!("made {containers} containers, {images} images, {stacks} stacks, {volumes} volumes, {networks} networks");
    Ok(show::line(&said)?)
}

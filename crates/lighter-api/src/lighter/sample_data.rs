//! Things to look at, on an engine that has only records.

use crate::body::json;
use crate::call::{Answer, Call};
use crate::failure::Failure;
use http::StatusCode;
use lighter_core::Seeded;
use lighter_wire::lighter::SampleData;

pub async fn run(mut call: Call) -> Answer {
    call.drain().await?;
    call.only(&["containers", "seed"])?;
    let number = |name: &str| -> Result<u64, Failure> {
        let bad = || Failure::bad_request(format!("{name} must be a number"));
        call.query.integer(name).map_err(|_| bad())?.map_or(Ok(0), |n| u64::try_from(n).map_err(|_| bad()))
    };
    let random = u32::try_from(number("containers")?).unwrap_or(u32::MAX);
    let Seeded { containers, images, volumes, networks, stacks } = call.daemon.sample_data(random, number("seed")?).await?;
    Ok(json(StatusCode::OK, &SampleData { containers, images, volumes, networks, stacks }))
}

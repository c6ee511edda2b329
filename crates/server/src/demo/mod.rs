//! `lambent demo`.

use anyhow::Result;

use crate::args::DemoArguments;

pub fn run(_given: DemoArguments) -> Result<()> {
    anyhow::bail!("not yet")
}

//! `cargo xtask bench`: each figure beside its floor from the same run.

use anyhow::Result;

#[derive(clap::Args)]
pub struct Args {
    /// Only the measures whose name contains this.
    #[arg(long)]
    filter: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    anyhow::bail!("no measure is named {:?}", args.filter)
}

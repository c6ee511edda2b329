//! Figures.
use crate::lab::Lab;
pub fn run(_lab: &Lab) {}

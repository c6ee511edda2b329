//! What an environment may throw at us when nothing holds it back.
use crate::Case;
pub const ALL: &[Case] = &[];

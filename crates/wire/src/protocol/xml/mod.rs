//! XML to and from values, by the schema tables: the elements that awsQuery answers with, and both sides
//! of restXml.

mod read;
mod write;

pub use read::{is_well_formed, read};
pub use write::{Quirks, Writer, escape, namespace};

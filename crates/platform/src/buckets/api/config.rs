//! Buckets' configurations.

use wire::s3::Tag;

use crate::buckets::tags::Tags;

pub fn as_tags(tags: Vec<Tag>) -> Tags {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

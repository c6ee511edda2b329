//! Conditional requests: of reading, of a copy's source, and of writing.

use jiff::Timestamp;

use super::{
    error::{Code, Error, Result},
    rows::Version,
};

/// The conditions of a read, or on the source of a copy.
#[derive(Debug, Clone, Default)]
pub struct ReadConditions {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub if_modified_since: Option<Timestamp>,
    pub if_unmodified_since: Option<Timestamp>,
}

/// What a read is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadVerdict {
    Go,
    /// Not by the condition of this header.
    Failed(&'static str),
    NotModified(&'static str),
}

impl ReadConditions {
    /// By RFC 9110: entity tags come before times.
    pub fn verdict(&self, etag: &str, modified: Timestamp, now: Timestamp) -> ReadVerdict {
        // Times of headers are whole seconds.
        let modified = modified.as_second();
        if let Some(wanted) = &self.if_match {
            if !matches(wanted, etag) {
                return ReadVerdict::Failed("If-Match");
            }
        } else if let Some(since) = self.if_unmodified_since
            && modified > since.as_second()
        {
            return ReadVerdict::Failed("If-Unmodified-Since");
        }
        if let Some(unwanted) = &self.if_none_match {
            if matches(unwanted, etag) {
                return ReadVerdict::NotModified("If-None-Match");
            }
        } else if let Some(since) = self.if_modified_since
            && since <= now
            && modified <= since.as_second()
        {
            return ReadVerdict::NotModified("If-Modified-Since");
        }
        ReadVerdict::Go
    }

    pub fn check(&self, version: &Version, now: Timestamp) -> Result<()> {
        match self.verdict(&version.record.etag, version.modified, now) {
            ReadVerdict::Go => Ok(()),
            ReadVerdict::Failed(header) => Err(Error::precondition(header)),
            ReadVerdict::NotModified(_) => {
                Err(Error::not_modified()
                    .with_header("etag", format!("\"{}\"", version.record.etag)))
            }
        }
    }

    /// The same on the source of a copy, which is refused where a read would say it has not changed.
    pub fn check_source(&self, version: &Version, now: Timestamp) -> Result<()> {
        match self.verdict(&version.record.etag, version.modified, now) {
            ReadVerdict::Go => Ok(()),
            ReadVerdict::Failed(header) | ReadVerdict::NotModified(header) => {
                Err(Error::precondition(&format!("x-amz-copy-source-{header}")))
            }
        }
    }
}

/// Whether one of the entity tags of a header, with or without quotes, is this one.
fn matches(header: &str, etag: &str) -> bool {
    header
        .split(',')
        .map(|one| one.trim())
        .any(|one| one == "*" || bare(one) == etag)
}

/// An entity tag without its quotes.
pub fn bare(etag: &str) -> &str {
    let etag = etag.strip_prefix("W/").unwrap_or(etag);
    etag.trim_matches('"')
}

/// The conditions of a write, which are asked in its transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WriteConditions {
    #[default]
    None,
    /// There must not be an object.
    Absent,
    /// There must be this one.
    Match(String),
}

impl WriteConditions {
    pub fn read(if_match: Option<&str>, if_none_match: Option<&str>) -> Result<Self> {
        let more = |header: &str, what: &str| {
            Error::header_not_implemented(header).with("additionalMessage", what)
        };
        match (if_match, if_none_match) {
            (None, None) => Ok(Self::None),
            (Some(_), Some(_)) => Err(more(
                "If-Match,If-None-Match",
                "Multiple conditional request headers present in the request",
            )),
            (Some("*"), None) => Err(more(
                "If-Match",
                "We don't accept the provided value of If-Match header for this API",
            )),
            (Some(etag), None) => Ok(Self::Match(bare(etag).to_owned())),
            (None, Some("*")) => Ok(Self::Absent),
            (None, Some(_)) => Err(more(
                "If-None-Match",
                "We don't accept the provided value of If-None-Match header for this API",
            )),
        }
    }

    /// `current` is what there is, a delete marker too. `crossed`: somebody wrote or deleted the
    /// object since the multipart upload began, if it is one that is to be completed.
    pub fn check(&self, key: &str, current: Option<&Version>, crossed: bool) -> Result<()> {
        let current = current.filter(|current| !current.is_marker);
        let conflict = |condition: &str| {
            let message = "The conditional request cannot succeed due to a conflicting operation \
                           against this resource.";
            Error::new(Code::ConditionalRequestConflict, message)
                .with("Condition", condition)
                .with("Key", key)
        };
        match (self, current) {
            (Self::None, _) => Ok(()),
            (Self::Absent, Some(_)) => Err(Error::precondition("If-None-Match")),
            (Self::Absent, None) if crossed => Err(conflict("If-None-Match")),
            (Self::Absent, None) => Ok(()),
            (Self::Match(_), None) => Err(Error::no_key(key)),
            (Self::Match(_), Some(_)) if crossed => Err(conflict("If-Match")),
            (Self::Match(etag), Some(current)) if current.record.etag == *etag => Ok(()),
            (Self::Match(_), Some(_)) => Err(Error::precondition("If-Match")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn tags_come_before_times() {
        let go = ReadVerdict::Go;
        let failed = ReadVerdict::Failed;
        let not_modified = ReadVerdict::NotModified;
        for (if_match, if_none_match, since, unmodified_since, expect) in [
            (None, None, None, None, go),
            (Some("\"e\""), None, None, Some(5), go),
            (Some("\"x\", \"e\""), None, None, None, go),
            (Some("x"), None, None, None, failed("If-Match")),
            (None, None, None, Some(9), failed("If-Unmodified-Since")),
            (None, None, None, Some(10), go),
            (None, Some("e"), None, None, not_modified("If-None-Match")),
            (None, Some("*"), None, None, not_modified("If-None-Match")),
            (None, Some("x"), Some(15), None, go),
            (
                None,
                None,
                Some(10),
                None,
                not_modified("If-Modified-Since"),
            ),
            (None, None, Some(9), None, go),
            // A time that has not come is passed over.
            (None, None, Some(30), None, go),
        ] {
            let conditions = ReadConditions {
                if_match: if_match.map(str::to_owned),
                if_none_match: if_none_match.map(str::to_owned),
                if_modified_since: since.map(at),
                if_unmodified_since: unmodified_since.map(at),
            };
            assert_eq!(
                conditions.verdict("e", at(10), at(20)),
                expect,
                "{conditions:?}"
            );
        }
    }
}

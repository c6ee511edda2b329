//! The header Range, of which S3 takes one range of bytes.

use super::error::{Code, Error, Result};

/// Bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: u64,
    pub len: u64,
}

impl Span {
    /// The value of Content-Range.
    pub fn header(self, size: u64) -> String {
        let last = (self.from + self.len).saturating_sub(1);
        format!("bytes {}-{last}/{size}", self.from)
    }
}

/// What a header asks for of an object of this size; none if it is to be passed over, as one is that
/// is not understood.
pub fn resolve(header: &str, size: u64) -> Result<Option<Span>> {
    let Some((first, last)) = parse(header) else {
        return Ok(None);
    };
    let unsatisfiable = || {
        Error::new(Code::InvalidRange, "The requested range is not satisfiable")
            .with("RangeRequested", header)
            .with("ActualObjectSize", size.to_string())
            .with_header("content-range", format!("bytes */{size}"))
    };
    let (from, to) = match (first, last) {
        (Some(first), Some(last)) if last < first => return Ok(None),
        (Some(first), last) => {
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            (first, end)
        }
        (None, Some(count)) if count > 0 => (size.saturating_sub(count), size),
        _ => return Err(unsatisfiable()),
    };
    match from < to {
        true => Ok(Some(Span {
            from,
            len: to - from,
        })),
        false => Err(unsatisfiable()),
    }
}

/// First and last byte; without the first the last is a count from the end.
fn parse(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, range) = header.split_once('=')?;
    let (first, last) = range.split_once('-')?;
    if unit.trim() != "bytes" || range.contains(',') {
        return None;
    }
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Some(text.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    match (number(first)?, number(last)?) {
        (None, None) => None,
        range => Some(range),
    }
}

/// The range of a source that a part is copied from: whole, as `bytes=first-last`.
pub fn of_copy(header: &str, size: u64) -> Result<Span> {
    let invalid = || {
        Error::argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy",
            "x-amz-copy-source-range",
            header,
        )
    };
    let Some((Some(first), Some(last))) = parse(header) else {
        return Err(invalid());
    };
    if last < first {
        return Err(invalid());
    }
    if last >= size {
        let message = format!("Range specified is not valid for source object of size: {size}");
        return Err(Error::argument(message, "x-amz-copy-source-range", header));
    }
    Ok(Span {
        from: first,
        len: last - first + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_what_there_is() {
        let span = |from, len| Some(Some(Span { from, len }));
        for (header, size, expect) in [
            ("bytes=0-3", 10, span(0, 4)),
            ("bytes=8-100", 10, span(8, 2)),
            ("bytes=4-", 10, span(4, 6)),
            ("bytes=-3", 10, span(7, 3)),
            ("bytes=-30", 10, span(0, 10)),
            ("bytes=10-", 10, None),
            ("bytes=-0", 10, None),
            ("bytes=0-0", 0, None),
            ("bytes=5-2", 10, Some(None)),
            ("bytes=0-1,3-4", 10, Some(None)),
            ("bytes=x-1", 10, Some(None)),
            ("items=0-1", 10, Some(None)),
            ("bytes=-", 10, Some(None)),
        ] {
            assert_eq!(resolve(header, size).ok(), expect, "{header}");
        }
        assert_eq!(Span { from: 2, len: 3 }.header(10), "bytes 2-4/10");
    }
}

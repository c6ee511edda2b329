//! AWS's ways to write an instant.

use jiff::{
    Timestamp, civil,
    fmt::strtime,
    tz::{Offset, TimeZone},
};

use crate::schema::TimestampFormat;

/// Reads an instant in one of the models' formats.
pub fn parse(format: TimestampFormat, text: &str) -> Option<Timestamp> {
    match format {
        TimestampFormat::EpochSeconds => from_epoch_seconds(text.parse().ok()?),
        TimestampFormat::Iso8601 => parse_rfc3339(text),
        TimestampFormat::Rfc822 => parse_rfc822(text),
    }
}

/// Writes an instant in one of the models' formats.
pub fn print(format: TimestampFormat, at: Timestamp) -> String {
    match format {
        TimestampFormat::EpochSeconds => print_epoch_seconds(at),
        TimestampFormat::Iso8601 => {
            if at.subsec_nanosecond() == 0 {
                at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
            } else {
                at.to_string()
            }
        }
        TimestampFormat::Rfc822 => at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    }
}

/// Seconds since 1970 with at most milliseconds, as AWS sends them in JSON.
pub fn from_epoch_seconds(seconds: f64) -> Option<Timestamp> {
    let millis = (seconds * 1000.0).round();
    if !millis.is_finite() || millis.abs() > 9.0e15 {
        return None;
    }
    // In range by the check above; a fraction of a millisecond is below AWS's precision.
    #[allow(clippy::cast_possible_truncation)]
    Timestamp::from_millisecond(millis as i64).ok()
}

pub fn print_epoch_seconds(at: Timestamp) -> String {
    let millis = at.as_millisecond();
    match millis % 1000 {
        0 => (millis / 1000).to_string(),
        fraction => {
            let sign = if millis < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:03}", (millis / 1000).abs(), fraction.abs());
            text.trim_end_matches('0').to_owned()
        }
    }
}

/// `LastModified` of a function: `2024-05-01T09:30:00.123+0000`.
pub fn lambda_last_modified(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}

/// Function URL configurations: `2024-05-01T09:30:00.123456Z`.
pub fn iso8601_micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// S3's documents: `2024-05-01T09:30:00.000Z`. S3's instants are of whole seconds.
pub fn iso8601_millis(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// The time in a signature: `20240501T093000Z`.
pub fn iso8601_basic(at: Timestamp) -> String {
    // Written out, since every signed request pays for it.
    let at = Offset::UTC.to_datetime(at);
    let mut out = String::with_capacity(16);
    digits(&mut out, at.year().unsigned_abs() / 100);
    digits(&mut out, at.year().unsigned_abs() % 100);
    digits(&mut out, at.month().unsigned_abs().into());
    digits(&mut out, at.day().unsigned_abs().into());
    out.push('T');
    digits(&mut out, at.hour().unsigned_abs().into());
    digits(&mut out, at.minute().unsigned_abs().into());
    digits(&mut out, at.second().unsigned_abs().into());
    out.push('Z');
    out
}

/// Two digits of a number below 100.
fn digits(out: &mut String, number: u16) {
    for digit in [number / 10, number % 10] {
        out.push(char::from_digit(digit.into(), 10).unwrap_or('0'));
    }
}

/// Of all that ISO 8601 allows, the one form that AWS takes: `2024-05-01T09:30:00[.123]Z`.
fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let punctuated = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]
        .iter()
        .all(|(at, mark)| bytes.get(*at) == Some(mark));
    if !punctuated || !text.ends_with('Z') || text.contains(['[', ',']) {
        return None;
    }
    text.parse().ok()
}

/// The same with an offset too, or as a day alone, which begins at midnight: in XML.
pub fn parse_loosely(text: &str) -> Option<Timestamp> {
    let is_day = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    match is_day {
        true => {
            let day = text.parse::<civil::Date>().ok()?;
            Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
        }
        false => parse_rfc3339(text).or_else(|| text.parse().ok()),
    }
}

fn parse_rfc822(text: &str) -> Option<Timestamp> {
    let stem = text.strip_suffix(" GMT")?;
    let (whole, nanos) = match stem.rsplit_once('.') {
        Some((whole, fraction)) => (whole, fraction_nanos(fraction)?),
        None => (stem, 0),
    };
    let at = strtime::parse("%a, %d %b %Y %H:%M:%S", whole)
        .ok()?
        .to_datetime()
        .ok()?
        .to_zoned_datetime(TimeZone::UTC)
        .ok()?
        .timestamp();
    Timestamp::new(at.as_second(), nanos).ok()
}

fn fraction_nanos(digits: &str) -> Option<i32> {
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<9}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_aws_writes_them() {
        let at = Timestamp::new(1_714_555_800, 123_000_000).unwrap();
        let whole = Timestamp::new(1_714_555_800, 0).unwrap();
        assert_eq!(lambda_last_modified(at), "2024-05-01T09:30:00.123+0000");
        assert_eq!(iso8601_micros(at), "2024-05-01T09:30:00.123000Z");
        assert_eq!(iso8601_basic(at), "20240501T093000Z");
        assert_eq!(print_epoch_seconds(at), "1714555800.123");
        assert_eq!(print_epoch_seconds(whole), "1714555800");
        assert_eq!(
            print(TimestampFormat::Rfc822, at),
            "Wed, 01 May 2024 09:30:00 GMT"
        );
        assert_eq!(
            print(TimestampFormat::Iso8601, whole),
            "2024-05-01T09:30:00Z"
        );
    }

    #[test]
    fn instants_are_read_back() {
        let at = Timestamp::new(1_714_555_800, 0).unwrap();
        let check = |format, text| assert_eq!(parse(format, text), Some(at), "{text}");
        check(TimestampFormat::Rfc822, "Wed, 01 May 2024 09:30:00 GMT");
        check(TimestampFormat::Iso8601, "2024-05-01T09:30:00Z");
        check(TimestampFormat::EpochSeconds, "1714555800");
        assert_eq!(parse(TimestampFormat::EpochSeconds, "1e300"), None);
        assert_eq!(parse(TimestampFormat::Rfc822, "yesterday"), None);
        assert_eq!(
            parse(TimestampFormat::Iso8601, "2024-05-01T11:30:00+02:00"),
            None
        );
        assert_eq!(parse(TimestampFormat::Iso8601, "20240501T093000Z"), None);
    }
}

//! What a bucket may be called, and a key.

use super::{
    error::{Code, Error, Result},
    limits,
};

/// S3's rules for a new bucket: 3 to 63 small letters, digits, dots and hyphens, no IP address, and
/// none of the names that S3 keeps for itself.
pub fn is_bucket(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| allowed(*byte))
        && ends(bytes.first())
        && ends(bytes.last())
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !["xn--", "sthree-", "amzn-s3-demo-"]
            .iter()
            .any(|p| name.starts_with(p))
        && !["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"]
            .iter()
            .any(|s| name.ends_with(s))
}

pub fn check_bucket(name: &str) -> Result<()> {
    match is_bucket(name) {
        true => Ok(()),
        false => Err(Error::new(
            Code::InvalidBucketName,
            "The specified bucket is not valid.",
        )
        .with("BucketName", name)),
    }
}

pub fn check_key(key: &str) -> Result<()> {
    if key.len() > limits::KEY_BYTES_MAX {
        return Err(Error::new(Code::KeyTooLong, "Your key is too long")
            .with("Size", key.len().to_string())
            .with("MaxSizeAllowed", limits::KEY_BYTES_MAX.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_buckets_are_s3s() {
        for (name, expect) in [
            ("abc", true),
            ("my.bucket-1", true),
            ("ab", false),
            ("Abc", false),
            ("a_b", false),
            ("-abc", false),
            ("abc.", false),
            ("a..b", false),
            ("192.168.5.4", false),
            ("xn--abc", false),
            ("abc-s3alias", false),
        ] {
            assert_eq!(is_bucket(name), expect, "{name}");
        }
    }
}

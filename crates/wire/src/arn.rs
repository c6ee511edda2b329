//! Amazon Resource Names: `arn:partition:service:region:account:resource`.

use std::{fmt, str::FromStr};

/// A resource name in its six parts. The resource's own form is its service's business.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arn {
    pub partition: String,
    pub service: String,
    /// Empty for services that are global.
    pub region: String,
    /// Empty for what belongs to nobody, such as S3 buckets.
    pub account_id: String,
    /// May hold colons and slashes.
    pub resource: String,
}

impl Arn {
    pub fn new(service: &str, region: &str, account_id: &str, resource: impl Into<String>) -> Self {
        Self {
            partition: partition(region).to_owned(),
            service: service.to_owned(),
            region: region.to_owned(),
            account_id: account_id.to_owned(),
            resource: resource.into(),
        }
    }
}

/// The partition that a region is in.
pub fn partition(region: &str) -> &'static str {
    match region {
        r if r.starts_with("cn-") => "aws-cn",
        r if r.starts_with("us-gov-") => "aws-us-gov",
        r if r.starts_with("eusc-") => "aws-eusc",
        _ => "aws",
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            service,
            region,
            account_id,
            resource,
        } = self;
        write!(
            f,
            "arn:{partition}:{service}:{region}:{account_id}:{resource}"
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ARN")]
pub struct NotAnArn;

impl FromStr for Arn {
    type Err = NotAnArn;

    fn from_str(text: &str) -> Result<Self, NotAnArn> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().ok_or(NotAnArn);
        if next()? != "arn" {
            return Err(NotAnArn);
        }
        let arn = Self {
            partition: next()?.to_owned(),
            service: next()?.to_owned(),
            region: next()?.to_owned(),
            account_id: next()?.to_owned(),
            resource: next()?.to_owned(),
        };
        let complete =
            !arn.partition.is_empty() && !arn.service.is_empty() && !arn.resource.is_empty();
        if complete { Ok(arn) } else { Err(NotAnArn) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_read_and_written() {
        for text in [
            "arn:aws:lambda:us-east-1:123456789012:function:resize:1",
            "arn:aws:s3:::bucket/key:with/all",
            "arn:aws-cn:iam::123456789012:role/service-role/x",
        ] {
            assert_eq!(text.parse::<Arn>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "arn",
            "arn:aws:lambda:us-east-1:1",
            "arn:aws:lambda:r:1:",
            "x:a:b:c:d:e",
        ] {
            assert_eq!(text.parse::<Arn>(), Err(NotAnArn), "{text}");
        }
        let made = Arn::new("lambda", "cn-north-1", "123456789012", "function:f");
        assert_eq!(
            made.to_string(),
            "arn:aws-cn:lambda:cn-north-1:123456789012:function:f"
        );
    }
}

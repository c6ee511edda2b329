//! What can be subscribed: protocols, and what their endpoints look like.

use wire::arn::Arn;

use super::{
    error::{Error, Result},
    limits,
};

/// An endpoint that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub protocol: &'static str,
    pub address: String,
    /// Whose it is; none of an HTTP endpoint.
    pub owner: Option<String>,
}

/// Checks what Subscribe is given.
pub fn check(protocol: &str, endpoint: Option<&str>, topic_is_fifo: bool) -> Result<Endpoint> {
    let unsupported = |what: &str| {
        Err(Error::NotSupported(format!(
            "send {what}: subscriptions of the protocol {protocol}"
        )))
    };
    let protocol = match protocol {
        "sqs" => "sqs",
        "lambda" => "lambda",
        "http" => "http",
        "https" => "https",
        "email" | "email-json" => return unsupported("e-mail"),
        "sms" => return unsupported("text messages"),
        "application" => return unsupported("push notifications"),
        "firehose" => return unsupported("to Firehose"),
        other => {
            return Err(Error::parameter(format!(
                "Amazon SNS does not support this protocol string: {other}"
            )));
        }
    };
    let address = endpoint.unwrap_or_default();
    if address.is_empty() || address.len() > limits::ENDPOINT_LENGTH_MAX {
        return Err(Error::parameter("Endpoint"));
    }
    if topic_is_fifo && protocol != "sqs" {
        return Err(Error::parameter(format!(
            "Invalid protocol type: {protocol}"
        )));
    }
    let owner = match protocol {
        "sqs" => Some(queue(address, topic_is_fifo)?),
        "lambda" => Some(function(address)?),
        scheme => {
            url(address, scheme)?;
            None
        }
    };
    Ok(Endpoint {
        protocol,
        address: address.to_owned(),
        owner,
    })
}

fn queue(address: &str, topic_is_fifo: bool) -> Result<String> {
    let arn: Option<Arn> = address.parse().ok();
    let arn = arn.filter(|arn| arn.service == "sqs" && !arn.account_id.is_empty());
    let arn = arn.ok_or_else(|| Error::parameter("SQS endpoint ARN"))?;
    if arn.resource.ends_with(".fifo") && !topic_is_fifo {
        return Err(Error::parameter(
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard \
             SNS topics",
        ));
    }
    Ok(arn.account_id)
}

fn function(address: &str) -> Result<String> {
    let arn: Option<Arn> = address.parse().ok();
    let arn = arn.filter(|arn| wire::lambda::function_of(arn).is_some());
    let arn = arn.ok_or_else(|| Error::parameter("Lambda endpoint ARN"))?;
    Ok(arn.account_id)
}

fn url(address: &str, scheme: &str) -> Result<()> {
    let begins = format!("{scheme}://");
    let Some(rest) = address.strip_prefix(&begins) else {
        return Err(Error::parameter(
            "Endpoint must match the specified protocol",
        ));
    };
    let uri: Option<http::Uri> = address.parse().ok();
    match uri.filter(|uri| uri.host().is_some_and(|host| !host.is_empty())) {
        Some(_) if !rest.is_empty() => Ok(()),
        _ => Err(Error::parameter("Endpoint")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_what_their_protocols_say() {
        let queue = "arn:aws:sqs:eu-west-1:123456789012:q";
        let checked = check("sqs", Some(queue), false).expect("good");
        assert_eq!(checked.owner.as_deref(), Some("123456789012"));
        let function = "arn:aws:lambda:eu-west-1:123456789012:function:f:live";
        assert!(check("lambda", Some(function), false).is_ok());
        assert!(check("http", Some("http://example.com/x?y=1"), false).is_ok());
        let said = |protocol, endpoint: &str, is_fifo| {
            let refused = check(protocol, Some(endpoint), is_fifo);
            refused.expect_err("it is refused").to_string()
        };
        assert_eq!(
            said("sqs", "http://q", false),
            "Invalid parameter: SQS endpoint ARN"
        );
        assert!(said("sqs", &format!("{queue}.fifo"), false).contains("can not be subscribed"));
        assert!(said("lambda", function, true).contains("Invalid protocol type: lambda"));
        assert!(said("https", "http://x", false).contains("must match the specified protocol"));
        assert!(said("sms", "+1", false).contains("text messages"));
        assert!(said("telex", "x", false).contains("does not support this protocol string: telex"));
    }
}

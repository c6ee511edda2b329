//! Function URLs: payload format 2.0, from an HTTP request to the event that the function receives,
//! and from what the function answers to the HTTP response.
//!
//! Nothing is looked up here: whose URL it is, and whether the caller may, is decided elsewhere. A body goes to the function as text only
//! where AWS's front takes it for text; all else is base64.

mod cors;
mod request;
mod response;

pub use cors::{apply as apply_cors, preflight};
pub use request::{Iam, UrlContext, event};
pub use response::{
    HTTP_INTEGRATION, forbidden, internal_server_error, response, stream_head_end, stream_headed,
    stream_plain, stream_response,
};

/// The URL's id and region in a host name: `<id>.lambda-url.<region>.<any domain>[:port]`.
pub fn parse_host(host: &str) -> Option<(&str, &str)> {
    let (id, rest) = host.split_once('.')?;
    let (region, domain) = rest.strip_prefix("lambda-url.")?.split_once('.')?;
    (!id.is_empty() && !region.is_empty() && !domain.is_empty()).then_some((id, region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_name_the_url_and_its_region() {
        let check = |host, expect| assert_eq!(parse_host(host), expect, "{host}");
        check(
            "abc.lambda-url.us-east-1.localhost:4566",
            Some(("abc", "us-east-1")),
        );
        check(
            "abc.lambda-url.eu-west-1.on.aws",
            Some(("abc", "eu-west-1")),
        );
        check("lambda.us-east-1.localhost", None);
        check("abc.lambda-url.us-east-1", None);
        check(".lambda-url.us-east-1.localhost", None);
    }
}

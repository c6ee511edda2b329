//! Requests to the platform: raw, or signed once and sent many times, as a signature holds for
//! minutes and a client's signing is not what is measured.

use std::time::SystemTime;

use anyhow::{Context, Result};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header::HOST};
use http_body_util::Full;

pub const REGION: &str = "us-east-1";
pub const KEY: &str = "test";

pub type Body = Full<Bytes>;

/// A request that can be sent any number of times.
#[derive(Clone)]
pub struct Template {
    request: Request<Bytes>,
}

impl Template {
    /// Unsigned, to `authority` (`127.0.0.1:4566`) with `host` as its name where that differs.
    pub fn raw(
        method: Method,
        authority: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Self> {
        let uri: Uri = path.parse().context("parse a path")?;
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(HOST, authority)
            .body(body.into())
            .context("build a request")?;
        Ok(Template { request })
    }

    /// Signed for Lambda, as AWS's SDKs sign.
    pub fn signed(
        method: Method,
        authority: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Self> {
        Self::signed_for("lambda", method, authority, path, body)
    }

    /// Signed for a service by its signing name.
    pub fn signed_for(
        service: &str,
        method: Method,
        authority: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Self> {
        let mut template = Template::raw(method, authority, path, body)?;
        let request = &mut template.request;
        let identity = Credentials::new(KEY, KEY, None, None, "bench").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .context("describe a signature")?;
        let url = format!("http://{authority}{path}");
        let headers = [("host", authority)];
        let signable = SignableRequest::new(
            request.method().as_str(),
            url,
            headers.into_iter(),
            SignableBody::Bytes(request.body()),
        )
        .context("read the request to sign")?;
        let (instructions, _) = sign(signable, &parameters.into())
            .context("sign")?
            .into_parts();
        for (name, value) in instructions.headers() {
            let value = HeaderValue::from_str(value).context("read a signed header")?;
            let name: http::HeaderName = name.parse().context("read a signed header's name")?;
            request.headers_mut().insert(name, value);
        }
        Ok(template)
    }

    /// With a header that is not signed.
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        let value = HeaderValue::from_static(value);
        self.request.headers_mut().insert(name, value);
        self
    }

    pub fn to_request(&self) -> Request<Body> {
        self.request.clone().map(Full::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_request_names_its_credential() {
        let path = "/2015-03-31/functions/a/invocations";
        let template =
            Template::signed(Method::POST, "127.0.0.1:4566", path, "{}").expect("signed");
        let request = template.to_request();
        let authorization = request.headers()["authorization"]
            .to_str()
            .expect("it is text");
        assert!(
            authorization.starts_with("AWS4-HMAC-SHA256 Credential=test/"),
            "{authorization}"
        );
        assert!(authorization.contains("/us-east-1/lambda/aws4_request"));
        assert!(request.headers().contains_key("x-amz-date"));
        assert_eq!(request.uri().path(), path);
    }
}

//! A client of the platform: where AWS_ENDPOINT_URL points, signed as AWS wants it.

use std::{env, fmt::Write, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

const ELSEWHERE: &str = "Start one with `lambent up`, or name a running one in AWS_ENDPOINT_URL.";
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4566";
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// For the head of an answer. What a function does takes 15 minutes at most.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const FUNCTION_WITHIN: Duration = Duration::from_secs(960);

#[derive(Debug, Clone)]
pub struct Client {
    /// `host:port`
    authority: String,
    access_key_id: String,
    secret_access_key: String,
    region: String,
    answer_within: Duration,
}

/// What the platform answered.
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).context("the platform's answer is not JSON")
    }

    /// The answer if it is good, else the platform's own words.
    pub fn good(self) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        let code = self.error().to_owned();
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let message = ["message", "Message"].map(|name| body[name].as_str());
        let message = message
            .into_iter()
            .flatten()
            .next()
            .unwrap_or("no reason given");
        let hint = match self.status {
            StatusCode::FORBIDDEN => {
                "\nThe platform knows callers by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            }
            _ => "",
        };
        match code.as_str() {
            "" => bail!("{message} (HTTP {}){hint}", self.status.as_u16()),
            code => bail!("{message} ({code}){hint}"),
        }
    }

    /// The error's code, or nothing.
    pub fn error(&self) -> &str {
        let code = self.header("x-amzn-errortype").unwrap_or_default();
        code.split(':').next().unwrap_or_default()
    }
}

impl Client {
    pub fn from_environment() -> Result<Self> {
        let named = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = named("AWS_ENDPOINT_URL").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let mut client = Self::new(&endpoint)?;
        if let Some(id) = named("AWS_ACCESS_KEY_ID") {
            client.access_key_id = id;
        }
        if let Some(secret) = named("AWS_SECRET_ACCESS_KEY") {
            client.secret_access_key = secret;
        }
        if let Some(region) = named("AWS_REGION").or_else(|| named("AWS_DEFAULT_REGION")) {
            client.region = region;
        }
        Ok(client)
    }

    /// With the credentials of development mode.
    pub fn new(endpoint: &str) -> Result<Self> {
        let rest = endpoint.strip_prefix("http://").with_context(|| {
            format!("the platform's address {endpoint} has to begin with http://")
        })?;
        let authority = rest.trim_end_matches('/');
        let authority = match authority.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
            _ => format!("{authority}:80"),
        };
        Ok(Client {
            authority,
            access_key_id: "test".to_owned(),
            secret_access_key: "test".to_owned(),
            region: "us-east-1".to_owned(),
            answer_within: ANSWER_WITHIN,
        })
    }

    /// One that waits as long as a function may take.
    pub fn patient(self) -> Self {
        Client {
            answer_within: FUNCTION_WITHIN,
            ..self
        }
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    /// A signed request, answered whole.
    pub async fn send(&self, method: Method, target: &str, body: Bytes) -> Result<Answer> {
        self.send_with(method, target, body, &[]).await
    }

    pub async fn send_with(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let response = self.open(method, target, body, headers).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.context("read the platform's answer")?;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }

    pub async fn get(&self, target: &str) -> Result<Answer> {
        self.send(Method::GET, target, Bytes::new()).await
    }

    pub async fn post(&self, target: &str, body: &Value) -> Result<Answer> {
        self.send(Method::POST, target, body.to_string().into())
            .await
    }

    pub async fn put(&self, target: &str, body: &Value) -> Result<Answer> {
        self.send(Method::PUT, target, body.to_string().into())
            .await
    }

    /// A signed request, its answer still to be read.
    pub async fn open(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Result<http::Response<Incoming>> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).context("make a request")?.into_parts();
        self.sign(&mut parts, &body)?;
        let response = self
            .raw(Request::from_parts(parts, Full::new(body)))
            .await?;
        // The platform names every request that it answers.
        ensure!(
            response.headers().contains_key("x-amzn-requestid"),
            "what answers at http://{} is no Lambent: HTTP {} without a request id\n{ELSEWHERE}",
            self.authority,
            response.status().as_u16()
        );
        Ok(response)
    }

    /// A request as it is, to the platform's address.
    pub async fn raw(&self, request: Request<Full<Bytes>>) -> Result<http::Response<Incoming>> {
        let connected = timeout(CONNECT_WITHIN, TcpStream::connect(&self.authority)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => bail!("{}", self.not_there(&error.to_string())),
            Err(_) => bail!("{}", self.not_there("it does not answer")),
        };
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .context("speak to the platform")?;
        tokio::spawn(connection);
        match timeout(self.answer_within, sender.send_request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(error).with_context(|| {
                format!("no answer from the platform at http://{}", self.authority)
            }),
            Err(_) => bail!("{}", self.not_there("it does not answer")),
        }
    }

    fn not_there(&self, why: &str) -> String {
        format!(
            "no platform at http://{}: {why}\n{ELSEWHERE}",
            self.authority
        )
    }

    /// Signature Version 4, in the header.
    fn sign(&self, parts: &mut http::request::Parts, body: &[u8]) -> Result<()> {
        let at = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{}/{}/lambda/aws4_request", &at[..8], self.region);
        let path = parts.uri.path().split('/').map(crate::percent::encode);
        let path = path.collect::<Vec<_>>().join("/");
        let mut pairs: Vec<_> = crate::percent::pairs(parts.uri.query().unwrap_or_default())
            .map(|(name, value)| {
                let (name, value) = (
                    crate::percent::encode(&name),
                    crate::percent::encode(&value),
                );
                format!("{name}={value}")
            })
            .collect();
        pairs.sort();
        let canonical = format!(
            "{}\n{path}\n{}\nhost:{}\nx-amz-date:{at}\n\nhost;x-amz-date\n{}",
            parts.method,
            pairs.join("&"),
            self.authority,
            hex(digest::digest(&digest::SHA256, body).as_ref())
        );
        let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let to_sign = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{hash}");
        let mut key = format!("AWS4{}", self.secret_access_key).into_bytes();
        for part in scope.split('/').chain([to_sign.as_str()]) {
            let signing = hmac::Key::new(hmac::HMAC_SHA256, &key);
            key = hmac::sign(&signing, part.as_bytes()).as_ref().to_vec();
        }
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={}",
            self.access_key_id,
            hex(&key)
        );
        let headers = &mut parts.headers;
        headers.insert(header::HOST, self.authority.parse()?);
        headers.insert("x-amz-date", at.parse()?);
        headers.insert(header::AUTHORIZATION, authorization.parse()?);
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use platform::identity::{Credential, Identity, Sender, Sessions};

    use super::*;

    #[test]
    fn the_platform_takes_its_signatures() {
        let mut client = Client::new("http://127.0.0.1:4566/").expect("an address");
        client.access_key_id = "AKIA".into();
        client.secret_access_key = "secret".into();
        let credential = Credential {
            access_key_id: "AKIA".into(),
            secret_access_key: "secret".into(),
            account_id: "123456789012".into(),
        };
        let sessions = Sessions::new().expect("there is randomness");
        let identity = Identity::new(&[credential], sessions);
        for target in [
            "/",
            "/a%3Ab/c?x=y%20z&b&a=1",
            "/2015-03-31/functions/?MaxItems=50",
        ] {
            let request = Request::builder().method("POST").uri(target).body(());
            let (mut parts, ()) = request.expect("a request").into_parts();
            client.sign(&mut parts, b"body").expect("it can be signed");
            let by = &Sender::Signature;
            let caller = identity.caller(by, &parts, b"body", Timestamp::now());
            assert_eq!(caller.expect(target).account_id, "123456789012");
        }
    }

    #[test]
    fn only_http_addresses_are_taken() {
        assert!(Client::new("https://x").is_err());
        assert_eq!(
            Client::new("http://x").expect("an address").authority,
            "x:80"
        );
    }
}

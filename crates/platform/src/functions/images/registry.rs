//! A client of OCI registries: just enough to read manifests and blobs, with anonymous and basic
//! access to tokens. What it is sent is bounded, and checked against the digests that it asked for.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use store::{BlobHash, BlobStore};
use tokio::time::timeout;

use super::{
    ImageError, Layer, limits,
    manifest::ACCEPT,
    reference::{RegistryReference, Version},
};

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Names and passwords by registry, as `docker login` keeps them.
#[derive(Debug, Clone, Default)]
pub struct Credentials(BTreeMap<String, String>);

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Deserialize)]
struct DockerAuth {
    auth: Option<String>,
}

impl Credentials {
    /// Reads Docker's `config.json`.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let file: DockerConfig = serde_json::from_str(text)?;
        let entries = file.auths.into_iter().filter_map(|(host, entry)| {
            let host = host
                .trim_start_matches("https://")
                .split('/')
                .next()?
                .to_owned();
            let host = match host.as_str() {
                "index.docker.io" | "docker.io" => "registry-1.docker.io".to_owned(),
                _ => host,
            };
            Some((host, entry.auth?))
        });
        Ok(Self(entries.collect()))
    }

    fn basic(&self, host: &str) -> Option<String> {
        self.0.get(host).map(|auth| format!("Basic {auth}"))
    }
}

/// A cheap handle.
#[derive(Clone)]
pub struct Registries {
    client: HttpClient,
    credentials: Arc<Credentials>,
}

impl Registries {
    pub fn new(credentials: Credentials) -> Result<Self, std::io::Error> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)?
            .https_or_http()
            .enable_http1()
            .build();
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(Duration::from_secs(30));
        Ok(Self {
            client: builder.build(connector),
            credentials: Arc::new(credentials),
        })
    }

    pub fn session<'a>(&'a self, reference: &'a RegistryReference) -> Session<'a> {
        Session {
            registries: self,
            reference,
            authorization: self.credentials.basic(&reference.host),
        }
    }
}

/// One image's requests, which share a token.
pub struct Session<'a> {
    registries: &'a Registries,
    reference: &'a RegistryReference,
    authorization: Option<String>,
}

impl Session<'_> {
    /// The bytes of a manifest or an index, and their digest.
    pub async fn manifest(&mut self, version: &Version) -> Result<(BlobHash, Bytes), ImageError> {
        let path = format!("manifests/{}", version.text());
        let answer = self.get(&path, Some(ACCEPT)).await?;
        let bytes = collect(answer, limits::MANIFEST_BYTES_MAX).await?;
        let found = BlobHash::of(&bytes);
        match version {
            Version::Digest(wanted) if *wanted != found => Err(ImageError::Invalid(format!(
                "its manifest has the digest sha256:{found}, and sha256:{wanted} was asked for"
            ))),
            _ => Ok((found, bytes)),
        }
    }

    /// A small blob.
    pub async fn configuration(&mut self, blob: BlobHash) -> Result<Bytes, ImageError> {
        let answer = self.get(&format!("blobs/sha256:{blob}"), None).await?;
        let bytes = collect(answer, limits::MANIFEST_BYTES_MAX).await?;
        match BlobHash::of(&bytes) == blob {
            true => Ok(bytes),
            false => Err(wrong_content(blob)),
        }
    }

    /// Puts a layer into the store.
    pub async fn layer(&mut self, layer: &Layer, blobs: &BlobStore) -> Result<(), ImageError> {
        let answer = self
            .get(&format!("blobs/sha256:{}", layer.blob), None)
            .await?;
        let mut body = answer.into_body();
        let mut writer = blobs.writer().await?;
        let mut length = 0_u64;
        while let Some(frame) = in_time(limits::PIECE_WITHIN, body.frame()).await? {
            let frame = frame.map_err(|error| unreachable_by(&error))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            length = length.saturating_add(data.len() as u64);
            if length > limits::IMAGE_BYTES_MAX {
                return Err(ImageError::TooLarge);
            }
            if length > layer.size {
                // Its digest is another too, if it has an end at all.
                return Err(wrong_content(layer.blob));
            }
            writer.write(data).await?;
        }
        match writer.finish().await?.hash == layer.blob {
            true => Ok(()),
            // What was stored instead is collected, as nothing refers to it.
            false => Err(wrong_content(layer.blob)),
        }
    }

    async fn get(
        &mut self,
        path: &str,
        accept: Option<&'static str>,
    ) -> Result<Response<Incoming>, ImageError> {
        let RegistryReference {
            host, repository, ..
        } = self.reference;
        let scheme = scheme(host);
        let uri = format!("{scheme}://{host}/v2/{repository}/{path}");
        let mut answer = self.follow(&uri, accept).await?;
        if answer.status() == StatusCode::UNAUTHORIZED
            && let Some(authorization) = self.authenticate(answer.headers()).await?
        {
            self.authorization = Some(authorization);
            answer = self.follow(&uri, accept).await?;
        }
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND => Err(ImageError::NotFound),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ImageError::Denied),
            other => Err(ImageError::Unreachable(format!("{host} answers {other}"))),
        }
    }

    /// Sends a request to wherever it is redirected; our authorization goes to the registry alone.
    async fn follow(
        &self,
        uri: &str,
        accept: Option<&'static str>,
    ) -> Result<Response<Incoming>, ImageError> {
        let mut uri: Uri = uri.parse().map_err(|_| bad_address())?;
        let own = uri.authority().cloned();
        let encrypted = uri.scheme_str() == Some("https");
        for _ in 0..=limits::REDIRECTS_MAX {
            let authorization = self.authorization.as_ref();
            let authorization = authorization.filter(|_| uri.authority() == own.as_ref());
            let answer = send(&self.registries.client, &uri, authorization, accept).await?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let location = answer.headers().get(header::LOCATION);
            let location = location.and_then(|location| location.to_str().ok());
            uri = redirected(&uri, location.ok_or_else(bad_address)?)?;
            if encrypted && uri.scheme_str() != Some("https") {
                return Err(bad_address());
            }
        }
        let why = "it redirects without end".to_owned();
        Err(ImageError::Unreachable(why))
    }

    /// What a registry wants to see after it has refused a request; none if we have nothing else.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<String>, ImageError> {
        let challenges = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let mut challenges = challenges.filter_map(|value| value.to_str().ok());
        let Some(challenge) = challenges.find_map(Bearer::read) else {
            return Ok(None);
        };
        let host = &self.reference.host;
        let uri: Uri = challenge.address().parse().map_err(|_| bad_address())?;
        let encrypted = uri.scheme_str() == Some("https");
        if scheme(host) == "https" && !encrypted {
            return Err(bad_address());
        }
        let basic = self.registries.credentials.basic(host);
        let answer = send(&self.registries.client, &uri, basic.as_ref(), None).await?;
        if !answer.status().is_success() {
            return Err(ImageError::Denied);
        }
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let bytes = collect(answer, limits::TOKEN_BYTES_MAX).await?;
        let token: Token = serde_json::from_slice(&bytes)
            .map_err(|error| ImageError::Unreachable(format!("its token: {error}")))?;
        let token = token
            .token
            .or(token.access_token)
            .ok_or(ImageError::Denied)?;
        Ok(Some(format!("Bearer {token}")))
    }
}

/// Registries on this machine mostly have no certificate; Docker makes the same exception.
fn scheme(host: &str) -> &'static str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let is_loopback = name == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if is_loopback { "http" } else { "https" }
}

/// A registry's word on where tokens are had.
#[derive(Debug, PartialEq, Eq)]
struct Bearer {
    realm: String,
    query: Vec<(String, String)>,
}

impl Bearer {
    fn read(challenge: &str) -> Option<Self> {
        let (kind, rest) = challenge.split_once(' ')?;
        if !kind.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut found = Self {
            realm: String::new(),
            query: Vec::new(),
        };
        let mut rest = rest.trim();
        while let Some((name, after)) = rest.split_once('=') {
            let after = after.strip_prefix('"')?;
            let (value, after) = after.split_once('"')?;
            match name.trim() {
                "realm" => found.realm = value.to_owned(),
                name @ ("service" | "scope") => {
                    found.query.push((name.to_owned(), value.to_owned()));
                }
                _ => {}
            }
            rest = after.trim_start_matches([',', ' ']);
        }
        (!found.realm.is_empty()).then_some(found)
    }

    fn address(&self) -> String {
        let mut address = self.realm.clone();
        for (name, value) in &self.query {
            address.push(if address.contains('?') { '&' } else { '?' });
            address.push_str(name);
            address.push('=');
            for byte in value.bytes() {
                match byte {
                    b if b.is_ascii_alphanumeric() || b"-._~:/,".contains(&b) => {
                        address.push(char::from(b));
                    }
                    other => address.push_str(&format!("%{other:02X}")),
                }
            }
        }
        address
    }
}

fn redirected(from: &Uri, location: &str) -> Result<Uri, ImageError> {
    if !location.starts_with('/') {
        return location.parse().map_err(|_| bad_address());
    }
    let mut parts = from.clone().into_parts();
    parts.path_and_query = Some(location.parse().map_err(|_| bad_address())?);
    Uri::from_parts(parts).map_err(|_| bad_address())
}

async fn send(
    client: &HttpClient,
    uri: &Uri,
    authorization: Option<&String>,
    accept: Option<&'static str>,
) -> Result<Response<Incoming>, ImageError> {
    let mut request = Request::get(uri.clone()).header(header::USER_AGENT, "lambent");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    if let Some(accept) = accept {
        request = request.header(header::ACCEPT, accept);
    }
    let request = request.body(Empty::new()).map_err(|_| bad_address())?;
    let answer = in_time(limits::ANSWER_WITHIN, client.request(request)).await?;
    answer.map_err(|error| unreachable_by(&error))
}

async fn collect(answer: Response<Incoming>, bytes_max: usize) -> Result<Bytes, ImageError> {
    let body = http_body_util::Limited::new(answer.into_body(), bytes_max);
    let collected = in_time(limits::PIECE_WITHIN, body.collect()).await?;
    let collected = collected.map_err(|error| unreachable_by(&*error))?;
    Ok(collected.to_bytes())
}

pub async fn in_time<T>(limit: Duration, act: impl Future<Output = T>) -> Result<T, ImageError> {
    let done = timeout(limit, act).await;
    done.map_err(|_| ImageError::Unreachable(format!("nothing came for {limit:?}")))
}

fn bad_address() -> ImageError {
    ImageError::Unreachable("it leads to an address that cannot be used".to_owned())
}

fn wrong_content(blob: BlobHash) -> ImageError {
    ImageError::Invalid(format!(
        "the content of sha256:{blob} is not what its digest says"
    ))
}

/// With its causes, as the outermost mostly says nothing.
fn unreachable_by(error: &(dyn std::error::Error + 'static)) -> ImageError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    ImageError::Unreachable(text)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};

    use super::*;

    /// A name and a password as they are sent.
    fn encoded(name: &str, password: &str) -> String {
        BASE64_STANDARD.encode(format!("{name}:{password}"))
    }

    #[test]
    fn challenges_are_read() {
        let challenge = "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",\
                         scope=\"repository:a/b:pull\"";
        let found = Bearer::read(challenge).unwrap();
        let expected =
            "https://auth.example/token?service=registry.example&scope=repository:a/b:pull";
        assert_eq!(found.address(), expected);
        for other in [
            "Basic realm=\"x\"",
            "Bearer",
            "Bearer service=\"x\"",
            "Bearer realm=x",
        ] {
            assert_eq!(Bearer::read(other), None, "{other}");
        }
    }

    #[test]
    fn this_machine_needs_no_certificate() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "[::1]:5000",
        ] {
            assert_eq!(scheme(host), "http", "{host}");
        }
        for host in ["registry.example", "127.0.0.1.example", "10.0.0.1:5000"] {
            assert_eq!(scheme(host), "https", "{host}");
        }
    }

    #[test]
    fn what_docker_login_keeps_is_read() {
        let auth = encoded("name", "password");
        let text = format!(
            "{{\"auths\": {{\"registry.example:5000\": {{\"auth\": \"{auth}\"}}, \
             \"https://index.docker.io/v1/\": {{\"auth\": \"eA==\"}}, \"other\": {{}}}}}}"
        );
        let found = Credentials::parse(&text).unwrap();
        assert_eq!(
            found.basic("registry.example:5000"),
            Some(format!("Basic {auth}"))
        );
        assert_eq!(
            found.basic("registry-1.docker.io"),
            Some("Basic eA==".to_owned())
        );
        assert_eq!(found.basic("other"), None);
    }
}

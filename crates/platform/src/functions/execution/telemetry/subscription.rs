//! What an extension asks for, and what is wrong with it.

use std::time::Duration;

use http::{Method, Uri};
use sandbox::Inward;
use serde_json::Value;

use super::{buffer::Buffering, delivery::Destination, event::Category};

/// The names of the place where extensions listen.
const HOSTS: [&str; 2] = ["sandbox.localdomain", "sandbox"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Telemetry,
    /// The older one.
    Logs,
}

impl Api {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Telemetry => "Telemetry",
            Self::Logs => "Logs",
        }
    }

    /// The event that says that there is one subscriber more.
    pub fn subscribed(self) -> &'static str {
        match self {
            Self::Telemetry => "platform.telemetrySubscription",
            Self::Logs => "platform.logsSubscription",
        }
    }

    fn versions(self) -> &'static [&'static str] {
        match self {
            Self::Telemetry => &["2022-07-01", "2022-12-13", "2025-01-29"],
            Self::Logs => &["2020-08-15", "2021-03-18"],
        }
    }

    fn items_default(self) -> u64 {
        match self {
            Self::Telemetry => 1000,
            Self::Logs => 10_000,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub api: Api,
    schema_version: String,
    pub types: Vec<Category>,
    pub buffering: Buffering,
    pub to: To,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    Http { uri: Uri, port: u16, method: Method },
    Tcp { port: u16 },
}

/// Everything that is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid(pub String);

impl Invalid {
    pub fn other_api() -> Self {
        Self("the extension has subscribed by the other API already".into())
    }
}

impl Subscription {
    pub fn of(api: Api, body: &[u8]) -> Result<Self, Invalid> {
        let asked: Value = serde_json::from_slice(body)
            .map_err(|error| Invalid(format!("Invalid JSON: {error}")))?;
        let mut wrong = Vec::new();
        let schema_version = schema_version(api, &asked["schemaVersion"], &mut wrong);
        let to = to(&asked["destination"], &mut wrong);
        let types = types(&asked["types"], &mut wrong);
        let buffering = buffering(api, &asked["buffering"], &mut wrong);
        match (to, wrong.is_empty()) {
            (Some(to), true) => Ok(Self {
                api,
                schema_version,
                types,
                buffering,
                to,
            }),
            _ => Err(Invalid(wrong.join("; "))),
        }
    }

    /// As the event has it that tells of it.
    pub fn types_told(&self) -> Vec<&'static str> {
        self.types.iter().map(|one| one.as_str()).collect()
    }

    /// Whether a line that is JSON is told as an object.
    pub fn takes_structured(&self) -> bool {
        self.schema_version.as_str() >= "2022-12-13"
    }

    /// Whether the Logs API tells of the runtime's end with a request.
    pub fn hears_of_runtimes(&self) -> bool {
        self.schema_version.as_str() >= "2021-03-18"
    }

    /// Where it is to go; by TCP somebody has to listen there.
    pub async fn open(&self, inward: &dyn Inward) -> Result<Destination, Invalid> {
        match &self.to {
            To::Http { uri, port, method } => Ok(Destination::http(uri, *port, method)),
            To::Tcp { port } => match inward.connect(*port).await {
                Ok(connection) => Ok(Destination::tcp(*port, connection)),
                Err(error) => Err(Invalid(format!(
                    "could not connect to TCP port {port} in the sandbox: {error}"
                ))),
            },
        }
    }
}

fn schema_version(api: Api, given: &Value, wrong: &mut Vec<String>) -> String {
    match given {
        // The Logs API had none at first.
        Value::Null if api == Api::Logs => api.versions()[0].to_owned(),
        Value::Null => {
            wrong.push("schemaVersion is not provided".into());
            String::new()
        }
        given => {
            let given = given.as_str().unwrap_or_default();
            if !api.versions().contains(&given) {
                let known = api.versions().join(", ");
                wrong.push(format!("schemaVersion must be one of: {known}"));
            }
            given.to_owned()
        }
    }
}

fn to(given: &Value, wrong: &mut Vec<String>) -> Option<To> {
    if given.is_null() {
        wrong.push("destination is not provided".into());
        return None;
    }
    match given["protocol"].as_str() {
        Some("HTTP") => to_http(given, wrong),
        Some("TCP") => {
            // The older API's clients give a port; the documentation of the newer has a URI.
            let port = match &given["port"] {
                Value::Null => of_uri(given, wrong)?.1,
                port => given_port(port, wrong)?,
            };
            Some(To::Tcp { port })
        }
        _ => {
            wrong.push("protocol must be HTTP or TCP".into());
            None
        }
    }
}

fn to_http(given: &Value, wrong: &mut Vec<String>) -> Option<To> {
    let method = match given["method"].as_str() {
        None | Some("POST") => Method::POST,
        Some("PUT") => Method::PUT,
        Some(_) => {
            wrong.push("method must be POST or PUT".into());
            return None;
        }
    };
    let encoding = &given["encoding"];
    if !encoding.is_null() && encoding != "JSON" {
        wrong.push("encoding must be JSON".into());
    }
    let (uri, port) = of_uri(given, wrong)?;
    if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
        wrong.push("URI scheme must be http".into());
    }
    Some(To::Http { uri, port, method })
}

fn of_uri(given: &Value, wrong: &mut Vec<String>) -> Option<(Uri, u16)> {
    let Some(text) = given["URI"].as_str().filter(|text| !text.is_empty()) else {
        wrong.push("URI is not provided".into());
        return None;
    };
    let Ok(uri) = text.parse::<Uri>() else {
        wrong.push("URI is not valid".into());
        return None;
    };
    if !uri.host().is_some_and(|host| HOSTS.contains(&host)) {
        wrong.push(format!("URI host must be {}", HOSTS[0]));
        return None;
    }
    match uri.port_u16() {
        Some(port) if port > 0 => Some((uri, port)),
        _ => {
            wrong.push("URI port is not provided".into());
            None
        }
    }
}

fn given_port(given: &Value, wrong: &mut Vec<String>) -> Option<u16> {
    let port = given.as_u64().and_then(|port| u16::try_from(port).ok());
    let port = port.filter(|port| *port > 0);
    if port.is_none() {
        wrong.push("port must be between 1 and 65535".into());
    }
    port
}

fn types(given: &Value, wrong: &mut Vec<String>) -> Vec<Category> {
    let given = given.as_array().map(Vec::as_slice).unwrap_or_default();
    if given.is_empty() {
        wrong.push("types should not be empty".into());
    }
    let mut types = Vec::new();
    for one in given {
        let known = Category::ALL
            .into_iter()
            .find(|category| one == category.as_str());
        match known {
            Some(category) if !types.contains(&category) => types.push(category),
            Some(_) => {}
            None => wrong.push(format!(
                "types must be platform, function or extension, not {one}"
            )),
        }
    }
    types
}

fn buffering(api: Api, given: &Value, wrong: &mut Vec<String>) -> Buffering {
    let mut number = |name: &str, default: u64, min: u64, max: u64| match &given[name] {
        Value::Null => default,
        value => match value.as_u64().filter(|value| (min..=max).contains(value)) {
            Some(value) => value,
            None => {
                wrong.push(format!("{name} must be between {min} and {max}"));
                default
            }
        },
    };
    let items = number("maxItems", api.items_default(), 1000, 10_000);
    let bytes = number("maxBytes", 262_144, 262_144, 1_048_576);
    let timeout_ms = number("timeoutMs", 1000, 25, 30_000);
    Buffering {
        items_max: items as usize,
        bytes_max: bytes as usize,
        timeout: Duration::from_millis(timeout_ms),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked() -> Value {
        json!({
            "schemaVersion": "2022-12-13",
            "types": ["platform", "function", "platform"],
            "buffering": {"maxItems": 2000, "timeoutMs": 25},
            "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/in"},
        })
    }

    fn check(api: Api, asked: &Value, expected: &str) {
        let said = Subscription::of(api, asked.to_string().as_bytes());
        assert_eq!(said, Err(Invalid(expected.into())));
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        let taken = Subscription::of(Api::Telemetry, asked().to_string().as_bytes()).unwrap();
        assert_eq!(taken.types, [Category::Platform, Category::Function]);
        assert_eq!(
            taken.buffering,
            Buffering {
                items_max: 2000,
                bytes_max: 262_144,
                timeout: Duration::from_millis(25),
            }
        );
        let To::Http { uri, port, method } = &taken.to else {
            panic!("{:?}", taken.to)
        };
        assert_eq!((uri.path(), *port, method), ("/in", 8080, &Method::POST));
        let older = json!({
            "types": ["function"],
            "destination": {"protocol": "TCP", "port": 9000},
        });
        let taken = Subscription::of(Api::Logs, older.to_string().as_bytes()).unwrap();
        assert_eq!(taken.to, To::Tcp { port: 9000 });
        assert_eq!(taken.buffering.items_max, 10_000);
        assert!(!taken.hears_of_runtimes());
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        let wrong = json!({
            "schemaVersion": "2022-07-01",
            "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain"},
            "types": [],
        });
        let expected = "URI port is not provided; types should not be empty";
        check(Api::Telemetry, &wrong, expected);
        let with = |path: &str, value: Value| {
            let mut changed = asked();
            *changed.pointer_mut(path).unwrap() = value;
            changed
        };
        let telemetry = |asked: &Value, expected| check(Api::Telemetry, asked, expected);
        telemetry(
            &with(
                "/buffering",
                json!({"maxItems": 999, "maxBytes": 1, "timeoutMs": 30_001}),
            ),
            "maxItems must be between 1000 and 10000; \
             maxBytes must be between 262144 and 1048576; timeoutMs must be between 25 and 30000",
        );
        telemetry(
            &with("/destination/URI", json!("http://example.com:80")),
            "URI host must be sandbox.localdomain",
        );
        telemetry(
            &with("/types", json!(["other"])),
            "types must be platform, function or extension, not \"other\"",
        );
        telemetry(
            &with("/schemaVersion", json!("2020-08-15")),
            "schemaVersion must be one of: 2022-07-01, 2022-12-13, 2025-01-29",
        );
        telemetry(
            &json!({}),
            "schemaVersion is not provided; destination is not provided; types should not be empty",
        );
    }
}

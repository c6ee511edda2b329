//! Operations by name: in `X-Amz-Target` for awsJson, at the path's end for rpcv2Cbor, as `Action` in
//! a form or a query string for awsQuery.

use http::{Method, StatusCode, header, request};

use super::{Labels, Route, Unrouted, trimmed};
use crate::{
    error::Error,
    protocol::Protocol,
    query,
    schema::{Operation, Service},
    sigv4,
};

/// A request in a form, whose operation is named in its query string or its body.
#[derive(Debug, Clone)]
pub struct ByAction {
    /// More than one only where no signature says which.
    services: Vec<&'static Service>,
    protocol: Protocol,
}

/// By `X-Amz-Target`, if it names a service that is here.
pub fn by_target(
    services: &[&'static Service],
    parts: &request::Parts,
) -> Option<Result<Route, Unrouted>> {
    let target = parts.headers.get("x-amz-target")?.to_str().ok()?;
    let (prefix, name) = target.rsplit_once('.')?;
    let named = |s: &&&'static Service| s.target_prefix == Some(prefix);
    let service = *services.iter().find(named)?;
    let json = |p: &&Protocol| matches!(p, Protocol::AwsJson1_0 | Protocol::AwsJson1_1);
    let protocol = *service.protocols.iter().find(json)?;
    Some(match service.operation(name) {
        Some(operation) if parts.method == Method::POST => Ok(Route {
            service,
            protocol,
            operation,
            labels: Labels::default(),
        }),
        _ => Err(unknown(service, protocol, name)),
    })
}

/// By a path that ends in `/service/{name}/operation/{name}`, where the client says that it speaks
/// rpcv2Cbor; what comes before is the endpoint's own.
pub fn by_service_path(
    services: &[&'static Service],
    parts: &request::Parts,
) -> Option<Result<Route, Unrouted>> {
    if parts.headers.get("smithy-protocol")?.as_bytes() != b"rpc-v2-cbor" {
        return None;
    }
    let mut steps = trimmed(parts.uri.path()).rsplit('/');
    let (name, operation_step) = (steps.next()?, steps.next()?);
    let (prefix, service_step) = (steps.next()?, steps.next()?);
    if (service_step, operation_step) != ("service", "operation") {
        return None;
    }
    let named = |s: &&&'static Service| {
        s.target_prefix == Some(prefix) && s.protocols.contains(&Protocol::RpcV2Cbor)
    };
    let service = *services.iter().find(named)?;
    let protocol = Protocol::RpcV2Cbor;
    Some(match service.operation(name) {
        Some(operation) if parts.method == Method::POST => Ok(Route {
            service,
            protocol,
            operation,
            labels: Labels::default(),
        }),
        _ => Err(unknown(service, protocol, name)),
    })
}

/// By form, if it is for a service that takes forms. One that is signed for such a service and is
/// none is refused here.
pub fn by_action(
    services: &[&'static Service],
    parts: &request::Parts,
) -> Option<Result<ByAction, Unrouted>> {
    let claim = sigv4::parse(parts);
    let forms = services.iter().copied().filter(takes_forms);
    let services: Vec<&'static Service> = match &claim {
        Some(claim) => forms.filter(|s| s.signing_name == claim.service).collect(),
        None => forms.collect(),
    };
    let &service = services.first()?;
    if is_form(parts) || in_query_string(parts, "Action").is_some() {
        let protocol = match parts.method == Method::GET && accepts_json(parts) {
            true => Protocol::AwsQueryInJson,
            false => Protocol::AwsQuery,
        };
        return Some(Ok(ByAction { services, protocol }));
    }
    // Who shows no service at all is nobody's client.
    claim?;
    Some(Err(Unrouted {
        service: Some(service),
        protocol: Protocol::AwsQuery,
        error: Error::new("UnknownOperationException", StatusCode::NOT_FOUND, ""),
    }))
}

impl ByAction {
    pub fn service(&self) -> &'static Service {
        // A request that no service could take is not made into one of these.
        self.services[0]
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The operation that the query string or the body names.
    pub fn route(&self, parts: &request::Parts, body: &[u8]) -> Result<Route, Unrouted> {
        let protocol = self.protocol;
        let named = in_query_string(parts, "Action").or_else(|| in_form(parts, body, "Action"));
        let Some(name) = named else {
            let message = "No action was supplied with this request";
            let error = Error::new("MissingAction", StatusCode::BAD_REQUEST, message);
            return Err(Unrouted {
                service: Some(self.service()),
                protocol,
                error,
            });
        };
        let found = self.services.iter().find_map(|service| {
            let operation = service.operation(&name)?;
            Some((*service, operation))
        });
        match found {
            Some((service, operation)) if is_there(service, operation, parts) => Ok(Route {
                service,
                protocol,
                operation,
                labels: Labels::default(),
            }),
            _ => Err(unknown(self.service(), protocol, &name)),
        }
    }
}

/// The URL of something is no place to make or list such things.
fn is_there(service: &Service, operation: &Operation, parts: &request::Parts) -> bool {
    let at_root = service.path_member.is_none() || trimmed(parts.uri.path()).is_empty();
    at_root || !operation.root_only
}

fn takes_forms(service: &&'static Service) -> bool {
    service.protocols.contains(&Protocol::AwsQuery)
}

fn is_form(parts: &request::Parts) -> bool {
    let media_type = parts.headers.get(header::CONTENT_TYPE);
    parts.method == Method::POST
        && media_type.is_some_and(|v| {
            v.as_bytes()
                .starts_with(b"application/x-www-form-urlencoded")
        })
}

fn accepts_json(parts: &request::Parts) -> bool {
    let accepted = parts.headers.get(header::ACCEPT);
    accepted.is_some_and(|v| v.as_bytes().starts_with(b"application/json"))
}

fn in_query_string(parts: &request::Parts, name: &str) -> Option<String> {
    first(parts.uri.query()?, name)
}

fn in_form(parts: &request::Parts, body: &[u8], name: &str) -> Option<String> {
    first(
        is_form(parts).then_some(std::str::from_utf8(body).ok()?)?,
        name,
    )
}

fn first(pairs: &str, name: &str) -> Option<String> {
    let (_, value) = query::pairs(pairs).find(|(n, _)| *n == name)?;
    Some(query::decode(value).into_owned())
}

/// What was sent for a name may be all of a request.
fn unknown(service: &'static Service, protocol: Protocol, name: &str) -> Unrouted {
    let message = format!("The action {name:.100} is not valid for this endpoint.");
    Unrouted {
        service: Some(service),
        protocol,
        error: Error::new(
            "UnknownOperationException",
            StatusCode::BAD_REQUEST,
            message,
        ),
    }
}

//! Stops in, the shortest round trip out: a function for `provided.al2023` behind a function URL.

mod route;

use std::time::Instant;

use base64::prelude::{BASE64_STANDARD, Engine};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What of a function URL's event is needed here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    request_context: Option<RequestContext>,
}

#[derive(Debug, Deserialize)]
struct RequestContext {
    http: Option<Http>,
}

#[derive(Debug, Deserialize)]
struct Http {
    method: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    status_code: u16,
    headers: Value,
    body: String,
}

#[derive(Debug, Deserialize)]
struct Order {
    stops: Vec<route::Stop>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Request>) -> Result<Response, Error> {
    Ok(respond(&event.payload))
}

fn respond(request: &Request) -> Response {
    let http = request
        .request_context
        .as_ref()
        .and_then(|context| context.http.as_ref());
    match http.map_or("POST", |http| http.method.as_str()) {
        "POST" => {}
        "GET" => {
            let usage = json!({ "usage": "POST stops, each with a name, lat and lon" });
            return answer(200, &usage);
        }
        _ => return answer(405, &json!({ "error": "POST stops" })),
    }
    let stops = match read(request) {
        Ok(stops) => stops,
        Err(problem) => {
            println!("refused: {problem}");
            return answer(400, &json!({ "error": problem }));
        }
    };
    let begin = Instant::now();
    let trip = route::shortest(&stops);
    let spent = begin.elapsed();
    println!(
        "{} stops, {} km, found in {spent:.1?}",
        stops.len(),
        trip.total_km
    );
    answer(200, &trip)
}

fn read(request: &Request) -> Result<Vec<route::Stop>, String> {
    let body = request.body.as_deref().unwrap_or_default();
    let order: Order = if request.is_base64_encoded {
        // Whatever is not text by its content type comes like this, what curl posts among it.
        let bytes = BASE64_STANDARD
            .decode(body)
            .map_err(|error| error.to_string())?;
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())?
    } else {
        serde_json::from_str(body).map_err(|error| error.to_string())?
    };
    match route::problem(&order.stops) {
        Some(problem) => Err(problem),
        None => Ok(order.stops),
    }
}

fn answer(status_code: u16, body: &impl Serialize) -> Response {
    let body = serde_json::to_string(body).unwrap_or_default();
    Response {
        status_code,
        headers: json!({ "content-type": "application/json" }),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(event: Value, status: u16, part: &str) {
        let request = serde_json::from_value(event).expect("an event");
        let response = respond(&request);
        assert_eq!(response.status_code, status, "{response:?}");
        assert!(response.body.contains(part), "{response:?}");
    }

    #[test]
    fn requests() {
        let get = json!({ "requestContext": { "http": { "method": "GET" } } });
        check(get, 200, "usage");
        let put = json!({ "requestContext": { "http": { "method": "PUT" } } });
        check(put, 405, "POST");
        check(json!({}), 400, "EOF");
        check(json!({ "body": "{}" }), 400, "missing field `stops`");
        check(json!({ "body": "{\"stops\":[]}" }), 400, "1 to 200");
        let sample = include_str!("../request.json");
        check(json!({ "body": sample }), 200, "\"total_km\":");
        let encoded = BASE64_STANDARD.encode(sample);
        check(
            json!({ "body": encoded, "isBase64Encoded": true }),
            200,
            "\"total_km\":",
        );
        check(
            json!({ "body": "!", "isBase64Encoded": true }),
            400,
            "Invalid",
        );
    }
}

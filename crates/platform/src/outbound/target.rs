//! An HTTP endpoint as a target of deliveries.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::{Outbound, OutboundError};
use crate::deliveries::{Delivery, Failure, Parameters, Plan, Target};

/// SNS's own figure.
const WITHIN: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub struct HttpTarget(pub Outbound);

#[async_trait]
impl Target for HttpTarget {
    async fn plan(&self, _: &Delivery) -> Result<Plan, Failure> {
        Ok(Plan::Try)
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let Parameters::Http(given) = &delivery.parameters else {
            return Err(Failure::last(
                "INVALID_PARAMETER",
                "It is no request of HTTP",
            ));
        };
        let mut request = Request::builder()
            .method(given.method.as_str())
            .uri(delivery.target.as_str());
        for (name, value) in &given.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(delivery.body.clone())));
        let request =
            request.map_err(|error| Failure::last("INVALID_PARAMETER", error.to_string()))?;
        let answer = self.0.send(request, WITHIN, ANSWER_BYTES_MAX).await;
        let status = answer.map_err(failure)?.status;
        match status.as_u16() {
            200..=299 => Ok(()),
            // What the client is at fault for stays so, but for too many requests.
            400..=499 if status.as_u16() != 429 => {
                Err(Failure::last("HTTP_CLIENT_ERROR", said(status)))
            }
            _ => Err(Failure::again("HTTP_ERROR", said(status))),
        }
    }
}

fn said(status: http::StatusCode) -> String {
    format!("The endpoint answered with status {status}")
}

/// What a request without an answer comes to.
pub fn failure(error: OutboundError) -> Failure {
    match error {
        OutboundError::NoHost | OutboundError::Denied(_) => {
            Failure::last("INVALID_PARAMETER", error.to_string())
        }
        OutboundError::TimedOut(_) => Failure::again("TIMEOUT", error.to_string()),
        OutboundError::TooLong(_) | OutboundError::Failed(_) => {
            Failure::again("CONNECTION_FAILURE", error.to_string())
        }
    }
}

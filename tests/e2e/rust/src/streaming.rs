//! A function on AWS's own runtime that writes one piece of its response, waits for a message in a
//! queue, and writes the next.

use aws_config::BehaviorVersion;
use aws_sdk_sqs::Client;
use lambda_runtime::{
    Error, LambdaEvent, service_fn,
    streaming::{Body, Response, channel},
};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = Client::new(&config);
    let handler = |event: LambdaEvent<Value>| respond(client.clone(), event.payload);
    lambda_runtime::run(service_fn(handler)).await
}

async fn respond(client: Client, event: Value) -> Result<Response<Body>, Error> {
    let url = event["url"].as_str().unwrap_or_default().to_owned();
    let (mut pieces, body) = channel();
    tokio::spawn(async move {
        pieces.send_data("first".into()).await?;
        let message = client.receive_message().queue_url(url);
        message.wait_time_seconds(20).send().await?;
        pieces.send_data("second".into()).await?;
        Ok::<_, Error>(())
    });
    Ok(Response::from(body))
}

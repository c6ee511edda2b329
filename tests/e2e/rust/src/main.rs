//! A custom runtime that does with a queue what an event says, by AWS's SDK without any setting.

use std::{
    env,
    error::Error,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use aws_config::BehaviorVersion;
use aws_sdk_sqs::Client;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = Client::new(&config);
    let mut runtime = Runtime::connect()?;
    loop {
        let (id, event) = runtime.next()?;
        match handle(&client, &event).await {
            Ok(answer) => runtime.post(&id, "response", &answer)?,
            Err(error) => {
                let error = json!({"errorMessage": format!("{error:?}"), "errorType": "Error"});
                runtime.post(&id, "error", &error)?;
            }
        }
    }
}

async fn handle(client: &Client, event: &Value) -> Result<Value, Box<dyn Error>> {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let url = client
        .get_queue_url()
        .queue_name(text("queue"))
        .send()
        .await?;
    let url = url.queue_url().unwrap_or_default();
    let sent = client
        .send_message()
        .queue_url(url)
        .message_body(text("body"));
    let sent = sent.send().await?;
    let received = client
        .receive_message()
        .queue_url(url)
        .wait_time_seconds(10);
    let received = received.send().await?;
    let message = received.messages().first().ok_or("no message came")?;
    let handle = message.receipt_handle().unwrap_or_default();
    client
        .delete_message()
        .queue_url(url)
        .receipt_handle(handle)
        .send()
        .await?;
    Ok(json!({
        "url": url,
        "body": message.body(),
        "same": sent.message_id() == message.message_id(),
    }))
}

/// The Runtime API, spoken as plainly as it can be.
struct Runtime {
    host: String,
    connection: BufReader<TcpStream>,
}

impl Runtime {
    fn connect() -> Result<Self, Box<dyn Error>> {
        let host = env::var("AWS_LAMBDA_RUNTIME_API")?;
        let connection = BufReader::new(TcpStream::connect(&host)?);
        Ok(Self { host, connection })
    }

    fn next(&mut self) -> Result<(String, Value), Box<dyn Error>> {
        self.send("GET", "next", "")?;
        let (id, body) = self.answer()?;
        Ok((id, serde_json::from_slice(&body)?))
    }

    fn post(&mut self, id: &str, kind: &str, answer: &Value) -> Result<(), Box<dyn Error>> {
        self.send("POST", &format!("{id}/{kind}"), &answer.to_string())?;
        self.answer().map(drop)
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Result<(), Box<dyn Error>> {
        let (host, length) = (&self.host, body.len());
        let request = format!(
            "{method} /2018-06-01/runtime/invocation/{path} HTTP/1.1\r\nhost: {host}\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        Ok(self.connection.get_mut().write_all(request.as_bytes())?)
    }

    /// The request id, if there is one, and the body.
    fn answer(&mut self) -> Result<(String, Vec<u8>), Box<dyn Error>> {
        let (mut id, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            self.connection.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse()?,
                    "lambda-runtime-aws-request-id" => value.trim().clone_into(&mut id),
                    _ => {}
                },
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body)?;
        Ok((id, body))
    }
}

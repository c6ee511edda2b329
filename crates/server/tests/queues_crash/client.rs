//! One client: its operations on the queues, each written down with its begin, its end and what came
//! of it.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::history::{
    Act, Delivery, History, Outcome, Queue, Receive, Send, Sent, Span, What, body, message_of,
};
use crate::sqs::Sqs;

/// A queue, and the URL that it had when it was made, whatever port the platform has by now.
#[derive(Debug, Clone)]
pub struct Target {
    pub queue: Queue,
    pub url: String,
}

/// A message to be sent, or to be sent again.
#[derive(Debug, Clone)]
pub struct Message {
    pub number: u64,
    pub group: Option<u32>,
    pub delay_s: u32,
}

/// A receipt handle: of which receive, and where in it.
#[derive(Debug, Clone)]
pub struct Handle {
    pub receive: u64,
    pub place: usize,
    pub text: String,
}

pub struct Client {
    sqs: Sqs,
    clock: Instant,
    pub history: History,
    next: u64,
}

impl Client {
    /// `number` sets apart what clients make.
    pub fn new(address: watch::Receiver<Option<SocketAddr>>, clock: Instant, number: u64) -> Self {
        Self {
            sqs: Sqs::new(address),
            clock,
            history: History::default(),
            next: number << 32,
        }
    }

    /// A number that no other client has.
    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Asks, and says when.
    pub async fn call(&mut self, operation: &str, input: &Value) -> (Span, Outcome<Value>) {
        self.sqs.until_there().await;
        let begin_us = self.now_us();
        let outcome = self.sqs.call(operation, input).await;
        let end_us = self.now_us();
        (Span { begin_us, end_us }, outcome)
    }

    fn now_us(&self) -> i64 {
        self.clock.elapsed().as_micros() as i64
    }

    /// Gives what came of each; one by itself is sent by itself.
    pub async fn send(
        &mut self,
        index: usize,
        target: &Target,
        messages: &[Message],
    ) -> Vec<Outcome<Sent>> {
        let entry = |message: &Message| {
            let mut entry = json!({"MessageBody": body(message.number)});
            match message.group {
                Some(group) => {
                    entry["MessageGroupId"] = format!("g{group}").into();
                    entry["MessageDeduplicationId"] = format!("{:x}", message.number).into();
                }
                None => entry["DelaySeconds"] = message.delay_s.into(),
            }
            entry
        };
        let entries = messages.iter().map(entry).collect();
        let (span, answers) = self.each("SendMessage", target, entries).await;
        let outcomes: Vec<_> = answers.into_iter().map(sent).collect();
        for (message, outcome) in messages.iter().zip(&outcomes) {
            self.history.sends.push(Send {
                queue: index,
                message: message.number,
                group: message.group,
                delay_us: i64::from(message.delay_s) * 1_000_000,
                span,
                outcome: outcome.clone(),
            });
        }
        outcomes
    }

    pub async fn receive(
        &mut self,
        index: usize,
        target: &Target,
        (max, wait_s, visibility_s): (usize, u32, u32),
    ) -> Vec<Handle> {
        let id = self.fresh();
        let input = json!({
            "QueueUrl": target.url,
            "MaxNumberOfMessages": max,
            "WaitTimeSeconds": wait_s,
            "VisibilityTimeout": visibility_s,
            "MessageSystemAttributeNames": ["All"],
        });
        let (span, answer) = self.call("ReceiveMessage", &input).await;
        let messages = match &answer {
            Outcome::Done(value) => value["Messages"].as_array().cloned().unwrap_or_default(),
            Outcome::Refused | Outcome::Unknown => Vec::new(),
        };
        self.history.receives.push(Receive {
            id,
            queue: index,
            visibility_us: i64::from(visibility_s) * 1_000_000,
            span,
            outcome: match answer {
                Outcome::Done(_) => Outcome::Done(messages.iter().map(delivery).collect()),
                Outcome::Refused => Outcome::Refused,
                Outcome::Unknown => Outcome::Unknown,
            },
        });
        let handle = |(place, message): (usize, &Value)| Handle {
            receive: id,
            place,
            text: text(&message["ReceiptHandle"]),
        };
        messages.iter().enumerate().map(handle).collect()
    }

    pub async fn delete(&mut self, target: &Target, handles: &[Handle]) {
        self.act("DeleteMessage", target, handles, What::Delete)
            .await;
    }

    pub async fn change_visibility(&mut self, target: &Target, handles: &[Handle], to_s: u32) {
        let to_us = i64::from(to_s) * 1_000_000;
        let what = What::ChangeVisibility { to_us };
        self.act("ChangeMessageVisibility", target, handles, what)
            .await;
    }

    async fn act(&mut self, operation: &str, target: &Target, handles: &[Handle], what: What) {
        let entry = |handle: &Handle| {
            let mut entry = json!({"ReceiptHandle": handle.text});
            if let What::ChangeVisibility { to_us } = what {
                entry["VisibilityTimeout"] = (to_us / 1_000_000).into();
            }
            entry
        };
        let entries = handles.iter().map(entry).collect();
        let (span, answers) = self.each(operation, target, entries).await;
        for (handle, answer) in handles.iter().zip(answers) {
            self.history.acts.push(Act {
                receive: handle.receive,
                place: handle.place,
                what,
                span,
                outcome: match answer {
                    Outcome::Done(_) => Outcome::Done(()),
                    Outcome::Refused => Outcome::Refused,
                    Outcome::Unknown => Outcome::Unknown,
                },
            });
        }
    }

    /// One entry goes as the operation, several as its batch; gives each one's answer.
    async fn each(
        &mut self,
        operation: &str,
        target: &Target,
        mut entries: Vec<Value>,
    ) -> (Span, Vec<Outcome<Value>>) {
        let count = entries.len();
        if count == 1 {
            let mut input = entries.remove(0);
            input["QueueUrl"] = target.url.as_str().into();
            let (span, answer) = self.call(operation, &input).await;
            return (span, vec![answer]);
        }
        for (place, entry) in entries.iter_mut().enumerate() {
            entry["Id"] = place.to_string().into();
        }
        let input = json!({"QueueUrl": target.url, "Entries": entries});
        let (span, answer) = self.call(&format!("{operation}Batch"), &input).await;
        let answers = match answer {
            Outcome::Done(value) => (0..count).map(|place| of_entry(&value, place)).collect(),
            Outcome::Refused => vec![Outcome::Refused; count],
            Outcome::Unknown => vec![Outcome::Unknown; count],
        };
        (span, answers)
    }
}

fn of_entry(answer: &Value, place: usize) -> Outcome<Value> {
    let place = place.to_string();
    let find = |list: &str| {
        let entries = answer[list].as_array()?;
        entries.iter().find(|entry| entry["Id"] == place.as_str())
    };
    if let Some(entry) = find("Successful") {
        return Outcome::Done(entry.clone());
    }
    let failed = find("Failed").expect("each entry of a batch is answered");
    match failed["SenderFault"].as_bool() {
        Some(true) => Outcome::Refused,
        _ => Outcome::Unknown,
    }
}

fn sent(answer: Outcome<Value>) -> Outcome<Sent> {
    match answer {
        Outcome::Done(value) => Outcome::Done(Sent {
            message_id: text(&value["MessageId"]),
            sequence: text(&value["SequenceNumber"]).parse().ok(),
        }),
        Outcome::Refused => Outcome::Refused,
        Outcome::Unknown => Outcome::Unknown,
    }
}

fn delivery(message: &Value) -> Delivery {
    let attributes = &message["Attributes"];
    let group = text(&attributes["MessageGroupId"]);
    Delivery {
        message: message_of(&text(&message["Body"])),
        message_id: text(&message["MessageId"]),
        receive_count: text(&attributes["ApproximateReceiveCount"])
            .parse()
            .expect("a message has its receive count"),
        sequence: text(&attributes["SequenceNumber"]).parse().ok(),
        group: group.strip_prefix('g').and_then(|group| group.parse().ok()),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

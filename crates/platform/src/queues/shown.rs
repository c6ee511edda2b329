//! What of a received message is shown: the system attributes and the message attributes that were
//! asked for.

use super::{
    error::{Error, Result},
    message::{MessageAttribute, Received},
    validate::TRACE_HEADER,
};

/// The system attributes, in the order in which they are shown.
const SYSTEM: [&str; 9] = [
    "SenderId",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "SentTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    TRACE_HEADER,
    "DeadLetterQueueSourceArn",
];

/// What a receiver asked to see.
#[derive(Debug)]
pub struct Shown {
    system: Vec<&'static str>,
    user: Vec<String>,
}

impl Shown {
    /// `is_other` says of a name that is no system attribute's whether it is to be let pass.
    pub fn new<'a>(
        system: impl Iterator<Item = &'a str> + Clone,
        is_other: impl Fn(&str) -> bool,
        user: Vec<String>,
    ) -> Result<Self> {
        let mut names = system.clone();
        let unknown = |name: &&str| *name != "All" && !SYSTEM.contains(name) && !is_other(name);
        if let Some(name) = names.find(unknown) {
            return Err(Error::UnknownAttribute(name.to_owned()));
        }
        let asked = |known: &&str| system.clone().any(|name| name == "All" || name == *known);
        Ok(Self {
            system: SYSTEM.into_iter().filter(asked).collect(),
            user,
        })
    }

    pub fn system(&self, message: &Received, is_fifo: bool) -> Vec<(&'static str, String)> {
        let value = |name: &str| match name {
            "SenderId" => Some(message.content.sender_id.clone()),
            "ApproximateFirstReceiveTimestamp" => Some(message.first_received_at_ms.to_string()),
            "ApproximateReceiveCount" => Some(message.receive_count.to_string()),
            "SentTimestamp" => Some(message.sent_at_ms.to_string()),
            "SequenceNumber" => is_fifo.then(|| sequence_number(message.sequence)),
            "MessageDeduplicationId" => message.deduplication_id.clone().filter(|_| is_fifo),
            "MessageGroupId" => message.group.as_deref().map(str::to_owned),
            TRACE_HEADER => message.content.trace_header.clone(),
            "DeadLetterQueueSourceArn" => message.dead_letter_source.clone(),
            _ => None,
        };
        let names = self.system.iter();
        names
            .filter_map(|name| Some((*name, value(name)?)))
            .collect()
    }

    pub fn user<'m>(&self, message: &'m Received) -> Vec<(&'m str, &'m MessageAttribute)> {
        let all = message.content.attributes.iter();
        let shown = all.filter(|(name, _)| self.user.iter().any(|asked| matches(asked, name)));
        shown
            .map(|(name, attribute)| (name.as_str(), attribute))
            .collect()
    }
}

/// As SQS shows it: twenty digits.
pub fn sequence_number(sequence: i64) -> String {
    format!("{sequence:020}")
}

/// By name, by what it begins with (`foo.*`), or any.
fn matches(asked: &str, name: &str) -> bool {
    match asked.strip_suffix(".*") {
        Some(start) => name.starts_with(start),
        None => matches!(asked, "All" | "*") || asked == name,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::queues::{
        definition::QueueId,
        message::{AttributeValue, Content},
        receipt::Receipt,
    };

    fn message() -> Received {
        let attribute = |name: &str| {
            let value = AttributeValue::Text("x".into());
            let data_type = "String".to_owned();
            (name.to_owned(), MessageAttribute { data_type, value })
        };
        let content = Content {
            body: "x".into(),
            attributes: vec![
                attribute("Help.Me"),
                attribute("Hello"),
                attribute("General"),
            ],
            trace_header: None,
            sender_id: "me".into(),
        };
        Received {
            message_id: uuid::Uuid::nil(),
            receipt: Receipt {
                queue: QueueId(1),
                sequence: 7,
                receive: 1,
            },
            content: Arc::new(content),
            sent_at_ms: 1,
            first_received_at_ms: 2,
            receive_count: 1,
            sequence: 7,
            group: Some("g".into()),
            deduplication_id: Some("d".into()),
            dead_letter_source: None,
        }
    }

    fn user(asked: &[&str]) -> Vec<String> {
        let asked = asked.iter().map(|name| (*name).to_owned()).collect();
        let shown = Shown::new([].into_iter(), |_| false, asked).expect("nothing is wrong");
        let message = message();
        let names = shown.user(&message).into_iter();
        names.map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn message_attributes_are_shown_by_name_or_by_what_they_begin_with() {
        let all = ["Help.Me", "Hello", "General"];
        for name in ["All", "*", ".*"] {
            assert_eq!(user(&[name]), all);
        }
        assert_eq!(user(&[]), Vec::<String>::new());
        assert_eq!(
            user(&["Foo", "Help", "AWS.", "..foo"]),
            Vec::<String>::new()
        );
        assert_eq!(user(&["Foo", "Hello"]), ["Hello"]);
        assert_eq!(user(&["Hel.*"]), ["Help.Me", "Hello"]);
    }

    #[test]
    fn system_attributes_are_shown_as_far_as_the_queue_has_them() {
        let names = |asked: &[&'static str], is_fifo| -> Vec<&'static str> {
            let shown = Shown::new(asked.iter().copied(), |_| false, Vec::new());
            let shown = shown.expect("they are known");
            let shown = shown.system(&message(), is_fifo).into_iter();
            shown.map(|(name, _)| name).collect()
        };
        assert_eq!(names(&["SequenceNumber", "SenderId"], false), ["SenderId"]);
        assert_eq!(names(&["All"], true).len(), 7);
        assert_eq!(names(&["All", "SenderId"], false).len(), 5);
        let unknown = Shown::new(["Foo"].into_iter(), |_| false, Vec::new());
        assert!(matches!(unknown, Err(Error::UnknownAttribute(_))));
    }
}

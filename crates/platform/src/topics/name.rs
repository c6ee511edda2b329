//! Names and ARNs of topics and subscriptions, and what SNS says of those that are none.

use wire::arn::Arn;

use super::{
    error::{Error, Result},
    limits,
};

/// Which topic: names are unique within an account and region.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicKey {
    pub account_id: String,
    pub region: String,
    pub name: String,
}

impl TopicKey {
    pub fn arn(&self) -> String {
        Arn::new("sns", &self.region, &self.account_id, self.name.clone()).to_string()
    }

    pub fn parts(&self) -> [&str; 3] {
        [&self.account_id, &self.region, &self.name]
    }

    /// The topic of an ARN, if it is one's.
    pub fn of(arn: &Arn) -> Option<Self> {
        let is_topic = arn.service == "sns"
            && !arn.region.is_empty()
            && !arn.account_id.is_empty()
            && !arn.resource.contains(['/', ':']);
        is_topic.then(|| Self {
            account_id: arn.account_id.clone(),
            region: arn.region.clone(),
            name: arn.resource.clone(),
        })
    }
}

/// Reads the topic that a parameter names.
pub fn topic(parameter: &str, text: &str, region: &str) -> Result<TopicKey> {
    let arn = arn(parameter, text)?;
    let key = TopicKey::of(&arn);
    let key = key.ok_or_else(|| Error::parameter(parameter))?;
    // Each region knows its own only.
    match key.region == region {
        true => Ok(key),
        false => Err(Error::parameter(parameter)),
    }
}

/// The same of a subscription: its topic and its id.
pub fn subscription(text: &str, region: Option<&str>) -> Result<(TopicKey, String)> {
    const PARAMETER: &str = "SubscriptionArn";
    let mut arn = arn(PARAMETER, text)?;
    let (topic, id) = match arn.resource.split_once(':') {
        Some((topic, id)) if !topic.is_empty() && !id.is_empty() => {
            (topic.to_owned(), id.to_owned())
        }
        _ => {
            let parts = text.split(':').count();
            return Err(Error::parameter(format!(
                "{PARAMETER} Reason: An ARN must have at least 7 elements, not {parts}"
            )));
        }
    };
    arn.resource = topic;
    let key = TopicKey::of(&arn).ok_or_else(|| Error::parameter(PARAMETER))?;
    match region {
        Some(region) if region != key.region => Err(Error::parameter(PARAMETER)),
        _ => Ok((key, id)),
    }
}

pub fn arn(parameter: &str, text: &str) -> Result<Arn> {
    let count = text.split(':').count();
    if count < 6 {
        return Err(Error::parameter(format!(
            "{parameter} Reason: An ARN must have at least 6 elements, not {count}"
        )));
    }
    text.parse().map_err(|_| Error::parameter(parameter))
}

/// A name that CreateTopic takes.
pub fn check(name: &str, is_fifo: bool) -> Result<()> {
    let invalid = || Err(Error::parameter("Topic Name"));
    let stem = match (name.strip_suffix(".fifo"), is_fifo) {
        (Some(stem), true) => stem,
        (None, false) => name,
        (None, true) | (Some(_), false) => return invalid(),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match !stem.is_empty() && name.len() <= limits::NAME_LENGTH_MAX && stem.bytes().all(allowed) {
        true => Ok(()),
        false => invalid(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_read_and_what_is_none_is_named() {
        let text = "arn:aws:sns:eu-west-1:123456789012:news";
        let key = topic("TopicArn", text, "eu-west-1").expect("a topic");
        assert_eq!(key.arn(), text);
        let said = |text: &str| {
            topic("TopicArn", text, "eu-west-1")
                .expect_err(text)
                .to_string()
        };
        let short =
            "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not ";
        assert_eq!(said("news"), format!("{short}1"));
        assert_eq!(said("arn:aws:sns:eu-west-1:news"), format!("{short}5"));
        assert_eq!(
            said(&text.replace("eu-west-1", "us-east-1")),
            "Invalid parameter: TopicArn"
        );
        assert_eq!(said(&format!("{text}:id")), "Invalid parameter: TopicArn");
        let (of, id) = subscription(&format!("{text}:id"), None).expect("a subscription");
        assert_eq!((of, id.as_str()), (key, "id"));
        assert!(subscription(text, None).is_err());
    }

    #[test]
    fn names_are_letters_and_fifo_topics_end_so() {
        for (name, is_fifo, good) in [
            ("a-B_9", false, true),
            ("a.fifo", true, true),
            ("a.fifo", false, false),
            ("a", true, false),
            (".fifo", true, false),
            ("a b", false, false),
            ("", false, false),
        ] {
            assert_eq!(check(name, is_fifo).is_ok(), good, "{name}");
        }
    }
}

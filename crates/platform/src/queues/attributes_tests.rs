use super::*;
use crate::queues::definition::QueueId;

fn key(name: &str) -> QueueKey {
    QueueKey {
        account_id: "123456789012".into(),
        region: "eu-west-1".into(),
        name: name.into(),
    }
}

fn new(name: &str, given: &[(&str, &str)]) -> Result<Attributes> {
    of_new(&key(name), given.iter().copied())
}

fn set_on(attributes: &mut Attributes, name: &str, given: &[(&str, &str)]) -> Result<()> {
    apply(attributes, &key(name), By::Set, given.iter().copied())
}

fn shown(attributes: &Attributes, names: &[&str]) -> Vec<(&'static str, String)> {
    let definition = Definition {
        key: key("jobs"),
        id: QueueId(1),
        created_s: 10,
        modified_s: 20,
        attributes: attributes.clone(),
        tags: Default::default(),
        purged_until: 0,
        purged_at_ms: None,
    };
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    read(&definition, Counts::default(), &names).expect("the names are known")
}

#[test]
fn a_new_queue_has_sqss_defaults() {
    let shown = shown(&new("jobs", &[]).expect("it is made"), &["All"]);
    let of = |name: &str| {
        shown
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(
        of("QueueArn"),
        Some("arn:aws:sqs:eu-west-1:123456789012:jobs")
    );
    assert_eq!(of("VisibilityTimeout"), Some("30"));
    assert_eq!(of("MaximumMessageSize"), Some("1048576"));
    assert_eq!(of("MessageRetentionPeriod"), Some("345600"));
    assert_eq!(of("SqsManagedSseEnabled"), Some("true"));
    assert_eq!(of("LastModifiedTimestamp"), Some("20"));
    assert_eq!(of("FifoQueue"), None);
    assert_eq!(of("KmsDataKeyReusePeriodSeconds"), None);
    assert_eq!(shown.len(), 12);
}

#[test]
fn a_name_and_its_kind_have_to_agree() {
    let fifo = [("FifoQueue", "True")];
    assert!(
        new("jobs.fifo", &fifo)
            .expect("a FIFO queue")
            .fifo
            .is_some()
    );
    for (name, given) in [
        ("jobs", &fifo[..]),
        (".fifo", &fifo[..]),
        ("jobs.fifo", &[]),
        ("jobs.fifo", &[("FifoQueue", "false")]),
        ("jobs", &[("FifoQueue", "false")]),
        ("jo bs", &[]),
        ("", &[]),
        (&"j".repeat(81), &[]),
        (&format!("{}.fifo", "j".repeat(76)), &fifo[..]),
    ] {
        assert!(new(name, given).is_err(), "{name} {given:?}");
    }
    assert!(new(&"j".repeat(80), &[]).is_ok());
}

#[test]
fn a_wrong_value_is_refused_in_sqss_words() {
    for (name, value) in [
        ("VisibilityTimeout", "43201"),
        ("VisibilityTimeout", "-1"),
        ("VisibilityTimeout", ""),
        ("DelaySeconds", "901"),
        ("ReceiveMessageWaitTimeSeconds", "21"),
        ("MessageRetentionPeriod", "59"),
        ("MaximumMessageSize", "1023"),
        ("MaximumMessageSize", "1048577"),
        ("KmsDataKeyReusePeriodSeconds", "+60"),
        ("SqsManagedSseEnabled", "maybe"),
        ("Policy", "{"),
    ] {
        let refusal = new("jobs", &[(name, value)]).expect_err("it is refused");
        let words = format!("Invalid value for the parameter {name}.");
        assert_eq!(refusal.to_string(), words);
    }
    for name in ["Foo", "QueueArn", "ContentBasedDeduplication"] {
        let refusal = new("jobs", &[(name, "true")]).expect_err("it is refused");
        assert_eq!(refusal.to_string(), format!("Unknown Attribute {name}."));
    }
}

#[test]
fn a_queues_kind_stays() {
    let mut standard = new("jobs", &[]).expect("made");
    let refusal = set_on(&mut standard, "jobs", &[("FifoQueue", "true")]);
    assert_eq!(
        refusal.expect_err("refused").to_string(),
        "Unknown Attribute FifoQueue."
    );
    let mut fifo = new("jobs.fifo", &[("FifoQueue", "true")]).expect("made");
    set_on(&mut fifo, "jobs.fifo", &[("FifoQueue", "true")]).expect("it is one");
    let refusal = set_on(&mut fifo, "jobs.fifo", &[("FifoQueue", "false")]);
    assert_eq!(
        refusal.expect_err("refused").to_string(),
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."
    );
}

#[test]
fn throughput_per_group_needs_deduplication_per_group() {
    let mut fifo = new("jobs.fifo", &[("FifoQueue", "true")]).expect("made");
    let per_group = ("FifoThroughputLimit", "perMessageGroupId");
    assert!(set_on(&mut fifo.clone(), "jobs.fifo", &[per_group]).is_err());
    let both = [per_group, ("DeduplicationScope", "messageGroup")];
    set_on(&mut fifo, "jobs.fifo", &both).expect("in either order");
    let refused = set_on(&mut fifo, "jobs.fifo", &[("DeduplicationScope", "queue")]);
    assert!(refused.is_err());
}

#[test]
fn one_kind_of_encryption_is_in_force() {
    let mut queue = new("jobs", &[]).expect("made");
    let names = [
        "KmsMasterKeyId",
        "KmsDataKeyReusePeriodSeconds",
        "SqsManagedSseEnabled",
    ];
    let values = |queue: &Attributes| -> Vec<String> {
        shown(queue, &names)
            .into_iter()
            .map(|(_, value)| value)
            .collect()
    };
    set_on(&mut queue, "jobs", &[("KmsMasterKeyId", "key")]).expect("set");
    assert_eq!(values(&queue), ["key", "300", "false"]);
    set_on(&mut queue, "jobs", &[("KmsMasterKeyId", "")]).expect("set");
    assert_eq!(values(&queue), ["false"]);
    set_on(&mut queue, "jobs", &[("SqsManagedSseEnabled", "true")]).expect("set");
    assert_eq!(values(&queue), ["true"]);
    let both = [("KmsMasterKeyId", "key"), ("SqsManagedSseEnabled", "true")];
    assert!(set_on(&mut queue, "jobs", &both).is_err());
}

#[test]
fn only_what_is_given_has_to_be_the_same() {
    let there = new("jobs", &[("DelaySeconds", "1")]).expect("made");
    let against = |given: &[(&str, &str)]| {
        let wanted = new("jobs", given).expect("made");
        difference(&there, &wanted, given.iter().map(|(name, _)| *name))
    };
    assert_eq!(against(&[]), None);
    assert_eq!(
        against(&[("DelaySeconds", "01"), ("VisibilityTimeout", "30")]),
        None
    );
    let other = [("VisibilityTimeout", "30"), ("DelaySeconds", "2")];
    assert_eq!(against(&other), Some("DelaySeconds"));
}

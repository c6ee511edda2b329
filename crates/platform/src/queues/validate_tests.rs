use super::*;
use crate::queues::definition::Fifo;

const SENDER: Sender<'static> = Sender {
    id: "sender",
    trace_header: Some("Root=1"),
};

fn draft(body: &str) -> Draft {
    Draft {
        body: body.to_owned(),
        ..Draft::default()
    }
}

fn text(data_type: &str, value: &str) -> DraftValue {
    DraftValue {
        data_type: data_type.to_owned(),
        text: Some(value.to_owned()),
        ..DraftValue::default()
    }
}

fn with(name: &str, value: DraftValue) -> Draft {
    let mut draft = draft("x");
    draft.attributes.push((name.to_owned(), value));
    draft
}

fn standard() -> Attributes {
    Attributes::new(false)
}

fn refusal(draft: Draft, queue: &Attributes) -> String {
    let refused = draft.check(queue, SENDER);
    refused.expect_err("it is refused").to_string()
}

#[test]
fn a_body_has_characters_that_xml_has() {
    assert!(
        draft("a\t\r\n\u{e000}\u{10ffff}")
            .check(&standard(), SENDER)
            .is_ok()
    );
    for bad in ["\0", "a\u{8}", "\u{fffe}", "\u{ffff}"] {
        let said = refusal(draft(bad), &standard());
        assert!(said.starts_with("Invalid characters found."), "{bad:?}");
    }
    let said = refusal(draft(""), &standard());
    assert_eq!(said, "The request must contain the parameter MessageBody.");
}

#[test]
fn a_messages_size_is_that_of_all_its_parts() {
    let mut queue = standard();
    queue.message_bytes_max = 1024;
    let sized = |body: usize| {
        let mut draft = with("k", text("String", "x"));
        draft.body = "a".repeat(body);
        draft
    };
    assert_eq!(sized(1016).size(), 1024);
    assert!(sized(1016).check(&queue, SENDER).is_ok());
    assert!(refusal(sized(1017), &queue).ends_with("must be shorter than 1024 bytes."));
}

#[test]
fn attributes_are_named_and_typed_by_rules() {
    for (name, value) in [
        ("attr.1øßä", text("String", "x")),
        ("a-b_c", text("Number", "-1.5e+10")),
        ("a", text("Number.float", ".5")),
        ("a", text("String.custom", "x")),
    ] {
        let checked = with(name, value.clone()).check(&standard(), SENDER);
        assert!(checked.is_ok(), "{name} {value:?}");
    }
    let long = "L".repeat(257);
    let long_type = format!("Number.{}", "L".repeat(256));
    for (name, value) in [
        ("", text("String", "x")),
        ("aWs.x", text("String", "x")),
        ("AMAZON.x", text("String", "x")),
        (".x", text("String", "x")),
        ("x.", text("String", "x")),
        ("x..y", text("String", "x")),
        ("x§", text("String", "x")),
        ("x?", text("String", "x")),
        (long.as_str(), text("String", "x")),
        ("x", text("Invalid", "x")),
        ("x", text(&long_type, "1")),
        ("x", text("String", "")),
        ("x", text("String", "\u{8}")),
        ("x", text("Number", "1.2.3")),
        ("x", text("Number", "world")),
        ("x", text("Binary", "x")),
        ("x", DraftValue::default()),
    ] {
        let checked = with(name, value.clone()).check(&standard(), SENDER);
        assert!(
            matches!(checked, Err(Error::Parameter(_))),
            "{name} {value:?}"
        );
    }
    let mut many = draft("x");
    many.attributes = (0..11)
        .map(|n| (format!("a{n}"), text("String", "x")))
        .collect();
    let said = "Number of message attributes [11] exceeds the allowed maximum [10].";
    assert_eq!(refusal(many, &standard()), said);
}

#[test]
fn a_trace_is_the_messages_own_or_the_requests() {
    let header = |draft: Draft| {
        let message = draft.check(&standard(), SENDER).expect("it is taken");
        message.content.trace_header
    };
    assert_eq!(header(draft("x")).as_deref(), Some("Root=1"));
    let mut own = draft("x");
    own.system_attributes = vec![(TRACE_HEADER.to_owned(), text("String", "Root=2"))];
    assert_eq!(header(own.clone()).as_deref(), Some("Root=2"));
    own.system_attributes = vec![("Hello".to_owned(), text("String", "x"))];
    let said = "Message system attribute name 'Hello' is invalid.";
    assert_eq!(refusal(own, &standard()), said);
}

#[test]
fn fifo_queues_ask_for_a_group_and_something_to_tell_duplicates_by() {
    let mut queue = Attributes::new(true);
    let mut message = draft("x");
    let said = "The request must contain the parameter MessageGroupId.";
    assert_eq!(refusal(message.clone(), &queue), said);
    message.group = Some("g".into());
    let said = refusal(message.clone(), &queue);
    assert!(said.starts_with("The queue should either have ContentBasedDeduplication"));
    queue.fifo = Some(Fifo {
        content_based_deduplication: true,
        ..Fifo::default()
    });
    let made = message.clone().check(&queue, SENDER).expect("it is taken");
    let by_content = digest::sha256_of_body("x");
    assert_eq!(made.deduplication_id, Some(by_content));
    for bad in ["", "group 123", &"a".repeat(129)] {
        message.deduplication_id = Some(bad.to_owned());
        let said = refusal(message.clone(), &queue);
        assert!(said.starts_with(&format!("Value {bad} for parameter MessageDeduplicationId")));
    }
    message.deduplication_id = Some("d".into());
    message.delay_s = Some(0);
    let made = message.clone().check(&queue, SENDER).expect("it is taken");
    assert_eq!(
        (made.delay_s, made.deduplication_id.as_deref()),
        (None, Some("d"))
    );
    message.delay_s = Some(2);
    assert_eq!(
        refusal(message, &queue),
        "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter \
         that is not valid for this queue type."
    );
}

#[test]
fn standard_queues_take_a_group_and_a_delay_and_no_deduplication_id() {
    let mut message = draft("x");
    message.group = Some("g".into());
    message.delay_s = Some(900);
    assert!(message.clone().check(&standard(), SENDER).is_ok());
    message.delay_s = Some(901);
    assert!(refusal(message.clone(), &standard()).contains("must be >= 0 and <= 900."));
    message.delay_s = None;
    message.deduplication_id = Some("d".into());
    assert!(refusal(message, &standard()).contains("MessageDeduplicationId"));
}

//! The state machine by itself: AWS's rules one by one, and whatever may come in any order.

use proptest::prelude::*;

use super::*;

const START_MS: i64 = 1_000_000;

fn head() -> Head {
    Head {
        id: "e".into(),
        account_id: "111111111111".into(),
        region: "us-east-1".into(),
        function: "f".into(),
        version: "$LATEST".into(),
        name: "n".into(),
        input_hash: String::new(),
        timeout_s: 3600,
        retention_days: 1,
        started_ms: START_MS,
        status: Status::Running,
        ended_ms: None,
        trace: None,
        parent: None,
        owed_ms: None,
        failures: 0,
        updated: Vec::new(),
        operations: 0,
        events: 0,
        bytes: 0,
    }
}

fn begun() -> State {
    let mut state = State::start(head(), "{}".into());
    state.take(START_MS);
    state
}

fn update(id: &str, kind: Kind, action: Action) -> Update {
    Update {
        id: id.into(),
        parent_id: None,
        name: None,
        kind,
        sub_type: None,
        action,
        payload: None,
        error: None,
        replay_children: false,
        next_attempt_s: Some(5),
        wait_s: Some(10),
        callback: (30, 20),
        target: Some(Ok(Target {
            named: "g".into(),
            function: "g".into(),
            qualifier: None,
            child: None,
            child_arn: None,
        })),
    }
}

fn refusal(state: &mut State, updates: Vec<Update>) -> String {
    let before = state.clone();
    let refused = state.checkpoint(updates, START_MS).unwrap_err();
    assert_eq!(*state, before, "nothing of it is taken");
    refused.0
}

#[test]
fn a_request_is_taken_as_a_whole_or_not_at_all() {
    let mut state = begun();
    let step = update("s", Kind::Step, Action::Start);
    let bad = Update {
        parent_id: Some("nobody".into()),
        ..update("t", Kind::Step, Action::Start)
    };
    let refused = refusal(&mut state, vec![step.clone(), bad]);
    assert_eq!(refused, "Invalid parent operation id.");
    state.checkpoint(vec![step], START_MS).unwrap();
    state.take(START_MS);
    let ended = update("s", Kind::Step, Action::Succeed);
    let refused = refusal(&mut state, vec![ended.clone(), ended]);
    assert_eq!(
        refused,
        "Cannot checkpoint multiple operations with the same ID."
    );
}

#[test]
fn what_is_not_of_an_operations_kind_is_refused() {
    let mut state = begun();
    let kinds = [Kind::Step, Kind::Wait, Kind::Callback, Kind::Context];
    let all = kinds.map(|kind| update(kind.as_str(), kind, Action::Start));
    state.checkpoint(Vec::from(all), START_MS).unwrap();
    state.take(START_MS);
    let too_large = "x".repeat(limits::PAYLOAD_BYTES_MAX + 1);
    for (update, expected) in [
        (
            update("STEP", Kind::Step, Action::Start),
            "Invalid current STEP state to start.",
        ),
        (
            update("STEP", Kind::Wait, Action::Start),
            "Inconsistent operation type.",
        ),
        (
            update("STEP", Kind::Step, Action::Cancel),
            "Invalid action for the given operation type.",
        ),
        (
            update("WAIT", Kind::Wait, Action::Start),
            "Cannot start a WAIT that already exist.",
        ),
        (
            update("CALLBACK", Kind::Callback, Action::Start),
            "Cannot start a CALLBACK that already exist.",
        ),
        (
            update("CALLBACK", Kind::Callback, Action::Succeed),
            "Invalid action for the given operation type.",
        ),
        (
            update("CONTEXT", Kind::Context, Action::Start),
            "Cannot start a CONTEXT that already exist.",
        ),
        (
            Update {
                payload: Some(String::new()),
                ..update("STEP", Kind::Step, Action::Fail)
            },
            "Cannot provide a Payload for FAIL action.",
        ),
        (
            Update {
                error: Some(ErrorObject::default()),
                ..update("STEP", Kind::Step, Action::Succeed)
            },
            "Cannot provide an Error for SUCCEED action.",
        ),
        (
            Update {
                name: Some("other".into()),
                ..update("STEP", Kind::Step, Action::Succeed)
            },
            "Inconsistent operation name.",
        ),
        (
            Update {
                payload: Some(too_large.clone()),
                ..update("STEP", Kind::Step, Action::Succeed)
            },
            "STEP output payload size must be less than or equal to 262144 bytes.",
        ),
        (
            Update {
                error: Some(ErrorObject::message(too_large.clone())),
                ..update("STEP", Kind::Step, Action::Fail)
            },
            "Error object size must be less than 32768 bytes.",
        ),
        (
            Update {
                parent_id: Some("STEP".into()),
                ..update("new", Kind::Step, Action::Start)
            },
            "Invalid parent operation id.",
        ),
    ] {
        assert_eq!(refusal(&mut state, vec![update]), expected);
    }
    let end = update("e", Kind::Execution, Action::Succeed);
    let step = update("STEP", Kind::Step, Action::Succeed);
    let refused = refusal(&mut state, vec![end.clone(), step]);
    assert_eq!(refused, "EXECUTION checkpoint must be the last update.");
    let refused = refusal(&mut state, vec![end.clone(), end]);
    assert_eq!(refused, "Cannot checkpoint multiple EXECUTION updates.");
}

#[test]
fn an_execution_has_so_many_operations_and_so_much_data() {
    let mut state = begun();
    let steps =
        (1..limits::OPERATIONS_MAX).map(|n| update(&n.to_string(), Kind::Step, Action::Start));
    state.checkpoint(steps.collect(), START_MS).unwrap();
    state.take(START_MS);
    let refused = refusal(&mut state, vec![update("more", Kind::Step, Action::Start)]);
    assert!(refused.contains("3000 operations"), "{refused}");
    let mut state = begun();
    state.head.bytes = limits::STATE_BYTES_MAX - 3;
    let with = |payload: &str| Update {
        payload: Some(payload.into()),
        ..update("s", Kind::Step, Action::Succeed)
    };
    assert!(refusal(&mut state, vec![with("1234")]).contains("104857600 bytes"));
    state.checkpoint(vec![with("123")], START_MS).unwrap();
}

#[test]
fn a_step_is_tried_again_when_its_time_has_come() {
    let mut state = begun();
    let retry = Update {
        error: Some(ErrorObject::message("not yet")),
        ..update("s", Kind::Step, Action::Retry)
    };
    let start = update("s", Kind::Step, Action::Start);
    state.checkpoint(vec![start, retry], START_MS).unwrap();
    let seen = state.touches();
    let pending = Ended::Answered(Output::Pending);
    state.invocation_ended(pending, (START_MS, "r".into()), Some(seen), START_MS);
    assert_eq!(state.head.owed_ms, None);
    assert_eq!(state.due_ms(START_MS), Some(START_MS + 5000));
    state.pass_time(START_MS + 4999);
    assert_eq!(state.head.owed_ms, None);
    state.pass_time(START_MS + 5000);
    assert_eq!(state.head.owed_ms, Some(START_MS + 5000));
    assert_eq!(state.head.updated, ["s"]);
    let step = state.get("s").unwrap();
    assert_eq!((step.status, step.attempt), (OperationStatus::Ready, 1));
    // What the attempt left is there for the next one.
    state.take(START_MS);
    state
        .checkpoint(
            vec![update("s", Kind::Step, Action::Start)],
            START_MS + 5001,
        )
        .unwrap();
    assert_eq!(
        state.get("s").unwrap().error,
        Some(ErrorObject::message("not yet"))
    );
}

#[test]
fn a_callback_lives_as_long_as_it_is_heard_of() {
    let mut state = begun();
    let callback = update("c", Kind::Callback, Action::Start);
    state.checkpoint(vec![callback], START_MS).unwrap();
    assert_eq!(state.due_ms(START_MS), Some(START_MS + 20_000));
    assert!(state.heartbeat("c", START_MS + 15_000));
    // The whole has its time all the same.
    assert_eq!(state.due_ms(START_MS), Some(START_MS + 30_000));
    state.pass_time(START_MS + 30_000);
    let callback = state.get("c").unwrap();
    assert_eq!(callback.status, OperationStatus::TimedOut);
    let kind = callback.error.as_ref().unwrap().error_type.as_deref();
    assert_eq!(kind, Some("Callback.Timeout"));
    assert!(!state.complete_callback("c", Ok(None), START_MS + 30_001));
    assert!(!state.heartbeat("c", START_MS + 30_001));
}

#[test]
fn an_execution_that_fails_again_and_again_fails() {
    let mut state = begun();
    let mut now_ms = START_MS;
    let mut tries = 0;
    while !state.head.is_closed() {
        tries += 1;
        let failed = Ended::Failed(ErrorObject::new("Sandbox.Timedout", "slow"));
        state.invocation_ended(failed, (now_ms, "r".into()), Some(0), now_ms);
        if let Some(owed_ms) = state.head.owed_ms {
            assert!(owed_ms > now_ms);
            assert!(state.is_busy());
            now_ms = owed_ms;
        }
    }
    assert_eq!(tries, limits::FAILURES_MAX);
    assert_eq!(state.head.status, Status::Failed);
    let error = state.operations()[0].error.as_ref().unwrap();
    assert_eq!(error.error_type.as_deref(), Some("Sandbox.Timedout"));
}

#[test]
fn answers_are_what_they_say_or_nothing() {
    let output = |text: &str| Output::parse(text.as_bytes());
    assert_eq!(output(r#"{"Status":"PENDING"}"#), Output::Pending);
    assert_eq!(
        output(r#"{"Status":"SUCCEEDED","Result":"1"}"#),
        Output::Succeeded(Some("1".into()))
    );
    assert_eq!(output(r#"{"Status":"FAILED"}"#), Output::Failed(None));
    for bad in [
        "7",
        "{",
        "{}",
        r#"{"Status":"RETRY"}"#,
        r#"{"Status":"SUCCEEDED","Result":1}"#,
        r#"{"Status":"SUCCEEDED","Error":{}}"#,
        r#"{"Status":"FAILED","Result":"1"}"#,
        r#"{"Status":"FAILED","Error":"x"}"#,
    ] {
        assert!(matches!(output(bad), Output::Invalid(_)), "{bad}");
    }
}

#[test]
fn to_wait_for_nothing_is_an_error_after_some_tries() {
    let mut state = begun();
    let mut tries = 0;
    while !state.head.is_closed() {
        tries += 1;
        let (pending, seen) = (Ended::Answered(Output::Pending), state.touches());
        state.invocation_ended(pending, (START_MS, "r".into()), Some(seen), START_MS);
    }
    assert_eq!(tries, limits::INVALID_PENDING_MAX);
}

/// Anything that can happen to an execution.
#[derive(Debug, Clone)]
enum Happens {
    Checkpoint(Vec<Update>),
    Time(i64),
    Invoked,
    Ended(Ended),
    Callback(String, bool),
    Heartbeat(String),
    Invoke(String, bool),
    Stop,
    Reload,
}

fn id() -> impl Strategy<Value = String> {
    (0..6_u8).prop_map(|n| format!("o{n}"))
}

fn any_update() -> impl Strategy<Value = Update> {
    let kind = prop::sample::select(&Kind::ALL[1..]);
    let action = prop::sample::select(vec![
        Action::Start,
        Action::Start,
        Action::Succeed,
        Action::Fail,
        Action::Retry,
        Action::Cancel,
    ]);
    let parent = prop::option::weighted(0.2, id());
    (id(), kind, action, parent).prop_map(|(id, kind, action, parent_id)| Update {
        parent_id,
        ..update(&id, kind, action)
    })
}

fn happens() -> impl Strategy<Value = Happens> {
    let error = || ErrorObject::message("e");
    prop_oneof![
        8 => prop::collection::vec(any_update(), 0..4).prop_map(Happens::Checkpoint),
        4 => (0..40_000_i64).prop_map(Happens::Time),
        4 => Just(Happens::Invoked),
        4 => Just(Happens::Ended(Ended::Answered(Output::Pending))),
        1 => Just(Happens::Ended(Ended::Failed(error()))),
        2 => (id(), any::<bool>()).prop_map(|(id, good)| Happens::Callback(id, good)),
        1 => id().prop_map(Happens::Heartbeat),
        2 => (id(), any::<bool>()).prop_map(|(id, good)| Happens::Invoke(id, good)),
        1 => Just(Happens::Stop),
        2 => Just(Happens::Reload),
    ]
}

/// What a store has of an execution.
struct Stored {
    head: Head,
    operations: Vec<Operation>,
    events: Vec<Event>,
    busy: bool,
    due_ms: Option<i64>,
}

impl Stored {
    fn write(&mut self, changes: Changes) {
        for (at, operation) in changes.operations {
            let at = at as usize;
            match self.operations.get_mut(at) {
                Some(known) => *known = operation,
                None => {
                    assert_eq!(at, self.operations.len(), "no position is left out");
                    self.operations.push(operation);
                }
            }
        }
        self.events.extend(changes.events);
        (self.head, self.busy, self.due_ms) = (changes.head, changes.busy, changes.due_ms);
    }
}

fn timeless(operations: &[Operation]) -> Vec<Operation> {
    let without = |operation: &Operation| Operation {
        touched: 0,
        ..operation.clone()
    };
    operations.iter().map(without).collect()
}

proptest! {
    #[test]
    fn whatever_happens_nothing_is_lost_and_it_goes_on(
        all in prop::collection::vec(happens(), 1..80)
    ) {
        let mut now_ms = START_MS;
        let mut state = State::start(head(), "{}".into());
        let changes = state.take(now_ms);
        let mut stored = Stored {
            head: changes.head.clone(),
            operations: Vec::new(),
            events: Vec::new(),
            busy: false,
            due_ms: None,
        };
        stored.write(changes);
        let mut seen = None;
        for happens in all {
            let was_closed = state.head.is_closed();
            match happens {
                // Only an invocation that is known may checkpoint.
                Happens::Checkpoint(updates) if seen.is_some() && !was_closed => {
                    let taken = state.checkpoint(updates, now_ms);
                    seen = taken.map(|_| state.touches()).ok().or(seen);
                }
                Happens::Time(ms) => {
                    now_ms += ms;
                    state.pass_time(now_ms);
                    let timer_ms = state.due_ms(now_ms).unwrap();
                    prop_assert!(timer_ms > now_ms, "what was due was done");
                }
                Happens::Invoked if seen.is_none() && state.head.owed_ms.is_some() => {
                    state.head.updated.clear();
                    seen = Some(state.touches());
                }
                Happens::Ended(ended) if seen.is_some() => {
                    state.pass_time(now_ms);
                    state.invocation_ended(ended, (now_ms, "r".into()), seen.take(), now_ms);
                }
                Happens::Callback(id, good) => {
                    let answer = if good { Ok(None) } else { Err(ErrorObject::default()) };
                    state.complete_callback(&id, answer, now_ms);
                }
                Happens::Heartbeat(id) => {
                    state.heartbeat(&id, now_ms);
                }
                Happens::Invoke(id, good) => {
                    let (status, answer) = match good {
                        true => (OperationStatus::Succeeded, Ok(None)),
                        false => (OperationStatus::Failed, Err(ErrorObject::default())),
                    };
                    state.complete_invoke(&id, status, answer, now_ms);
                }
                Happens::Stop if now_ms % 7 == 0 => {
                    state.close(Status::Stopped, None, None, now_ms);
                }
                // As after a crash.
                Happens::Reload => {
                    state = State::of(stored.head.clone(), stored.operations.clone());
                    seen = None;
                }
                _ => {}
            }
            if was_closed {
                prop_assert!(!state.has_changes(), "what is closed stays as it is");
            }
            stored.write(state.take(now_ms));
            prop_assert_eq!(timeless(&stored.operations), timeless(state.operations()));
            prop_assert_eq!(&stored.head, &state.head);
            prop_assert!(stored.due_ms.is_some(), "its time comes");
            // Who waits for nothing that is to come is invoked.
            let waits = state.operations().iter().any(Operation::is_pending);
            let open = !state.head.is_closed();
            prop_assert!(!open || waits || stored.busy, "it goes on");
        }
        let numbers = stored.events.iter().map(|event| event.number);
        prop_assert!(numbers.eq(1..=u32::try_from(stored.events.len()).unwrap()));
        for operation in &stored.operations[1..] {
            let ends = stored.events.iter().filter(|event| {
                event.id.as_ref() == Some(&operation.id) && ends(&event.what)
            });
            let expected = usize::from(operation.status.is_final());
            prop_assert_eq!(ends.count(), expected, "{:?}", operation);
        }
    }
}

fn ends(what: &What) -> bool {
    match what {
        What::StepSucceeded { delay_s, .. } | What::StepFailed { delay_s, .. } => delay_s.is_none(),
        What::ContextSucceeded { .. }
        | What::ContextFailed { .. }
        | What::WaitSucceeded { .. }
        | What::WaitCancelled { .. }
        | What::ChainedInvokeSucceeded { .. }
        | What::ChainedInvokeFailed { .. }
        | What::CallbackSucceeded { .. }
        | What::CallbackFailed { .. }
        | What::CallbackTimedOut { .. } => true,
        _ => false,
    }
}

//! One invocation, from an environment in hand to its outcome: deliver, await, write the log lines,
//! meter.

use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot::{self, error::TryRecvError};
use wire::Timestamp;

use super::{
    Definition, FunctionError, Invocation, Outcome,
    environment::{Environment, Initialization},
    extensions::Reason,
    fault::{self, Fault, RESPONSE_BYTES_MAX, STREAM_BYTES_MAX},
    link::{Delivery, Event, Reply},
    measures::{Ended, VersionMeasures},
    output::Output,
    report::{self, Began, Ending, Report},
    stream::{Begin, Begun, End, Finished, StreamError},
    trace,
    version::{InitFailure, InitPayload},
};
use crate::metering::{Metering, Usage, UsageEvent};

/// What became of the environment.
pub enum After {
    Idle,
    /// It has answered and not asked for more yet.
    Settling(oneshot::Receiver<()>),
    /// It is over, or has been told to end.
    Over,
}

impl After {
    /// The same, as it is by now.
    pub fn now(self) -> Self {
        let Self::Settling(mut idle) = self else {
            return self;
        };
        match idle.try_recv() {
            // Our own clients ask in the same breath.
            Ok(()) => Self::Idle,
            Err(TryRecvError::Empty) => Self::Settling(idle),
            // It ended right after its answer.
            Err(TryRecvError::Closed) => Self::Over,
        }
    }
}

/// How long it took an environment to be there.
#[derive(Debug, Clone, Copy)]
pub enum Beginning {
    Init(Duration),
    /// `billed` is the part of it in which its own code ran.
    Restore {
        took: Duration,
        billed: Duration,
    },
}

impl Beginning {
    fn told(self) -> Began {
        match self {
            Self::Init(took) => Began::Init { ms: ms(took) },
            Self::Restore { took, billed } => Began::Restore {
                ms: ms(took),
                billed_ms: whole_ms(billed),
            },
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub struct Run<'a> {
    pub definition: &'a Definition,
    pub metering: &'a Metering,
    pub measures: &'a VersionMeasures,
}

impl Run<'_> {
    /// Runs a request in an environment. `began` is there for the environment's first, `begun` where
    /// the caller takes the response piece by piece.
    pub async fn request(
        &self,
        environment: &Arc<Environment>,
        invocation: Invocation,
        began: Option<Beginning>,
        begun: Option<oneshot::Sender<Begun>>,
    ) -> (Finished, After) {
        let definition = self.definition;
        let (now, started) = (Timestamp::now(), Instant::now());
        let request_id = invocation.request_id.clone();
        let asked = invocation.invoked_function_arn.clone();
        let trace_id = trace::header(
            invocation.trace_id.as_deref(),
            definition.tracing_active,
            now,
        );
        environment.output.begin(invocation.log_tail);
        self.say_start(&environment.output, &request_id, now);

        let event = event(invocation, &trace_id, now, definition.timeout_s);
        let begin = begun.map(|begun| Begin {
            begun,
            trace_id: trace_id.clone(),
        });
        let mut settled = None;
        let Delivery { reply, mut idle } = environment.link.deliver(event, begin);
        let timeout = Duration::from_secs(definition.timeout_s.into());
        let mut told_done = false;
        let answered = tokio::time::timeout(timeout, async {
            let answer = match reply.await {
                Ok(reply) => Answer::of(reply, &request_id),
                // The link always answers; that it does not can only mean its end.
                Err(_) => Answer::fault(Fault::timeout(definition.timeout_s), &request_id),
            };
            // What extensions do afterwards is part of the invocation. They wait for this with it.
            if environment.link.has_extensions() {
                if answer.fault.is_none() {
                    self.tell_done(&environment.output, &request_id, &answer, started.elapsed());
                    told_done = true;
                }
                settled = Some((&mut idle).await.is_ok());
            }
            answer
        });
        let answered = answered.await;
        // A timeout is billed as what it was set to, not as when we got round to it.
        let took = started.elapsed().min(timeout);

        let answer = answered.unwrap_or_else(|_| {
            environment.end(Reason::Timeout);
            Answer::fault(Fault::timeout(definition.timeout_s), &request_id)
        });
        environment.output.drain();
        environment.output.finish();
        if let Some(fault) = &answer.fault {
            self.say_fault(&environment.output, fault, &request_id);
        }
        let closing = Closing {
            request_id: &request_id,
            took,
            began,
            max_memory_mb: environment.memory_peak_mb(),
            produced_bytes: answer.produced_bytes(),
            ending: answer.ending(),
            provisioned: environment.initialization == Initialization::Provisioned,
            told_done,
            asked: &asked,
        };
        self.close(&environment.output, closing);

        let outcome = Outcome {
            payload: answer.payload,
            error: answer.error,
            executed_version: definition.version.clone(),
            log_tail: environment.output.take_tail(),
            trace_id,
        };
        let after = match (&answer.fault, settled) {
            (Some(_), _) | (_, Some(false)) => After::Over,
            (None, Some(true)) => After::Idle,
            (None, None) => After::Settling(idle).now(),
        };
        let reported = answer.reported;
        (Finished { outcome, reported }, after)
    }

    /// The outcome of a request whose environment failed in its init.
    pub fn init_failed(&self, failure: InitFailure, invocation: &Invocation) -> Outcome {
        let request_id = &invocation.request_id;
        let output = &failure.output;
        self.say_start(output, request_id, Timestamp::now());
        let (payload, ending) = match failure.payload {
            InitPayload::Reported(payload) => (payload, Ending::RuntimeError(&failure.kind)),
            InitPayload::Fault(fault) => {
                self.say_fault(output, &fault, request_id);
                (fault.payload(request_id), fault.ending())
            }
        };
        let closing = Closing {
            request_id,
            took: failure.init,
            began: None,
            max_memory_mb: failure.memory_peak_mb,
            produced_bytes: 0,
            ending,
            provisioned: false,
            told_done: false,
            asked: &invocation.invoked_function_arn,
        };
        self.close(output, closing);
        Outcome {
            payload,
            error: Some(FunctionError::Unhandled),
            executed_version: self.definition.version.clone(),
            log_tail: output.take_tail().filter(|_| invocation.log_tail),
            trace_id: invocation.trace_id.clone().unwrap_or_default(),
        }
    }

    /// Environments were kept ready for so long, all together.
    pub fn kept(&self, kept_ms: u64) {
        self.metering
            .record(&self.usage(UsageEvent::Provisioned { kept_ms }));
    }

    pub fn throttled(&self) {
        self.metering.record(&self.usage(UsageEvent::Throttled));
        // Who asked, and by which name, is not known here.
        self.measures.throttled("");
    }

    fn say_start(&self, output: &Output, request_id: &str, now: Timestamp) {
        output.say(|format| [report::start(format, self.definition, request_id, now)]);
    }

    fn say_fault(&self, output: &Output, fault: &Fault, request_id: &str) {
        let now = Timestamp::now();
        let text = if fault.is_timeout() {
            format!("{} {request_id} {}\n\n", report::millis(now), fault.message)
        } else {
            format!(
                "RequestId: {request_id} Error: {}\n{}\n",
                fault.message, fault.kind
            )
        };
        output.say(|format| [report::fault(format, &text, now)]);
    }

    /// Tells extensions that the runtime has answered: many wait for it before they ask for more.
    fn tell_done(&self, output: &Output, request_id: &str, answer: &Answer, took: Duration) {
        if !output.telemetry.is_on() {
            return;
        }
        output.drain();
        let report = Report {
            request_id,
            duration_ms: took.as_secs_f64() * 1000.0,
            billed_ms: 0,
            memory_mb: self.definition.memory_mb,
            max_memory_mb: 0,
            began: None,
            produced_bytes: answer.produced_bytes(),
            ending: answer.ending(),
        };
        output.tell(|format| [report::end(format, &report, Timestamp::now())]);
    }

    /// Ends the request's log and meters it.
    fn close(&self, output: &Output, closing: Closing<'_>) {
        let Closing {
            request_id,
            took,
            began,
            max_memory_mb,
            produced_bytes,
            ending,
            provisioned,
            told_done,
            asked,
        } = closing;
        let failed = ending != Ending::Success;
        let ended = Ended {
            took,
            failed,
            provisioned,
        };
        self.measures.ended(qualifier_of(asked), ended);
        let billed_ms = self.meter(took, began, max_memory_mb, failed, provisioned);
        let report = Report {
            request_id,
            duration_ms: took.as_secs_f64() * 1000.0,
            billed_ms,
            memory_mb: self.definition.memory_mb,
            max_memory_mb: max_memory_mb.min(self.definition.memory_mb.into()),
            began: began.map(Beginning::told),
            produced_bytes,
            ending,
        };
        let now = Timestamp::now();
        let end = |format| [report::end(format, &report, now)];
        match told_done {
            true => output.write(end),
            false => output.say(end),
        }
        output.say(|format| [report::report(format, &report, now)]);
    }

    /// Bills the request; gives the billed milliseconds. Since August 2025 Lambda bills the init of
    /// every environment with its first request; of a restore, what its own code takes.
    fn meter(
        &self,
        took: Duration,
        began: Option<Beginning>,
        max_memory_mb: u64,
        failed: bool,
        provisioned: bool,
    ) -> u64 {
        let (init, billed_ms) = match began {
            None => (Duration::ZERO, whole_ms(took)),
            Some(Beginning::Init(init)) => (init, whole_ms(took + init)),
            Some(Beginning::Restore { billed, .. }) => (billed, whole_ms(took) + whole_ms(billed)),
        };
        let billed_ms = billed_ms.max(1);
        self.metering.record(&self.usage(UsageEvent::Invoked {
            billed_ms,
            init_ms: whole_ms(init),
            provisioned,
            // As the REPORT line says it.
            max_memory_mb: max_memory_mb.min(self.definition.memory_mb.into()),
            failed,
        }));
        billed_ms
    }

    fn usage(&self, event: UsageEvent) -> Usage<'_> {
        let definition = self.definition;
        Usage {
            at: Timestamp::now(),
            account_id: &definition.key.account_id,
            region: &definition.key.region,
            function: &definition.key.name,
            version: &definition.version,
            architecture: &definition.architecture,
            memory_mb: definition.memory_mb,
            event,
        }
    }
}

/// What there is to say of a request at its end.
struct Closing<'a> {
    request_id: &'a str,
    took: Duration,
    began: Option<Beginning>,
    max_memory_mb: u64,
    produced_bytes: usize,
    ending: Ending<'a>,
    provisioned: bool,
    /// Extensions know already that the runtime is done with it.
    told_done: bool,
    /// The ARN that the caller used.
    asked: &'a str,
}

/// What comes behind the name in a function's ARN: a version or an alias, if there is one.
fn qualifier_of(arn: &str) -> &str {
    arn.splitn(8, ':').nth(7).unwrap_or_default()
}

struct Answer {
    payload: Bytes,
    error: Option<FunctionError>,
    /// The environment did not come through it.
    fault: Option<Fault>,
    /// How much has gone to the caller already.
    streamed_bytes: Option<usize>,
    reported: Option<StreamError>,
}

impl Answer {
    fn of(reply: Reply, request_id: &str) -> Self {
        match reply {
            Reply::Response(payload) => Self::good(payload),
            Reply::Error(payload) => Self::error(payload),
            Reply::TooLarge => Self::error(fault::response_too_large(RESPONSE_BYTES_MAX)),
            Reply::Streamed { bytes, end } => Self::streamed(bytes, end),
            Reply::Fault(fault) => Self::fault(fault, request_id),
            Reply::Exited(exit) => Self::fault(Fault::exited(exit), request_id),
        }
    }

    fn good(payload: Bytes) -> Self {
        Self {
            payload,
            error: None,
            fault: None,
            streamed_bytes: None,
            reported: None,
        }
    }

    fn error(payload: Bytes) -> Self {
        Self {
            error: Some(FunctionError::Unhandled),
            ..Self::good(payload)
        }
    }

    fn streamed(bytes: usize, end: End) -> Self {
        let answer = match end {
            End::Whole => Self::good(Bytes::new()),
            End::Reported(error) => Self {
                reported: Some(error),
                ..Self::good(Bytes::new())
            },
            End::TooLarge => Self::error(fault::response_too_large(STREAM_BYTES_MAX)),
            End::Truncated => Self::error(fault::response_truncated()),
        };
        Self {
            streamed_bytes: Some(bytes),
            ..answer
        }
    }

    fn fault(fault: Fault, request_id: &str) -> Self {
        Self {
            fault: Some(fault.clone()),
            ..Self::error(fault.payload(request_id))
        }
    }

    fn ending(&self) -> Ending<'static> {
        match (&self.fault, self.error) {
            (Some(fault), _) => fault.ending(),
            (None, Some(_)) => Ending::HandlerError,
            (None, None) => Ending::Success,
        }
    }

    /// What the function itself has answered.
    fn produced_bytes(&self) -> usize {
        match self.fault {
            Some(_) => 0,
            None => self.streamed_bytes.unwrap_or(self.payload.len()),
        }
    }
}

fn event(invocation: Invocation, trace_id: &str, now: Timestamp, timeout_s: u32) -> Event {
    Event {
        request_id: invocation.request_id,
        payload: invocation.payload,
        deadline_ms: now.as_millisecond() + i64::from(timeout_s) * 1000,
        invoked_function_arn: invocation.invoked_function_arn,
        trace_id: trace_id.to_owned(),
        client_context: invocation.client_context,
        cognito_identity: invocation.cognito_identity,
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

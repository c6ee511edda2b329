//! One invocation, from an environment in hand to its outcome: deliver, await, write the log lines,
//! meter.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot::{self, error::TryRecvError};
use wire::Timestamp;

use super::{
    Definition, FunctionError, Invocation, LogFormat, LogLevel, Outcome,
    environment::Environment,
    fault::{self, Fault},
    link::{Event, Reply},
    report::{self, Ending, Report},
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

pub struct Run<'a> {
    pub definition: &'a Definition,
    pub metering: &'a Metering,
}

impl Run<'_> {
    /// Runs a request in an environment. `init` is there for the environment's first.
    pub async fn request(
        &self,
        environment: &Environment,
        invocation: Invocation,
        init: Option<Duration>,
    ) -> (Outcome, After) {
        let definition = self.definition;
        let (now, started) = (Timestamp::now(), Instant::now());
        let request_id = invocation.request_id.clone();
        let trace_id = trace::header(
            invocation.trace_id.as_deref(),
            definition.tracing_active,
            now,
        );
        environment.output.begin(invocation.log_tail);
        self.say_start(environment, &request_id, now);

        let event = event(invocation, &trace_id, now, definition.timeout_s);
        let delivery = environment.link.deliver(event);
        let timeout = Duration::from_secs(definition.timeout_s.into());
        let reply = tokio::time::timeout(timeout, delivery.reply).await;
        // A timeout is billed as what it was set to, not as when we got round to it.
        let took = started.elapsed().min(timeout);

        let answer = match reply {
            Ok(Ok(reply)) => Answer::of(reply, &request_id),
            // The link always answers; that it does not can only mean its end.
            Ok(Err(_)) => Answer::fault(Fault::timeout(definition.timeout_s), &request_id),
            Err(_) => {
                environment.kill();
                Answer::fault(Fault::timeout(definition.timeout_s), &request_id)
            }
        };
        environment.output.drain();
        environment.output.finish();
        self.say_fault(environment, &answer, &request_id);
        let max_memory_mb = environment.memory_peak_mb();
        self.close(
            environment,
            &request_id,
            took,
            init,
            max_memory_mb,
            answer.ending(),
        );

        let outcome = Outcome {
            payload: answer.payload,
            error: answer.error,
            executed_version: definition.version.clone(),
            log_tail: environment.output.take_tail(),
            trace_id,
        };
        let after = match answer.fault {
            Some(_) => After::Over,
            None => settle(delivery.idle),
        };
        (outcome, after)
    }

    /// The outcome of a request whose environment failed in its init.
    pub fn init_failed(&self, failure: InitFailure, invocation: &Invocation) -> Outcome {
        let request_id = &invocation.request_id;
        let payload = match failure.payload {
            InitPayload::Reported(payload) => payload,
            InitPayload::Fault(fault) => fault.payload(request_id),
        };
        let ending = Ending::RuntimeError(&failure.kind);
        let log_tail = match &failure.environment {
            Some(environment) => {
                self.say_start(environment, request_id, Timestamp::now());
                let memory = environment.memory_peak_mb();
                self.close(environment, request_id, failure.init, None, memory, ending);
                environment.output.take_tail()
            }
            None => {
                self.meter(failure.init, None, 0, true);
                None
            }
        };
        Outcome {
            payload,
            error: Some(FunctionError::Unhandled),
            executed_version: self.definition.version.clone(),
            log_tail: log_tail.filter(|_| invocation.log_tail),
            trace_id: invocation.trace_id.clone().unwrap_or_default(),
        }
    }

    pub fn throttled(&self) {
        self.metering.record(&self.usage(UsageEvent::Throttled));
    }

    fn say_start(&self, environment: &Environment, request_id: &str, now: Timestamp) {
        let Definition {
            log_format,
            version,
            ..
        } = self.definition;
        if self.says_platform_lines() {
            let line = report::start(*log_format, request_id, version, now);
            environment.output.say(&line);
        }
    }

    fn say_fault(&self, environment: &Environment, answer: &Answer, request_id: &str) {
        let Some(fault) = &answer.fault else { return };
        let (format, now) = (self.definition.log_format, Timestamp::now());
        let text = if fault.kind == "Sandbox.Timedout" {
            format!("{} {request_id} {}\n\n", report::millis(now), fault.message)
        } else {
            format!(
                "RequestId: {request_id} Error: {}\n{}\n",
                fault.message, fault.kind
            )
        };
        environment.output.say(&report::fault(format, &text, now));
    }

    /// Ends the request's log and meters it.
    fn close(
        &self,
        environment: &Environment,
        request_id: &str,
        took: Duration,
        init: Option<Duration>,
        max_memory_mb: u64,
        ending: Ending<'_>,
    ) {
        let failed = ending != Ending::Success;
        let billed_ms = self.meter(took, init, max_memory_mb, failed);
        if !self.says_platform_lines() {
            return;
        }
        let format = self.definition.log_format;
        if let Some(line) = report::end(format, request_id) {
            environment.output.say(&line);
        }
        let report = Report {
            request_id,
            duration_ms: took.as_secs_f64() * 1000.0,
            billed_ms,
            memory_mb: self.definition.memory_mb,
            max_memory_mb: max_memory_mb.min(self.definition.memory_mb.into()),
            init_ms: init.map(|init| init.as_secs_f64() * 1000.0),
            ending,
        };
        let line = report::report(format, &report, Timestamp::now());
        environment.output.say(&line);
    }

    /// Bills the request; gives the billed milliseconds. Since August 2025 Lambda bills the init of
    /// every environment with its first request.
    fn meter(
        &self,
        took: Duration,
        init: Option<Duration>,
        max_memory_mb: u64,
        failed: bool,
    ) -> u64 {
        let init = init.unwrap_or_default();
        let billed_ms = whole_ms(took + init).max(1);
        self.metering.record(&self.usage(UsageEvent::Invoked {
            billed_ms,
            init_ms: whole_ms(init),
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

    /// The JSON format can leave Lambda's own lines out; the text format always has them.
    fn says_platform_lines(&self) -> bool {
        self.definition.log_format == LogFormat::Text
            || self.definition.system_log_level <= LogLevel::Info
    }
}

struct Answer {
    payload: Bytes,
    error: Option<FunctionError>,
    /// The environment did not come through it.
    fault: Option<Fault>,
}

impl Answer {
    fn of(reply: Reply, request_id: &str) -> Self {
        let (payload, error) = match reply {
            Reply::Response(payload) => (payload, None),
            Reply::Error(payload) => (payload, Some(FunctionError::Unhandled)),
            Reply::TooLarge => (fault::response_too_large(), Some(FunctionError::Unhandled)),
            Reply::Exited(exit) => return Self::fault(Fault::exited(exit), request_id),
        };
        Self {
            payload,
            error,
            fault: None,
        }
    }

    fn fault(fault: Fault, request_id: &str) -> Self {
        Self {
            payload: fault.payload(request_id),
            error: Some(FunctionError::Unhandled),
            fault: Some(fault),
        }
    }

    fn ending(&self) -> Ending<'static> {
        match (&self.fault, self.error) {
            (Some(fault), _) if fault.kind == "Sandbox.Timedout" => Ending::Timeout,
            (Some(fault), _) => Ending::RuntimeError(fault.kind),
            (None, Some(_)) => Ending::HandlerError,
            (None, None) => Ending::Success,
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

fn settle(mut idle: oneshot::Receiver<()>) -> After {
    match idle.try_recv() {
        // Our own clients ask in the same breath.
        Ok(()) => After::Idle,
        Err(TryRecvError::Empty) => After::Settling(idle),
        // It ended right after its answer.
        Err(TryRecvError::Closed) => After::Over,
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

//! The error objects that Lambda itself answers with when a function did not answer for itself.

use bytes::Bytes;
use sandbox::{Exit, ExitStatus};
use serde_json::json;

use super::report::Ending;

/// The most a function may answer, in bytes: 6 MiB and a hundred bytes, as Lambda has it.
pub const RESPONSE_BYTES_MAX: usize = 6_291_556;

/// The most it may answer where the caller takes it piece by piece, in bytes; Lambda's 200 MB.
pub const STREAM_BYTES_MAX: usize = 200 * 1024 * 1024;

const TIMEOUT: &str = "Sandbox.Timedout";

/// A failure that Lambda words itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// E.g. `Runtime.ExitError`.
    pub kind: &'static str,
    /// Without the request id, which the error object puts before it.
    pub message: String,
}

impl Fault {
    pub fn timeout(timeout_s: u32) -> Self {
        Self {
            kind: TIMEOUT,
            message: format!("Task timed out after {timeout_s}.00 seconds"),
        }
    }

    pub fn exited(exit: Exit) -> Self {
        let message = match exit.status {
            ExitStatus::Code(0) => "Runtime exited without providing a reason".to_owned(),
            ExitStatus::Code(code) => format!("Runtime exited with error: exit status {code}"),
            ExitStatus::Signal(signal) => {
                format!("Runtime exited with error: signal: {}", signal_name(signal))
            }
        };
        let kind = if exit.out_of_memory {
            "Runtime.OutOfMemory"
        } else {
            "Runtime.ExitError"
        };
        Self { kind, message }
    }

    pub fn invalid_entrypoint(message: String) -> Self {
        Self {
            kind: "Runtime.InvalidEntrypoint",
            message,
        }
    }

    /// What an extension did, by one of Lambda's types.
    pub fn extension(kind: &'static str, message: &str) -> Self {
        Self {
            kind,
            message: message.to_owned(),
        }
    }

    pub fn is_timeout(&self) -> bool {
        self.kind == TIMEOUT
    }

    /// How it shows in the log.
    pub fn ending(&self) -> Ending<'static> {
        match self.is_timeout() {
            true => Ending::Timeout,
            false => Ending::RuntimeError(self.kind),
        }
    }

    pub fn payload(&self, request_id: &str) -> Bytes {
        let message = format!("RequestId: {request_id} Error: {}", self.message);
        object(self.kind, &message)
    }
}

/// An error object, as the caller gets it.
pub fn object(kind: &str, message: &str) -> Bytes {
    json!({"errorType": kind, "errorMessage": message})
        .to_string()
        .into()
}

/// The answer to a response that is too large; Lambda gives no request id with it.
pub fn response_too_large(bytes_max: usize) -> Bytes {
    let message =
        format!("Response payload size exceeded maximum allowed payload size ({bytes_max} bytes).");
    json!({"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"})
        .to_string()
        .into()
}

/// The error of a response that the runtime left half way without a word.
pub fn response_truncated() -> Bytes {
    object(
        "Runtime.TruncatedResponse",
        "The runtime's connection ended before the response did.",
    )
}

/// As Go's runtime words signals, which is what Lambda prints.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        11 => "segmentation fault",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        31 => "bad system call",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_worded_as_lambda_words_them() {
        let check = |status, out_of_memory, kind, message: &str| {
            let fault = Fault::exited(Exit {
                status,
                out_of_memory,
            });
            assert_eq!((fault.kind, fault.message.as_str()), (kind, message));
        };
        let plain = "Runtime.ExitError";
        check(
            ExitStatus::Code(0),
            false,
            plain,
            "Runtime exited without providing a reason",
        );
        check(
            ExitStatus::Code(1),
            false,
            plain,
            "Runtime exited with error: exit status 1",
        );
        check(
            ExitStatus::Signal(9),
            true,
            "Runtime.OutOfMemory",
            "Runtime exited with error: signal: killed",
        );
    }
}

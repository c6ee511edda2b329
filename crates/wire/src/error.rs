//! What an operation answers when it does not succeed: AWS's code, status, fault and message, and
//! whatever else the modelled error carries. Which bytes that becomes is the protocol's business.
//!
//! These are the caller's words. What an operator should know is logged where it happened.

use http::StatusCode;

use crate::{
    schema::{Kind, Service, Shape},
    value::Value,
};

/// Whose fault an error is; Lambda writes it as the member `Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Sender,
    Receiver,
}

impl Fault {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "User",
            Self::Receiver => "Service",
        }
    }
}

/// An AWS error, on its way to the caller.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}: {}", self.0.code, self.0.message)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// The shape's name, e.g. `ResourceNotFoundException`. What awsQuery says instead is for its
    /// codec to look up.
    pub code: &'static str,
    pub status: StatusCode,
    pub fault: Fault,
    pub message: String,
    /// Further members by their model names, e.g. `Reason`.
    pub members: Vec<(&'static str, Value)>,
    /// Leave the member `Type` out although the shape has one: Lambda's front does.
    pub untyped: bool,
    /// Headers beyond those that the shape gives.
    pub headers: Vec<(&'static str, String)>,
}

impl std::ops::Deref for Error {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::ops::DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.0
    }
}

impl Error {
    /// An error that no model names, such as those all services share.
    pub fn new(code: &'static str, status: StatusCode, message: impl Into<String>) -> Self {
        let fault = if status.is_server_error() {
            Fault::Receiver
        } else {
            Fault::Sender
        };
        Self(Box::new(Parts {
            code,
            status,
            fault,
            message: message.into(),
            members: Vec::new(),
            untyped: false,
            headers: Vec::new(),
        }))
    }

    /// An error as its shape says. A shape that is no error makes an internal failure.
    pub fn modelled(shape: &'static Shape, message: impl Into<String>) -> Self {
        let Kind::Structure(structure) = &shape.kind else {
            return Self::internal();
        };
        let Some(error) = structure.error else {
            return Self::internal();
        };
        let status =
            StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut made = Self::new(shape.name, status, message);
        made.fault = if error.sender {
            Fault::Sender
        } else {
            Fault::Receiver
        };
        made
    }

    /// Sets a further member of the error's shape, e.g. `Reason`. S3's errors have more than their
    /// shapes say: there every one set becomes an element, in the order in which they were, e.g.
    /// `BucketName`.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((member, value.into()));
        self
    }

    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Leaves `Type` out of the body, as Lambda does for what its front refuses.
    #[must_use]
    pub fn untyped(mut self) -> Self {
        self.untyped = true;
        self
    }

    /// The input breaks the model's constraints; the message is AWS's list of how.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", StatusCode::BAD_REQUEST, message)
    }

    /// A parameter that has to be there is not, in the words of the services that look for no more
    /// than that.
    pub fn missing(parameter: &str) -> Self {
        Self::new(
            "MissingRequiredParameterException",
            StatusCode::BAD_REQUEST,
            format!("The request must contain the parameter {parameter}."),
        )
    }

    /// The body is not what the protocol calls for.
    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", StatusCode::BAD_REQUEST, message)
    }

    /// The caller may not do this. Lambda says nothing more of another account's functions.
    pub fn access_denied(message: Option<String>) -> Self {
        Self::new(
            "AccessDeniedException",
            StatusCode::FORBIDDEN,
            message.unwrap_or_default(),
        )
    }

    /// The path names no operation. Lambda finds that out where it asks what is to be allowed.
    pub fn unknown_path() -> Self {
        let message = "Unable to determine service/operation name to be authorized";
        Self::access_denied(Some(message.to_owned()))
    }

    /// An operation of AWS's that is not built yet: said in so many words, never a silent success.
    pub fn not_implemented(service: &Service, operation: &str) -> Self {
        let name = service.name;
        Self::new(
            "NotImplemented",
            StatusCode::NOT_IMPLEMENTED,
            format!("{name}'s operation {operation} is not implemented yet"),
        )
    }

    pub fn internal() -> Self {
        Self::new(
            "InternalFailure",
            StatusCode::INTERNAL_SERVER_ERROR,
            "The request processing has failed because of an unknown error, exception or failure.",
        )
    }
}

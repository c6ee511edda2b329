//! Why a text is no policy.

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("the policy is longer than {max} bytes")]
    TooLong { max: usize },
    #[error("the policy has {count} statements; {max} are allowed")]
    TooManyStatements { count: usize, max: usize },
    #[error("not JSON: {0}")]
    Json(String),
    /// `at` names the element, e.g. `Statement 2, Condition`.
    #[error("{at}: {what}")]
    Element { at: String, what: String },
}

impl PolicyError {
    pub(super) fn at(at: impl Into<String>, what: impl Into<String>) -> Self {
        PolicyError::Element {
            at: at.into(),
            what: what.into(),
        }
    }

    /// The same, of an element within another.
    pub(super) fn within(self, outer: &str) -> Self {
        match self {
            PolicyError::Element { at, what } => PolicyError::Element {
                at: format!("{outer}, {at}"),
                what,
            },
            other => other,
        }
    }
}

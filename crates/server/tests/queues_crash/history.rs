//! What the clients saw: every operation with its begin and its end on one clock, and what came of
//! it.

/// From the moment before a request is sent to the moment after its answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub begin_us: i64,
    pub end_us: i64,
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |us: i64| us as f64 / 1e3;
        write!(f, "{:.3}-{:.3} ms", ms(self.begin_us), ms(self.end_us))
    }
}

/// What an operation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    Done(T),
    /// The answer says that it had no effect.
    Refused,
    /// There was no answer, or one that leaves it open.
    Unknown,
}

impl<T> Outcome<T> {
    pub fn done(&self) -> Option<&T> {
        match self {
            Outcome::Done(value) => Some(value),
            Outcome::Refused | Outcome::Unknown => None,
        }
    }

    pub fn may_have_happened(&self) -> bool {
        !matches!(self, Outcome::Refused)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    pub dead_letters: Option<DeadLetters>,
}

impl Queue {
    pub fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetters {
    /// The index of the dead-letter queue.
    pub queue: usize,
    pub receives_max: u32,
}

/// One attempt to send a message. A FIFO queue's message may be sent several times, under the same
/// deduplication id, and is to come once.
#[derive(Debug, Clone)]
pub struct Send {
    pub queue: usize,
    pub message: u64,
    pub group: Option<u32>,
    pub delay_us: i64,
    pub span: Span,
    pub outcome: Outcome<Sent>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub message_id: String,
    /// Of FIFO queues.
    pub sequence: Option<u128>,
}

#[derive(Debug, Clone)]
pub struct Receive {
    pub id: u64,
    pub queue: usize,
    pub visibility_us: i64,
    pub span: Span,
    pub outcome: Outcome<Vec<Delivery>>,
}

#[derive(Debug, Clone)]
pub struct Delivery {
    /// None where the body is none that was sent, to the last character.
    pub message: Option<u64>,
    pub message_id: String,
    pub receive_count: u32,
    pub sequence: Option<u128>,
    pub group: Option<u32>,
}

/// What was done with a receipt handle: of which receive, at which place in it.
#[derive(Debug, Clone)]
pub struct Act {
    pub receive: u64,
    pub place: usize,
    pub what: What,
    pub span: Span,
    pub outcome: Outcome<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Delete,
    ChangeVisibility { to_us: i64 },
}

#[derive(Debug, Clone, Default)]
pub struct History {
    pub queues: Vec<Queue>,
    /// From the signal to the answer of the next process.
    pub kills: Vec<Span>,
    pub sends: Vec<Send>,
    pub receives: Vec<Receive>,
    pub acts: Vec<Act>,
}

impl History {
    pub fn append(&mut self, mut other: History) {
        self.sends.append(&mut other.sends);
        self.receives.append(&mut other.receives);
        self.acts.append(&mut other.acts);
    }
}

/// A message's body, of which its number can be read if nothing of it has changed.
pub fn body(message: u64) -> String {
    let padding = (message.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize;
    let letter = char::from(b'a' + (message % 26) as u8);
    format!("{message:016x} {}", letter.to_string().repeat(padding))
}

pub fn message_of(text: &str) -> Option<u64> {
    let number = u64::from_str_radix(text.get(..16)?, 16).ok()?;
    (body(number) == text).then_some(number)
}

//! Small things in the form in which they are shown.

/// A FIFO topic's SequenceNumber: twenty digits.
pub fn sequence_number(sequence: i64) -> String {
    (10_000_000_000_000_000_000_u64 + sequence.unsigned_abs()).to_string()
}

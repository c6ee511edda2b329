//! What a function wrote on its log pipe, cut into log events.

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Line(String),
    Frame { micros: i64, message: String },
}

impl Entry {
    pub fn text(&self) -> &str {
        match self {
            Self::Line(text) | Self::Frame { message: text, .. } => text,
        }
    }
}

const MAGIC: [u8; 4] = [0xa5, 0x5a, 0x00, 0x03];
const HEADER: usize = 16;

pub fn parse(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        if bytes.starts_with(&MAGIC) {
            let number =
                |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
            let end = HEADER + number(4) as usize;
            let micros = i64::from(number(8)) << 32 | i64::from(number(12));
            let message = text(&bytes[HEADER..end]);
            entries.push(Entry::Frame { micros, message });
            bytes = &bytes[end..];
            continue;
        }
        let newline = bytes.iter().position(|byte| *byte == b'\n');
        let end = newline.unwrap_or(bytes.len());
        entries.push(Entry::Line(text(&bytes[..end])));
        bytes = &bytes[(end + 1).min(bytes.len())..];
    }
    entries
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("a log is UTF-8")
}

//! Whether bytes are JSON, and if not, why, in the words of the parser that Lambda uses.
//!
//! One pass without recursion and without building anything: payloads go to functions as they
//! came. Lone surrogates in escapes pass, as they do in Lambda; bad UTF-8 does not.

use super::limits::PAYLOAD_DEPTH_MAX;

/// The message, with the place of the fault.
pub fn check(text: &[u8]) -> Result<(), String> {
    let mut scan = Scan { text, at: 0 };
    scan.document().map_err(|fault| {
        let (line, column) = place(text, fault.at);
        format!(
            "Could not parse payload into json: {}\n at [Source: REDACTED \
             (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: {line}, column: \
             {column}]",
            fault.what
        )
    })
}

/// What is wrong and how many bytes had been read, if it is no JSON.
pub fn fault(text: &[u8]) -> Option<(String, usize)> {
    let mut scan = Scan { text, at: 0 };
    scan.document().err().map(|fault| (fault.what, fault.at))
}

struct Fault {
    what: String,
    /// How many bytes had been read.
    at: usize,
}

type Step = Result<(), Fault>;

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Open {
    Array,
    Object,
}

impl Scan<'_> {
    fn document(&mut self) -> Step {
        let mut open: Vec<Open> = Vec::new();
        loop {
            self.space();
            match self.next("value")? {
                b'{' => {
                    self.deeper(&mut open, Open::Object)?;
                    if !self.empty(b'}') {
                        self.key()?;
                        continue;
                    }
                    open.pop();
                }
                b'[' => {
                    self.deeper(&mut open, Open::Array)?;
                    if !self.empty(b']') {
                        continue;
                    }
                    open.pop();
                }
                first => self.scalar(first)?,
            }
            if self.after_value(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Goes on behind a value: `true` at the end, `false` where another value is due.
    fn after_value(&mut self, open: &mut Vec<Open>) -> Result<bool, Fault> {
        loop {
            self.space();
            let Some(inside) = open.last().copied() else {
                return match self.text.get(self.at) {
                    None => Ok(true),
                    Some(&byte) => {
                        self.at += 1;
                        Err(self.unexpected(byte, VALUE))
                    }
                };
            };
            let (close, name) = match inside {
                Open::Array => (b']', "Array"),
                Open::Object => (b'}', "Object"),
            };
            match self.next(name)? {
                byte if byte == close => {
                    open.pop();
                }
                b',' if inside == Open::Object => {
                    self.key()?;
                    return Ok(false);
                }
                b',' => return Ok(false),
                byte => {
                    let what = format!("was expecting comma to separate {name} entries");
                    return Err(self.unexpected(byte, &what));
                }
            }
        }
    }

    fn deeper(&self, open: &mut Vec<Open>, kind: Open) -> Step {
        open.push(kind);
        if open.len() > PAYLOAD_DEPTH_MAX {
            return Err(self.fault(format!(
                "Document nesting depth ({}) exceeds the maximum allowed ({PAYLOAD_DEPTH_MAX})",
                open.len()
            )));
        }
        Ok(())
    }

    fn empty(&mut self, close: u8) -> bool {
        self.space();
        let empty = self.text.get(self.at) == Some(&close);
        self.at += usize::from(empty);
        empty
    }

    fn key(&mut self) -> Step {
        self.space();
        match self.next("Object")? {
            b'"' => self.string()?,
            byte => {
                return Err(self.unexpected(byte, "was expecting double-quote to start field name"));
            }
        }
        self.space();
        match self.next("Object")? {
            b':' => Ok(()),
            byte => Err(self.unexpected(
                byte,
                "was expecting a colon to separate field name and value",
            )),
        }
    }

    fn scalar(&mut self, first: u8) -> Step {
        match first {
            b'"' => self.string(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            b'-' | b'0'..=b'9' => self.number(first),
            byte => Err(self.unexpected(byte, VALUE)),
        }
    }

    fn word(&mut self, word: &[u8]) -> Step {
        let start = self.at - 1;
        let matched = self.text[start..].starts_with(word);
        let ends = |byte: &u8| !(byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80);
        if matched && self.text.get(start + word.len()).is_none_or(ends) {
            self.at = start + word.len();
            return Ok(());
        }
        // The parser reads the rest of the unknown word, and may stumble over it.
        while let Some(&byte) = self.text.get(self.at).filter(|byte| !ends(byte)) {
            if byte >= 0x80 {
                self.utf8()?;
            } else {
                self.at += 1;
            }
        }
        let token = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        let token: String = token.chars().take(256).collect();
        Err(self.fault(format!(
            "Unrecognized token '{token}': was expecting (JSON String, Number, Array, Object or \
             token 'null', 'true' or 'false')"
        )))
    }

    fn number(&mut self, first: u8) -> Step {
        let mut lead = first;
        if first == b'-' {
            lead = self.next("number")?;
            if !lead.is_ascii_digit() {
                return Err(self.unexpected(
                    lead,
                    "expected digit (0-9) to follow minus sign, for valid numeric value",
                ));
            }
        }
        let more = self.digits();
        if lead == b'0' && more > 0 {
            return Err(self.fault("Invalid numeric value: Leading zeroes not allowed".to_owned()));
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.no_digit("Decimal point not followed by a digit"));
            }
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.no_digit("Exponent indicator not followed by a digit"));
            }
        }
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let rest = &self.text[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn no_digit(&self, what: &str) -> Fault {
        self.fault(format!("Unexpected character in numeric value: {what}"))
    }

    /// Behind the opening quote.
    fn string(&mut self) -> Step {
        loop {
            let rest = &self.text[self.at..];
            let plain = |byte: &&u8| !matches!(**byte, b'"' | b'\\' | 0..=0x1f | 0x80..);
            self.at += rest.iter().take_while(plain).count();
            match self.text.get(self.at) {
                Some(0x80..) => self.utf8()?,
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(&byte) => {
                    self.at += 1;
                    return Err(self.fault(format!(
                        "Illegal unquoted character ((CTRL-CHAR, code {byte})): has to be escaped \
                         using backslash to be included in string value"
                    )));
                }
                None => return Err(self.ended("in VALUE_STRING")),
            }
        }
    }

    fn escape(&mut self) -> Step {
        match self.next("string")? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                for _ in 0..4 {
                    let byte = self.next("string")?;
                    if !byte.is_ascii_hexdigit() {
                        return Err(
                            self.unexpected(byte, "expected a hex-digit for character escape")
                        );
                    }
                }
                Ok(())
            }
            byte => Err(self.fault(format!("Unrecognized character escape {}", described(byte)))),
        }
    }

    fn utf8(&mut self) -> Step {
        let rest = &self.text[self.at..];
        let most = &rest[..rest.len().min(4)];
        let valid = match std::str::from_utf8(most) {
            Ok(text) => text.chars().next().map_or(0, char::len_utf8),
            Err(error) => {
                let good = std::str::from_utf8(&most[..error.valid_up_to()]);
                let first = good.ok().and_then(|text| text.chars().next());
                first.map_or(0, char::len_utf8)
            }
        };
        if valid > 0 {
            self.at += valid;
            return Ok(());
        }
        let first = rest.first().copied().unwrap_or_default();
        self.at += 1;
        if matches!(first, 0xc0..=0xf7) {
            let second = rest.get(1).copied().unwrap_or_default();
            self.at += usize::from(rest.len() > 1);
            return Err(self.fault(format!("Invalid UTF-8 middle byte 0x{second:x}")));
        }
        Err(self.fault(format!("Invalid UTF-8 start byte 0x{first:x}")))
    }

    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn next(&mut self, within: &str) -> Result<u8, Fault> {
        let Some(&byte) = self.text.get(self.at) else {
            return Err(match within {
                "value" => self.fault("No content to map due to end-of-input".to_owned()),
                within => self.ended(&format!("within/between {within} entries")),
            });
        };
        self.at += 1;
        Ok(byte)
    }

    fn ended(&self, within: &str) -> Fault {
        self.fault(format!("Unexpected end-of-input {within}"))
    }

    fn unexpected(&self, byte: u8, expected: &str) -> Fault {
        Fault {
            what: format!("Unexpected character ({}): {expected}", described(byte)),
            at: self.at - 1,
        }
    }

    fn fault(&self, what: String) -> Fault {
        Fault { what, at: self.at }
    }
}

const VALUE: &str = "expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')";

fn described(byte: u8) -> String {
    match byte {
        0x20..=0x7e => format!("'{}' (code {byte})", byte as char),
        _ => format!("(CTRL-CHAR, code {byte})"),
    }
}

fn place(text: &[u8], at: usize) -> (usize, usize) {
    let read = &text[..at.min(text.len())];
    let line = read.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = read
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    (line, at - start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_passes() {
        for text in [
            "{}",
            "[]",
            "null",
            " true ",
            "-0.5e+10",
            "0",
            "\"\\ud800 \\u00e4 ä 😀\"",
            "{\"a\":[1,{\"b\":[[],{}]},\"x\"],\"c\":null}",
            "[1 , 2]\n",
            "{ \"a\" : { } }",
        ] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert_eq!(check(deep.as_bytes()), Ok(()));
    }

    #[test]
    fn what_is_not_json_does_not() {
        let deep = "[".repeat(1001) + &"]".repeat(1001);
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "[1 2]",
            "01",
            "1.",
            "1e",
            "-",
            "\"a",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "nul",
            "truex",
            "{} {}",
            "]",
            "{]",
            "'a'",
            "NaN",
            &deep,
        ] {
            assert!(check(text.as_bytes()).is_err(), "{text}");
            assert!(text.len() > 100 || serde_json::from_str::<serde_json::Value>(text).is_err());
        }
        assert!(check(b"\"\xc3\"").is_err());
        assert!(check(b"\"\xed\xa0\x80\"").is_err());
    }

    /// As Lambda was seen to answer.
    #[test]
    fn the_words_are_lambdas() {
        let check_words = |text: &[u8], what: &str, column: usize| {
            assert_eq!(
                check(text).unwrap_err(),
                format!(
                    "Could not parse payload into json: {what}\n at [Source: REDACTED \
                     (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: \
                     {column}]"
                )
            );
        };
        check_words(
            b"\x99\xeb,j\x07\xa1zYh",
            &format!("Unexpected character ((CTRL-CHAR, code 153)): {VALUE}"),
            1,
        );
        check_words(b"n\x87r\x9e\xe9", "Invalid UTF-8 start byte 0x87", 3);
    }

    /// Another parser of JSON says the same of what is nearly JSON.
    #[test]
    fn it_agrees_with_another_parser() {
        let seeds: [&[u8]; 4] = [
            br#"{"a":[1,-2.5e3,{"b":null}],"c":"x\u00e9\n"}"#,
            br#"[[],{},true,false,"",0,[0.1,"\"\\"]]"#,
            b" { \"k\" : [ 1 , 2 ] , \"l\" : { } } ",
            b"-0.0E-1",
        ];
        let letters = b"{}[]:,\"\\tfn0123456789.eE+- u\n\x01a";
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % below as u64).unwrap()
        };
        let mut accepted = 0;
        for round in 0..200_000 {
            let mut text = seeds[round % seeds.len()].to_vec();
            for _ in 0..=next(3) {
                let at = next(text.len());
                match next(3) {
                    0 => text[at] = letters[next(letters.len())],
                    1 => text.insert(at, letters[next(letters.len())]),
                    _ if text.len() > 1 => drop(text.remove(at)),
                    _ => {}
                }
            }
            let other = serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok();
            let told = String::from_utf8_lossy(&text);
            assert_eq!(check(&text).is_ok(), other, "{told}");
            accepted += usize::from(other);
        }
        assert!(accepted > 10_000, "{accepted}");
    }
}

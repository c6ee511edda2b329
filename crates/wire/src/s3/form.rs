//! A browser's form (`multipart/form-data`) as it comes: its fields, and then the bytes of the file,
//! which are not held.

use bytes::{Bytes, BytesMut};
use http::{StatusCode, header, request::Parts};

use crate::error::Error;

/// What comes before the file.
const FIELDS_BYTES_MAX: usize = 20 * 1024;
/// RFC 2046, 5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;

pub struct Form {
    delimiter: Vec<u8>,
    state: State,
    buffer: BytesMut,
    /// Of the fields so far.
    length: usize,
    fields: Fields,
}

/// What a form says before its file, in the order of arrival, names in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    pub all: Vec<(String, String)>,
    /// What the file is called where it comes from.
    pub filename: String,
}

impl Fields {
    /// The first of that name, which is to be in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.all.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fields,
    File,
    End,
}

impl Form {
    pub fn new(parts: &Parts) -> Result<Self, Error> {
        let boundary = boundary(parts).ok_or_else(malformed)?;
        let mut buffer = BytesMut::new();
        // What comes first has no line before it.
        buffer.extend_from_slice(b"\r\n");
        Ok(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            state: State::Fields,
            buffer,
            length: 0,
            fields: Fields::default(),
        })
    }

    /// Takes what came next. Gives the fields once, when the file begins.
    pub fn take(&mut self, piece: &[u8]) -> Result<Option<Fields>, Error> {
        self.buffer.extend_from_slice(piece);
        if self.state != State::Fields {
            return Ok(None);
        }
        self.length += piece.len();
        loop {
            match self.part()? {
                Some(Part::File) => return Ok(Some(std::mem::take(&mut self.fields))),
                Some(Part::Field) => {}
                None if self.buffer.len() > FIELDS_BYTES_MAX => return Err(too_much()),
                None => return Ok(None),
            }
        }
    }

    /// The file's bytes that are there.
    pub fn file(&mut self) -> Option<Bytes> {
        if self.state != State::File {
            return None;
        }
        if let Some(end) = find(&self.buffer, &self.delimiter) {
            self.state = State::End;
            return Some(self.buffer.split_to(end).freeze()).filter(|b| !b.is_empty());
        }
        // The end could be the beginning of the delimiter.
        let sure = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
        Some(self.buffer.split_to(sure).freeze()).filter(|b| !b.is_empty())
    }

    /// Whether all of the file has been there.
    pub fn has_ended(&self) -> bool {
        self.state == State::End
    }

    /// What a form is that ended where it is now.
    pub fn end(&self) -> Result<(), Error> {
        match self.state {
            State::End => Ok(()),
            State::Fields if find(&self.buffer, b"--").is_some() => Err(no_file()),
            State::Fields | State::File => Err(malformed()),
        }
    }

    /// The next part, if it is there: a field whole, a file to its beginning.
    fn part(&mut self) -> Result<Option<Part>, Error> {
        let Some(begin) = find(&self.buffer, &self.delimiter) else {
            return Ok(None);
        };
        let head = begin + self.delimiter.len();
        let rest = &self.buffer[head..];
        if rest.len() < 2 {
            return Ok(None);
        }
        if rest.starts_with(b"--") {
            return Err(no_file());
        }
        let Some(length) = find(rest, b"\r\n\r\n") else {
            return Ok(None);
        };
        let header = String::from_utf8_lossy(&rest[..length]).into_owned();
        let body = head + length + 4;
        let name = disposition(&header, "name")
            .ok_or_else(malformed)?
            .to_ascii_lowercase();
        if name == "file" {
            self.fields.filename = disposition(&header, "filename").unwrap_or_default();
            let _ = self.buffer.split_to(body);
            self.state = State::File;
            return Ok(Some(Part::File));
        }
        let Some(end) = find(&self.buffer[body..], &self.delimiter) else {
            return Ok(None);
        };
        if self.length > FIELDS_BYTES_MAX + self.buffer.len() {
            return Err(too_much());
        }
        let value = String::from_utf8_lossy(&self.buffer[body..body + end]).into_owned();
        self.fields.all.push((name, value));
        let _ = self.buffer.split_to(body + end);
        Ok(Some(Part::Field))
    }
}

enum Part {
    Field,
    File,
}

fn boundary(parts: &Parts) -> Option<String> {
    let media_type = parts.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let boundary = parameter(media_type, "boundary")?;
    (1..=BOUNDARY_BYTES_MAX)
        .contains(&boundary.len())
        .then_some(boundary)
}

/// A parameter of a part's `Content-Disposition`.
fn disposition(header: &str, name: &str) -> Option<String> {
    let mut lines = header.split("\r\n").filter_map(|line| line.split_once(':'));
    let is = |(n, _): &(&str, &str)| n.trim().eq_ignore_ascii_case("content-disposition");
    parameter(lines.find(is)?.1, name)
}

fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(';') {
        let (key, value) = after.trim_start().split_once('=')?;
        let (value, next) = match value.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next)
            }
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = next;
    }
    None
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

pub fn malformed() -> Error {
    let message = "The body of your POST request is not well-formed multipart/form-data.";
    Error::new("MalformedPOSTRequest", StatusCode::BAD_REQUEST, message)
}

fn too_much() -> Error {
    let message = "Your POST request fields preceding the upload file were too large.";
    let error = Error::new(
        "MaxPostPreDataLengthExceeded",
        StatusCode::BAD_REQUEST,
        message,
    );
    error.with("MaxPostPreDataLengthBytes", FIELDS_BYTES_MAX.to_string())
}

fn no_file() -> Error {
    let message = "POST requires exactly one file upload per request.";
    Error::new("InvalidArgument", StatusCode::BAD_REQUEST, message)
        .with("ArgumentName", "file")
        .with("ArgumentValue", "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        let request = http::Request::post("/b")
            .header("content-type", "multipart/form-data; boundary=\"x y\"");
        Form::new(&request.body(()).unwrap().into_parts().0).unwrap()
    }

    /// Whole and byte by byte.
    fn read(body: &str) -> Result<(Fields, String), &'static str> {
        let run = |pieces: Vec<&[u8]>| {
            let (mut form, mut fields, mut file) = (form(), None, Vec::new());
            for piece in pieces {
                if let Some(found) = form.take(piece).map_err(|e| e.code)? {
                    fields = Some(found);
                }
                while let Some(bytes) = form.file() {
                    file.extend_from_slice(&bytes);
                }
            }
            form.end().map_err(|e| e.code)?;
            Ok((fields.unwrap(), String::from_utf8(file).unwrap()))
        };
        let whole = run(vec![body.as_bytes()]);
        assert_eq!(whole, run(body.as_bytes().chunks(1).collect()), "{body:?}");
        whole
    }

    const FIELD: &str =
        "--x y\r\nContent-Disposition: form-data; name=\"Key\"\r\n\r\na/${filename}\r\n";
    const FILE: &str =
        "--x y\r\nContent-Disposition: form-data; name=\"file\"; filename=\"n.txt\"\r\n\r\n";

    #[test]
    fn fields_come_before_the_file() {
        let (fields, file) = read(&format!("{FIELD}{FILE}a\r\n--x\r\nb\r\n--x y--\r\n")).unwrap();
        assert_eq!(fields.get("key"), Some("a/${filename}"));
        assert_eq!(fields.filename, "n.txt");
        assert_eq!(file, "a\r\n--x\r\nb");
        assert_eq!(read(&format!("{FILE}\r\n--x y--")).unwrap().1, "");
    }

    #[test]
    fn what_is_no_form_is_refused() {
        assert_eq!(read(""), Err("MalformedPOSTRequest"));
        assert_eq!(read(&format!("{FIELD}--x y--\r\n")), Err("InvalidArgument"));
        assert_eq!(
            read(&format!("{FIELD}{FILE}abc")),
            Err("MalformedPOSTRequest")
        );
        let long = "x".repeat(2 * FIELDS_BYTES_MAX);
        assert_eq!(read(&long), Err("MaxPostPreDataLengthExceeded"));
        let many = FIELD.repeat(FIELDS_BYTES_MAX / 16);
        assert_eq!(read(&many), Err("MaxPostPreDataLengthExceeded"));
    }
}

//! `aws-chunked`: an object's bytes in pieces, each with its length and perhaps a signature before it,
//! and trailers after the last. A coding within the body, not that of HTTP/1.1 around it.
//!
//! Nothing is held but a line that is not whole yet: a chunk's bytes go on as they come, and are known
//! to be right when it ends. Whoever takes them has to be able to take them back.

use aws_lc_rs::digest;
use bytes::{Buf, Bytes, BytesMut};

use crate::sigv4::{AuthError, ChunkSigner};

/// A chunk's line, or a trailer's. A signature has 64 characters, a checksum at most 88.
const LINE_BYTES_MAX: usize = 1024;
const TRAILERS_MAX: usize = 16;

/// Takes the chunks of one body apart.
pub struct Chunked {
    state: State,
    line: BytesMut,
    signer: Option<ChunkSigner>,
    hash: digest::Context,
    /// Of the chunk that is being read.
    signature: Option<String>,
    trailers: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a chunk, at the line with its length.
    Head,
    Data {
        left: u64,
    },
    /// At the end of line after a chunk's bytes.
    DataEnd,
    Trailers,
    End,
}

/// Why a body cannot be taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("the chunks are not well-formed")]
    Malformed,
    #[error("the body ends before its last chunk")]
    Incomplete,
    #[error("a chunk's signature does not match")]
    Signature,
}

impl From<AuthError> for ChunkError {
    fn from(_: AuthError) -> Self {
        Self::Signature
    }
}

impl Chunked {
    /// With a signer every chunk has to be signed, and trailers too.
    pub fn new(signer: Option<ChunkSigner>) -> Self {
        Self {
            state: State::Head,
            line: BytesMut::new(),
            signer,
            hash: digest::Context::new(&digest::SHA256),
            signature: None,
            trailers: Vec::new(),
        }
    }

    /// Takes what came next; the object's bytes in it go to `out`.
    pub fn take(&mut self, mut piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), ChunkError> {
        while !piece.is_empty() {
            match self.state {
                State::Data { left } => {
                    let length = usize::try_from(left).map_or(piece.len(), |l| l.min(piece.len()));
                    let data = piece.split_to(length);
                    if self.signer.is_some() {
                        self.hash.update(&data);
                    }
                    out.push(data);
                    self.state = match left - length as u64 {
                        0 => State::DataEnd,
                        left => State::Data { left },
                    };
                }
                // Some write another line end; it says nothing.
                State::End => return Ok(()),
                _ => {
                    let Some(line) = self.line(&mut piece)? else {
                        return Ok(());
                    };
                    self.next(&line)?;
                }
            }
        }
        Ok(())
    }

    /// The trailers, in their order, with names in lower case, when the body has ended.
    pub fn end(mut self) -> Result<Vec<(String, String)>, ChunkError> {
        // Without trailers the last line may end the body, with no empty one after it.
        if self.state == State::Trailers && self.line.is_empty() {
            self.finish()?;
        }
        match self.state {
            State::End => Ok(self.trailers),
            _ => Err(ChunkError::Incomplete),
        }
    }

    /// A line without its end, if it is whole.
    fn line(&mut self, piece: &mut Bytes) -> Result<Option<String>, ChunkError> {
        let end = piece.iter().position(|b| *b == b'\n');
        let length = end.unwrap_or(piece.len());
        if self.line.len() + length > LINE_BYTES_MAX {
            return Err(ChunkError::Malformed);
        }
        self.line.extend_from_slice(&piece[..length]);
        if end.is_none() {
            piece.advance(length);
            return Ok(None);
        }
        piece.advance(length + 1);
        let whole = self.line.split();
        let line = whole.strip_suffix(b"\r").unwrap_or(&whole);
        let line = std::str::from_utf8(line).map_err(|_| ChunkError::Malformed)?;
        Ok(Some(line.to_owned()))
    }

    fn next(&mut self, line: &str) -> Result<(), ChunkError> {
        match self.state {
            State::Head => self.begin_chunk(line),
            State::DataEnd if line.is_empty() => {
                self.check_chunk()?;
                self.state = State::Head;
                Ok(())
            }
            State::DataEnd => Err(ChunkError::Malformed),
            State::Trailers if line.is_empty() => self.finish(),
            State::Trailers => {
                let (name, value) = line.split_once(':').ok_or(ChunkError::Malformed)?;
                if self.trailers.len() == TRAILERS_MAX {
                    return Err(ChunkError::Malformed);
                }
                let name = name.trim().to_ascii_lowercase();
                self.trailers.push((name, value.trim().to_owned()));
                Ok(())
            }
            State::Data { .. } | State::End => Err(ChunkError::Malformed),
        }
    }

    /// `<length in hex>[;chunk-signature=<signature>]`
    fn begin_chunk(&mut self, line: &str) -> Result<(), ChunkError> {
        let (length, extension) = line.split_once(';').unwrap_or((line, ""));
        let is_hex = |b: u8| b.is_ascii_hexdigit();
        if length.is_empty() || length.len() > 15 || !length.bytes().all(is_hex) {
            return Err(ChunkError::Malformed);
        }
        let left = u64::from_str_radix(length, 16).map_err(|_| ChunkError::Malformed)?;
        self.signature = extension
            .strip_prefix("chunk-signature=")
            .map(|signature| signature.trim().to_owned());
        if left > 0 {
            self.state = State::Data { left };
            return Ok(());
        }
        self.check_chunk()?;
        self.state = State::Trailers;
        Ok(())
    }

    fn check_chunk(&mut self) -> Result<(), ChunkError> {
        let Some(signer) = &mut self.signer else {
            return Ok(());
        };
        let fresh = digest::Context::new(&digest::SHA256);
        let hash = std::mem::replace(&mut self.hash, fresh).finish();
        let signature = self.signature.take().ok_or(ChunkError::Signature)?;
        signer.check(hash.as_ref(), &signature)?;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ChunkError> {
        self.state = State::End;
        let is_signature = |(name, _): &(String, String)| name == "x-amz-trailer-signature";
        let at = self.trailers.iter().position(is_signature);
        let signature = at.map(|at| self.trailers.remove(at).1);
        let Some(signer) = self.signer.as_mut().filter(|_| !self.trailers.is_empty()) else {
            return Ok(());
        };
        let text: String = self
            .trailers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        signer.check_trailers(&text, &signature.ok_or(ChunkError::Signature)?)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of it, and byte by byte: what comes out is the same.
    fn take(body: &str) -> Result<(String, Vec<(String, String)>), ChunkError> {
        let run = |pieces: Vec<Bytes>| {
            let (mut chunked, mut out) = (Chunked::new(None), Vec::new());
            for piece in pieces {
                chunked.take(piece, &mut out)?;
            }
            let trailers = chunked.end()?;
            Ok((String::from_utf8(out.concat()).unwrap(), trailers))
        };
        let whole = run(vec![Bytes::from(body.to_owned())]);
        let single = |b: u8| Bytes::from(vec![b]);
        assert_eq!(whole, run(body.bytes().map(single).collect()), "{body:?}");
        whole
    }

    #[test]
    fn chunks_become_the_bytes_that_were_cut() {
        let check = |body: &str, expect: &str| {
            assert_eq!(take(body).map(|(text, _)| text).as_deref(), Ok(expect));
        };
        check("0\r\n\r\n", "");
        check("3\r\nabc\r\n0\r\n\r\n", "abc");
        check(
            "3;chunk-signature=00\r\na\r\n\r\nA\r\n0123456789\r\n0\r\n",
            "a\r\n0123456789",
        );
        check("1\r\nx\r\n0\r\n\r\nleft over", "x");
    }

    #[test]
    fn trailers_come_after_the_last_chunk() {
        let (_, trailers) = take("0\r\nX-Amz-Checksum-CRC32: AAAAAA==\r\nb:c\r\n\r\n").unwrap();
        let expect = [("x-amz-checksum-crc32", "AAAAAA=="), ("b", "c")];
        assert_eq!(trailers, expect.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for body in [
            "x\r\n",
            "-1\r\n",
            "\r\n",
            "3\r\nabcd\r\n",
            "1000000000000000\r\n",
            "0\r\nno colon\r\n",
        ] {
            assert_eq!(take(body), Err(ChunkError::Malformed), "{body:?}");
        }
        for body in ["", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n", "3\r\nabc\r\n0"] {
            assert_eq!(take(body), Err(ChunkError::Incomplete), "{body:?}");
        }
        let endless = format!("1;{}", "x".repeat(LINE_BYTES_MAX));
        assert_eq!(take(&endless), Err(ChunkError::Malformed));
        let many = format!("0\r\n{}\r\n", "a:b\r\n".repeat(TRAILERS_MAX + 1));
        assert_eq!(take(&many), Err(ChunkError::Malformed));
    }
}

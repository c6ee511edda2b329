//! Reads a tar archive through and ends it where a header asks for more memory than any needs.
//!
//! Long names and extended headers are read into memory as a whole, whatever size they say; this
//! looks at each header first.

use std::io::{self, Read};

const BLOCK: usize = 512;
const IN_MEMORY_MAX: u64 = 1 << 20;

pub struct Guard<R> {
    inner: R,
    header: [u8; BLOCK],
    /// Of the header that is being read.
    filled: usize,
    /// Of the content behind the last header, with its padding.
    content_left: u64,
}

impl<R: Read> Guard<R> {
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            header: [0; BLOCK],
            filled: 0,
            content_left: 0,
        }
    }

    fn look(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.content_left > 0 {
                let skipped = usize::try_from(self.content_left).unwrap_or(usize::MAX);
                let skipped = skipped.min(bytes.len());
                self.content_left -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (BLOCK - self.filled).min(bytes.len());
            self.header[self.filled..][..taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == BLOCK {
                self.filled = 0;
                self.content_left = self.judge()?;
            }
        }
        Ok(())
    }

    /// How much follows the header.
    fn judge(&self) -> io::Result<u64> {
        if self.header.iter().all(|byte| *byte == 0) {
            return Ok(0);
        }
        let size = tar::Header::from_byte_slice(&self.header).entry_size()?;
        match self.header[156] {
            b'L' | b'K' | b'x' | b'g' | b'X' if size > IN_MEMORY_MAX => {
                Err(io::Error::other("a header of it is too long"))
            }
            b'S' => Err(io::Error::other("it has a sparse file")),
            _ => Ok(size.saturating_add(BLOCK as u64 - 1) / BLOCK as u64 * BLOCK as u64),
        }
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.look(&buffer[..got])?;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_fill_the_memory() {
        let mut archive = Vec::new();
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(IN_MEMORY_MAX + 1);
        header.set_cksum();
        let mut normal = tar::Header::new_gnu();
        normal.set_size(600);
        normal.set_cksum();
        archive.extend_from_slice(normal.as_bytes());
        archive.extend_from_slice(&[b'x'; 1024]);
        let read = |archive: &[u8]| Guard::new(archive).read_to_end(&mut Vec::new());
        assert_eq!(read(&archive).unwrap(), archive.len());
        archive.extend_from_slice(header.as_bytes());
        assert!(read(&archive).is_err());
    }
}

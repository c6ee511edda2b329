//! Reads a tar archive through and ends it where a header asks for more memory than any needs.
//!
//! Long names and extended headers are read into memory as a whole, whatever size they say; this
//! looks at each header first. Where entries begin it must know as well as who reads them: an
//! extended header can give the next entry another size than that one's own header does. What is
//! skipped costs time too, so that everything counts that is read, and not only what is kept.

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
    /// The extended header that is being read, and how long it is without its padding.
    extended: Option<(Vec<u8>, usize)>,
    /// What an extended header says of the next entry's size.
    size_given: Option<u64>,
    /// How many bytes may yet be read.
    left: u64,
}

impl<R: Read> Guard<R> {
    /// Reads at most so many bytes, headers included.
    pub fn new(inner: R, bytes_max: u64) -> Self {
        Self {
            inner,
            header: [0; BLOCK],
            filled: 0,
            content_left: 0,
            extended: None,
            size_given: None,
            left: bytes_max,
        }
    }

    fn look(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.content_left > 0 {
                let skipped = usize::try_from(self.content_left).unwrap_or(usize::MAX);
                let skipped = skipped.min(bytes.len());
                if let Some((content, length)) = &mut self.extended {
                    let wanted = length.saturating_sub(content.len()).min(skipped);
                    content.extend_from_slice(&bytes[..wanted]);
                }
                self.content_left -= skipped as u64;
                bytes = &bytes[skipped..];
                if self.content_left == 0
                    && let Some((content, _)) = self.extended.take()
                {
                    self.size_given = size_in(&content)?;
                }
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
    fn judge(&mut self) -> io::Result<u64> {
        if self.header.iter().all(|byte| *byte == 0) {
            return Ok(0);
        }
        let header = tar::Header::from_byte_slice(&self.header);
        let mut size = header.entry_size()?;
        let kind = self.header[156];
        let describes_another = matches!(kind, b'L' | b'K' | b'x' | b'g');
        if describes_another && header.as_gnu().is_none() && header.as_ustar().is_none() {
            return Err(io::Error::other("a header of it is of no known format"));
        }
        if kind == b'g' {
            self.size_given = None;
        } else if !describes_another && let Some(given) = self.size_given.take() {
            size = given;
        }
        match kind {
            b'L' | b'K' | b'x' | b'g' | b'X' if size > IN_MEMORY_MAX => {
                Err(io::Error::other("a header of it is too long"))
            }
            b'S' => Err(io::Error::other("it has a sparse file")),
            b'x' if size > 0 => {
                // Not more than the above.
                let length = usize::try_from(size).unwrap_or(usize::MAX);
                self.extended = Some((Vec::new(), length));
                Ok(padded(size))
            }
            _ => Ok(padded(size)),
        }
    }
}

fn padded(size: u64) -> u64 {
    size.saturating_add(BLOCK as u64 - 1) / BLOCK as u64 * BLOCK as u64
}

/// The size that an extended header's records give.
fn size_in(records: &[u8]) -> io::Result<Option<u64>> {
    let mut found = None;
    for record in tar::PaxExtensions::new(records) {
        // The archive's reader goes no further either.
        let Ok(record) = record else { break };
        if record.key_bytes() == b"size" {
            let value = record.value().ok().and_then(|value| value.parse().ok());
            if value.is_none() || found.is_some() {
                return Err(io::Error::other("a header of it gives no size that is one"));
            }
            found = value;
        }
    }
    Ok(found)
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        let left = self.left.checked_sub(got as u64);
        self.left = left.ok_or_else(|| io::Error::other("there is no end to it"))?;
        self.look(&buffer[..got])?;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use tar::EntryType;

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
        assert_eq!(read(&archive).unwrap(), archive.len());
        archive.extend_from_slice(header.as_bytes());
        assert!(read(&archive).is_err());
    }

    fn read(archive: &[u8]) -> io::Result<usize> {
        Guard::new(archive, 1 << 20).read_to_end(&mut Vec::new())
    }

    /// An entry whose content is padded.
    fn entry(archive: &mut Vec<u8>, mut header: tar::Header, size: u64, content: &[u8]) {
        header.set_size(size);
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }

    fn of_kind(kind: EntryType) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header
    }

    /// What the header says is skipped has the header of a name that fills the memory.
    fn hidden(records: &[u8], extended: tar::Header) -> Vec<u8> {
        let mut archive = Vec::new();
        entry(&mut archive, extended, records.len() as u64, records);
        entry(&mut archive, of_kind(EntryType::Regular), 4096, b"");
        let long = of_kind(EntryType::GNULongName);
        entry(&mut archive, long, IN_MEMORY_MAX + 1, &[b'x'; 3584]);
        archive
    }

    #[test]
    fn sizes_are_those_that_extended_headers_give() {
        let extended = of_kind(EntryType::XHeader);
        assert!(read(&hidden(b"10 size=0\n", extended.clone())).is_err());
        // Without it, all of that is a file's content.
        let archive = hidden(b"10 mode=0\n", extended.clone());
        assert_eq!(read(&archive).unwrap(), archive.len());
        for records in [&b"10 size=x\n"[..], b"10 size=0\n13 size=4096\n"] {
            assert!(
                read(&hidden(records, extended.clone())).is_err(),
                "{records:?}"
            );
        }
        // In an old archive it would be an entry of its own.
        let mut old = tar::Header::new_old();
        old.set_entry_type(EntryType::XHeader);
        assert!(read(&hidden(b"13 size=4096\n", old)).is_err());
    }

    #[test]
    fn what_is_skipped_has_an_end_too() {
        let mut archive = Vec::new();
        let device = of_kind(EntryType::Char);
        entry(&mut archive, device, 1 << 40, &[0; 4096]);
        let mut guard = Guard::new(archive.as_slice(), 4000);
        assert!(guard.read_to_end(&mut Vec::new()).is_err());
    }
}

use crate::error::{check, NOT_FOUND};
use crate::{host, Error, Projection};
use std::io;

/// A projection whose state lives in its own memory: `projection!(Sessions: Snapshot)`.
///
/// The engine stores a snapshot now and then, and after a restart or a failure goes back to the
/// newest one, with the keyspace as it was at the same event. Neither function has the keyspace.
pub trait Snapshot: Projection {
    /// Writes all that the projection holds of the events so far. The same state must always be the
    /// same bytes: sort what comes out of a `HashMap`.
    fn snapshot(&self, out: &mut dyn io::Write) -> Result<(), Error>;

    /// Replaces what a new projection holds by what [`snapshot`](Self::snapshot) wrote.
    fn restore(&mut self, saved: &mut dyn io::Read) -> Result<(), Error>;
}

const BLOB: usize = 512 << 10; // bytes of the blobs that a snapshot is written in, at most

/// Writes blobs.
#[derive(Default)]
pub(crate) struct Blobs {
    buf: Vec<u8>,
}

impl Blobs {
    pub fn finish(mut self) -> Result<(), Error> {
        self.flush_blob()
    }

    fn flush_blob(&mut self) -> Result<(), Error> {
        if !self.buf.is_empty() {
            check(host::blob_write(&self.buf)).map_err(|e| e.context("write blob"))?;
            self.buf.clear();
        }
        Ok(())
    }
}

impl io::Write for Blobs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buf.len() == BLOB {
            self.flush_blob().map_err(|e| io::Error::new(io::ErrorKind::Other, e))?;
        }
        let n = bytes.len().min(BLOB - self.buf.len());
        self.buf.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the blobs of a snapshot one after the other.
#[derive(Default)]
pub(crate) struct SavedBlobs {
    buf: Vec<u8>,
    at: usize,
    size: usize,
    ended: bool,
}

impl io::Read for SavedBlobs {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.size && !self.ended {
            match host::fill(&mut self.buf, host::blob_read) {
                Ok(n) => (self.at, self.size) = (0, n),
                Err(NOT_FOUND) => self.ended = true,
                Err(code) => return Err(io::Error::new(io::ErrorKind::Other, Error::of_code(code).context("read blob"))),
            }
        }
        let n = into.len().min(self.size - self.at);
        into[..n].copy_from_slice(&self.buf[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

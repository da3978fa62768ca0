use crate::fields::{Field, Fields};
use crate::json::{self, FromJson};
use crate::{fail, time, Error};
use std::str;

/// An event of the stream. It is valid, with what it gives out, until the handler returns.
///
/// Texts that are not UTF-8 are an error; `…_bytes` gives them as they are.
pub struct Event<'a> {
    pub(crate) record: Record<'a>,
    pub(crate) batch: &'a [u8],
    pub(crate) index: usize, // in the batch
    pub(crate) fields: &'a Fields,
}

impl<'a> Event<'a> {
    /// The event's number in its stream, from 1.
    pub fn sequence(&self) -> u64 {
        self.record.sequence
    }

    /// When JetStream stored the event: Unix nanoseconds, UTC. An event that is imported again
    /// has another.
    pub fn stored_ns(&self) -> i64 {
        self.record.time_ns
    }

    /// The event's own time: its `ce-time` header, an RFC 3339 time, as Unix nanoseconds, UTC.
    /// It is [`stored_ns`](Self::stored_ns) when there is no such header or it cannot be read.
    pub fn time_ns(&self) -> i64 {
        self.header_bytes("ce-time").and_then(time::parse).unwrap_or(self.record.time_ns)
    }

    /// The subject that the event was published to.
    pub fn subject(&self) -> Result<&'a str, Error> {
        text("the subject", self.record.subject)
    }

    /// The `i`-th of the subject's tokens, which dots separate, counted from 1 as in the
    /// configuration's `key = "subject:3"`. It is empty beyond the last.
    pub fn token(&self, i: usize) -> Result<&'a str, Error> {
        let token = self.record.subject.split(|&c| c == b'.').nth(i.wrapping_sub(1));
        text("the subject", token.unwrap_or_default())
    }

    /// The value of a header, whose name is compared without regard to case; empty when it is
    /// absent. Of several values it is the first.
    pub fn header(&self, name: &str) -> Result<&'a str, Error> {
        match self.header_bytes(name) {
            Some(value) => text(name, value),
            None => Ok(""),
        }
    }

    /// The value of a header as it is, or `None` when it is absent.
    pub fn header_bytes(&self, name: &str) -> Option<&'a [u8]> {
        let mut found = headers(self.record.headers).filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
        found.next().map(|(_, value)| value)
    }

    /// The event's type, its `ce-type` header.
    pub fn kind(&self) -> Result<&'a str, Error> {
        self.header("ce-type")
    }

    /// The event's identity, its `ce-id` header.
    pub fn id(&self) -> Result<&'a str, Error> {
        self.header("ce-id")
    }

    /// The key that the configuration declares for the projection's events, taken from this
    /// event; empty when none is declared.
    pub fn key(&self) -> &'a [u8] {
        self.record.key
    }

    /// The body of the message.
    pub fn data(&self) -> &'a [u8] {
        self.record.data
    }

    /// The body, decoded from JSON in the module: for what is nested. Single fields are found
    /// several times faster by [`str`](Self::str), [`int`](Self::int) and [`field`](Self::field).
    pub fn json<T: FromJson>(&self) -> Result<T, Error> {
        json::decode(self.record.data).map_err(|e| e.context("the event's data"))
    }

    /// A field of the event's data, which must be a JSON object; its kind is `Absent` when there
    /// is none of that name. The host finds it, for a whole batch at once. A program may ask for
    /// 64 different names.
    pub fn field(&self, name: &str) -> Result<Field<'a>, Error> {
        self.fields.find(self.batch, self.index, name)
    }

    /// A field that is a string.
    pub fn str(&self, name: &str) -> Result<&'a str, Error> {
        let field = self.field(name)?;
        field.as_str().ok_or_else(|| field.is_not(name, "a string"))
    }

    /// A field that is a number without fraction and exponent, of at most 18 digits.
    pub fn int(&self, name: &str) -> Result<i64, Error> {
        let field = self.field(name)?;
        field.as_int().ok_or_else(|| field.is_not(name, "a whole number of at most 18 digits"))
    }
}

fn text<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, Error> {
    str::from_utf8(bytes).map_err(|_| Error::from(format!("{what} is not UTF-8")))
}

/// A record of a batch; its slices are parts of it. The layout is in docs/ABI.md, "A batch".
#[derive(Clone, Copy, Default)]
pub(crate) struct Record<'a> {
    pub sequence: u64,
    pub time_ns: i64,
    pub subject: &'a [u8],
    pub headers: &'a [u8],
    pub data: &'a [u8],
    pub key: &'a [u8],
}

pub(crate) const HEAD: usize = 40; // bytes of a record's fixed part

impl<'a> Record<'a> {
    /// The record that a batch begins with, and the batch after it.
    pub fn first(batch: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let size = u32_at(batch, 0)? as usize;
        let (record, rest) = (batch.get(..size)?, batch.get(size..)?);
        let mut tail = record.get(HEAD..)?;
        let mut part = |offset| {
            let n = u32_at(record, offset)? as usize;
            let found = tail.get(..n)?;
            tail = &tail[n..];
            Some(found)
        };
        let (subject, headers, data, key) = (part(24)?, part(28)?, part(32)?, part(36)?);
        let (sequence, time_ns) = (u64_at(record, 8)?, u64_at(record, 16)? as i64);
        Some((Record { sequence, time_ns, subject, headers, data, key }, rest))
    }

    /// Appends the record to a batch.
    pub fn append(&self, out: &mut Vec<u8>) {
        let parts = [self.subject, self.headers, self.data, self.key];
        let size = (HEAD + parts.iter().map(|p| p.len()).sum::<usize>() + 7) / 8 * 8;
        let end = out.len() + size;
        out.extend((size as u32).to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.time_ns.to_le_bytes());
        for p in parts {
            out.extend((p.len() as u32).to_le_bytes());
        }
        for p in parts {
            out.extend(p);
        }
        out.resize(end, 0);
    }
}

/// The headers of a record, `{u16 nlen, u16 vlen, name, value}*`.
pub(crate) fn headers(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (n, v) = (u16_at(rest, 0)?, u16_at(rest, 2)?);
        let found = (rest.get(4..4 + n)?, rest.get(4 + n..4 + n + v)?);
        rest = &rest[4 + n + v..];
        Some(found)
    })
}

/// Replaces `out` by the encoding of headers, in the order that they are given.
pub(crate) fn encode_headers(out: &mut Vec<u8>, pairs: &[(&str, &str)]) -> Result<(), Error> {
    out.clear();
    for (name, value) in pairs {
        append_header(out, name.as_bytes(), value.as_bytes())?;
    }
    Ok(())
}

pub(crate) fn append_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), Error> {
    for part in [name, value] {
        match u16::try_from(part.len()) {
            Ok(n) => out.extend(n.to_le_bytes()),
            Err(_) => fail!("header {}: {} bytes, the limit is 65535", String::from_utf8_lossy(&name[..name.len().min(100)]), part.len()),
        }
    }
    out.extend(name);
    out.extend(value);
    Ok(())
}

pub(crate) fn u16_at(b: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(b.get(at..at + 2)?.try_into().ok()?) as usize)
}

pub(crate) fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn u64_at(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(b.get(at..at + 8)?.try_into().ok()?))
}

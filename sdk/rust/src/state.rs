use crate::error::{check, NOT_FOUND, TOO_LARGE};
use crate::event::{encode_headers, u32_at};
use crate::{host, Error, Value};
use std::ops::{Deref, DerefMut};

/// A key of the state, or a prefix of keys: any bytes, or several parts, which are put together
/// without allocating: `["account\t", account]`.
pub trait Key {
    /// The key's bytes; `scratch` is for those that have to be put together.
    fn bytes<'a>(&'a self, scratch: &'a mut Vec<u8>) -> &'a [u8];
}

impl Key for str {
    fn bytes<'a>(&'a self, _: &'a mut Vec<u8>) -> &'a [u8] {
        self.as_bytes()
    }
}

impl Key for String {
    fn bytes<'a>(&'a self, _: &'a mut Vec<u8>) -> &'a [u8] {
        self.as_bytes()
    }
}

impl Key for [u8] {
    fn bytes<'a>(&'a self, _: &'a mut Vec<u8>) -> &'a [u8] {
        self
    }
}

impl Key for Vec<u8> {
    fn bytes<'a>(&'a self, _: &'a mut Vec<u8>) -> &'a [u8] {
        self
    }
}

impl<T: AsRef<[u8]>, const N: usize> Key for [T; N] {
    fn bytes<'a>(&'a self, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        scratch.clear();
        for part in self {
            scratch.extend_from_slice(part.as_ref());
        }
        scratch
    }
}

impl<K: Key + ?Sized> Key for &K {
    fn bytes<'a>(&'a self, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        (**self).bytes(scratch)
    }
}

/// Buffers that uses of the state share, so that they need not allocate.
#[derive(Default)]
pub(crate) struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,   // read
    encoded: Vec<u8>, // to be written
    page: Vec<u8>,
    after: Vec<u8>,
    headers: Vec<u8>,
}

/// The keyspace, to be read: what was committed, and what this and earlier events wrote.
///
/// Errors name the key. What `get` returns is valid until the next use.
pub struct Reader<'a> {
    scratch: &'a mut Scratch,
}

/// The keyspace as the handler sees it: keys of 1 to 64,000 bytes, values of up to 1 MiB, both any
/// bytes, in the order of the keys' bytes.
pub struct State<'a> {
    reader: Reader<'a>,
    event: u32, // index in the batch
}

impl<'a> Deref for State<'a> {
    type Target = Reader<'a>;
    fn deref(&self) -> &Reader<'a> {
        &self.reader
    }
}

impl<'a> DerefMut for State<'a> {
    fn deref_mut(&mut self) -> &mut Reader<'a> {
        &mut self.reader
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(scratch: &'a mut Scratch) -> Self {
        Reader { scratch }
    }

    /// The value of a key, or `None` when it is absent.
    pub fn get(&mut self, key: impl Key) -> Result<Option<&[u8]>, Error> {
        let Scratch { key: parts, value, .. } = &mut *self.scratch;
        let key = key.bytes(parts);
        match host::fill(value, |buf| host::state_get(key, buf)) {
            Ok(n) => Ok(Some(&value[..n])),
            Err(NOT_FOUND) => Ok(None),
            Err(code) => Err(about("get", key, Error::of_code(code))),
        }
    }

    /// The value of a key, decoded, or `None` when it is absent.
    pub fn load<T: Value>(&mut self, key: impl Key) -> Result<Option<T>, Error> {
        let decoded = match self.get(&key)? {
            Some(value) => T::decode(value),
            None => return Ok(None),
        };
        decoded.map(Some).map_err(|e| about("decode", key.bytes(&mut self.scratch.key), e))
    }

    /// Calls `visit` for each key that has the prefix and is greater than `after`, in order, until
    /// it returns `false` or fails. An empty `after` begins with the first. The state cannot be used
    /// meanwhile: collect the keys, and read or write after it.
    pub fn scan(
        &mut self,
        prefix: impl Key,
        after: impl Key,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let Scratch { key, page, after: last, value, .. } = &mut *self.scratch;
        let first = after.bytes(value).to_vec();
        *last = first;
        let prefix = prefix.bytes(key);
        loop {
            let r = host::state_scan(prefix, last, 0, page);
            if r == i64::from(TOO_LARGE) && page.len() < MAX_ENTRY {
                page.resize(if page.len() < FIRST_PAGE { FIRST_PAGE } else { MAX_ENTRY }, 0);
                continue;
            }
            if r < 0 {
                return Err(about("scan", prefix, Error::of_code(r as i32)));
            }
            if r == 0 || !visit_page(&page[..r as u32 as usize], last, &mut visit)? {
                return Ok(());
            }
        }
    }
}

const FIRST_PAGE: usize = 16 << 10; // bytes
const MAX_ENTRY: usize = (1 << 20) + 64_000 + 4096; // bytes, enough for any entry

/// Visits the entries `{u32 klen, u32 vlen, key, value}*` of a page and leaves the last key in
/// `last`. It returns whether to go on.
fn visit_page(
    mut page: &[u8],
    last: &mut Vec<u8>,
    visit: &mut impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
) -> Result<bool, Error> {
    while let (Some(k), Some(v)) = (u32_at(page, 0), u32_at(page, 4)) {
        let (key, rest) = page[8..].split_at(k as usize);
        let (value, rest) = rest.split_at(v as usize);
        if !visit(key, value)? {
            return Ok(false);
        }
        if rest.is_empty() {
            last.clear();
            last.extend_from_slice(key);
        }
        page = rest;
    }
    Ok(true)
}

impl<'a> State<'a> {
    pub(crate) fn new(scratch: &'a mut Scratch, event: usize) -> Self {
        State { reader: Reader { scratch }, event: event as u32 }
    }

    /// Sets the value of a key. Both are copied.
    pub fn put(&mut self, key: impl Key, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let key = key.bytes(&mut self.reader.scratch.key);
        check(host::state_put(key, value.as_ref())).map_err(|e| about("put", key, e))
    }

    /// Removes a key. It may be absent.
    pub fn delete(&mut self, key: impl Key) -> Result<(), Error> {
        let key = key.bytes(&mut self.reader.scratch.key);
        check(host::state_delete(key)).map_err(|e| about("delete", key, e))
    }

    /// Sets the value of a key to the encoding of `value`.
    pub fn store<T: Value>(&mut self, key: impl Key, value: &T) -> Result<(), Error> {
        let Scratch { key: parts, encoded, .. } = &mut *self.reader.scratch;
        encoded.clear();
        value.encode(encoded);
        let key = key.bytes(parts);
        check(host::state_put(key, encoded)).map_err(|e| about("put", key, e))
    }

    /// Loads a value, or `T::default()` when the key is absent, lets `change` change it and stores
    /// it. When `change` fails nothing is stored.
    pub fn fold<T: Value + Default, R>(
        &mut self,
        key: impl Key,
        change: impl FnOnce(&mut T) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut value = self.load(&key)?.unwrap_or_default();
        let result = change(&mut value)?;
        self.store(&key, &value)?;
        Ok(result)
    }

    /// Loads a value, lets `change` change it and stores it; `None` is a key that is absent. What
    /// `change` leaves as `None` is deleted. When it fails nothing is stored.
    pub fn change<T: Value, R>(
        &mut self,
        key: impl Key,
        change: impl FnOnce(&mut Option<T>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut value = self.load(&key)?;
        let result = change(&mut value)?;
        match value {
            Some(value) => self.store(&key, &value)?,
            None => self.delete(&key)?,
        }
        Ok(result)
    }

    /// Stages an event that is published, once, when the one being handled is committed. Headers
    /// are names and values; names that begin with `Nats-` or `Gnomon-` are reserved.
    ///
    /// The projection's configuration says which subjects may be emitted to. Any other makes the
    /// event fail, once the handler returns.
    pub fn emit(&mut self, subject: &str, data: impl AsRef<[u8]>, headers: &[(&str, &str)]) -> Result<(), Error> {
        let encoded = &mut self.reader.scratch.headers;
        encode_headers(encoded, headers)
            .and_then(|()| check(host::emit(self.event, subject.as_bytes(), encoded, data.as_ref())))
            .map_err(|e| about("emit", subject.as_bytes(), e))
    }
}

/// The error of a use of the state: what was done to which key, and why it failed.
#[cold]
fn about(what: &str, key: &[u8], reason: Error) -> Error {
    const SHOWN: usize = 100; // bytes
    let more = if key.len() > SHOWN { "…" } else { "" };
    let key = String::from_utf8_lossy(&key[..key.len().min(SHOWN)]);
    reason.context(format!("{what} {key:?}{more}"))
}

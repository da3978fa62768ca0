use crate::event::{u32_at, u64_at};
use crate::{fail, host, Error};
use std::cell::UnsafeCell;
use std::str;

/// The kind of a JSON value. A field that is not there is `Absent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Absent,
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// A field of an event's data. It is valid until the handler returns.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    kind: Kind,
    raw: &'a [u8],
    text: &'a str, // of a string
    int: Option<i64>,
}

impl<'a> Field<'a> {
    /// The kind of its value.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its value's JSON, as it stands in the data; empty when it is absent.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// What a string says.
    pub fn as_str(&self) -> Option<&'a str> {
        if self.kind == Kind::String {
            return Some(self.text);
        }
        None
    }

    /// A number without fraction and exponent, of at most 18 digits.
    pub fn as_int(&self) -> Option<i64> {
        self.int
    }

    /// `true` or `false`.
    pub fn as_bool(&self) -> Option<bool> {
        if self.kind == Kind::Bool {
            return Some(self.raw == b"true");
        }
        None
    }

    /// The error for a field that is not what was asked for.
    pub(crate) fn is_not(&self, name: &str, want: &str) -> Error {
        if self.kind == Kind::Absent {
            return format!("the event's data has no field {name:?}").into();
        }
        let shown = &self.raw[..self.raw.len().min(40)];
        format!("field {name:?} is {}, not {want}", String::from_utf8_lossy(shown)).into()
    }
}

/// The fields that the handler asks for, of the events of a batch. A name that is asked for the
/// first time is declared then, and the table read anew.
#[derive(Default)]
pub(crate) struct Fields(UnsafeCell<Inner>);

#[derive(Default)]
struct Inner {
    names: Vec<String>,
    table: Vec<u8>,        // buffer
    size: usize,           // of the batch's table in it
    current: bool,         // it is that of this batch and these names
    retired: Vec<Vec<u8>>, // tables of this batch that fields may still point into
}

const CELL: usize = 32; // bytes

impl Fields {
    /// Begins with another batch. Nothing that find returned is alive: it needs `&mut self`.
    pub fn next_batch(&mut self) {
        let inner = self.0.get_mut();
        inner.current = false;
        inner.retired.clear();
    }

    /// The field of an event of the batch, by the event's index.
    pub fn find<'a>(&'a self, batch: &'a [u8], event: usize, name: &str) -> Result<Field<'a>, Error> {
        // SAFETY: no reference to Inner leaves this block, and it calls nothing that calls
        // Fields again; there is one thread, for UnsafeCell is not Sync.
        let (table, i, n): (&'a [u8], usize, usize) = unsafe {
            let inner = &mut *self.0.get();
            let i = inner.index(name)?;
            inner.read()?;
            // The bytes that this points to are neither changed nor freed before next_batch,
            // which nobody can call while 'a lasts: a table that is replaced is retired.
            (std::slice::from_raw_parts(inner.table.as_ptr(), inner.size), i, inner.names.len())
        };
        cell(table, batch, event * n + i)
    }
}

impl Inner {
    fn index(&mut self, name: &str) -> Result<usize, Error> {
        match self.names.iter().position(|n| n == name) {
            Some(i) => Ok(i),
            None => self.declare(name),
        }
    }

    #[cold]
    fn declare(&mut self, name: &str) -> Result<usize, Error> {
        if name.len() > 1 << 10 {
            fail!("field of {} bytes: the limit is 1024", name.len());
        }
        let i = self.names.len();
        let mut encoded = Vec::new();
        for n in self.names.iter().map(String::as_str).chain([name]) {
            encoded.extend((n.len() as u16).to_le_bytes());
            encoded.extend(n.as_bytes());
        }
        let code = host::fields_declare(&encoded);
        if code < 0 {
            return Err(Error::of_code(code).context(format!("field {name:?}, number {} that is asked for (the limit is 64)", i + 1)));
        }
        self.names.push(name.to_owned());
        if self.current {
            self.retired.push(std::mem::take(&mut self.table));
            self.current = false;
        }
        Ok(i)
    }

    fn read(&mut self) -> Result<(), Error> {
        if !self.current {
            self.size = host::fill(&mut self.table, host::fields_read).map_err(|code| Error::of_code(code).context("read fields"))?;
            self.current = true;
        }
        Ok(())
    }
}

/// Reads a cell of the table, see docs/ABI.md, "projection_v1_json".
fn cell<'a>(table: &'a [u8], batch: &'a [u8], i: usize) -> Result<Field<'a>, Error> {
    match read_cell(table, batch, i) {
        Some(found) => found,
        None => Err("table of fields is cut off".into()),
    }
}

fn read_cell<'a>(table: &'a [u8], batch: &'a [u8], i: usize) -> Option<Result<Field<'a>, Error>> {
    let c = table.get(i * CELL..)?.get(..CELL)?;
    let number = |at| u32_at(c, at).map(|n| n as usize);
    let (raw_at, raw_len, text_at, text_len) = (number(8)?, number(12)?, number(16)?, number(20)?);
    let raw = batch.get(raw_at..)?.get(..raw_len)?;
    let mut text = match text_at {
        0 => "",
        _ => str::from_utf8(table.get(text_at..)?.get(..text_len)?).ok()?,
    };
    let kind = match number(0)? {
        0 => Kind::Absent,
        1 => Kind::Null,
        2 => Kind::Bool,
        3 => Kind::Number,
        4 => Kind::String,
        5 => Kind::Array,
        6 => Kind::Object,
        _ => return Some(Err(text.to_owned().into())),
    };
    if kind == Kind::String && text_at == 0 {
        text = str::from_utf8(raw.get(1..raw.len().checked_sub(1)?)?).ok()?;
    }
    let int = match number(4)? & 1 {
        1 => Some(u64_at(c, 24)? as i64),
        _ => None,
    };
    Some(Ok(Field { kind, raw, text, int }))
}

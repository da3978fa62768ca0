//! What stands in natively for the functions that a module imports. One world at a time is that of
//! a thread; a call puts its own there.

use super::{table, Emitted};
use crate::error::{BAD_ARGUMENT, NOT_FOUND, READ_ONLY, TOO_LARGE};
use crate::event::{headers, Record};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem;

const MAX_KEY: usize = 64_000;
const MAX_VALUE: usize = 1 << 20;
const MAX_PAGE: usize = 1 << 20;

/// What the functions may be used for in a call.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Call {
    #[default]
    Init,
    Apply,
    Upcast,
    Query,
    Snapshot,
    Restore,
}

pub(crate) type State = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Default)]
pub(crate) struct World {
    pub state: State,
    pub batch: Vec<u8>,
    pub emitted: Vec<Emitted>,
    pub logged: Vec<String>,
    call: Call,
    settings: Vec<u8>,
    request: Vec<u8>,
    output: Vec<u8>,
    blobs: Vec<Vec<u8>>,
    read: usize, // of blobs
    names: Vec<String>,
    failed: Option<String>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::default());
}

fn world<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with(|w| f(&mut w.borrow_mut()))
}

/// What a batch that fails goes back to.
pub(crate) struct Committed(State, usize);

impl World {
    pub fn new(settings: &str) -> Self {
        World { settings: settings.into(), ..World::default() }
    }

    /// Calls an export with this world.
    pub fn call(&mut self, export: impl FnOnce() -> i32) -> Result<(), String> {
        self.failed = None;
        world(|w| mem::swap(w, self));
        let code = export();
        world(|w| mem::swap(w, self));
        self.call = Call::Init;
        match code {
            0 => Ok(()),
            _ => Err(self.failed.take().unwrap_or_else(|| format!("code {code}"))),
        }
    }

    pub fn begin_apply(&mut self) -> Committed {
        self.call = Call::Apply;
        Committed(self.state.clone(), self.emitted.len())
    }

    /// Takes back what a batch wrote and emitted; what it logged stays.
    pub fn roll_back(&mut self, committed: Committed) {
        self.state = committed.0;
        self.emitted.truncate(committed.1);
    }

    pub fn begin_upcast(&mut self) {
        self.call = Call::Upcast;
        self.output.clear();
    }

    pub fn begin_query(&mut self, request: &[u8]) {
        self.call = Call::Query;
        self.request = request.to_vec();
        self.output.clear();
    }

    pub fn begin_snapshot(&mut self) {
        self.call = Call::Snapshot;
        self.blobs.clear();
    }

    pub fn begin_restore(&mut self) {
        self.call = Call::Restore;
        self.read = 0;
    }

    pub fn take_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.output)
    }

    /// The records of the output.
    pub fn written_events(&mut self) -> Vec<Emitted> {
        let output = self.take_output();
        let mut all = Vec::new();
        let mut rest = output.as_slice();
        while let Some((event, after)) = Record::first(rest) {
            all.push(emitted(event.sequence, event.subject, event.headers, event.data));
            rest = after;
        }
        all
    }

    fn refusal(&self, key: &[u8], writes: bool) -> Option<i32> {
        match self.call {
            Call::Apply => {}
            Call::Query if !writes => {}
            _ => return Some(READ_ONLY),
        }
        match key.len() {
            0 => Some(BAD_ARGUMENT),
            1..=MAX_KEY => None,
            _ => Some(TOO_LARGE),
        }
    }
}

fn emitted(sequence: u64, subject: &[u8], encoded: &[u8], data: &[u8]) -> Emitted {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let headers = headers(encoded).map(|(n, v)| (text(n), text(v))).collect();
    Emitted { sequence, subject: text(subject), headers, data: data.to_vec() }
}

fn give(buf: &mut [u8], bytes: &[u8]) -> i32 {
    if bytes.len() <= buf.len() {
        buf[..bytes.len()].copy_from_slice(bytes);
    }
    bytes.len() as i32
}

pub(crate) fn batch_read(buf: &mut [u8]) -> i32 {
    world(|w| if w.call == Call::Apply { give(buf, &w.batch) } else { BAD_ARGUMENT })
}

pub(crate) fn state_get(key: &[u8], buf: &mut [u8]) -> i32 {
    world(|w| match (w.refusal(key, false), w.state.get(key)) {
        (Some(code), _) => code,
        (None, Some(value)) => give(buf, value),
        (None, None) => NOT_FOUND,
    })
}

pub(crate) fn state_put(key: &[u8], value: &[u8]) -> i32 {
    world(|w| match w.refusal(key, true) {
        Some(code) => code,
        None if value.len() > MAX_VALUE => TOO_LARGE,
        None => {
            w.state.insert(key.to_vec(), value.to_vec());
            0
        }
    })
}

pub(crate) fn state_delete(key: &[u8]) -> i32 {
    world(|w| match w.refusal(key, true) {
        Some(code) => code,
        None => {
            w.state.remove(key);
            0
        }
    })
}

pub(crate) fn state_scan(prefix: &[u8], after: &[u8], limit: u32, buf: &mut [u8]) -> i64 {
    world(|w| {
        if let Some(code) = w.refusal(b"any", false) {
            return i64::from(code);
        }
        let (mut size, mut count) = (0, 0);
        let room = buf.len().min(MAX_PAGE);
        let first = after.max(prefix).to_vec();
        for (key, value) in w.state.range(first..).skip_while(|(k, _)| k.as_slice() <= after && !after.is_empty()) {
            let n = 8 + key.len() + value.len();
            let fits = size + n <= if count == 0 { buf.len() } else { room };
            if !key.starts_with(prefix) || (limit > 0 && count == limit) || (!fits && count > 0) {
                break;
            }
            if !fits {
                return i64::from(TOO_LARGE);
            }
            buf[size..size + 4].copy_from_slice(&(key.len() as u32).to_le_bytes());
            buf[size + 4..size + 8].copy_from_slice(&(value.len() as u32).to_le_bytes());
            buf[size + 8..size + 8 + key.len()].copy_from_slice(key);
            buf[size + 8 + key.len()..size + n].copy_from_slice(value);
            size += n;
            count += 1;
        }
        i64::from(count) << 32 | size as i64
    })
}

pub(crate) fn emit(event: u32, subject: &[u8], headers: &[u8], data: &[u8]) -> i32 {
    world(|w| {
        if w.call != Call::Apply {
            return READ_ONLY;
        }
        let mut rest = w.batch.as_slice();
        for _ in 0..event {
            rest = Record::first(rest).map_or(&[], |(_, after)| after);
        }
        match Record::first(rest) {
            Some((cause, _)) if !subject.is_empty() => {
                let new = emitted(cause.sequence, subject, headers, data);
                w.emitted.push(new);
                0
            }
            _ => BAD_ARGUMENT,
        }
    })
}

pub(crate) fn config_read(buf: &mut [u8]) -> i32 {
    world(|w| give(buf, &w.settings))
}

pub(crate) fn log(level: i32, text: &str) {
    let name = match level {
        i32::MIN..=-1 => "debug",
        0..=3 => "info",
        4..=7 => "warn",
        _ => "error",
    };
    world(|w| w.logged.push(format!("{name}: {text}")));
}

pub(crate) fn log_enabled(_: i32) -> i32 {
    1
}

pub(crate) fn fail(_: i32, text: &str) {
    world(|w| w.failed = Some(text.to_owned()));
}

pub(crate) fn blob_write(blob: &[u8]) -> i32 {
    world(|w| {
        if w.call != Call::Snapshot {
            return BAD_ARGUMENT;
        }
        w.blobs.push(blob.to_vec());
        0
    })
}

pub(crate) fn blob_read(buf: &mut [u8]) -> i32 {
    world(|w| {
        if w.call != Call::Restore {
            return BAD_ARGUMENT;
        }
        let n = match w.blobs.get(w.read) {
            Some(blob) => give(buf, blob),
            None => return NOT_FOUND,
        };
        w.read += usize::from(n as usize <= buf.len());
        n
    })
}

pub(crate) fn input_read(buf: &mut [u8]) -> i32 {
    world(|w| match w.call {
        Call::Upcast => give(buf, &w.batch),
        Call::Query => give(buf, &w.request),
        _ => BAD_ARGUMENT,
    })
}

pub(crate) fn output_write(bytes: &[u8]) -> i32 {
    world(|w| match w.call {
        Call::Upcast | Call::Query => {
            w.output.extend(bytes);
            0
        }
        _ => BAD_ARGUMENT,
    })
}

pub(crate) fn fields_declare(names: &[u8]) -> i32 {
    let mut all = Vec::new();
    let mut rest = names;
    while let Some(n) = crate::event::u16_at(rest, 0) {
        all.push(String::from_utf8_lossy(&rest[2..2 + n]).into_owned());
        rest = &rest[2 + n..];
    }
    if all.len() > 64 || all.iter().any(|n| n.len() > 1 << 10) {
        return TOO_LARGE;
    }
    let n = all.len();
    world(|w| w.names = all);
    n as i32
}

pub(crate) fn fields_read(buf: &mut [u8]) -> i32 {
    world(|w| match w.call {
        Call::Apply | Call::Upcast => give(buf, &table::table(&w.batch, &w.names)),
        _ => BAD_ARGUMENT,
    })
}

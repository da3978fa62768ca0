//! A host for `cargo test`: it runs a projection natively, event by event, over a state in memory.
//!
//! ```
//! use gnomon::testing::{Message, Run};
//! # use gnomon::{Error, Event, Projection, State};
//! # struct Counts;
//! # impl Projection for Counts {
//! #     type Settings = ();
//! #     fn new(_: ()) -> Result<Self, Error> { Ok(Counts) }
//! #     fn on_event(&mut self, event: &Event, state: &mut State) -> Result<(), Error> {
//! #         state.fold(event.kind()?, |n: &mut u64| { *n += 1; Ok(()) })
//! #     }
//! # }
//!
//! let mut run = Run::<Counts>::new("{}").unwrap();
//! run.send(Message::new("account.opened", r#"{"account":"a"}"#)).unwrap();
//! assert_eq!(run.text("account.opened"), Some("1"));
//! ```
//!
//! It is for quick tests of a handler. What only the real host does, limits, fuel, batches of many
//! sizes, restarts at any point, `engine test` shows.

pub(crate) mod host;
mod table;

use crate::event::{append_header, Record};
use crate::guest::{self, Instance};
use crate::{Error, Projection, Query, Snapshot, Upcaster};
use host::World;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// An event for a test.
#[derive(Clone, Debug)]
pub struct Message {
    subject: String,
    headers: Vec<(String, String)>,
    data: Vec<u8>,
    key: Vec<u8>,
    stored_ns: i64,
}

impl Message {
    /// An event with a type (its `ce-type` header; none when it is empty) and a body.
    pub fn new(kind: &str, data: impl Into<Vec<u8>>) -> Self {
        let message = Message { subject: "events".into(), headers: Vec::new(), data: data.into(), key: Vec::new(), stored_ns: 0 };
        match kind {
            "" => message,
            _ => message.header("ce-type", kind),
        }
    }

    /// With another subject than `events`.
    pub fn subject(mut self, subject: &str) -> Self {
        self.subject = subject.into();
        self
    }

    /// With a header more.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With what the configuration's `key` would say of it.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = key.into();
        self
    }

    /// With the time that the stream stored it, in Unix nanoseconds.
    pub fn stored_ns(mut self, ns: i64) -> Self {
        self.stored_ns = ns;
        self
    }

    fn append(&self, batch: &mut Vec<u8>, sequence: u64) -> Result<(), Error> {
        let mut sorted = self.headers.clone();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let mut headers = Vec::new();
        for (name, value) in &sorted {
            append_header(&mut headers, name.as_bytes(), value.as_bytes())?;
        }
        let record = Record {
            sequence,
            time_ns: self.stored_ns,
            subject: self.subject.as_bytes(),
            headers: &headers,
            data: &self.data,
            key: &self.key,
        };
        record.append(batch);
        Ok(())
    }
}

/// An event that was emitted, or made by an upcaster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Emitted {
    pub sequence: u64, // of the event that caused it
    pub subject: String,
    pub headers: Vec<(String, String)>,
    pub data: Vec<u8>,
}

/// A run of a projection, or of an upcaster, from nothing.
pub struct Run<P> {
    instance: Instance<P>,
    world: World,
    sequence: u64,
    init: fn(&Instance<P>) -> i32,
    _program: PhantomData<P>,
}

impl<P: Projection> Run<P> {
    /// Makes an instance with settings, a JSON object. The error is that of `Projection::new`.
    pub fn new(settings: &str) -> Result<Self, String> {
        Self::begin(settings, guest::init)
    }

    /// Applies an event, the next in the stream. When it fails, nothing of it is left, and a fresh
    /// instance goes on.
    pub fn send(&mut self, message: Message) -> Result<(), String> {
        self.send_all(&[message])
    }

    /// Applies events in one batch. When one fails nothing of the batch is left.
    pub fn send_all(&mut self, messages: &[Message]) -> Result<(), String> {
        self.encode(messages)?;
        let committed = self.world.begin_apply();
        let done = self.call(guest::apply);
        if done.is_err() {
            self.world.roll_back(committed);
            self.restart()?;
        }
        done
    }
}

impl<U: Upcaster> Run<U> {
    /// Makes an instance of an upcaster with settings, a JSON object.
    pub fn upcaster(settings: &str) -> Result<Self, String> {
        Self::begin(settings, guest::init_upcaster)
    }

    /// What becomes of an event.
    pub fn upcast(&mut self, message: Message) -> Result<Vec<Emitted>, String> {
        self.encode(&[message])?;
        self.world.begin_upcast();
        self.call(guest::upcast)?;
        Ok(self.world.written_events())
    }
}

impl<P> Run<P> {
    fn begin(settings: &str, init: fn(&Instance<P>) -> i32) -> Result<Self, String> {
        let world = World::new(settings);
        let mut run = Run { instance: RefCell::new(None), world, sequence: 0, init, _program: PhantomData };
        run.restart()?;
        Ok(run)
    }

    /// Goes on in a fresh instance, which has only the state, as after a restart of the engine.
    pub fn restart(&mut self) -> Result<(), String> {
        self.instance = RefCell::new(None);
        self.call(self.init)
    }

    fn encode(&mut self, messages: &[Message]) -> Result<(), String> {
        let mut batch = Vec::new();
        for m in messages {
            self.sequence += 1;
            m.append(&mut batch, self.sequence).map_err(|e| e.to_string())?;
        }
        self.world.batch = batch;
        Ok(())
    }

    fn call(&mut self, export: fn(&Instance<P>) -> i32) -> Result<(), String> {
        let instance = &self.instance;
        self.world.call(|| export(instance))
    }

    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.world.state.get(key.as_ref()).map(Vec::as_slice)
    }

    /// The value of a key, as text.
    pub fn text(&self, key: impl AsRef<[u8]>) -> Option<&str> {
        std::str::from_utf8(self.get(key)?).ok()
    }

    /// All keys and values.
    pub fn state(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.world.state
    }

    /// What was emitted so far.
    pub fn emitted(&self) -> &[Emitted] {
        &self.world.emitted
    }

    /// The lines that were logged so far: `info: text`.
    pub fn logged(&self) -> &[String] {
        &self.world.logged
    }
}

impl<P: Query> Run<P> {
    /// The answer to a request.
    pub fn query(&mut self, request: impl AsRef<[u8]>) -> Result<Vec<u8>, String> {
        self.world.begin_query(request.as_ref());
        self.call(guest::query)?;
        Ok(self.world.take_output())
    }
}

impl<P: Snapshot> Run<P> {
    /// Takes a snapshot and goes on in a fresh instance that restores it.
    pub fn restore(&mut self) -> Result<(), String> {
        self.world.begin_snapshot();
        self.call(guest::snapshot)?;
        self.restart()?;
        self.world.begin_restore();
        self.call(guest::restore)
    }
}

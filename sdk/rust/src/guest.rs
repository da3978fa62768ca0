//! What the exports of a module do: each a step that ends with the host's result.

use crate::error::check;
use crate::event::{Event, Record};
use crate::fields::Fields;
use crate::snapshot::{Blobs, SavedBlobs, Snapshot};
use crate::state::{Reader, Scratch, State};
use crate::upcast::{Out, Upcaster};
use crate::{host, json, Error, Migrate, Projection, Query};
use std::cell::{Cell, RefCell};

/// An instance: what the program made, and the buffers that its calls share.
pub struct Guest<P> {
    pub(crate) program: P,
    memory: Memory,
}

#[derive(Default)]
struct Memory {
    batch: Vec<u8>, // grown to the largest batch so far, never shrunk
    fields: Fields,
    scratch: Scratch,
    written: Vec<u8>,
}

/// Where a module keeps its instance: nothing before `init`.
pub type Instance<P> = RefCell<Option<Guest<P>>>;

thread_local! {
    /// The index in the batch of the event that is being handled, or NO_EVENT.
    static EVENT: Cell<i32> = const { Cell::new(NO_EVENT) };
}

const NO_EVENT: i32 = -1;

/// Runs a step. What goes wrong is told to the host, with the event that it is about.
fn step(run: impl FnOnce() -> Result<(), Error>) -> i32 {
    EVENT.with(|e| e.set(NO_EVENT));
    match run() {
        Ok(()) => 0,
        Err(e) => {
            host::fail(EVENT.with(Cell::get), e.as_str());
            1
        }
    }
}

/// A step of an instance that `init` made.
fn step_of<P>(instance: &Instance<P>, run: impl FnOnce(&mut Guest<P>) -> Result<(), Error>) -> i32 {
    step(|| match &mut *instance.borrow_mut() {
        Some(guest) => run(guest),
        None => Err("init was not called, or failed".into()),
    })
}

/// Has a panic tell the host its message and place before it traps.
#[cfg(target_arch = "wasm32")]
fn tell_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(text), _) => text,
            (_, Some(text)) => text.as_str(),
            _ => "of a type that is no text",
        };
        let place = info.location().map_or(String::new(), |l| {
            format!(" ({}:{})", l.file().rsplit('/').next().unwrap_or_default(), l.line())
        });
        host::fail(EVENT.with(Cell::get), &format!("panic: {text}{place}"));
    }));
}

fn settings<S: json::FromJson>() -> Result<S, Error> {
    let mut buf = Vec::new();
    let n = host::fill(&mut buf, host::config_read).map_err(|code| Error::of_code(code).context("read settings"))?;
    json::decode(&buf[..n]).map_err(|e| e.context("settings"))
}

pub(crate) fn make<P, S: json::FromJson>(new: impl FnOnce(S) -> Result<P, Error>) -> Result<Guest<P>, Error> {
    Ok(Guest { program: new(settings()?)?, memory: Memory::default() })
}

/// The export `init` of a projection.
pub fn init<P: Projection>(instance: &Instance<P>) -> i32 {
    #[cfg(target_arch = "wasm32")]
    tell_panics();
    step(|| {
        *instance.borrow_mut() = Some(make(P::new)?);
        Ok(())
    })
}

/// The export `init` of an upcaster.
pub fn init_upcaster<U: Upcaster>(instance: &Instance<U>) -> i32 {
    #[cfg(target_arch = "wasm32")]
    tell_panics();
    step(|| {
        *instance.borrow_mut() = Some(make(U::new)?);
        Ok(())
    })
}

/// The export `apply`.
pub fn apply<P: Projection>(instance: &Instance<P>) -> i32 {
    step_of(instance, |guest| {
        let Guest { program, memory } = guest;
        let Memory { batch, fields, scratch, .. } = memory;
        each_event(batch, fields, host::batch_read, |event| program.on_event(event, &mut State::new(scratch, event.index)))
    })
}

/// The export `upcast`.
pub fn upcast<U: Upcaster>(instance: &Instance<U>) -> i32 {
    step_of(instance, |guest| {
        let Guest { program, memory } = guest;
        let Memory { batch, fields, written, .. } = memory;
        each_event(batch, fields, host::input_read, |event| program.on_event(event, &mut Out { event: event.record, written }))
    })
}

/// Handles the events that `read` gives, one by one.
fn each_event(
    buf: &mut Vec<u8>,
    fields: &mut Fields,
    read: fn(&mut [u8]) -> i32,
    mut handle: impl FnMut(&Event<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let n = host::fill(buf, read).map_err(|code| Error::of_code(code).context("read batch"))?;
    fields.next_batch();
    let batch = &buf[..n];
    let (mut rest, mut index) = (batch, 0);
    while !rest.is_empty() {
        EVENT.with(|e| e.set(index as i32));
        let (record, after) = Record::first(rest).ok_or("a record of the batch is cut off")?;
        handle(&Event { record, batch, index, fields })?;
        rest = after;
        index += 1;
    }
    Ok(())
}

/// The export `query`.
pub fn query<P: Query>(instance: &Instance<P>) -> i32 {
    step_of(instance, |guest| {
        let Memory { batch, scratch, .. } = &mut guest.memory;
        let n = host::fill(batch, host::input_read).map_err(|code| Error::of_code(code).context("read request"))?;
        let answer = guest.program.query(&batch[..n], &mut Reader::new(scratch))?;
        check(host::output_write(&answer)).map_err(|e| e.context("write answer"))
    })
}

/// The export `snapshot`.
pub fn snapshot<P: Snapshot>(instance: &Instance<P>) -> i32 {
    step_of(instance, |guest| {
        let mut out = Blobs::default();
        guest.program.snapshot(&mut out).map_err(|e| e.context("save memory"))?;
        out.finish()
    })
}

/// The export `restore`.
pub fn restore<P: Snapshot>(instance: &Instance<P>) -> i32 {
    step_of(instance, |guest| {
        let restored = guest.program.restore(&mut SavedBlobs::default());
        restored.map_err(|e| e.context("restore memory"))
    })
}

/// The export `migrate`.
pub fn migrate<P: Migrate>(instance: &Instance<P>, from: i32) -> i32 {
    step_of(instance, |guest| guest.program.migrate(from, &mut State::new(&mut guest.memory.scratch, 0)))
}

/// Natively a module has no exports; this has the compiler take what they would use as used.
pub fn check_projection<P: Projection>() {}

/// As [`check_projection`], of an upcaster.
pub fn check_upcaster<U: Upcaster>() {}

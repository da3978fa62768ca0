use crate::error::check;
use crate::event::{append_header, headers, Event, Record};
use crate::{host, json, Error};

/// An upcaster: a module that turns old events into new ones before projections see them.
/// [`upcaster!`](crate::upcaster) makes a module of it. What becomes of an event depends on that event
/// and the settings alone.
pub trait Upcaster: Sized + 'static {
    /// The table `[upcaster.settings]` of the configuration, or `()`.
    type Settings: json::FromJson;

    /// Makes an instance, once, before anything else.
    fn new(settings: Self::Settings) -> Result<Self, Error>;

    /// Hands on one event: as it is, as another one, as several, or not at all.
    fn on_event(&mut self, event: &Event<'_>, out: &mut Out<'_>) -> Result<(), Error>;
}

/// Where an upcaster writes what becomes of an event.
pub struct Out<'a> {
    pub(crate) event: Record<'a>,
    pub(crate) written: &'a mut Vec<u8>,
}

impl Out<'_> {
    /// Hands the event on as it is.
    pub fn keep(&mut self) -> Result<(), Error> {
        let event = Record { key: &[], ..self.event };
        self.write(&event)
    }

    /// Hands on another event, with the headers of this one except for those that are given. A
    /// header whose value is empty is left out.
    pub fn put(&mut self, subject: &str, data: &[u8], changed: &[(&str, &str)]) -> Result<(), Error> {
        let encoded = replace(self.event.headers, changed)?;
        let event = Record { subject: subject.as_bytes(), headers: &encoded, data, key: &[], ..self.event };
        self.write(&event)
    }

    fn write(&mut self, event: &Record<'_>) -> Result<(), Error> {
        self.written.clear();
        event.append(self.written);
        check(host::output_write(self.written)).map_err(|e| e.context("write event"))
    }
}

/// Headers with some of them replaced, ordered by name as the contract has them.
fn replace(old: &[u8], changed: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
    let given = |name: &[u8]| changed.iter().any(|(n, _)| n.as_bytes().eq_ignore_ascii_case(name));
    let mut all: Vec<(&[u8], &[u8])> = headers(old).filter(|(name, _)| !given(name)).collect();
    all.extend(changed.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.as_bytes(), v.as_bytes())));
    all.sort_by_key(|(name, _)| *name);
    let mut encoded = Vec::new();
    for (name, value) in all {
        append_header(&mut encoded, name, value)?;
    }
    Ok(encoded)
}

//! A projection for the SDK's tests: what an event has it do, its type says.

use gnomon::{fail, json_struct, log, Error, Event, Kind, Migrate, Projection, Query, Reader, Snapshot, State};
use std::io;

json_struct! {
    struct Settings {
        prefix: String = "k",
    }
}

struct Guest {
    settings: Settings,
    remembered: Vec<u8>,
}

gnomon::projection!(Guest: Query + Snapshot + Migrate);

impl Projection for Guest {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Guest { settings, remembered: Vec::new() })
    }

    fn on_event(&mut self, event: &Event, state: &mut State) -> Result<(), Error> {
        match event.kind()? {
            "remember" => {
                self.remembered.extend(event.data());
                state.put("remembered", self.remembered.len().to_string())
            }
            "panic" => panic!("nothing is {}", event.str("what")?),
            "index" => state.put("never", &event.data()[event.data().len()..][..1]),
            "large" => large(event, state),
            "fill" => self.fill(event, state),
            "scan" => scan(event, state),
            "emit" => emit(event, state),
            "fields" => fields(event, state),
            "log" => log_all(),
            "delete" => state.delete(event.str("key")?),
            "change" => state.change("changed", |n: &mut Option<i64>| {
                *n = match event.int("add")? {
                    0 => None,
                    add => Some(n.unwrap_or(0) + add),
                };
                Ok(())
            }),
            kind => fail!("there is no {kind:?}"),
        }
    }
}

/// Writes a value of some size and reads it back.
fn large(event: &Event, state: &mut State) -> Result<(), Error> {
    let size = event.int("size")? as usize;
    let value: Vec<u8> = (0..size).map(|i| (i * 7) as u8).collect();
    let key = "x".repeat(event.int("key")? as usize);
    state.put(&key, &value)?;
    if state.get(&key)? != Some(&value) {
        fail!("{size} bytes did not come back");
    }
    state.put("size", size.to_string())
}

impl Guest {
    /// Writes so many keys.
    fn fill(&self, event: &Event, state: &mut State) -> Result<(), Error> {
        let value = "v".repeat(event.int("size")? as usize);
        for i in 0..event.int("keys")? {
            state.put([&self.settings.prefix, "\t", &format!("{i:05}")], &value)?;
        }
        Ok(())
    }
}

/// Counts keys, and says which is the last.
fn scan(event: &Event, state: &mut State) -> Result<(), Error> {
    let (mut keys, mut bytes, mut last) = (0, 0, Vec::new());
    let limit = event.field("limit")?.as_int().unwrap_or(i64::MAX);
    state.scan(event.str("prefix")?, event.str("after")?, |key, value| {
        if key <= last.as_slice() {
            fail!("{key:?} does not follow {last:?}");
        }
        keys += 1;
        bytes += value.len();
        last = key.to_vec();
        Ok(keys < limit)
    })?;
    state.put("scanned", format!("{keys} {bytes} {}", String::from_utf8_lossy(&last)))
}

fn emit(event: &Event, state: &mut State) -> Result<(), Error> {
    let values: Vec<String> = (0..event.int("headers")?).map(|i| format!("value {i}")).collect();
    let names: Vec<String> = (0..values.len()).map(|i| format!("name-{i:03}")).collect();
    let headers: Vec<_> = names.iter().zip(&values).map(|(n, v)| (n.as_str(), v.as_str())).collect();
    state.emit(event.str("subject")?, event.data(), &headers)?;
    state.emit("second", "", &[])
}

/// Asks for one field after another: what it got before must outlast that.
fn fields(event: &Event, state: &mut State) -> Result<(), Error> {
    let text = event.str("text")?;
    let number = event.int("number")?;
    let (kinds, nested) = (["flag", "none", "list", "absent"].map(|n| event.field(n).map(|f| f.kind())), event.field("list")?);
    for (kind, want) in kinds.into_iter().zip([Kind::Bool, Kind::Null, Kind::Array, Kind::Absent]) {
        if kind? != want {
            fail!("not {want:?}");
        }
    }
    let list: Vec<i64> = gnomon::json::decode(nested.raw())?;
    state.put("fields", format!("{text}|{number}|{}|{:?}", list.len(), event.field("flag")?.as_bool()))
}

fn log_all() -> Result<(), Error> {
    log::debug(|| "a".into());
    log::info("b");
    log::warn("c");
    log::error("d");
    Ok(())
}

impl Query for Guest {
    fn query(&mut self, request: &[u8], state: &mut Reader) -> Result<Vec<u8>, Error> {
        if request == b"memory" {
            return Ok(self.remembered.clone());
        }
        match state.get(request)? {
            Some(value) => Ok(value.to_vec()),
            None => fail!("no key {:?}", String::from_utf8_lossy(request)),
        }
    }
}

impl Snapshot for Guest {
    fn snapshot(&self, out: &mut dyn io::Write) -> Result<(), Error> {
        Ok(out.write_all(&self.remembered)?)
    }

    fn restore(&mut self, saved: &mut dyn io::Read) -> Result<(), Error> {
        self.remembered.clear();
        saved.read_to_end(&mut self.remembered)?;
        Ok(())
    }
}

impl Migrate for Guest {
    fn migrate(&mut self, from: i32, state: &mut State) -> Result<(), Error> {
        state.put("migrated from", from.to_string())
    }
}

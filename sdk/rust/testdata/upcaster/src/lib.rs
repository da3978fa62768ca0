//! An upcaster for the SDK's tests: names become first and last names, and some events several.

use gnomon::{json, Error, Event, Out, Upcaster};

struct Names;

gnomon::upcaster!(Names);

impl Upcaster for Names {
    type Settings = ();

    fn new(_: ()) -> Result<Self, Error> {
        Ok(Names)
    }

    fn on_event(&mut self, event: &Event, out: &mut Out) -> Result<(), Error> {
        match event.kind()? {
            "named" => {
                let name = event.str("name")?;
                let (first, last) = name.split_once(' ').ok_or("a name has two parts")?;
                let data = json::object(&[("first", &first), ("last", &last)]);
                out.put(event.subject()?, &data, &[("ce-type", "named.v2"), ("ce-source", "")])
            }
            "twice" => {
                out.keep()?;
                out.put("copies", event.data(), &[("z-copy", "1"), ("a-copy", "1")])
            }
            "dropped" => Ok(()),
            _ => out.keep(),
        }
    }
}

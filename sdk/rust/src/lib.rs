//! Projections for the Gnomon engine, in Rust.
//!
//! A projection gets the events of a stream one after the other, in order, and keeps a
//! keyspace up to date, which readers query:
//!
//! ```
//! use gnomon::{fail, json_struct, Error, Event, Projection, State};
//!
//! json_struct! {
//!     struct Settings {
//!         currency: String = "EUR",
//!     }
//! }
//!
//! json_struct! {
//!     #[derive(Default)]
//!     struct Account {
//!         balance: i64,
//!         events: u64,
//!     }
//! }
//!
//! struct Balances {
//!     settings: Settings,
//! }
//!
//! impl Projection for Balances {
//!     type Settings = Settings;
//!
//!     fn new(settings: Settings) -> Result<Self, Error> {
//!         Ok(Balances { settings })
//!     }
//!
//!     fn on_event(&mut self, event: &Event, state: &mut State) -> Result<(), Error> {
//!         if event.str("currency")? != self.settings.currency {
//!             fail!("the account is in {}", self.settings.currency);
//!         }
//!         let amount = event.int("amount")?;
//!         state.fold(["account\t", event.str("account")?], |account: &mut Account| {
//!             account.balance += amount;
//!             account.events += 1;
//!             Ok(())
//!         })
//!     }
//! }
//!
//! gnomon::projection!(Balances);
//! ```
//!
//! Built for `wasm32-unknown-unknown` as a `cdylib` it is a module for the engine. Built
//! natively the same code runs under [`testing`]'s host, in `cargo test`.
//!
//! An `Err`, and a panic, take back everything that the event wrote and emitted; what
//! becomes of the event is the projection's `on_error`. Every error of this crate says what
//! it is about; the engine adds the event's sequence.
//!
//! The contract below this crate is `docs/ABI.md` of the engine.

#![deny(missing_docs)]

mod error;
mod event;
mod exports;
mod fields;
#[doc(hidden)]
pub mod guest;
mod host;
pub mod json;
pub mod log;
mod snapshot;
mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod time;
mod upcast;
mod value;

pub use error::Error;
pub use event::Event;
pub use fields::{Field, Kind};
pub use snapshot::Snapshot;
pub use state::{Key, Reader, State};
pub use upcast::{Out, Upcaster};
pub use value::Value;

/// A projection: what becomes of a stream's events. [`projection!`] makes a module of it.
///
/// The engine may discard an instance between any two events and start another that has
/// only the keyspace: fields of the type are a cache, unless it is a [`Snapshot`] too.
pub trait Projection: Sized + 'static {
    /// The table `[projection.settings]` of the configuration: a [`json_struct!`], or `()`
    /// when there are no settings. A setting that it does not have is an error.
    type Settings: json::FromJson;

    /// Makes an instance, once, before anything else. There is no state yet. When it fails
    /// the projection does not start, and the error says why.
    fn new(settings: Self::Settings) -> Result<Self, Error>;

    /// Applies one event to the state.
    fn on_event(&mut self, event: &Event<'_>, state: &mut State<'_>) -> Result<(), Error>;
}

/// A projection that answers requests over the state: `projection!(Balances: Query)`.
pub trait Query: Projection {
    /// Answers a request. Both have at most 1 MiB; what they mean is between the projection
    /// and who asks. The text of an error is what the client is told, word for word.
    ///
    /// It runs in instances that see no events, and may be asked again of an older or newer
    /// state: keep nothing of the state in the projection.
    fn query(&mut self, request: &[u8], state: &mut Reader<'_>) -> Result<Vec<u8>, Error>;
}

/// A projection that rewrites a state of an older schema: `projection!(Balances: Migrate)`.
pub trait Migrate: Projection {
    /// Rewrites the state that a module of schema `from` left, 0 when it declared none. It
    /// is called once, before any event; what it writes is committed alone.
    fn migrate(&mut self, from: i32, state: &mut State<'_>) -> Result<(), Error>;
}

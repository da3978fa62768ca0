//! Lines for the engine's log, under the projection's name. Lines are cut at 4 KiB, and the engine
//! drops those of a projection that writes too many.

use crate::host;

/// How much a line matters, in the numbers of Go's `log/slog`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    /// For those who look for a fault.
    Debug = -4,
    /// About what happens.
    Info = 0,
    /// About something that may be wrong.
    Warn = 4,
    /// About something that is wrong. It does not make the event fail: return an error for that.
    Error = 8,
}

/// Whether a line of the level would be kept. Ask it before a line that is costly to make. Nothing
/// but the log may depend on the answer.
pub fn enabled(level: Level) -> bool {
    host::log_enabled(level as i32) != 0
}

/// Writes a line.
pub fn line(level: Level, text: &str) {
    host::log(level as i32, text);
}

/// Writes a line for those who look for a fault; it is made only if it would be kept.
pub fn debug(text: impl FnOnce() -> String) {
    if enabled(Level::Debug) {
        line(Level::Debug, &text());
    }
}

/// Writes a line about what happens.
pub fn info(text: impl AsRef<str>) {
    line(Level::Info, text.as_ref());
}

/// Writes a line about something that may be wrong.
pub fn warn(text: impl AsRef<str>) {
    line(Level::Warn, text.as_ref());
}

/// Writes a line about something that is wrong.
pub fn error(text: impl AsRef<str>) {
    line(Level::Error, text.as_ref());
}

use std::borrow::Cow;
use std::fmt;

/// What went wrong, in words. It makes the event fail, with this text.
///
/// It is made from texts (`"…".into()`, [`fail!`](crate::fail)) and, by `?`, from the errors of the
/// standard library that handlers meet; [`Error::new`] takes any other.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    text: Cow<'static, str>,
}

impl Error {
    /// An error with the text of any other.
    pub fn new(reason: impl fmt::Display) -> Self {
        Error { text: Cow::Owned(reason.to_string()) }
    }

    /// The same error with what it was about in front: `about: text`.
    pub fn context(self, about: impl fmt::Display) -> Self {
        Error { text: Cow::Owned(format!("{about}: {}", self.text)) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The error for a code that the host returned from a function, see docs/ABI.md.
    pub(crate) fn of_code(code: i32) -> Self {
        match code {
            NOT_FOUND => "not found".into(),
            TOO_LARGE => "too large: a key may have 64000 bytes, a value 1048576".into(),
            BAD_ARGUMENT => "bad argument, or not to be used in this call".into(),
            READ_ONLY => "the state can be used only while an event is handled, a request answered or an older state migrated, and not written for a request".into(),
            OVER_QUOTA => "over quota".into(),
            _ => format!("the host returned code {code}").into(),
        }
    }
}

// The result codes of the contract.
pub(crate) const NOT_FOUND: i32 = -1;
pub(crate) const TOO_LARGE: i32 = -2;
pub(crate) const BAD_ARGUMENT: i32 = -3;
pub(crate) const READ_ONLY: i32 = -4;
pub(crate) const OVER_QUOTA: i32 = -5;

/// Ok, or the error for a negative code.
pub(crate) fn check(code: i32) -> Result<(), Error> {
    if code < 0 {
        return Err(Error::of_code(code));
    }
    Ok(())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<&'static str> for Error {
    fn from(text: &'static str) -> Self {
        Error { text: Cow::Borrowed(text) }
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Error { text: Cow::Owned(text) }
    }
}

impl From<fmt::Arguments<'_>> for Error {
    fn from(text: fmt::Arguments<'_>) -> Self {
        Error::new(text)
    }
}

macro_rules! from_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for Error {
            fn from(e: $error) -> Self {
                Error::new(e)
            }
        }
    )*};
}

from_errors!(
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    std::num::ParseIntError,
    std::num::TryFromIntError,
    std::io::Error
);

/// Returns an error from the function that it stands in: `fail!("account {name} is not open")`.
#[macro_export]
macro_rules! fail {
    ($($text:tt)*) => {
        return ::core::result::Result::Err($crate::Error::from(::std::format!($($text)*)))
    };
}

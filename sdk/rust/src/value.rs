use crate::Error;

/// What can be stored under a key. [`json_struct!`](crate::json_struct) makes structs values; what
/// is a value otherwise: `i64` and `u64` (decimal text), `String` and `Vec<u8>` (their bytes).
///
/// The same value must always have the same bytes: sort what comes out of a `HashMap`.
pub trait Value: Sized {
    /// The value that the bytes encode.
    fn decode(bytes: &[u8]) -> Result<Self, Error>;
    /// Appends the bytes to `out`.
    fn encode(&self, out: &mut Vec<u8>);
}

impl Value for String {
    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Value for Vec<u8> {
    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Ok(bytes.to_vec())
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

macro_rules! decimal {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn decode(bytes: &[u8]) -> Result<Self, Error> {
                crate::json::decode(bytes)
            }
            fn encode(&self, out: &mut Vec<u8>) {
                crate::json::ToJson::write(self, out);
            }
        }
    )*};
}

decimal!(i64, u64);

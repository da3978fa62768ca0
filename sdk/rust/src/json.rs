//! JSON in the module: stored values, settings, requests, what is emitted. Fields of an event's own
//! data are found faster by the host, see [`Event::field`](crate::Event::field).
//!
//! Strings are written as RFC 8785 does: `\"` `\\` `\b` `\t` `\n` `\f` `\r`, other control characters
//! as `\u00xx`, all else as it is. Numbers are whole: floats are not offered, for sums of them depend
//! on the order.

use crate::{fail, Error};
use std::borrow::Cow;
use std::fmt;
use std::str;

/// What can be written as JSON.
pub trait ToJson {
    /// Appends the JSON to `out`.
    fn write(&self, out: &mut Vec<u8>);
}

/// What can be read from JSON.
pub trait FromJson: Sized {
    /// Takes a value.
    fn read(parser: &mut Parser<'_>) -> Result<Self, Error>;

    /// The value of a field that is absent, if it may be.
    fn absent() -> Option<Self> {
        None
    }
}

/// The JSON of a value, without blanks.
pub fn encode<T: ToJson + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    value.write(&mut out);
    out
}

/// The value that all of the bytes are the JSON of.
pub fn decode<T: FromJson>(bytes: &[u8]) -> Result<T, Error> {
    let mut parser = Parser::new(bytes);
    let value = T::read(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// The JSON of an object with the given fields, in their order:
/// `json::object(&[("account", &account), ("balance", &balance)])`.
pub fn object(fields: &[(&str, &dyn ToJson)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = ObjectWriter::begin(&mut out);
    for (name, value) in fields {
        object.field(name, *value);
    }
    object.end();
    out
}

/// Writes an object, field by field.
pub struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    next: u8, // what stands before the next field
}

impl<'a> ObjectWriter<'a> {
    /// Begins an object at the end of `out`.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        ObjectWriter { out, next: b'{' }
    }

    /// Writes a field.
    pub fn field<T: ToJson + ?Sized>(&mut self, name: &str, value: &T) {
        self.out.push(self.next);
        self.next = b',';
        quote(self.out, name);
        self.out.push(b':');
        value.write(self.out);
    }

    /// Writes a field of a struct: an identifier needs no escapes.
    #[doc(hidden)]
    pub fn member<T: ToJson + ?Sized>(&mut self, identifier: &str, value: &T) {
        self.out.extend_from_slice(&[self.next, b'"']);
        self.next = b',';
        self.out.extend_from_slice(field_name(identifier).as_bytes());
        self.out.extend_from_slice(b"\":");
        value.write(self.out);
    }

    /// Ends the object.
    pub fn end(self) {
        if self.next == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

/// The bytes that do not stand for themselves in a string. A look-up is several times faster in a
/// module than comparisons.
static SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut c = 0;
    while c < b' ' {
        special[c as usize] = true;
        c += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special
};

/// Appends a text as a JSON string, as RFC 8785 writes it (section 3.2.2.2).
pub fn quote(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut run = 0; // begin of what is not written yet
    for (i, &c) in bytes.iter().enumerate() {
        if !SPECIAL[usize::from(c)] {
            continue;
        }
        out.extend_from_slice(&bytes[run..i]);
        run = i + 1;
        let short = match c {
            b'"' | b'\\' => c,
            8 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            12 => b'f',
            b'\r' => b'r',
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&bytes[run..]);
    out.push(b'"');
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl ToJson for str {
    fn write(&self, out: &mut Vec<u8>) {
        quote(out, self);
    }
}

impl ToJson for String {
    fn write(&self, out: &mut Vec<u8>) {
        quote(out, self);
    }
}

impl FromJson for String {
    fn read(parser: &mut Parser<'_>) -> Result<Self, Error> {
        parser.string().map(Cow::into_owned)
    }
}

impl ToJson for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl FromJson for bool {
    fn read(parser: &mut Parser<'_>) -> Result<Self, Error> {
        if parser.word("true") {
            return Ok(true);
        }
        if parser.word("false") {
            return Ok(false);
        }
        parser.expected("true or false")
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

impl<T: FromJson> FromJson for Option<T> {
    fn read(parser: &mut Parser<'_>) -> Result<Self, Error> {
        if parser.word("null") {
            return Ok(None);
        }
        T::read(parser).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: ToJson> ToJson for [T] {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (i, value) in self.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            value.write(out);
        }
        out.push(b']');
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn read(parser: &mut Parser<'_>) -> Result<Self, Error> {
        let mut all = Vec::new();
        parser.array(|p| {
            all.push(T::read(p)?);
            Ok(())
        })?;
        Ok(all)
    }
}

/// No settings: only `{}` is read.
impl FromJson for () {
    fn read(parser: &mut Parser<'_>) -> Result<Self, Error> {
        parser.object(|_, name| Err(unknown(name, &[])))
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl ToJson for $number {
            fn write(&self, out: &mut Vec<u8>) {
                #[allow(unused_comparisons)]
                let negative = *self < 0;
                // A magnitude of 64 bits holds that of the smallest i64, too.
                decimal(out, negative, if negative { (*self as u64).wrapping_neg() } else { *self as u64 });
            }
        }

        impl FromJson for $number {
            fn read(parser: &mut Parser<'_>) -> Result<Self, Error> {
                match parser.short_number() {
                    Some(n) => <$number>::try_from(n).map_err(|_| out_of(n, <$number>::MIN, <$number>::MAX)),
                    None => {
                        let digits = parser.number()?;
                        digits.parse().map_err(|_| out_of(digits, <$number>::MIN, <$number>::MAX))
                    }
                }
            }
        }
    )*};
}

whole_numbers!(i8, i16, i32, i64, u8, u16, u32, u64);

#[cold]
fn out_of<N: fmt::Display>(what: impl fmt::Display, min: N, max: N) -> Error {
    format!("{what} is no whole number from {min} to {max}").into()
}

/// Appends a number in decimal. The standard library's way is several times slower in a module.
fn decimal(out: &mut Vec<u8>, negative: bool, mut n: u64) {
    let mut text = [0; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    if negative {
        at -= 1;
        text[at] = b'-';
    }
    out.extend_from_slice(&text[at..]);
}

/// The text of bytes that are not all UTF-8: each that is not becomes U+FFFD, as the host has it.
#[cold]
fn replaced(mut bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    while let Err(e) = str::from_utf8(bytes) {
        let (valid, rest) = bytes.split_at(e.valid_up_to());
        text.push_str(str::from_utf8(valid).unwrap_or_default());
        text.push(char::REPLACEMENT_CHARACTER);
        bytes = &rest[1..];
    }
    text.push_str(str::from_utf8(bytes).unwrap_or_default());
    text
}

/// Reads JSON (RFC 8259), value by value.
pub struct Parser<'a> {
    data: &'a [u8],
    at: usize,
    depth: usize,
}

const MAX_DEPTH: usize = 128; // of arrays and objects in each other that are taken one by one: the stack is small
const MAX_SKIPPED: usize = 10_000; // of those that are skipped, as the host reads them

impl<'a> Parser<'a> {
    /// A parser that stands before the first value.
    pub fn new(data: &'a [u8]) -> Self {
        Parser { data, at: 0, depth: 0 }
    }

    /// Fails unless only white space is left.
    pub fn end(&mut self) -> Result<(), Error> {
        if self.peek() == 0 && self.at == self.data.len() {
            return Ok(());
        }
        self.expected("the end")
    }

    /// Takes an object. `field` is called for each of its fields, by name, and takes the value.
    pub fn object(&mut self, mut field: impl FnMut(&mut Self, &str) -> Result<(), Error>) -> Result<(), Error> {
        self.within(b'{', b'}', "an object", |p| {
            let name = p.string()?;
            if !p.take(b':') {
                return p.expected("':'");
            }
            field(p, &name)
        })
    }

    /// Takes an array. `element` is called for each of its elements, and takes it.
    pub fn array(&mut self, element: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.within(b'[', b']', "an array", element)
    }

    fn within(
        &mut self,
        open: u8,
        close: u8,
        what: &str,
        mut each: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.take(open) {
            return self.expected(what);
        }
        if self.take(close) {
            return Ok(());
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.too_deep(MAX_DEPTH);
        }
        loop {
            each(self)?;
            if self.take(b',') {
                continue;
            }
            self.depth -= 1;
            if self.take(close) {
                return Ok(());
            }
            return self.expected(if close == b'}' { "',' or '}'" } else { "',' or ']'" });
        }
    }

    /// Takes a string. Halves of surrogate pairs, and each byte that is not UTF-8, become U+FFFD.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        if !self.take(b'"') {
            return self.expected("a string");
        }
        let start = self.at;
        let plain = self.run()?;
        if self.data[self.at] == b'"' {
            self.at += 1;
            return Ok(plain);
        }
        let mut text = plain.into_owned();
        while self.data[self.at] != b'"' {
            self.at += 1; // the backslash
            text.push(self.escape()?);
            text.push_str(&self.run()?);
        }
        self.at += 1;
        debug_assert!(self.at > start);
        Ok(Cow::Owned(text))
    }

    /// Takes what stands for itself in a string. A quote or a backslash follows.
    fn run(&mut self) -> Result<Cow<'a, str>, Error> {
        let rest = &self.data[self.at..];
        let n = match rest.iter().position(|&c| SPECIAL[usize::from(c)]) {
            Some(n) if rest[n] >= b' ' => n,
            Some(_) => return self.expected("no control character in a string"),
            None => return self.expected("the end of a string"),
        };
        self.at += n;
        Ok(match str::from_utf8(&rest[..n]) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(replaced(&rest[..n])),
        })
    }

    /// Takes what follows a backslash.
    fn escape(&mut self) -> Result<char, Error> {
        let c = self.data.get(self.at).copied().unwrap_or(0);
        let says = match c {
            b'"' | b'\\' | b'/' => c,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(),
            _ => return self.expected("an escape in a string"),
        };
        self.at += 1;
        Ok(char::from(says))
    }

    /// Takes `uXXXX`, and the second half of a surrogate pair with it.
    fn unicode(&mut self) -> Result<char, Error> {
        let first = match self.hex4(self.at) {
            Some(n) => n,
            None => return self.expected("four hexadecimal digits"),
        };
        self.at += 5;
        if (0xd800..0xdc00).contains(&first) && self.data.get(self.at) == Some(&b'\\') {
            if let Some(second @ 0xdc00..=0xdfff) = self.hex4(self.at + 1) {
                self.at += 6;
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// The number in `uXXXX` at a place.
    fn hex4(&self, at: usize) -> Option<u32> {
        let digits = self.data.get(at..at + 5)?.strip_prefix(b"u")?;
        digits.iter().try_fold(0, |n, &c| Some(n << 4 | char::from(c).to_digit(16)?))
    }

    /// Takes a whole number of at most 18 digits, as most are. Otherwise nothing is taken.
    fn short_number(&mut self) -> Option<i64> {
        let negative = self.peek() == b'-';
        let start = self.at + usize::from(negative);
        let (mut at, mut n) = (start, 0);
        while let Some(digit @ 0..=9) = self.data.get(at).map(|c| c.wrapping_sub(b'0')) {
            if at == start + 18 {
                return None;
            }
            n = n * 10 + i64::from(digit);
            at += 1;
        }
        let ends = !matches!(self.data.get(at), Some(b'.' | b'e' | b'E'));
        let leads = at > start + 1 && self.data[start] == b'0';
        if at == start || leads || !ends {
            return None;
        }
        self.at = at;
        Some(if negative { -n } else { n })
    }

    /// Takes a number, as its text.
    pub fn number(&mut self) -> Result<&'a str, Error> {
        self.peek();
        let start = self.at;
        self.byte(b"-");
        let zero = self.byte(b"0");
        if !zero && self.digits() == 0 {
            return self.expected("a number");
        }
        if self.byte(b".") && self.digits() == 0 {
            return self.expected("a digit");
        }
        if self.byte(b"eE") {
            self.byte(b"+-");
            if self.digits() == 0 {
                return self.expected("a digit");
            }
        }
        Ok(str::from_utf8(&self.data[start..self.at]).unwrap_or_default())
    }

    fn byte(&mut self, any: &[u8]) -> bool {
        let found = self.data.get(self.at).map_or(false, |c| any.contains(c));
        self.at += usize::from(found);
        found
    }

    fn digits(&mut self) -> usize {
        let n = self.data[self.at..].iter().take_while(|c| c.is_ascii_digit()).count();
        self.at += n;
        n
    }

    /// Takes a value, whatever it is, and returns its JSON as it stands. It may nest 10,000 deep.
    pub fn skip(&mut self) -> Result<&'a [u8], Error> {
        let first = self.peek();
        let start = self.at;
        match first {
            b'{' | b'[' => self.skip_nested()?,
            _ => self.skip_simple(first)?,
        }
        Ok(&self.data[start..self.at])
    }

    fn skip_simple(&mut self, first: u8) -> Result<(), Error> {
        match first {
            b'"' => drop(self.string()?),
            b'-' | b'0'..=b'9' => drop(self.number()?),
            _ if self.word("true") || self.word("false") || self.word("null") => {}
            _ => return self.expected("a JSON value"),
        }
        Ok(())
    }

    /// Takes an array or object. It does not call itself, for the stack is small.
    fn skip_nested(&mut self) -> Result<(), Error> {
        let mut open: Vec<u8> = Vec::new(); // what closes those that it is in
        loop {
            let first = self.peek();
            let mut begun = matches!(first, b'{' | b'[');
            if begun {
                self.at += 1;
                if self.depth + open.len() == MAX_SKIPPED {
                    return self.too_deep(MAX_SKIPPED);
                }
                open.push(first + 2); // as ASCII has them
            } else {
                self.skip_simple(first)?;
            }
            loop {
                let close = match open.last() {
                    Some(&close) => close,
                    None => return Ok(()),
                };
                if self.take(close) {
                    open.pop();
                    begun = false;
                    continue;
                }
                if !begun && !self.take(b',') {
                    return self.expected(if close == b'}' { "',' or '}'" } else { "',' or ']'" });
                }
                if close == b'}' {
                    self.string()?;
                    if !self.take(b':') {
                        return self.expected("':'");
                    }
                }
                break;
            }
        }
    }

    #[cold]
    fn too_deep<T>(&self, limit: usize) -> Result<T, Error> {
        fail!("at byte {}: arrays and objects nest too deep, the limit is {limit}", self.at)
    }

    /// The next byte that is no white space, or 0 at the end.
    fn peek(&mut self) -> u8 {
        while let Some(&c) = self.data.get(self.at) {
            if !matches!(c, b' ' | b'\t' | b'\n' | b'\r') {
                return c;
            }
            self.at += 1;
        }
        0
    }

    fn take(&mut self, c: u8) -> bool {
        let found = self.peek() == c && self.at < self.data.len();
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.data[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    #[cold]
    fn expected<T>(&self, what: &str) -> Result<T, Error> {
        fail!("at byte {}: {what} is expected", self.at)
    }
}

#[cold]
#[doc(hidden)]
pub fn unknown(name: &str, known: &[&str]) -> Error {
    let known: Vec<_> = known.iter().map(|n| field_name(n)).collect();
    match known.is_empty() {
        true => format!("{name:?} is unknown: there are none").into(),
        false => format!("{name:?} is unknown: there are {}", known.join(", ")).into(),
    }
}

#[cold]
#[doc(hidden)]
pub fn missing(name: &str) -> Error {
    format!("{:?} is missing", field_name(name)).into()
}

/// The name of a struct's field, which may be a raw identifier.
#[doc(hidden)]
#[inline]
pub fn field_name(name: &str) -> &str {
    name.strip_prefix("r#").unwrap_or(name)
}

/// A default as it is written, made a value of the field's type: a text becomes a `String`.
#[doc(hidden)]
pub trait Default<T> {
    fn value(self) -> T;
}

impl<T> Default<T> for T {
    fn value(self) -> T {
        self
    }
}

impl Default<String> for &str {
    fn value(self) -> String {
        self.to_owned()
    }
}

/// Makes a struct that is a JSON object: settings, a stored [`Value`](crate::Value), a request.
///
/// ```
/// gnomon::json_struct! {
///     #[derive(Debug, PartialEq)]
///     pub struct Settings {
///         overdraft: i64 = 0,
///         alerts: String = "alerts.account",
///         limit: Option<u32>,
///     }
/// }
/// let s: Settings = gnomon::json::decode(br#"{"overdraft":500}"#).unwrap();
/// assert_eq!(s, Settings { overdraft: 500, alerts: "alerts.account".into(), limit: None });
/// assert_eq!(gnomon::json::encode(&s), br#"{"overdraft":500,"alerts":"alerts.account","limit":null}"#);
/// ```
///
/// It is written in the order of its fields, without blanks. A field with a default, and an
/// `Option`, may be absent when it is read. A field that the struct does not have is an error: a
/// misspelt setting is noticed, and a value is not stored again without a part of it. `..` at the
/// end has other fields be passed over, for what is only read:
///
/// ```
/// gnomon::json_struct! {
///     struct Line {
///         sku: String,
///         count: u32,
///         ..
///     }
/// }
/// let line: Line = gnomon::json::decode(br#"{"sku":"a","count":2,"note":[]}"#).unwrap();
/// assert_eq!((line.sku.as_str(), line.count), ("a", 2));
/// ```
#[macro_export]
macro_rules! json_struct {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fvis:vis $field:ident : $type:ty $(= $default:expr)?),* , .. }) => {
        $(#[$meta])* $vis struct $name { $($fvis $field: $type),* }
        $crate::json_struct!(@read $name { $($field: $type $(= $default)?),* } |parser, _name, _known| parser.skip().map(drop));
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fvis:vis $field:ident : $type:ty $(= $default:expr)?),* $(,)? }) => {
        $(#[$meta])* $vis struct $name { $($fvis $field: $type),* }
        $crate::json_struct!(@read $name { $($field: $type $(= $default)?),* } |_parser, name, known| Err($crate::json::unknown(name, known)));
        impl $crate::json::ToJson for $name {
            fn write(&self, out: &mut ::std::vec::Vec<u8>) {
                #[allow(unused_mut)]
                let mut object = $crate::json::ObjectWriter::begin(out);
                $(object.member(::core::stringify!($field), &self.$field);)*
                object.end();
            }
        }
        impl $crate::Value for $name {
            fn decode(bytes: &[u8]) -> ::core::result::Result<Self, $crate::Error> {
                $crate::json::decode(bytes)
            }
            fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
                $crate::json::ToJson::write(self, out);
            }
        }
    };
    (@read $name:ident { $($field:ident : $type:ty $(= $default:expr)?),* } $other:expr) => {
        impl $crate::json::FromJson for $name {
            fn read(parser: &mut $crate::json::Parser<'_>) -> ::core::result::Result<Self, $crate::Error> {
                #[allow(non_snake_case)]
                struct Read { $($field: ::core::option::Option<$type>),* }
                let mut read = Read { $($field: ::core::option::Option::None),* };
                let other: fn(&mut $crate::json::Parser<'_>, &str, &[&str]) -> ::core::result::Result<(), $crate::Error> = $other;
                parser.object(|parser, name| {
                    $(if name == $crate::json::field_name(::core::stringify!($field)) {
                        read.$field = ::core::option::Option::Some(
                            $crate::json::FromJson::read(parser).map_err(|e: $crate::Error| e.context(name))?,
                        );
                        return ::core::result::Result::Ok(());
                    })*
                    other(parser, name, &[$(::core::stringify!($field)),*])
                })?;
                ::core::result::Result::Ok($name {
                    $($field: match read.$field {
                        ::core::option::Option::Some(value) => value,
                        ::core::option::Option::None => $crate::json_struct!(@absent $field, $type $(, $default)?),
                    }),*
                })
            }
        }
    };
    (@absent $field:ident, $type:ty) => {
        match <$type as $crate::json::FromJson>::absent() {
            ::core::option::Option::Some(value) => value,
            ::core::option::Option::None => {
                return ::core::result::Result::Err($crate::json::missing(::core::stringify!($field)));
            }
        }
    };
    (@absent $field:ident, $type:ty, $default:expr) => {
        $crate::json::Default::<$type>::value($default)
    };
}

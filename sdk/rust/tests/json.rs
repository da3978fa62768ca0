//! JSON is written and read exactly; what is none is refused, wherever it is broken.

use gnomon::json::{self, FromJson, Parser};
use gnomon::json_struct;

json_struct! {
    #[derive(Clone, Debug, Default, PartialEq)]
    struct All {
        text: String,
        number: i64,
        count: u8,
        flag: bool,
        list: Vec<String>,
        inner: Option<Inner>,
        r#type: String = "none",
    }
}

json_struct! {
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Inner {
        big: u64,
    }
}

fn error<T: FromJson + std::fmt::Debug>(text: &str) -> String {
    json::decode::<T>(text.as_bytes()).unwrap_err().to_string()
}

/// Strings are written as RFC 8785 does.
#[test]
fn strings_are_written_as_the_rfc_says() {
    for (text, want) in [
        ("", r#""""#),
        ("a/b", r#""a/b""#),
        ("\"\\", r#""\"\\""#),
        ("\u{8}\t\n\u{c}\r", r#""\b\t\n\f\r""#),
        ("\0\u{1f}\u{7f}", "\"\\u0000\\u001f\u{7f}\""),
        ("<é😀\u{2028}>", "\"<é😀\u{2028}>\""),
    ] {
        assert_eq!(String::from_utf8(json::encode(text)).unwrap(), want);
        assert_eq!(json::decode::<String>(want.as_bytes()).unwrap(), text);
    }
}

/// Escapes are read, of any kind; half of a surrogate pair is U+FFFD.
#[test]
fn escapes_are_read() {
    for (text, want) in [
        (r#""\u0041\/\"\\\b\f\n\r\t""#, "A/\"\\\u{8}\u{c}\n\r\t"),
        (r#""\ud83d\ude00""#, "😀"),
        (r#""\uD834\uDD1E.""#, "𝄞."),
        (r#""\ud83d""#, "\u{fffd}"),
        (r#""\ud83d\u0041""#, "\u{fffd}A"),
        (r#""\ude00x""#, "\u{fffd}x"),
    ] {
        assert_eq!(json::decode::<String>(text.as_bytes()).unwrap(), want, "{text}");
    }
}

/// Each byte that is not UTF-8 is U+FFFD.
#[test]
fn bytes_that_are_no_text_are_replaced() {
    for (text, want) in [(&b"\"\xff\""[..], "\u{fffd}"), (b"\"a\xe2\x82\\n\xc3\xa9\xf5\"", "a\u{fffd}\u{fffd}\né\u{fffd}")] {
        assert_eq!(json::decode::<String>(text).unwrap(), want);
    }
}

/// Whole numbers are exact up to the ends of their type.
#[test]
fn numbers_are_exact() {
    for n in [0, 1, -1, 9, 10, 999_999_999_999_999_999, i64::MAX, i64::MIN] {
        let text = json::encode(&n);
        assert_eq!(String::from_utf8(text.clone()).unwrap(), n.to_string());
        assert_eq!(json::decode::<i64>(&text).unwrap(), n);
    }
    assert_eq!(json::decode::<u64>(b" 18446744073709551615 ").unwrap(), u64::MAX);
    assert_eq!(json::decode::<i64>(b"-0").unwrap(), 0);
    assert_eq!(error::<u8>("256"), "256 is no whole number from 0 to 255");
    assert_eq!(error::<i64>("1.0"), "1.0 is no whole number from -9223372036854775808 to 9223372036854775807");
    assert_eq!(error::<i64>("9223372036854775808"), "9223372036854775808 is no whole number from -9223372036854775808 to 9223372036854775807");
    for wrong in ["", "-", "01", "1.", "1e", "+1", ".5", "\"1\"", "1 2", "0x1"] {
        error::<i64>(wrong);
    }
}

/// A struct comes back as it was, in the order of its fields.
#[test]
fn structs_come_back() {
    let all = All {
        text: "a\"b".into(),
        number: -5,
        count: 200,
        flag: true,
        list: vec!["x".into(), "".into()],
        inner: Some(Inner { big: u64::MAX }),
        r#type: "t".into(),
    };
    let text = r#"{"text":"a\"b","number":-5,"count":200,"flag":true,"list":["x",""],"inner":{"big":18446744073709551615},"type":"t"}"#;
    assert_eq!(String::from_utf8(json::encode(&all)).unwrap(), text);
    assert_eq!(json::decode::<All>(text.as_bytes()).unwrap(), all);
    let spaced = r#" { "count" : 1 , "text":"", "number":1,"flag":false,"list":[ ] ,"count":2 } "#;
    let read = json::decode::<All>(spaced.as_bytes()).unwrap();
    assert_eq!((read.count, read.inner, read.r#type.as_str()), (2, None, "none")); // of two the last
}

/// What is wrong with a struct is said, with the field.
#[test]
fn wrong_structs_are_refused() {
    for (text, want) in [
        ("", "at byte 0: an object is expected"),
        ("[]", "at byte 0: an object is expected"),
        (r#"{"big":1,"bigger":2}"#, r#""bigger" is unknown: there are big"#),
        ("{}", r#""big" is missing"#),
        (r#"{"big":"1"}"#, "big: at byte 7: a number is expected"),
        (r#"{"big":-1}"#, "big: -1 is no whole number from 0 to 18446744073709551615"),
        (r#"{"big":1,}"#, "at byte 9: a string is expected"),
        (r#"{"big":1"#, "at byte 8: ',' or '}' is expected"),
        (r#"{"big":1}x"#, "at byte 9: the end is expected"),
        (r#"{"big" 1}"#, "at byte 7: ':' is expected"),
    ] {
        assert_eq!(error::<Inner>(text), want, "{text}");
    }
    let deep = "[".repeat(100_000);
    assert!(Parser::new(deep.as_bytes()).skip().unwrap_err().to_string().contains("nest too deep"));
}

/// A cheap generator: the tests need no good one, only always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Any text comes back; JSON with a byte changed, left out or cut off is read or refused, and what
/// is read is written to the same again. Nothing panics.
#[test]
fn damaged_json_does_no_harm() {
    let mut random = Random(20_260_301);
    let alphabet: Vec<char> = "aé😀\u{2028}\"\\/\u{0}\u{8}\t\n\u{1f}\u{7f}{}[]:,".chars().collect();
    for _ in 0..20_000 {
        let text: String = (0..random.below(12)).map(|_| alphabet[random.below(alphabet.len())]).collect();
        let all = All { text: text.clone(), number: random.below(1 << 40) as i64, list: vec![text; random.below(3)], ..All::default() };
        let mut bytes = json::encode(&all);
        assert_eq!(json::decode::<All>(&bytes).unwrap(), all);
        let at = random.below(bytes.len());
        match random.below(3) {
            0 => bytes[at] = random.below(256) as u8,
            1 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
        if let Ok(read) = json::decode::<All>(&bytes) {
            assert_eq!(json::decode::<All>(&json::encode(&read)).unwrap(), read);
            let skipped = Parser::new(&bytes).skip().unwrap();
            assert_eq!(String::from_utf8_lossy(skipped), String::from_utf8_lossy(&bytes).trim());
        }
    }
}

//! Times as events have them: RFC 3339, as the other SDKs read it.

/// An RFC 3339 time as Unix nanoseconds, UTC. Digits beyond nanoseconds are cut off; a leap second
/// is the second after it. `None` when it is none, or out of what 64 bits hold (years 1678 to 2261).
pub(crate) fn parse(b: &[u8]) -> Option<i64> {
    let between = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if b.len() < 20 || between.iter().any(|&(at, c)| b[at] != c) || !matches!(b[10], b'T' | b't' | b' ') {
        return None;
    }
    let two = |at| two(b, at);
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = fraction(&b[19..])?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// The number that two digits say.
fn two(b: &[u8], at: usize) -> Option<i64> {
    let digit = |c: u8| c.is_ascii_digit().then(|| i64::from(c - b'0'));
    Some(digit(*b.get(at)?)? * 10 + digit(*b.get(at + 1)?)?)
}

/// Nanoseconds of a fraction of a second, if there is one, and what follows it.
fn fraction(b: &[u8]) -> Option<(i64, &[u8])> {
    let digits = match b.strip_prefix(b".") {
        Some(rest) => rest,
        None => return Some((0, b)),
    };
    let n = digits.iter().take_while(|c| c.is_ascii_digit()).count();
    if n == 0 {
        return None;
    }
    let nanos = (0..9).fold(0, |sum, i| sum * 10 + if i < n { i64::from(digits[i] - b'0') } else { 0 });
    Some((nanos, &digits[n..]))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    if matches!(zone, b"Z" | b"z") {
        return Some(0);
    }
    if zone.len() != 6 || zone[3] != b':' {
        return None;
    }
    let (hours, minutes) = (two(zone, 1)?, two(zone, 4)?);
    let seconds = (hours * 60 + minutes) * 60;
    match zone[0] {
        _ if hours > 23 || minutes > 59 => None,
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here, so that the
/// leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 { (year - 1, month + 12) } else { (year, month) };
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * (month - 3) + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// Times are read to the nanosecond, in any zone; what is none is refused.
    #[test]
    fn times() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-03-01T10:00:00+01:00", Some(1_772_355_600_000_000_000)),
            ("2026-03-01T09:00:00.5Z", Some(1_772_355_600_500_000_000)),
            ("2026-03-01T09:00:00.1234567899z", Some(1_772_355_600_123_456_789)),
            ("2024-02-29T00:00:00-00:30", Some(1_709_166_600_000_000_000)),
            ("2023-02-29T00:00:00Z", None),
            ("2000-02-29T23:59:60Z", Some(951_868_800_000_000_000)),
            ("1900-02-29T00:00:00Z", None),
            ("1969-12-31T23:59:59.999999999Z", Some(-1)),
            ("0000-01-01T00:00:00Z", None),
            ("2026-03-01T10:00:00", None),
            ("2026-03-01T10:00:00.Z", None),
            ("2026-03-01T24:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-03-01T10:00:00+1:00", None),
            ("", None),
        ] {
            assert_eq!(parse(text.as_bytes()), want, "{text}");
        }
    }
}

//! Timestamps: RFC 3339 as Docker writes it, ISO 8601 as people type it, and pax's seconds, to nanoseconds and back.
//!
//! A timestamp in dof is an `i64`, nanoseconds since 1970-01-01T00:00:00 UTC (1677 to 2262). Go's zero time
//! (`0001-01-01T00:00:00Z`), which Docker writes for "never", is no timestamp.
//!
//! chrono knows the calendar, reads and prints. It reads a time in 36 ns and prints one in 55 ns (`benches/parsers.rs`; a row of
//! a timeline takes 1,000 ns), so nothing here is faster than chrono. The rest is what chrono does not know: how leniently Go
//! reads a time, and pax's seconds.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};

const NS: i64 = 1_000_000_000;

/// Reads `2026-11-23T23:31:46.666779913Z`, with any offset and any number of fraction digits (those past
/// the ninth are dropped). `None` when it is malformed or outside the range of `i64` nanoseconds, as Go's zero time is.
pub fn rfc3339(s: &[u8]) -> Option<i64> {
    // chrono would take U+2212 for the minus of an offset.
    let s = std::str::from_utf8(s).ok().filter(|s| s.is_ascii())?;
    let time = DateTime::parse_from_rfc3339(s).ok()?;
    time.timestamp_nanos_opt()
}

/// A time as Go's `time.Time` reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoTime {
    /// Go's zero time.
    Never,
    /// A time, in nanoseconds.
    At(i64),
    /// A time that no `i64` of nanoseconds can hold.
    Beyond,
    /// Go returns an error.
    Refused,
}

impl GoTime {
    /// The time, if dof can hold it.
    pub fn ns(self) -> Option<i64> {
        match self {
            GoTime::At(ns) => Some(ns),
            _ => None,
        }
    }
}

/// Reads a time as `time.Time`'s `UnmarshalJSON` does in Go 1.19, with its own leniency: an hour of one digit, a comma
/// before the fraction, an offset of any size. Go 1.20 and later refuse those; both refuse all that this refuses.
pub fn go(s: &[u8]) -> GoTime {
    let Some(time) = go_parts(s) else {
        return GoTime::Refused;
    };
    match time.timestamp_nanos_opt() {
        Some(ns) => GoTime::At(ns),
        None if time.naive_utc() == GO_ZERO => GoTime::Never,
        None => GoTime::Beyond,
    }
}

/// Go's zero time.
const GO_ZERO: NaiveDateTime = match NaiveDate::from_ymd_opt(1, 1, 1) {
    Some(date) => date.and_time(NaiveTime::MIN),
    None => NaiveDateTime::MIN,
};

/// chrono's own formats are stricter in places, and more lenient in others.
fn go_parts(s: &[u8]) -> Option<DateTime<Utc>> {
    let (date, s) = s.split_first_chunk()?;
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T'] = date else {
        return None;
    };
    let year = i32::try_from(number(&[y0, y1, y2, y3])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(&[m0, m1])?, number(&[d0, d1])?)?;
    let (hour, s) = match s {
        [h, b':', rest @ ..] => (number(&[*h])?, rest),
        [h0, h1, b':', rest @ ..] => (number(&[*h0, *h1])?, rest),
        _ => return None,
    };
    let [m0, m1, b':', s0, s1, s @ ..] = s else {
        return None;
    };
    let (minute, second) = (number(&[*m0, *m1])?, number(&[*s0, *s1])?);
    let (fraction, zone) = match s {
        [b'.' | b',', rest @ ..] => {
            let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
            rest.split_at_checked(digits).filter(|_| digits > 0)?
        }
        _ => (&[][..], s),
    };
    let time = date.and_hms_nano_opt(hour, minute, second, nanoseconds(fraction)?)?;
    // Go's atoi takes a sign in each half of an offset.
    let half = |text: &[u8; 2]| match text {
        [b'-', digit] => number(&[*digit]).map(|n| -i64::from(n)),
        [b'+', digit] => number(&[*digit]).map(i64::from),
        digits => number(digits).map(i64::from),
    };
    let east = match zone {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = half(&[*h1, *h2])? * 3600 + half(&[*m1, *m2])? * 60;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let utc = time.checked_sub_signed(TimeDelta::try_seconds(east)?)?;
    Some(utc.and_utc())
}

/// A number of digits, at most nine.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |n, c| {
        c.is_ascii_digit().then(|| n * 10 + u32::from(c - b'0'))
    })
}

/// Nanoseconds of the digits of a fraction; those past the ninth are dropped.
fn nanoseconds(fraction: &[u8]) -> Option<u32> {
    let used = fraction.len().min(9);
    let places = 9 - used as u32;
    Some(number(&fraction[..used])? * 10u32.pow(places))
}

/// Whether a time that [`rfc3339`] reads is written as [`rfc3339_nano`] writes it.
pub fn is_nano(s: &[u8]) -> bool {
    let digits = s.len().saturating_sub(21); // of the fraction
    s.get(10) == Some(&b'T')
        && s.last() == Some(&b'Z')
        && s.get(17..19) != Some(b"60")
        && (s.len() == 20 || (1..=9).contains(&digits) && s[s.len() - 2] != b'0')
}

/// What a person types: a date, a date and time with `T` or a blank, with or without seconds, fractions and
/// an offset; UTC without one. `None` when it is none of these.
pub fn iso8601(s: &str) -> Option<i64> {
    let s = s.trim();
    if let Ok(t) = DateTime::parse_from_rfc3339(s) {
        return t.timestamp_nanos_opt();
    }
    for f in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
    ] {
        if let Ok(t) = NaiveDateTime::parse_from_str(s, f) {
            return t.and_utc().timestamp_nanos_opt();
        }
    }
    let d = NaiveDate::parse_from_str(s, "%Y-%m-%d").ok()?;
    d.and_hms_opt(0, 0, 0)?.and_utc().timestamp_nanos_opt()
}

/// `2026-11-23T23:31:46.666779913Z`: RFC 3339 in UTC as Go's `RFC3339Nano` prints it, trailing zeros of the
/// fraction dropped.
pub fn rfc3339_nano(ns: i64) -> String {
    let mut text = rfc3339_nine(ns);
    let kept = text.trim_end_matches('Z').trim_end_matches('0');
    text.truncate(kept.trim_end_matches('.').len().max(WHOLE));
    text.push('Z');
    text
}

/// Length of a time without its fraction.
const WHOLE: usize = "2026-11-23T23:31:46".len();

/// `2026-11-23T23:31:46.600000000Z`: the same with all nine digits, as the queries print times; ASCII.
pub fn rfc3339_nine(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// Seconds since 1970, rounded down.
pub fn seconds(ns: i64) -> i64 {
    ns.div_euclid(NS)
}

/// Seconds since 1970, rounded down, and the nanoseconds after them.
pub fn parts(ns: i64) -> (i64, u32) {
    (seconds(ns), ns.rem_euclid(NS) as u32)
}

/// Nanoseconds since 1970 of both together; what an `i64` cannot hold becomes the end of the range, as with files on disk.
pub fn from_parts(seconds: i64, nanoseconds: i64) -> i64 {
    let ns = i128::from(seconds) * i128::from(NS) + i128::from(nanoseconds);
    ns.clamp(i128::from(i64::MIN) + 2, i128::from(i64::MAX) - 2) as i64
}

/// Reads a time as pax has it: `-1.25` is a second and a quarter before 1970. See [`from_parts`] for the range.
pub fn pax(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = i64::from(nanoseconds(fraction.as_bytes())?);
    let part = if whole.starts_with('-') { -part } else { part };
    Some(from_parts(seconds, part))
}

/// Seconds with all nine digits of the nanoseconds, as pax has them.
pub fn pax_text(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let whole = ns.unsigned_abs() / NS.unsigned_abs();
    match ns.unsigned_abs() % NS.unsigned_abs() {
        0 => format!("{sign}{whole}"),
        part => format!("{sign}{whole}.{part:09}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// SQLite's reading of a whole second, in nanoseconds.
    fn by_sqlite(text: &str) -> Option<i64> {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        let read = db.query_row("SELECT unixepoch(?1)", [text], |r| r.get(0));
        let seconds: Option<i64> = read.unwrap();
        seconds.and_then(|s| s.checked_mul(NS))
    }

    #[test]
    fn offsets_and_leap_years_as_sqlite_reads_them() {
        for s in [
            "2026-11-23T23:31:46Z",
            "1969-12-31T23:59:59Z",
            "2024-02-29T00:00:00+05:30",
            "2100-01-01T00:00:00-11:00",
            "1677-09-22T00:00:00Z",
            "2262-04-11T00:00:00Z",
        ] {
            let want = by_sqlite(s);
            assert!(want.is_some(), "{s}");
            assert_eq!(rfc3339(s.as_bytes()), want, "{s}");
            assert_eq!(go(s.as_bytes()).ns(), want, "{s}");
            assert_eq!(iso8601(s), want, "{s}");
        }
    }

    #[test]
    fn one_way_of_writing_is_our_own() {
        for (s, own) in [
            ("2026-11-23T23:31:46Z", true),
            ("2026-11-23T23:31:46.6Z", true),
            ("2026-11-23T23:31:46.666779913Z", true),
            ("2026-11-23T23:31:46.60Z", false),
            ("2026-11-23T23:31:46.6667799131Z", false),
            ("2026-11-23t23:31:46Z", false),
            ("2026-11-23T23:31:46z", false),
            ("2026-11-23T23:31:60Z", false),
            ("2026-11-23T23:31:46+00:00", false),
        ] {
            assert_eq!(is_nano(s.as_bytes()), own, "{s}");
            let again = rfc3339(s.as_bytes()).map(rfc3339_nano);
            assert_eq!(again.as_deref() == Some(s), own, "{s}");
        }
    }

    #[test]
    fn never_and_nonsense_are_none() {
        for s in [
            "0001-01-01T00:00:00Z",
            "",
            "2026-02-30T00:00:00Z",
            "2026-11-23T23:31:46",
            "2026-11-23T23:31:46.Z",
            "2026-11-23T23:31:46\u{2212}01:00",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(rfc3339(s.as_bytes()), None, "{s}");
        }
    }

    #[test]
    fn people_write_dates_in_many_ways() {
        let want = iso8601("2019-06-01T10:00:00Z").unwrap();
        for s in [
            "2019-06-01 10:00",
            "2019-06-01T10:00",
            "2019-06-01T12:00:00+02:00",
            " 2019-06-01 10:00:00.0 ",
        ] {
            assert_eq!(iso8601(s), Some(want), "{s}");
        }
        assert_eq!(iso8601("yesterday"), None);
        assert_eq!(iso8601("2019-13-01"), None);
    }

    /// As GNU tar writes and reads them (`tar --format=posix`) on either side of 1970 but for the second before it, where its
    /// reader drops the sign.
    #[test]
    fn pax_times() {
        for (ns, text) in [
            (1_500_000_000, "1.500000000"),
            (-250_000_000, "-0.250000000"),
            (-NS, "-1"),
            (-1_250_000_000, "-1.250000000"),
        ] {
            assert_eq!(pax_text(ns), text);
            assert_eq!(pax(text.as_bytes()), Some(ns));
        }
        assert_eq!(pax(b"1.5"), Some(1_500_000_000));
        assert_eq!(pax(b"1.0000000019"), Some(1_000_000_001));
        assert_eq!(pax(b"99999999999999"), Some(i64::MAX - 2));
        assert_eq!(pax(b"1.x"), None);
    }

    proptest! {
        /// A time is what SQLite prints, and what Go does of it: the zeros at the end left out.
        #[test]
        fn printed_as_sqlite_does(ns in any::<i64>()) {
            let db = rusqlite::Connection::open_in_memory().unwrap();
            let whole = "SELECT strftime('%Y-%m-%dT%H:%M:%S', ?1, 'unixepoch')";
            let whole: String = db.query_row(whole, [seconds(ns)], |r| r.get(0)).unwrap();
            let want = format!("{whole}.{:09}Z", parts(ns).1);
            prop_assert_eq!(rfc3339_nine(ns), &want[..]);
            let short = want.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
            prop_assert_eq!(rfc3339_nano(ns), format!("{short}Z"));
            prop_assert_eq!(by_sqlite(&whole), seconds(ns).checked_mul(NS));
        }

        #[test]
        fn pax_and_back(ns in i64::MIN + 2..i64::MAX - 1) {
            prop_assert_eq!(pax(pax_text(ns).as_bytes()), Some(ns));
            let (seconds, nanoseconds) = parts(ns);
            prop_assert_eq!(from_parts(seconds, nanoseconds.into()), ns);
        }

        #[test]
        fn text_and_back(ns in any::<i64>()) {
            prop_assert_eq!(rfc3339(rfc3339_nano(ns).as_bytes()), Some(ns));
        }

        #[test]
        fn total(b in proptest::collection::vec(any::<u8>(), 0..40)) {
            rfc3339(&b);
            go(&b);
            pax(&b);
        }
    }
}

//! Timestamps: RFC 3339 text as Docker writes it, and ISO 8601 as people type it, to nanoseconds and back.
//!
//! A timestamp in dof is an `i64`, nanoseconds since 1970-01-01T00:00:00 UTC (1677 to 2262). Go's zero time
//! (`0001-01-01T00:00:00Z`), which Docker writes for "never", is no timestamp.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeZone, Utc};

const NS: i64 = 1_000_000_000;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant's `days_from_civil`).
fn days(y: i64, m: i64, d: i64) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (m + if m > 2 { -3 } else { 9 }) + 2) / 5 + d - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

fn num(b: &[u8]) -> Option<i64> {
    b.iter().try_fold(0i64, |n, &c| {
        c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0'))
    })
}

/// Reads `2026-11-23T23:31:46.666779913Z`, with any offset and any number of fraction digits (those past
/// the ninth are dropped). `None` when it is malformed, outside the range of `i64` nanoseconds, or Go's zero
/// time. One pass, no allocation: a log has one of these a line.
pub fn rfc3339(s: &[u8]) -> Option<i64> {
    if s.len() < 20
        || s[4] != b'-'
        || s[7] != b'-'
        || !matches!(s[10], b'T' | b't' | b' ')
        || s[13] != b':'
        || s[16] != b':'
    {
        return None;
    }
    let (y, mo, d) = (num(&s[0..4])?, num(&s[5..7])?, num(&s[8..10])?);
    let (h, mi, sec) = (num(&s[11..13])?, num(&s[14..16])?, num(&s[17..19])?);
    if !(1..=12).contains(&mo) || !(1..=31).contains(&d) || h > 23 || mi > 59 || sec > 60 {
        return None;
    }
    NaiveDate::from_ymd_opt(y as i32, mo as u32, d as u32)?;
    let mut at = 19;
    let mut frac = 0;
    if s[at] == b'.' {
        let digits = s[20..].iter().take_while(|c| c.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let used = digits.min(9);
        frac = num(&s[20..20 + used])? * 10i64.pow(9 - used as u32);
        at = 20 + digits;
    }
    let offset = match &s[at..] {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (oh, om) = (num(&[*h1, *h2])?, num(&[*m1, *m2])?);
            if oh > 23 || om > 59 {
                return None;
            }
            (oh * 3600 + om * 60) * if *sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let secs = days(y, mo, d) * 86_400 + h * 3600 + mi * 60 + sec - offset;
    if y == 1 {
        return None; // Go's zero time, in any zone
    }
    secs.checked_mul(NS)?.checked_add(frac)
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
    go_parts(s).unwrap_or(GoTime::Refused)
}

fn go_parts(s: &[u8]) -> Option<GoTime> {
    let literal = |s: &[u8], b: u8| (s.first() == Some(&b)).then_some(());
    let two = |s: &[u8]| num(s.get(..2)?);
    let y = num(s.get(..4)?)?;
    let s = &s[4..];
    literal(s, b'-')?;
    let mo = two(&s[1..])?;
    literal(&s[3..], b'-')?;
    let d = two(&s[4..])?;
    literal(&s[6..], b'T')?;
    let s = &s[7..];
    let (h, s) = match two(s) {
        Some(h) => (h, &s[2..]),
        None => (num(s.get(..1)?)?, &s[1..]),
    };
    literal(s, b':')?;
    let mi = two(&s[1..])?;
    literal(&s[3..], b':')?;
    let sec = two(&s[4..])?;
    let mut s = &s[6..];
    if h > 23 || mi > 59 || sec > 59 {
        return None;
    }
    NaiveDate::from_ymd_opt(y as i32, mo as u32, d as u32)?;
    let mut frac = 0;
    if let [b'.' | b',', rest @ ..] = s {
        let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let used = digits.min(9);
        frac = num(&rest[..used])? * 10i64.pow(9 - used as u32);
        s = &rest[digits..];
    }
    // Go's atoi takes a sign in each half of an offset.
    let half = |b: &[u8; 2]| match b {
        [b'-', b] => num(&[*b]).map(|n| -n),
        [b'+', b] => num(&[*b]),
        b => num(b),
    };
    let offset = match s {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = half(&[*h1, *h2])? * 3600 + half(&[*m1, *m2])? * 60;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let secs = days(y, mo, d) * DAY + h * 3600 + mi * 60 + sec - offset;
    if secs == days(1, 1, 1) * DAY && frac == 0 {
        return Some(GoTime::Never);
    }
    let ns = i128::from(secs) * i128::from(NS) + i128::from(frac);
    Some(i64::try_from(ns).map_or(GoTime::Beyond, GoTime::At))
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
    let t = Utc.timestamp_nanos(ns);
    let mut s = t.format("%Y-%m-%dT%H:%M:%S").to_string();
    let frac = ns.rem_euclid(NS);
    if frac != 0 {
        s.push_str(format!(".{frac:09}").trim_end_matches('0'));
    }
    s.push('Z');
    s
}

/// `2026-11-23T23:31:46.600000000Z`: the same with all nine digits, as the queries print times; ASCII.
pub fn rfc3339_nine(ns: i64) -> [u8; 30] {
    Nine::default().text(ns)
}

/// Prints many times as [`rfc3339_nine`] does. The date, nearly half of the work, is worked out once for those of one day that
/// follow one another, as they do in rows.
#[derive(Clone)]
pub struct Nine {
    /// Days since the epoch; none at first.
    day: Option<i64>,
    text: [u8; 30],
}

impl Default for Nine {
    fn default() -> Self {
        Nine {
            day: None,
            text: *b"0000-00-00T00:00:00.000000000Z",
        }
    }
}

impl Nine {
    /// The text of a time in nanoseconds.
    pub fn text(&mut self, ns: i64) -> [u8; 30] {
        let (second, fraction) = (ns.div_euclid(NS), ns.rem_euclid(NS) as u32);
        let (day, of_day) = (second.div_euclid(DAY), second.rem_euclid(DAY) as u32);
        if self.day != Some(day) {
            let date = Utc.timestamp_nanos(ns).date_naive();
            self.put(4, 4, date.year().unsigned_abs()); // 1677 to 2262
            self.put(7, 2, date.month());
            self.put(10, 2, date.day());
            self.day = Some(day);
        }
        self.put(13, 2, of_day / 3600);
        self.put(16, 2, of_day / 60 % 60);
        self.put(19, 2, of_day % 60);
        self.put(29, 9, fraction);
        self.text
    }

    /// Puts a number where so many digits end.
    fn put(&mut self, end: usize, digits: usize, mut n: u32) {
        for place in self.text[end - digits..end].iter_mut().rev() {
            *place = b'0' + (n % 10) as u8;
            n /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_chrono() {
        for s in [
            "2026-11-23T23:31:46.666779913Z",
            "1969-12-31T23:59:59.5Z",
            "2024-02-29T00:00:00+05:30",
            "2100-01-01T00:00:00-11:00",
        ] {
            let want = DateTime::parse_from_rfc3339(s)
                .unwrap()
                .timestamp_nanos_opt();
            assert_eq!(rfc3339(s.as_bytes()), want, "{s}");
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

    proptest! {
        /// Whatever was printed before, a time is what chrono prints.
        #[test]
        fn nine_digits(times in proptest::collection::vec((any::<i64>(), 0..3 * DAY * NS), 1..4)) {
            let mut nine = Nine::default();
            let on = times.iter().flat_map(|&(ns, more)| [ns, ns.saturating_add(more), ns.saturating_add(1)]);
            for ns in on {
                let want = Utc.timestamp_nanos(ns).format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string();
                prop_assert_eq!(&nine.text(ns)[..], want.as_bytes());
                prop_assert_eq!(&rfc3339_nine(ns)[..], want.as_bytes());
            }
        }

        #[test]
        fn text_and_back(ns in any::<i64>()) {
            prop_assert_eq!(rfc3339(rfc3339_nano(ns).as_bytes()), Some(ns));
        }

        #[test]
        fn total(b in proptest::collection::vec(any::<u8>(), 0..40)) {
            rfc3339(&b);
        }
    }
}

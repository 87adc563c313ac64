//! Wall-clock time as text. No decision is taken by it; it only stamps what people and logs read.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Now, RFC 3339 in UTC with milliseconds.
pub fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let now = now.replace_millisecond(now.millisecond()).unwrap_or(now);
    now.format(&Rfc3339).unwrap_or_default()
}

/// Seconds since the epoch, RFC 3339 in UTC; `None` outside years 0 to 9999.
pub fn at(seconds: i64) -> Option<String> {
    at_nanos(seconds, 0)
}

/// Seconds and nanoseconds since the epoch, RFC 3339 in UTC.
pub fn at_nanos(seconds: i64, nanos: u32) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?.replace_nanosecond(nanos).ok()?;
    time.format(&Rfc3339).ok()
}

/// The seconds since the epoch that an RFC 3339 time stands for.
pub fn seconds(time: &str) -> Option<i64> {
    OffsetDateTime::parse(time, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

/// Seconds since the epoch.
pub fn unix() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

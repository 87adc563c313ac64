//! Durations and sizes as people write them.

use std::time::Duration;

/// `1h30m`, `90s`, `1.5h`, `250ms`: Go's `time.ParseDuration` without a sign, from 1 ms to 30 days.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    const MOST: f64 = 30.0 * 86_400.0;
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, after) = number(rest).ok_or("it is not a duration such as 1h30m or 90s")?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let unit = match &after[..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            "" => return Err("it is a number without a unit (h, m, s, ms)"),
            _ => return Err("its unit is none of h, m, s, ms"),
        };
        seconds += number * unit;
        rest = &after[unit_end..];
    }
    match seconds {
        _ if text.is_empty() => Err("it is empty"),
        s if s < 1e-3 => Err("it is shorter than 1ms"),
        s if s > MOST => Err("it is longer than 30 days"),
        s => Duration::try_from_secs_f64(s).map_err(|_| "it is not a duration such as 1h30m or 90s"),
    }
}

/// `512m`, `4g`, `1.5GiB`, `65536`: units of 1024, as Docker reads memory sizes (docker/go-units, `RAMInBytes`).
pub fn size(text: &str) -> Result<u64, &'static str> {
    const BAD: &str = "it is not a size such as 65536, 512m or 4g";
    let (_, unit) = number(text).ok_or(BAD)?;
    let digits = &text[..text.len() - unit.len()];
    let shift = match &*unit.trim_start().to_ascii_lowercase() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(BAD),
    };
    let bytes = match digits.split_once('.') {
        None => digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)),
        Some((whole, part)) => fraction(whole, part, shift),
    };
    bytes.ok_or("it is larger than a file can be")
}

/// In whole numbers, since a float would round the last bytes of a large size.
fn fraction(whole: &str, part: &str, shift: u32) -> Option<u64> {
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let part = &part[..part.len().min(9)];
    let numerator = u128::from(part.parse::<u64>().unwrap_or(0)) << shift;
    let below = numerator / 10u128.pow(u32::try_from(part.len()).ok()?);
    whole.checked_mul(1 << shift)?.checked_add(u64::try_from(below).ok()?)
}

/// Splits off a number without sign and exponent.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].parse::<f64>().ok().map(|number| (number, &text[end..]))
}

/// The shortest way to write a duration that `duration` reads back.
pub fn written(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (u64::from(millis), "ms")];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if parts.is_empty() { "0s".into() } else { parts.concat() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        let table =
            [("1h30m", 5400.0), ("90s", 90.0), ("1.5h", 5400.0), ("250ms", 0.25), ("1h0m1s", 3601.0), (".5s", 0.5), ("720h", 2_592_000.0)];
        for (text, seconds) in table {
            assert_eq!(duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in [
            "",
            "90",
            "1d",
            "-1s",
            "+1s",
            "1h 30m",
            "s",
            "1..5s",
            "0s",
            "1ns",
            "721h",
            "1e3s",
            "PT90S",
            "infs",
            "NaNs",
            "9999999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_docker_does() {
        let table = [
            ("0", 0),
            ("65536", 65536),
            ("1k", 1024),
            ("512m", 512 << 20),
            ("4g", 4 << 30),
            ("4GiB", 4 << 30),
            ("4 gb", 4 << 30),
            ("10B", 10),
            ("1.5g", 3 << 29),
            ("0.1k", 102),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in table {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "m", "-1", "1x", "1p", "1ib", "18446744073709551616", "99999999t", "1,5g", "0x10", "1e3", "1..2k"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 1u64..2_592_000_000) {
            let it = Duration::from_millis(millis);
            prop_assert!(duration(&written(it)).unwrap().abs_diff(it) < Duration::from_micros(1));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in ".{0,24}") {
            let _ = (duration(&text), size(&text));
        }
    }
}

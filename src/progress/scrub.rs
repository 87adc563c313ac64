//! Text that people may look at: whatever a build, a registry or a repository wrote, it cannot move the cursor, change colours,
//! set a title, or show words in another order than they stand.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use crate::support::json::disturbs_terminals;

/// The text without control sequences (ECMA-48: ESC, CSI, OSC, DCS, SOS, PM, APC and their 8-bit forms), without control
/// characters but line ends and tabs, and without bidirectional controls. A sequence that is never ended ends with its line.
pub fn clean(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| c == '\n' || c == '\t' || (c >= ' ' && !disturbs_terminals(c));
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_csi(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            c if harmless(c) => out.push(c),
            _ => {}
        }
    }
    Cow::Owned(out)
}

/// The lines that a terminal would be left with: of a line that overwrote itself with `\r`, the last state that shows something.
pub fn lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split('\n').map(|line| line.rsplit('\r').map(clean).find(|state| !state.trim().is_empty()).unwrap_or_default())
}

/// For a name or a message that has to stay in its line.
pub fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c }).collect();
    clean(&spaced).trim().to_owned()
}

/// After ESC: a sequence of another kind, or intermediate bytes and one final byte.
fn skip_escape(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_csi(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            skip_string(chars);
        }
        _ => {
            while chars.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            chars.next_if(|c| matches!(c, '0'..='~'));
        }
    }
}

/// Parameter and intermediate bytes, then one final byte.
fn skip_csi(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    chars.next_if(|c| matches!(c, '@'..='~'));
}

/// Up to BEL or the string terminator, at most to the end of the line.
fn skip_string(chars: &mut Peekable<Chars<'_>>) {
    while let Some(c) = chars.next_if(|c| *c != '\n') {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                chars.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sequences_go_and_words_stay() {
        let table = [
            ("plain\ttext", "plain\ttext"),
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1bPdcs\x1b\\x", "x"),
            ("\u{9b}2Jx\u{9d}0;t\u{9c}y", "xy"),
            ("\x1b(Bx\x1bcy", "xy"),
            ("a\x08\x08b\x7fc\0d", "abcd"),
            ("\u{202e}gpj.exe\u{2066}", "gpj.exe"),
            ("\x1b]never ended\nnext", "\nnext"),
            ("\x1b", ""),
            ("\x1b[31", ""),
            ("é\u{85}ü", "éü"),
        ];
        for (text, want) in table {
            assert_eq!(clean(text), want, "{text:?}");
        }
    }

    #[test]
    fn an_overwritten_line_shows_its_last_state() {
        let shown: Vec<_> = lines("10%\r 50%\r100%\r\x1b[K\nfake\rreal\n\r\r").collect();
        assert_eq!(shown, ["100%", "real", ""]);
    }

    proptest! {
        #[test]
        fn nothing_that_disturbs_is_left(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let text = String::from_utf8_lossy(&bytes);
            let left = clean(&text).into_owned();
            prop_assert!(left.chars().all(|c| c == '\n' || c == '\t' || (!c.is_control() && !disturbs_terminals(c))), "{left:?}");
            prop_assert!(!one_line(&text).contains(char::is_control));
        }
    }
}

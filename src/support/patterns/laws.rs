//! What holds for every list of patterns and every path.

use proptest::prelude::*;

use super::Matcher;
use super::tests::{matcher, walked};

fn component() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "ab", "*", "a*", "*b", "**", "?", "[ab]", "a**", "\\a"]).prop_map(str::to_owned)
}

fn list() -> impl Strategy<Value = Vec<String>> {
    let pattern = (any::<bool>(), prop::collection::vec(component(), 1..4));
    let written = pattern.prop_map(|(exception, parts)| format!("{}{}", if exception { "!" } else { "" }, parts.join("/")));
    prop::collection::vec(written, 0..5)
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "ba", "c"]), 1..5).prop_map(|parts| parts.join("/"))
}

proptest! {
    #[test]
    fn bytes_never_make_it_panic(file in prop::collection::vec(any::<u8>(), 0..200), path in prop::collection::vec(any::<u8>(), 1..40)) {
        if let Ok(matcher) = Matcher::from_ignore_file(&file) {
            walked(&matcher, &path);
            matcher.matches_or_parent_matches(&path);
        }
    }

    #[test]
    fn odd_patterns_never_make_it_panic(pattern in r"[\[\]\\^:a-eQxdDwWpbz0-9*?/!&~{}-]{1,12}", path in "[a-e0-9/]{1,8}") {
        if let Ok(matcher) = Matcher::new([pattern.into_bytes()]) {
            walked(&matcher, path.as_bytes());
        }
    }

    #[test]
    fn without_exceptions_a_walk_and_a_single_look_agree(list in list(), path in path()) {
        let list: Vec<&str> = list.iter().map(|p| p.trim_start_matches('!')).collect();
        let matcher = matcher(&list);
        prop_assert_eq!(walked(&matcher, path.as_bytes()), matcher.matches_or_parent_matches(path.as_bytes()));
    }

    /// Skipping is sound: where it says that nothing comes back, nothing below does.
    #[test]
    fn what_is_skipped_holds_nothing_that_counts(list in list(), directory in path(), rest in path()) {
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        let matcher = matcher(&list);
        let below = format!("{directory}/{rest}");
        let (above, inside) = (walked(&matcher, directory.as_bytes()), walked(&matcher, below.as_bytes()));
        if above && !matcher.may_take_back_below(directory.as_bytes()) {
            prop_assert!(inside, "{:?} {}", list, below);
        }
        if !above && !matcher.may_add_below(directory.as_bytes()) {
            prop_assert!(!inside, "{:?} {}", list, below);
        }
    }
}

//! Layers over each other, held against what unpacking one after the other would leave.

use super::super::layers::{LayeredTree, layer};
use super::*;

fn laid(layers: &[Raw]) -> Result<LayeredTree, ArchiveError> {
    laid_at("", layers)
}

fn laid_at(subdir: &str, layers: &[Raw]) -> Result<LayeredTree, ArchiveError> {
    let mut whole = LayeredTree::new("artifact".into());
    for raw in layers {
        let bytes = raw.clone().end();
        whole.push(layer(&bytes[..], &options(), &mut |_| ControlFlow::Continue(()))?)?;
    }
    whole.rooted(&if subdir.is_empty() { TreePath::root() } else { path(subdir) })
}

fn names(tree: &LayeredTree) -> Vec<String> {
    shown(tree).into_iter().map(|(name, what)| format!("{name} {what}")).collect()
}

fn assert_refused_whole(layers: &[Raw], rule: &str) {
    let error = laid(layers).expect_err(rule);
    assert_eq!(error.reason(), Reason::SourceRefused, "{error}");
    assert!(error.to_string().contains(rule), "{error}, not {rule}");
}

#[test]
fn the_topmost_layer_counts_and_directories_are_joined() {
    let low = Raw::new().dir("d/").file("d/a", "low a").file("d/b", "low b").file("x", "low x").symlink("l", "x");
    let high = Raw::new().file("d/b", "high b").file("d/c", "high c").dir("x/").file("x/y", "in x").file("l", "no link");
    let tree = laid(&[low, high]).unwrap();
    let want = ["d d755", "d/a f644 low a", "d/b f644 high b", "d/c f644 high c", "l f644 no link", "x d755", "x/y f644 in x"];
    assert_eq!(names(&tree), want);
    assert_eq!(tree.lookup(&path("d/nothing")).unwrap(), None);
    assert_eq!(tree.lookup(&path("l/y")).unwrap(), None);
}

#[test]
fn a_whiteout_hides_what_is_below_and_nothing_of_its_own_layer() {
    let low = Raw::new().file("a", "1").dir("d/").file("d/old", "1").dir("e/").file("e/old", "1").file("keep", "1").file("f/g/h", "1");
    let high = Raw::new()
        .file(".wh.a", "")
        .file("d/new", "2")
        .file("d/.wh..wh..opq", "")
        // In the order in which it would hide its own neighbour, if it could.
        .file("e/new", "2")
        .file(".wh.e", "")
        .file("f/.wh.g", "")
        .dir(".wh..wh.plnk/")
        .file(".wh.never-was", "");
    let tree = laid(&[low.clone(), high.clone()]).unwrap();
    assert_eq!(names(&tree), ["d d755", "d/new f644 2", "e d755", "e/new f644 2", "f d755", "keep f644 1"]);
    assert_eq!(tree.lookup(&path("a")).unwrap(), None);
    assert_eq!(tree.lookup(&path(".wh.a")).unwrap(), None);
    assert_eq!(tree.lookup(&path("e/old")).unwrap(), None);
    // What was hidden may come again.
    let again = laid(&[low.clone(), high, Raw::new().file("a", "3").file("f/g/i", "3")]).unwrap();
    assert_eq!(shown(&again)["a"], "f644 3");
    assert!(!shown(&again).contains_key("f/g/h"));
    // The root may be hidden whole.
    assert_eq!(names(&laid(&[low, Raw::new().file(".wh..wh..opq", "").file("only", "4")]).unwrap()), ["only f644 4"]);
}

#[test]
fn one_layer_alone_hides_nothing() {
    let tree = laid(&[Raw::new().file("a", "1").file(".wh.a", "2")]).unwrap();
    assert_eq!(names(&tree), [".wh.a f644 2", "a f644 1"]);
}

#[test]
fn a2_no_layer_reaches_through_a_link_or_a_file_of_another() {
    let rule = "a layer below that has it as a file or a link";
    assert_refused_whole(&[Raw::new().symlink("l", "/etc"), Raw::new().file("l/passwd", "root")], rule);
    assert_refused_whole(&[Raw::new().file("l", ""), Raw::new().file("l/passwd", "root")], rule);
    assert_refused_whole(&[Raw::new().symlink("l", "/etc"), Raw::new().file("l/a", ""), Raw::new().dir("l/")], rule);
    // Said to be a directory, or hidden before: then it is one.
    assert!(laid(&[Raw::new().symlink("l", "/etc"), Raw::new().dir("l/").file("l/passwd", "ours")]).is_ok());
    assert!(laid(&[Raw::new().symlink("l", "/etc"), Raw::new().file(".wh.l", "").file("l/passwd", "ours")]).is_ok());
    let linked = Raw::new().hardlink("b", "a");
    assert_refused_whole(&[Raw::new().file("a", ""), linked], "hard link");
}

#[test]
fn a1_a_whiteout_of_nothing_or_of_no_file_is_refused() {
    for (name, rule) in [(".wh.", "of nothing"), ("d/.wh...", "of nothing"), (".wh..", "of nothing")] {
        assert_refused_whole(&[Raw::new().file("a", ""), Raw::new().file(name, "")], rule);
    }
    assert_refused_whole(&[Raw::new().file("a", ""), Raw::new().dir(".wh.a/")], "is no file");
    assert_refused_whole(&[Raw::new().file("a", ""), Raw::new().symlink(".wh.a", "/etc")], "is no file");
}

#[test]
fn a_subdir_is_one_of_the_whole() {
    let layers = [Raw::new().dir("s/").file("s/a", "1"), Raw::new().file("s/b", "2").file("t", "3")];
    let tree = laid_at("s", &layers).unwrap();
    assert_eq!(names(&tree), ["a f644 1", "b f644 2"]);
    assert!(tree.identity().ends_with("\ns"));
    assert!(matches!(laid_at("u", &layers), Err(ArchiveError::NoSubdir(_))));
    assert!(matches!(laid_at("t", &layers), Err(ArchiveError::Entry { .. })));
}

#[test]
fn bodies_times_and_links_of_layers_stay_apart() {
    let low = Raw::new().file("a", "same").hardlink("b", "a");
    let high = Raw::new().file("c", "SAME").hardlink("d", "c");
    let entries = entries(&laid(&[low, high]).unwrap());
    let link = |at: usize| if let Kind::File { link, .. } = entries[at].kind { link } else { 0 };
    assert!(link(0) == link(1) && link(2) == link(3) && link(0) != link(2) && link(0) > 0);
    // Equal in every stat but for the layer they are of.
    assert_ne!(entries[0].modified.nanos, entries[2].modified.nanos);
    assert_eq!(entries[0].modified.seconds, entries[2].modified.seconds);
}

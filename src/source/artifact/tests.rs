//! What a manifest may name, and how a blob is held against it.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::model::tree::SourceTree;

fn options() -> Options {
    Options {
        workspace: std::env::temp_dir(),
        limits: Limits::default(),
        subdir: TreePath::root(),
        reference: Reference::parse("registry.example/src:1").unwrap(),
        digest: Digest::sha256([7; 32]),
    }
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, body) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, body.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A layer and its blob.
fn layer(media_type: &str, annotations: &[(&str, &str)], bytes: Vec<u8>) -> (Layer, Vec<u8>) {
    let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let digest = Digest::sha256(Sha256::digest(&bytes));
    (Layer { digest, size: bytes.len() as u64, media_type: media_type.to_owned(), annotations }, bytes)
}

fn image(files: &[(&str, &str)]) -> (Layer, Vec<u8>) {
    layer("application/vnd.oci.image.layer.v1.tar", &[], tar(files))
}

fn received(layers: &[(Layer, Vec<u8>)], options: &Options) -> Result<LayeredTree, SourceError> {
    let artifact = Artifact { layers: layers.iter().map(|(layer, _)| layer.clone()).collect(), annotations: BTreeMap::new() };
    let mut blobs = layers.iter().map(|(_, bytes)| bytes.clone());
    let mut open = |_: &Layer| -> Result<Box<dyn Read>, SourceError> { Ok(Box::new(std::io::Cursor::new(blobs.next().unwrap()))) };
    receive(&artifact, options, &mut open, &mut |_| ControlFlow::Continue(()))
}

fn refused(layers: &[(Layer, Vec<u8>)], options: &Options, reason: Reason, words: &str) {
    let error = received(layers, options).expect_err(words);
    assert_eq!(error.reason(), reason, "{error}");
    assert!(error.to_string().contains(words), "{error}, not {words}");
}

#[test]
fn a_media_type_says_whether_it_is_a_tar_and_a_title_that_it_is_a_file() {
    let dir = [(TITLE, "web"), (UNPACK, "true")];
    for (media_type, annotations, tree) in [
        ("application/vnd.oci.image.layer.v1.tar", &[][..], true),
        ("application/vnd.oci.image.layer.v1.tar+gzip", &[], true),
        ("application/vnd.oci.image.layer.v1.tar+zstd", &[], true),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", &[], true),
        ("application/vnd.cncf.flux.content.v1.tar+gzip", &[(TITLE, "x")], true),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", &[], true),
        ("application/x-tar", &[], true),
        ("Application/Vnd.Oci.Image.Layer.v1.Tar; a=b", &[], true),
        ("application/octet-stream", &dir, true),
        ("application/vnd.oci.image.layer.v1.tar", &[(TITLE, "bin/app.jar")], false),
    ] {
        let form = form(&layer(media_type, annotations, Vec::new()).0, false).unwrap();
        assert_eq!(form.map(|path| path.display()), (!tree).then(|| "bin/app.jar".to_owned()), "{media_type}");
    }
    for media_type in ["application/octet-stream", "application/vnd.oci.empty.v1+json", "application/tarantula", ""] {
        refused(&[layer(media_type, &[], tar(&[]))], &options(), Reason::SourceRefused, "neither a tar");
    }
}

#[test]
fn a1_a_title_names_a_file_inside() {
    for title in ["../x", "/etc/passwd", "a/../../x", ".", "", "a\0b"] {
        let file = layer("application/octet-stream", &[(TITLE, title)], b"x".to_vec());
        refused(&[file], &options(), Reason::SourceRefused, "names no file of a source");
    }
    let whiteout = layer("application/octet-stream", &[(TITLE, "d/.wh.x")], b"x".to_vec());
    refused(&[image(&[]), whiteout], &options(), Reason::SourceRefused, "it is a whiteout");
}

#[test]
fn layers_and_files_come_to_one_tree() {
    let file = layer("text/plain", &[(TITLE, "docs/read.me")], b"\x1f\x8bno gzip".to_vec());
    let tree = received(&[image(&[("a", "1"), ("docs/b", "2")]), file], &options()).unwrap();
    let read = |name: &str| tree.read(&TreePath::parse(name.as_bytes()).unwrap(), 99).unwrap().unwrap();
    assert_eq!((read("a"), read("docs/b"), read("docs/read.me")), (b"1".to_vec(), b"2".to_vec(), b"\x1f\x8bno gzip".to_vec()));
    let revision = tree.revision();
    assert_eq!(revision.url.as_deref(), Some(&*format!("oci://registry.example/src@{}", options().digest)));
    assert_eq!((revision.kind.as_str(), revision.r#ref.as_deref()), ("artifact", Some("1")));
}

#[test]
fn a8_a_blob_that_is_not_the_manifests_is_refused() {
    let (blob, bytes) = image(&[("a", "1")]);
    let integrity =
        |layer: &Layer, bytes: &[u8], words| refused(&[(layer.clone(), bytes.to_vec())], &options(), Reason::SourceIntegrity, words);
    integrity(&blob, &tar(&[("a", "2")]), "the manifest names");
    integrity(&blob, &bytes[..1000], "the manifest names");
    integrity(&blob, &[&bytes[..], &[0; 512]].concat(), "the manifest names");
    for size in [blob.size - 512, blob.size + 512] {
        let lying = Layer { size, ..blob.clone() };
        let error = received(&[(lying, bytes.clone())], &options()).unwrap_err();
        assert_eq!(error.reason(), Reason::SourceIntegrity, "{error}");
    }
    let (zip, bytes) = layer("application/x-tar", &[], b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec());
    refused(&[(zip, bytes)], &options(), Reason::SourceRefused, "zip");
}

#[test]
fn a4_the_bounds_go_for_all_layers_together() {
    let one = image(&[("a", &"x".repeat(3000))]);
    let two = image(&[("b", &"y".repeat(3000))]);
    let bound =
        |source_bytes, source_entries| Options { limits: Limits { source_bytes, source_entries, ..Limits::default() }, ..options() };
    let both = one.0.size + two.0.size;
    assert!(received(&[one.clone(), two.clone()], &bound(both, 2)).is_ok());
    refused(&[one.clone(), two.clone()], &bound(both - 1, 2), Reason::SourceRefused, "limits.sourceBytes");
    refused(&[one.clone(), two.clone()], &bound(both, 1), Reason::SourceRefused, "limits.sourceEntries (--limit-source-entries) of 1 ");
    // Compressed it is small enough, and what comes of it is not.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &two.1).unwrap();
    let packed = layer("application/x-tar", &[], gzip.finish().unwrap());
    refused(&[one.clone(), packed], &bound(both - 1, 9), Reason::SourceRefused, &format!("of {} bytes", both - 1));
    refused(&vec![one; LAYERS_MOST + 1], &options(), Reason::SourceRefused, "layers of an artifact (fixed)");
    refused(&[], &options(), Reason::SourceRefused, "has no layers");
}

#[test]
fn what_a_manifest_says_of_itself_is_shown_without_secrets() {
    let annotations =
        [(SOURCE, "https://me:hush@git.example/x?token=hush\u{1b}[0m"), (REVISION, "main@sha1:12"), (CREATED, "2024-01-02T03:04:05Z")];
    let annotations = annotations.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let revision = revision(&Artifact { layers: Vec::new(), annotations }, &options(), Some(0));
    let origin = revision.origin.unwrap();
    assert!(origin.starts_with("https://git.example/x?token=") && !origin.contains("hush") && !origin.contains('\u{1b}'), "{origin}");
    assert_eq!(revision.origin_revision.as_deref(), Some("main@sha1:12"));
    assert_eq!(revision.date.as_deref(), Some("2024-01-02T03:04:05Z"));
}

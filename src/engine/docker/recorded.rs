//! What real daemons said, cut and doubled wherever that can be done: the evidence in it is found once, and none that is not there.
//!
//! Each is a build of `FROM scratch`, a COPY and a RUN, or its push to a registry, as it came over the socket.

use super::messages::{Decoder, Message};

const STREAMS: [(&str, &[u8]); 6] = [
    ("Docker 20.10, classic", include_bytes!("recorded/docker-20.10-classic.jsonl")),
    ("Docker 20.10, BuildKit", include_bytes!("recorded/docker-20.10-buildkit.jsonl")),
    ("Podman 4.3, a build", include_bytes!("recorded/podman-4.3-build.jsonl")),
    ("Docker 20.10, a push", include_bytes!("recorded/docker-20.10-push.jsonl")),
    ("Docker 26.1 with the containerd store, a push", include_bytes!("recorded/docker-26.1-containerd-push.jsonl")),
    ("Podman 4.3, a push", include_bytes!("recorded/podman-4.3-push.jsonl")),
];

/// The messages of these pieces, and whether the stream ended as it should.
fn decode(pieces: &[&[u8]]) -> (Vec<Message>, bool) {
    let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut messages).unwrap();
    }
    let ended = decoder.finish(&mut messages).is_ok();
    (messages, ended)
}

fn is_evidence(message: &Message) -> bool {
    matches!(message, Message::Image(_) | Message::Pushed { .. })
}

#[test]
fn a_stream_is_the_same_wherever_it_is_split_and_no_more_than_its_beginning_where_it_is_cut() {
    for (name, stream) in STREAMS {
        let (whole, ended) = decode(&[stream]);
        let evidence: Vec<&Message> = whole.iter().filter(|message| is_evidence(message)).collect();
        assert!(ended && !evidence.is_empty(), "{name}: {whole:#?}");
        assert!(!whole.iter().any(|message| matches!(message, Message::Fault { .. })), "{name}");
        for at in 0..=stream.len() {
            let (before, after) = stream.split_at(at);
            assert_eq!(decode(&[before, after]), (whole.clone(), true), "{name}, split at {at}");
            let (cut, _) = decode(&[before]);
            assert!(whole.starts_with(&cut), "{name}, cut at {at}: {cut:#?}");
            let broken = !before.is_empty() && !matches!(before.last(), Some(b'\n' | b'\r' | b'}'));
            assert!(!broken || !decode(&[before]).1, "{name}, cut at {at}: half a message is none");
        }
    }
}

#[test]
fn a_message_that_comes_twice_is_two() {
    for (name, stream) in STREAMS {
        let (whole, _) = decode(&[stream]);
        let lines = || stream.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let doubled: Vec<u8> = lines().flat_map(|line| [line, line, b"\r\n"].concat()).collect();
        let (twice, ended) = decode(&[&doubled]);
        assert!(ended && twice.len() == 2 * whole.len(), "{name}");
        assert!(twice.chunks(2).zip(&whole).all(|(pair, one)| pair[0] == *one && pair[1] == *one), "{name}");
    }
}

//! FileSync's messages (tonistiigi/fsutil, types/wire.proto and stat.proto), written again because a path is any bytes on Linux
//! and protobuf strings must be UTF-8: on the wire `string` and `bytes` are the same.

use bytes::Bytes;

use crate::model::TreePath;
use crate::model::tree::{Entry, Kind};

#[derive(Clone, PartialEq, prost::Message)]
pub struct Packet {
    #[prost(enumeration = "PacketType", tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub stat: Option<Stat>,
    #[prost(uint32, tag = "3")]
    pub id: u32,
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PacketType {
    Stat = 0,
    Req = 1,
    Data = 2,
    Fin = 3,
    Err = 4,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Stat {
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// Go's `os.FileMode`.
    #[prost(uint32, tag = "2")]
    pub mode: u32,
    #[prost(uint32, tag = "3")]
    pub uid: u32,
    #[prost(uint32, tag = "4")]
    pub gid: u32,
    #[prost(int64, tag = "5")]
    pub size: i64,
    /// Nanoseconds since the epoch.
    #[prost(int64, tag = "6")]
    pub mod_time: i64,
    /// A symlink's target as it stands; a hard link's first name.
    #[prost(bytes = "vec", tag = "7")]
    pub linkname: Vec<u8>,
}

/// Go's bits (`io/fs`, type FileMode).
const GO_DIR: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_STICKY: u32 = 1 << 20;

impl Packet {
    pub fn stat(stat: Option<Stat>) -> Self {
        Self { kind: PacketType::Stat.into(), stat, ..Self::default() }
    }

    pub fn data(id: u32, data: Bytes) -> Self {
        Self { kind: PacketType::Data.into(), id, data, ..Self::default() }
    }

    pub fn fin() -> Self {
        Self { kind: PacketType::Fin.into(), ..Self::default() }
    }
}

impl Stat {
    /// `first` is the name under which a hard link's body was announced already.
    pub fn of(entry: &Entry, first: Option<TreePath>) -> Self {
        // As the daemon finds them on its disk (fsutil, stat.go): what differs from there is written again at each build.
        let (kind, linkname, size) = match &entry.kind {
            Kind::Directory => (GO_DIR, Vec::new(), 0),
            Kind::Symlink { target } => (GO_SYMLINK, target.clone(), target.len() as u64),
            _ => (0, first.unwrap_or_default().as_bytes().to_vec(), entry.size()),
        };
        let bit = |unix: u32, go: u32| if entry.mode & unix == 0 { 0 } else { go };
        let special = bit(0o4000, GO_SETUID) | bit(0o2000, GO_SETGID) | bit(0o1000, GO_STICKY);
        Self {
            path: entry.path.as_bytes().to_vec(),
            mode: kind | special | (entry.mode & 0o777),
            uid: 0,
            gid: 0,
            size: i64::try_from(size).unwrap_or(i64::MAX),
            mod_time: entry.modified.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(entry.modified.nanos)),
            linkname,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tree::{BodyKey, Time};

    #[test]
    fn sizes_are_what_the_daemon_sees_on_its_disk() {
        let stat = |kind, first: Option<&str>| {
            let entry =
                Entry { path: TreePath::parse(b"a").unwrap(), kind, mode: 0o644, modified: Time::default(), key: BodyKey::default() };
            let stat = Stat::of(&entry, first.map(|name| TreePath::parse(name.as_bytes()).unwrap()));
            (stat.size, String::from_utf8(stat.linkname).unwrap())
        };
        assert_eq!(stat(Kind::Symlink { target: b"to/there".to_vec() }, None), (8, "to/there".into()));
        assert_eq!(stat(Kind::File { size: 5, link: 1 }, None), (5, String::new()));
        assert_eq!(stat(Kind::File { size: 5, link: 1 }, Some("first")), (5, "first".into()));
        assert_eq!(stat(Kind::Directory, None), (0, String::new()));
    }
}

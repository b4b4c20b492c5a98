//! Compressed objects that are named by the SHA-256 of what is in them, in a folder or in a bucket.
//!
//! Invariants: an object with a blob's name holds the whole blob, since it appears whole or not at all; a blob that is
//! there is never written again. Only [`crate::collect`] removes any.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path as Name;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use sha2::{Digest, Sha256};

/// How hard to compress runs. They are small, and this makes them a tenth.
const RUNS_LEVEL: i32 = 9;
/// How hard to compress profiles. From 16 on each column of a profile gets codes of its own: 6 % less than by 9, in 0.03 s each.
const PROFILES_LEVEL: i32 = 17;
/// How hard to compress parts of uploads, which are compressed.
const PARTS_LEVEL: i32 = 1;
/// The first bytes of a compressed file.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Where blobs are: a folder, or a part of a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// What names of objects are behind, for people: `/data/`, `s3://bucket/`.
    pub(crate) place: String,
    /// What all names start with.
    pub(crate) prefix: Name,
}

/// Blobs of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    shelf: Shelf,
    /// The folder of this kind: `blobs`.
    kind: &'static str,
    /// How their names end: `json.zst`.
    ending: &'static str,
    /// How hard to compress them.
    level: i32,
}

/// A blob that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// What names it.
    pub(crate) digest: String,
    /// Was it there already? Then somebody may be about to remove it, unless a row names it.
    pub(crate) was_there: bool,
}

/// Why a blob could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {place}")]
pub struct WriteBlobError {
    /// The object that was to be: a path, or an address.
    pub place: String,
    /// What the system or the object store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Why a blob could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadBlobError {
    /// The system or the object store refused.
    #[error("cannot read {place}")]
    Refused {
        /// The object: a path, or an address.
        place: String,
        /// What was said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The object holds something else.
    #[error("{place} is damaged: its content does not have the digest in its name")]
    Damaged {
        /// The object: a path, or an address.
        place: String,
    },
}

impl WriteBlobError {
    /// What the system said, where it was a folder that could not be written.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        io_error(&*self.source).map(io::Error::kind)
    }

    /// Is it an object store that does not answer, or not as it should? That may pass by itself.
    pub fn is_away(&self) -> bool {
        is_away(&*self.source)
    }
}

impl ReadBlobError {
    /// Is it an object store that does not answer, or not as it should? That may pass by itself.
    pub fn is_away(&self) -> bool {
        matches!(self, ReadBlobError::Refused { source, .. } if is_away(&**source))
    }
}

fn is_away(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown,
        NetworkUnreachable, NotConnected, TimedOut, UnexpectedEof,
    };
    match io_error(error) {
        Some(error) => matches!(
            error.kind(),
            BrokenPipe
                | ConnectionAborted
                | ConnectionRefused
                | ConnectionReset
                | HostUnreachable
                | NetworkDown
                | NetworkUnreachable
                | NotConnected
                | TimedOut
                | UnexpectedEof
        ),
        // A folder's have an error of the system below them.
        None => matches!(error.downcast_ref(), Some(object_store::Error::Generic { .. })),
    }
}

/// The error of the system below others.
fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut error = Some(error);
    while let Some(one) = error {
        if let Some(found) = one.downcast_ref::<io::Error>() {
            return Some(found);
        }
        error = one.source();
    }
    None
}

/// What went wrong, without the words of those that only passed it on.
pub(crate) fn cause(error: object_store::Error) -> Box<dyn Error + Send + Sync> {
    match io_error(&error) {
        Some(found) => match found.raw_os_error() {
            Some(code) => Box::new(io::Error::from_raw_os_error(code)),
            None => Box::new(io::Error::new(found.kind(), found.to_string())),
        },
        None => Box::new(error),
    }
}

impl Shelf {
    /// A folder that is there.
    pub(crate) fn folder(path: &Path) -> io::Result<Shelf> {
        let objects = LocalFileSystem::new_with_prefix(path).map_err(|error| match io_error(&error) {
            Some(found) => io::Error::new(found.kind(), found.to_string()),
            None => io::Error::other(error),
        })?;
        // What was said to be stored is on the disk, not in its cache.
        let objects = Arc::new(objects.with_fsync(true));
        Ok(Shelf { objects, place: format!("{}/", path.display()), prefix: Name::default() })
    }

    /// Its runs.
    pub(crate) fn runs(&self) -> Blobs {
        Blobs { shelf: self.clone(), kind: "blobs", ending: "json.zst", level: RUNS_LEVEL }
    }

    /// Its profiles.
    pub(crate) fn profiles(&self) -> Blobs {
        Blobs { shelf: self.clone(), kind: "profiles", ending: "zst", level: PROFILES_LEVEL }
    }

    /// Its parts of uploads.
    pub(crate) fn parts(&self) -> Blobs {
        Blobs { shelf: self.clone(), kind: "parts", ending: "zst", level: PARTS_LEVEL }
    }
}

impl Blobs {
    /// Keeps a blob and says its digest. What is there already stays as it is.
    pub(crate) async fn put(&self, content: &[u8]) -> Result<Kept, WriteBlobError> {
        let digest = digest(content);
        let was_there = self.put_at(&self.name(&digest), content).await?;
        Ok(Kept { digest, was_there })
    }

    async fn put_at(&self, name: &Name, content: &[u8]) -> Result<bool, WriteBlobError> {
        let failed = |source| WriteBlobError { place: self.place(name), source };
        // Asked first: most blobs of most runs are there, and asking is cheaper than compressing and sending.
        match self.shelf.objects.head(name).await {
            Ok(_) => return Ok(true),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed(cause(error))),
        }
        // Told at once how much there is, zstd takes tables of that size; at high levels those for any size are some 50 MB.
        let packed = zstd::bulk::compress(content, self.level).map_err(|error| failed(error.into()))?;
        let if_absent = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.shelf.objects.put_opts(name, packed.into(), if_absent).await {
            Ok(_) => Ok(false),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(true),
            Err(error) => Err(failed(cause(error))),
        }
    }

    /// The blob of that digest.
    pub(crate) async fn get(&self, digest: &str) -> Result<Vec<u8>, ReadBlobError> {
        let name = self.name(digest);
        let packed = match self.shelf.objects.get(&name).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        let place = self.place(&name);
        let packed = match packed {
            Ok(packed) => packed,
            Err(error) => return Err(ReadBlobError::Refused { place, source: cause(error) }),
        };
        match zstd::decode_all(&packed[..]) {
            Ok(content) if self::digest(&content) == digest => Ok(content),
            _ => Err(ReadBlobError::Damaged { place }),
        }
    }

    /// `blobs/ab/abcdef….json.zst`.
    pub(crate) fn name(&self, digest: &str) -> Name {
        let shard = digest.get(..2).unwrap_or("xx");
        self.folder().join(shard).join(format!("{digest}.{}", self.ending))
    }

    /// What all names of this kind start with.
    pub(crate) fn folder(&self) -> Name {
        self.shelf.prefix.clone().join(self.kind)
    }

    /// The digest in the name of an object; `None`: it is no blob.
    pub(crate) fn digest_in(&self, name: &Name) -> Option<String> {
        let digest = name.filename()?.strip_suffix(self.ending)?.strip_suffix('.')?;
        let is_one = digest.len() == 64 && digest.chars().all(|digit| digit.is_ascii_hexdigit());
        (is_one && self.name(digest) == *name).then(|| digest.to_string())
    }

    /// The folder of this kind.
    pub(crate) const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Blobs of this kind, elsewhere.
    pub(crate) fn on(&self, shelf: &Shelf) -> Blobs {
        Blobs { shelf: shelf.clone(), ..*self }
    }

    /// Where they are.
    pub(crate) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// The objects among which the blobs are.
    pub(crate) fn objects(&self) -> &dyn ObjectStore {
        &*self.shelf.objects
    }

    /// An object's name, for people.
    pub(crate) fn place(&self, name: &Name) -> String {
        format!("{}{name}", self.shelf.place)
    }
}

pub(crate) fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a compressed file could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[error("it is compressed, and damaged: {0}")]
pub struct UnpackError(#[source] io::Error);

/// The content of a file that may be a blob: what is not compressed is left as it is.
///
/// So the runs of a store whose database is lost can be read from its blobs.
pub fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, UnpackError> {
    if bytes.starts_with(&MAGIC) { zstd::decode_all(&bytes[..]).map_err(UnpackError) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn blobs(folder: &Path) -> Blobs {
        Shelf::folder(folder).unwrap().profiles()
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let folders = fs::read_dir(folder.join("profiles")).unwrap();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }

    #[tokio::test]
    async fn a_blob_is_kept_once_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = blobs(folder.path());
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_string();
        let kept = |was_there| Kept { digest: digest.clone(), was_there };
        assert_eq!(blobs.put(b"abc").await.unwrap(), kept(false));
        assert_eq!(blobs.put(b"abc").await.unwrap(), kept(true));
        assert_eq!(blobs.get(&digest).await.unwrap(), b"abc");
        assert_eq!(files(folder.path()), [folder.path().join(format!("profiles/ba/{digest}.zst"))]);
        assert_eq!(blobs.digest_in(&blobs.name(&digest)), Some(digest));
        assert_eq!(blobs.digest_in(&Name::from("profiles/ba/partial-1-2")), None);
    }

    #[tokio::test]
    async fn a_damaged_blob_is_not_taken_for_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = blobs(folder.path());
        let name = blobs.put(b"abc").await.unwrap().digest;
        let path = files(folder.path()).remove(0);
        for content in [&zstd::encode_all(&b"abd"[..], 1).unwrap()[..], b"abc", b""] {
            fs::write(&path, content).unwrap();
            let error = blobs.get(&name).await.unwrap_err().to_string();
            let expected =
                format!("{} is damaged: its content does not have the digest in its name", path.display());
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn a_blob_can_be_unpacked_without_its_store() {
        assert_eq!(unpack(zstd::encode_all(&b"{}"[..], 1).unwrap()).unwrap(), b"{}");
        assert_eq!(unpack(b"{}".to_vec()).unwrap(), b"{}");
        assert!(unpack([&MAGIC[..], b"rubbish"].concat()).is_err());
    }
}

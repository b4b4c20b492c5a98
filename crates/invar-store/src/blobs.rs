//! A folder of compressed files that are named by the SHA-256 of what is in them.
//!
//! Invariants: a file with a blob's name holds the whole blob, since it is written beside and renamed; a blob that is
//! there is never written again and never removed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

/// How hard to compress. Runs are small, and this makes them a tenth.
const LEVEL: i32 = 9;
/// The first bytes of a compressed file.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A folder of blobs.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: PathBuf,
    /// How their names end: `json.zst`.
    ending: &'static str,
}

/// Why a blob could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", .path.display())]
pub struct WriteBlobError {
    /// The file that was to be.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Why a blob could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadBlobError {
    /// The system refused.
    #[error("cannot read {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is damaged: its content does not have the digest in its name", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl Blobs {
    /// The folder, and how names in it end; it is created with its first blob.
    pub fn new(folder: PathBuf, ending: &'static str) -> Blobs {
        Blobs { folder, ending }
    }

    /// Keeps a blob and says its digest. What is there already stays as it is.
    pub fn put(&self, content: &[u8]) -> Result<String, WriteBlobError> {
        let digest = digest(content);
        let path = self.path(&digest);
        let result = self.put_at(&path, content);
        result.map(|()| digest).map_err(|source| WriteBlobError { path, source })
    }

    fn put_at(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        // Names beside each other must differ between processes and between threads.
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        if path.try_exists()? {
            return Ok(());
        }
        let folder = path.parent().expect("a blob is in a folder");
        fs::create_dir_all(folder)?;
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let beside = folder.join(format!("partial-{}-{serial}", std::process::id()));
        let written = write_durably(&beside, content).and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            // Whatever went wrong is more interesting than that this did, too.
            drop(fs::remove_file(&beside));
            return written;
        }
        File::open(folder)?.sync_all()
    }

    /// The blob of that digest.
    pub fn get(&self, digest: &str) -> Result<Vec<u8>, ReadBlobError> {
        let path = self.path(digest);
        let packed = match fs::read(&path) {
            Ok(packed) => packed,
            Err(source) => return Err(ReadBlobError::Io { path, source }),
        };
        match zstd::decode_all(&packed[..]) {
            Ok(content) if self::digest(&content) == digest => Ok(content),
            _ => Err(ReadBlobError::Damaged { path }),
        }
    }

    /// `blobs/ab/abcdef….json.zst`.
    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(digest.get(..2).unwrap_or("xx")).join(format!("{digest}.{}", self.ending))
    }
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let packed = zstd::encode_all(content, LEVEL)?;
    let mut file = File::create_new(path)?;
    file.write_all(&packed)?;
    file.sync_all()
}

fn digest(content: &[u8]) -> String {
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
    use super::*;

    fn files(folder: &Path) -> Vec<PathBuf> {
        let folders = fs::read_dir(folder).unwrap();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }

    #[test]
    fn a_blob_is_kept_once_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(folder.path().to_path_buf(), "zst");
        let name = blobs.put(b"abc").unwrap();
        assert_eq!(name, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(blobs.put(b"abc").unwrap(), name);
        assert_eq!(blobs.get(&name).unwrap(), b"abc");
        assert_eq!(files(folder.path()).len(), 1);
    }

    #[test]
    fn a_damaged_blob_is_not_taken_for_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(folder.path().to_path_buf(), "zst");
        let name = blobs.put(b"abc").unwrap();
        let path = files(folder.path()).remove(0);
        for content in [&zstd::encode_all(&b"abd"[..], 1).unwrap()[..], b"abc", b""] {
            fs::write(&path, content).unwrap();
            let error = blobs.get(&name).unwrap_err().to_string();
            assert!(
                error.ends_with("is damaged: its content does not have the digest in its name"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_blob_can_be_unpacked_without_its_store() {
        assert_eq!(unpack(zstd::encode_all(&b"{}"[..], 1).unwrap()).unwrap(), b"{}");
        assert_eq!(unpack(b"{}".to_vec()).unwrap(), b"{}");
        assert!(unpack([&MAGIC[..], b"rubbish"].concat()).is_err());
    }
}

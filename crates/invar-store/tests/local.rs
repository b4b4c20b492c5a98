//! What the store in a directory does when the world is not kind: damage, full disks, company.

use std::fs;
use std::path::Path;
use std::process::Command;

use invar_core::machine::Machine;
use invar_core::profile::Builder;
use invar_core::run::{Run, Timestamp};
use invar_store::{GetError, GetProfileError, OpenError, Profiles, Put, PutError, Store};

/// Names the store to the tests that are started as processes of their own.
const DIRECTORY: &str = "INVAR_STORE_TEST_DIRECTORY";

/// A run that packs badly, of about `kilobytes`.
fn run(number: u32, kilobytes: usize) -> Run {
    let mut run =
        Run::started(&format!("{number:032x}"), Timestamp(i64::from(number)), Machine::reference_1());
    let mut state = u64::from(number) + 1;
    let noise = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{state:016x}")
    };
    run.warnings = (0..kilobytes * 64).map(noise).collect();
    run
}

/// This test binary again, running one test that is ignored otherwise, under a shell's limits.
fn process(test: &str, limits: &str, directory: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits} exec \"$0\" \"$@\"")]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--ignored", "--test-threads=1"]);
    command.env(DIRECTORY, directory);
    command
}

fn directory() -> std::path::PathBuf {
    std::env::var_os(DIRECTORY).expect("the test that starts this one names a directory").into()
}

#[tokio::test]
async fn a_store_is_made_with_what_keeps_git_out() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("deep/.invar");
    assert!(Store::open_existing(&directory).await.unwrap().is_none());
    assert!(!directory.exists());
    Store::open(&directory).await.unwrap();
    assert_eq!(fs::read_to_string(directory.join(".gitignore")).unwrap(), "*\n");
    assert!(Store::open_existing(&directory).await.unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_database_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("invar.sqlite");
    fs::write(&path, "not a database at all, but long enough to have a header\n".repeat(100)).unwrap();
    let before = fs::read(&path).unwrap();
    let error = Store::open(folder.path()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{} is damaged or not a database", path.display()));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_database_damaged_in_its_middle_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    for number in 0..200 {
        store.put(&run(number, 0)).await.unwrap();
    }
    store.close().await;
    let path = folder.path().join("invar.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[4096..end].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let error = Store::open(folder.path()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{} is damaged or not a database", path.display()));
}

#[tokio::test]
async fn a_store_of_a_newer_invar_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    store.close().await;
    // The field `user_version` of the file's header.
    let path = folder.path().join("invar.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&77_u32.to_be_bytes());
    fs::write(&path, bytes).unwrap();
    let error = Store::open(folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("was written by a newer Invar: its schema is 77, and "), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join(".invar")).await.unwrap_err();
    assert!(matches!(&error, OpenError::Directory { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot prepare {}", file.join(".invar").display()));
}

#[tokio::test]
async fn a_lost_blob_is_said_and_the_list_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    store.put(&run(1, 1)).await.unwrap();
    fs::remove_dir_all(folder.path().join("blobs")).unwrap();
    let error = store.get(&run(1, 1).id).await.unwrap_err();
    assert!(matches!(&error, GetError::Blob { .. }), "{error:?}");
    assert_eq!(store.list(10).await.unwrap().len(), 1);
    assert_eq!(store.put(&run(1, 1)).await.unwrap(), Put::AlreadyThere);
    assert_eq!(store.get(&run(1, 1).id).await.unwrap(), run(1, 1));
}

#[tokio::test]
async fn a_profile_that_is_lost_or_damaged_is_said_and_its_run_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let profiles = Profiles::from([("t.py::a".to_string(), Builder::new("t.py::a").finish())]);
    store.put_with(&run(1, 1), &profiles).await.unwrap();
    let id = run(1, 1).id;
    let blobs = folder.path().join("profiles");
    let blob = fs::read_dir(fs::read_dir(&blobs).unwrap().next().unwrap().unwrap().path()).unwrap();
    let blob = blob.map(|file| file.unwrap().path()).next().unwrap();
    fs::write(&blob, "rubbish").unwrap();
    let error = store.profile(&id, "t.py::a").await.unwrap_err();
    assert!(matches!(&error, GetProfileError::Blob { .. }), "{error:?}");
    assert_eq!(error.to_string(), "the profile of t.py::a is lost");
    fs::remove_dir_all(blobs).unwrap();
    assert!(store.profile(&id, "t.py::a").await.is_err());
    assert_eq!(store.get(&id).await.unwrap(), run(1, 1));
}

#[tokio::test]
async fn one_profile_is_read_without_the_others_and_without_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let kept = Builder::new("kept").finish();
    let profiles = ["kept", "lost"].map(|name| (name.to_string(), Builder::new(name).finish()));
    store.put_with(&run(1, 1), &Profiles::from(profiles)).await.unwrap();
    fs::remove_dir_all(folder.path().join("blobs")).unwrap();
    let mut removed = 0;
    for shard in fs::read_dir(folder.path().join("profiles")).unwrap() {
        for file in fs::read_dir(shard.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let bytes = invar_store::blobs::unpack(fs::read(&path).unwrap()).unwrap();
            if invar_core::wire::profile::read(&bytes).unwrap() != kept {
                fs::remove_file(path).unwrap();
                removed += 1;
            }
        }
    }
    assert_eq!(removed, 1);
    assert_eq!(store.profile(&run(1, 1).id, "kept").await.unwrap(), Some(kept));
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    store.put(&run(1, 1)).await.unwrap();
    // No file may grow past 64 blocks of the shell, and the signal that says so is ignored: writes fail as on a full disk.
    let limits = "trap '' XFSZ; ulimit -f 64; [ $(ulimit -f) = 64 ] &&";
    let output = process("puts_a_large_run", limits, folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(store.list(10).await.unwrap().len(), 1);
    assert_eq!(store.get(&run(1, 1).id).await.unwrap(), run(1, 1));
    let blobs = fs::read_dir(folder.path().join("blobs")).unwrap();
    let blobs: Vec<_> = blobs.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap()).collect();
    assert_eq!(blobs.len(), 1, "{blobs:?}");
}

#[tokio::test]
#[ignore = "a process of the test above"]
async fn puts_a_large_run() {
    let store = Store::open(&directory()).await.unwrap();
    let error = store.put(&run(2, 1000)).await.unwrap_err();
    assert!(matches!(&error, PutError::Blob(_)), "{error:?}");
    assert!(error.to_string().starts_with("cannot write "), "{error}");
}

#[tokio::test]
async fn processes_that_write_at_once_all_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..8)
        .map(|number| {
            let mut command = process("puts_some_runs", "", folder.path());
            command.env("INVAR_STORE_TEST_FIRST", (number * 10).to_string());
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let store = Store::open(folder.path()).await.unwrap();
    let numbers: Vec<i64> = store.list(1000).await.unwrap().iter().map(|run| run.started.0).collect();
    assert_eq!(numbers, (0..80).rev().collect::<Vec<_>>());
}

#[tokio::test]
#[ignore = "a process of the test above"]
async fn puts_some_runs() {
    let first: u32 = std::env::var("INVAR_STORE_TEST_FIRST").unwrap().parse().unwrap();
    for number in first..first + 10 {
        let store = Store::open(&directory()).await.unwrap();
        assert_eq!(store.put(&run(number, 1)).await.unwrap(), Put::Stored);
        store.close().await;
    }
}

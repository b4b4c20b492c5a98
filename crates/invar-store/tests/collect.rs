//! The collector of blobs among others who put runs: nothing that a row names is ever lost.

#[path = "engines/postgres.rs"]
mod postgres;
#[path = "engines/server.rs"]
mod server;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use invar_core::machine::Machine;
use invar_core::profile::Builder;
use invar_core::run::{Run, Timestamp};
use invar_store::{Location, Profiles, Put, Store};

const RUNS: u32 = 60;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn run(number: u32) -> Run {
    Run::started(&format!("{number:032x}"), Timestamp(i64::from(number)), Machine::reference_1())
}

fn profiles(number: u32) -> Profiles {
    // One of its own, and one that others have, too.
    let names = [format!("own-{number}"), format!("shared-{}", number % 7)];
    names.into_iter().map(|name| (name.clone(), Builder::new(&name).finish())).collect()
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Blobs of all runs that no row of another store names, put there two days ago.
async fn leave_orphans(blobs: &Path) {
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Location {
        database: elsewhere.path().to_string_lossy().into_owned(),
        blobs: Some(blobs.to_string_lossy().into_owned()),
    };
    let other = Store::connect(&other).await.unwrap();
    for number in 0..RUNS {
        other.put_with(&run(number), &profiles(number)).await.unwrap();
    }
    other.close().await;
    let before = SystemTime::now() - 2 * DAY;
    for path in files(blobs) {
        File::options().append(true).open(path).unwrap().set_modified(before).unwrap();
    }
}

/// Puts runs whose blobs are there and old, each by one of four, while two collectors are at work.
async fn nothing_is_lost(location: &Location) {
    let goes_on = Arc::new(AtomicBool::new(true));
    let collectors = (0..2).map(|_| {
        let (location, goes_on) = (location.clone(), Arc::clone(&goes_on));
        tokio::spawn(async move {
            let store = Store::connect(&location).await.unwrap();
            let mut removed = 0;
            while goes_on.load(Ordering::Relaxed) {
                removed += store.collect(DAY).await.unwrap().removed;
            }
            removed
        })
    });
    let collectors: Vec<_> = collectors.collect();
    let putters = (0..4).map(|first| {
        let location = location.clone();
        tokio::spawn(async move {
            let store = Store::connect(&location).await.unwrap();
            for number in (first..RUNS).step_by(4) {
                assert_eq!(store.put_with(&run(number), &profiles(number)).await.unwrap(), Put::Stored);
            }
        })
    });
    for putter in putters.collect::<Vec<_>>() {
        putter.await.unwrap();
    }
    goes_on.store(false, Ordering::Relaxed);
    for collector in collectors {
        collector.await.unwrap();
    }
    let store = Store::connect(location).await.unwrap();
    for number in 0..RUNS {
        assert_eq!(store.get(&run(number).id).await.unwrap(), run(number));
        for (name, profile) in profiles(number) {
            assert_eq!(store.profile(&run(number).id, &name).await.unwrap(), Some(profile));
        }
    }
    assert_eq!(store.collect(Duration::ZERO).await.unwrap().removed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_put_meanwhile_is_lost_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    leave_orphans(folder.path()).await;
    nothing_is_lost(&Location::directory(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_put_meanwhile_is_lost_on_postgresql() {
    let Some(database) = postgres::part() else { return };
    let folder = tempfile::tempdir().unwrap();
    leave_orphans(folder.path()).await;
    nothing_is_lost(&Location { database, blobs: Some(folder.path().to_string_lossy().into_owned()) }).await;
}

#[tokio::test]
async fn what_is_no_blob_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    leave_orphans(folder.path()).await;
    let store = Store::open(folder.path()).await.unwrap();
    let foreign = folder.path().join("blobs/ab/notes.txt");
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, "kept").unwrap();
    let removed = store.collect(DAY).await.unwrap().removed;
    assert_eq!(removed, u64::from(RUNS) * 2 + 7);
    assert_eq!(fs::read_to_string(foreign).unwrap(), "kept");
}

//! What servers of one store take turns at.

use std::time::Duration;

use futures_util::future::join_all;
use invar_core::run::Timestamp;
use invar_store::{By, Outcome, Store};

const MINUTE: Duration = Duration::from_secs(60);

fn minute(number: i64) -> Timestamp {
    Timestamp(number * 60_000_000)
}

fn by(who: &str, at: i64) -> By<'_> {
    By { who, at: minute(at) }
}

fn outcome(failed: bool, said: &str) -> Outcome {
    Outcome { failed, said: said.to_string() }
}

pub async fn of_servers_at_once_one_takes_a_duty(store: Store) {
    let stores: Vec<Store> = (0..8).map(|_| store.clone()).collect();
    let takes = stores.iter().map(|store| store.take_duty("collect", by("a", 1), MINUTE));
    let taken = join_all(takes).await.into_iter().filter(|taken| *taken.as_ref().unwrap()).count();
    assert_eq!(taken, 1);
}

pub async fn a_duty_is_due_again_after_its_time_or_when_its_server_is_lost(store: Store) {
    let take = async |at| store.take_duty("collect", by("a", at), 5 * MINUTE).await.unwrap();
    assert!(take(1).await);
    assert!(!take(5).await, "somebody has it");
    assert!(take(6).await, "whoever had it has not come back");
    store.duty_is_done("collect", minute(7), 10 * MINUTE, &Outcome::default()).await.unwrap();
    assert!(!take(16).await, "it is done");
    assert!(take(17).await);
    assert!(store.take_duty("other", by("a", 17), MINUTE).await.unwrap(), "each on its own");
}

pub async fn how_a_duty_ended_is_kept_and_it_can_be_asked_for_anew(store: Store) {
    assert!(!store.hasten_duty("collect", by("root", 0)).await.unwrap(), "nobody has ever done it");
    assert!(store.take_duty("collect", by("build-1", 1), 5 * MINUTE).await.unwrap());
    let duty = store.duties().await.unwrap().remove(0);
    assert_eq!((duty.who.as_str(), duty.began, duty.ended), ("build-1", Some(minute(1)), None));
    assert!(!store.hasten_duty("collect", by("root", 2)).await.unwrap(), "it is being done");
    let full = outcome(true, "The disk is full.");
    store.duty_is_done("collect", minute(3), 60 * MINUTE, &full).await.unwrap();
    let duty = store.duties().await.unwrap().remove(0);
    assert_eq!((duty.due, duty.ended, duty.outcome), (minute(63), Some(minute(3)), full));
    assert!(!store.take_duty("collect", by("build-2", 4), 5 * MINUTE).await.unwrap(), "it is not due");
    assert!(store.hasten_duty("collect", by("root", 5)).await.unwrap());
    let entry = store.audit_of_all(1).await.unwrap().remove(0);
    assert_eq!((entry.who.as_str(), entry.what.as_str()), ("root", "asked for collect to be done now"));
    assert!(store.take_duty("collect", by("build-2", 6), 5 * MINUTE).await.unwrap());
    // What nobody takes turns at is written down, and what it was before is not.
    for at in [7, 8] {
        let said = outcome(false, &format!("Copied at {at}."));
        store.note_duty("backup", "invar admin", (minute(at), minute(at + 1)), &said).await.unwrap();
    }
    let duties = store.duties().await.unwrap();
    let shown: Vec<_> =
        duties.iter().map(|duty| (duty.name.as_str(), duty.who.as_str(), duty.ended)).collect();
    assert_eq!(shown, [("backup", "invar admin", Some(minute(9))), ("collect", "build-2", None)]);
    assert_eq!(duties[0].outcome, outcome(false, "Copied at 8."));
}

pub async fn what_there_is_is_counted(store: Store) {
    let project =
        store.create_project("acme/fib", invar_store::Visibility::Private, by("a", 1)).await.unwrap();
    for number in [1, 2] {
        project.put(&crate::run(number)).await.unwrap();
    }
    let before = store.storage().await.unwrap();
    assert_eq!(before.shelves, [], "nobody has counted them");
    store.collect(MINUTE).await.unwrap();
    let storage = store.storage().await.unwrap();
    let rows: std::collections::BTreeMap<_, _> = storage.rows.iter().copied().collect();
    let measured = 2 * crate::run(1).measurements.len() as i64;
    assert_eq!((rows["projects"], rows["runs"], rows["measurements"]), (1, 2, measured));
    assert!(
        storage.engine.starts_with("SQLite 3.") || storage.engine.starts_with("PostgreSQL 1"),
        "{storage:?}"
    );
    assert!(storage.schema >= 14 && storage.bytes > 4096, "{storage:?}");
    let shelves: Vec<_> = storage.shelves.iter().map(|one| (one.kind.as_str(), one.blobs)).collect();
    assert_eq!(shelves, [("blobs", 2), ("parts", 0), ("profiles", 0)]);
    assert!(storage.shelves[0].bytes > 100, "{storage:?}");
}

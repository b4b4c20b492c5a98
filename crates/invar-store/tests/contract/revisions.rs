//! The promises about revisions: what pages show changes only if the revision does, and then it does.

use invar_core::shard::Shard;
use invar_store::{NewAcknowledgement, Retention, Revision};

use super::*;

/// The revision that there is now, which is another one than before.
async fn later(store: &Store, before: Revision, what: &str) -> Revision {
    let now = store.revision().await.unwrap();
    assert!(now > before, "after {what}: {now:?}");
    now
}

pub async fn a_revision_is_another_one_after_whatever_changes_and_only_then(store: Store) {
    let demo = store.create_project("acme/demo", Visibility::Private, by(1)).await.unwrap();
    let other = store.create_project("acme/other", Visibility::Private, by(1)).await.unwrap();
    let untouched = other.revision().await.unwrap();
    let mut now = demo.revision().await.unwrap();
    demo.put(&on("a", "x", run(1))).await.unwrap();
    now = later(&demo, now, "a run").await;
    demo.put(&on("a", "x", run(1))).await.unwrap();
    assert_eq!(demo.revision().await.unwrap(), now, "after the same run");
    for number in 1..=2 {
        let mut shard = on("c", "main", run(10 + number));
        shard.shard = Some(Shard { key: "job 7".to_string(), number, of: 2 });
        demo.put_shard(&shard, &Profiles::new()).await.unwrap();
        now = later(&demo, now, "a shard").await;
        demo.put_shard(&shard, &Profiles::new()).await.unwrap();
        assert_eq!(demo.revision().await.unwrap(), now, "after the same shard");
    }
    let renamed = demo.rename_benchmark("t.py::a", "t.py::b", by(5)).await.unwrap();
    now = later(&demo, now, "a new name").await;
    demo.undo_naming(renamed, by(6)).await.unwrap();
    now = later(&demo, now, "the old name").await;
    demo.archive_benchmark("t.py::c", by(7)).await.unwrap();
    now = later(&demo, now, "an archived benchmark").await;
    let id = run(1).id;
    let new = NewAcknowledgement { branch: "x", benchmark: "t.py::a", run: &id, cycles: 5, reason: "r" };
    let number = demo.acknowledge(new, by(8)).await.unwrap();
    now = later(&demo, now, "an acknowledgement").await;
    demo.undo_acknowledgement(number, by(9)).await.unwrap();
    now = later(&demo, now, "its end").await;
    let number = demo.ignore_benchmark("t.py::a", "r", by(9)).await.unwrap();
    now = later(&demo, now, "an ignored benchmark").await;
    demo.undo_ignoring(number, by(9)).await.unwrap();
    now = later(&demo, now, "one that is so no more").await;
    demo.put_verification(&verification(1, [100, 150])).await.unwrap();
    now = later(&demo, now, "a verification").await;
    let late = By { who: "retention", at: Timestamp(i64::MAX / 2) };
    let kept = Retention { runs_days: Some(1), profiles_days: None };
    assert_eq!(demo.expire(kept, "main", late).await.unwrap().runs, 1);
    now = later(&demo, now, "a run that went").await;
    assert_eq!(demo.expire(kept, "main", late).await.unwrap().runs, 0);
    assert_eq!(demo.revision().await.unwrap(), now, "after nothing went");
    assert_eq!(other.revision().await.unwrap(), untouched);
}

pub async fn of_puts_at_once_each_changes_the_revision(store: Store) {
    let before = store.revision().await.unwrap();
    let puts = (0..16).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.put(&run(number)).await.unwrap() })
    });
    for put in join_all(puts).await {
        assert_eq!(put.unwrap(), Put::Stored);
    }
    assert_eq!(store.revision().await.unwrap(), Revision { runs: before.runs + 16, ..before });
}

//! The promises about what is not kept for ever: what goes, what stays, and that a preview says so before.

use invar_store::{Expired, Retention};

use super::*;

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// A run of a branch, of this day, with a profile.
async fn put_on_day(store: &Store, number: u32, branch: &str, day: i64) {
    let mut run = on(&format!("{number:x}"), branch, run(number));
    run.started = Timestamp(day * DAY_US);
    let profiles = Profiles::from([("t.py::a".to_string(), profile("t.py::a", u64::from(number)))]);
    assert_eq!(store.put_with(&run, &profiles).await.unwrap(), Put::Stored);
}

pub async fn what_is_old_goes_from_other_branches_and_stays_on_the_default_one(store: Store) {
    let demo = store.create_project("acme/demo", Visibility::Private, by(1)).await.unwrap();
    let other = store.create_project("acme/other", Visibility::Private, by(1)).await.unwrap();
    for (number, branch, day) in
        [(1, "main", 10), (2, "main", 20), (3, "x", 10), (4, "x", 95), (5, "main", 98), (6, "y", 69)]
    {
        put_on_day(&demo, number, branch, day).await;
    }
    put_on_day(&other, 7, "x", 10).await;
    // Of a benchmark that only goes.
    let mut gone = on("8", "z", run(8));
    gone.started = Timestamp(5 * DAY_US);
    gone.measurements[0].benchmark = Benchmark::named("t.py::gone");
    demo.put(&gone).await.unwrap();
    assert_eq!(demo.retention().await.unwrap(), Retention::default());
    let kept = Retention { runs_days: Some(30), profiles_days: Some(5) };
    demo.set_retention(kept, by(2)).await.unwrap();
    assert_eq!(
        (demo.retention().await.unwrap(), other.retention().await.unwrap()),
        (kept, Retention::default())
    );
    let now = By { who: "retention", at: Timestamp(100 * DAY_US) };
    let would = demo.would_expire(kept, "main", now.at).await.unwrap();
    // Runs 3, 6 and 8 go; of 1, 2 and 4 the profiles, and of 3 and 6 with them.
    assert_eq!((would.runs, would.profiles), (3, 5));
    let done = demo.expire(kept, "main", now).await.unwrap();
    assert_eq!(done, Expired { runs: 3, profiles: 3 });
    let mut left: Vec<String> = demo.list(9).await.unwrap().into_iter().map(|run| run.id).collect();
    left.sort();
    assert_eq!(left, [1, 2, 4, 5].map(|number| run(number).id));
    for (number, profiled) in [(1, false), (2, false), (4, false), (5, true)] {
        let found = demo.profile(&run(number).id, "t.py::a").await.unwrap();
        assert_eq!(found.is_some(), profiled, "{number}");
    }
    assert_eq!(demo.history("t.py::a", &way(), None, Trees::All, 9).await.unwrap().points.len(), 4);
    assert!(demo.benchmarks_with("gone", 9).await.unwrap().is_empty());
    assert_eq!(other.list(9).await.unwrap().len(), 1);
    assert_eq!(demo.expire(kept, "main", now).await.unwrap(), Expired::default());
    assert_eq!(demo.would_expire(kept, "main", now.at).await.unwrap(), Expired::default());
    let said: Vec<String> = demo.audit(2).await.unwrap().into_iter().map(|entry| entry.what).collect();
    assert_eq!(
        said,
        [
            "removed 3 runs and the profiles of 3 runs, which were not to be kept any longer",
            "keeps runs of other branches for 30 days, profiles for 5 days"
        ]
    );
    // What went can be sent again, and blobs that nobody names are the collector's.
    put_on_day(&demo, 3, "x", 10).await;
}

pub async fn more_than_goes_at_once_goes_and_for_ever_nothing_does(store: Store) {
    for number in 0..250 {
        let mut run = on(&format!("{number:x}"), "x", run(number));
        run.started = Timestamp(i64::from(number));
        store.put(&run).await.unwrap();
    }
    let now = By { who: "retention", at: Timestamp(100 * DAY_US) };
    assert_eq!(store.expire(Retention::default(), "main", now).await.unwrap(), Expired::default());
    let kept = Retention { runs_days: Some(1), profiles_days: None };
    assert_eq!(store.expire(kept, "main", now).await.unwrap(), Expired { runs: 250, profiles: 0 });
    assert_eq!(store.list(9).await.unwrap(), []);
}

//! The promises about shards: they become one run, whatever order they come in and however often.

use invar_core::shard::Shard;
use invar_store::{Gathering, PutShardError};

use super::*;

/// A shard of three of a run of commit `c`: it has this id, was measured then, and has this benchmark with a profile.
fn shard(id: u32, number: u32, benchmark: &str, cost: u64) -> (Run, Profiles) {
    let mut shard = on("c", "main", run(id));
    let profile = profile(benchmark, cost);
    shard.measurements[0].benchmark = Benchmark::named(benchmark);
    shard.measurements[0].warm = profile.total();
    shard.measurements.truncate(1);
    shard.shard = Some(Shard { key: "job 7".to_string(), number, of: 3 });
    (shard, Profiles::from([(benchmark.to_string(), profile)]))
}

async fn put(store: &Store, (shard, profiles): &(Run, Profiles)) -> Gathering {
    store.put_shard(shard, profiles).await.unwrap()
}

/// The one run that there is, whole, with its profiles.
async fn only(store: &Store) -> (Run, Profiles) {
    let runs = store.list(9).await.unwrap();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = store.get(&runs[0].id).await.unwrap();
    let profiles = store.profiles(&run.id).await.unwrap();
    (run, profiles)
}

fn names(run: &Run) -> Vec<&str> {
    run.measurements.iter().map(|one| one.benchmark.id.as_str()).collect()
}

pub async fn shards_become_one_run_that_says_what_is_missing(store: Store) {
    let all = [shard(1, 1, "a", 10), shard(2, 2, "b", 20), shard(3, 3, "c", 30)];
    let first = put(&store, &all[1]).await;
    assert_eq!((first.put, &first.there[..]), (Put::Stored, &[2][..]));
    assert_eq!(first.run.incomplete.as_deref(), Some("shards 1 and 3 of 3 have not come"));
    put(&store, &all[0]).await;
    let last = put(&store, &all[2]).await;
    let (run, profiles) = only(&store).await;
    assert_eq!((&last.run, &last.there[..]), (&Summary::of(&run), &[1, 2, 3][..]));
    assert_eq!((run.incomplete.clone(), names(&run)), (None, vec!["a", "b", "c"]));
    assert_eq!(profiles.len(), 3);
    for one in &run.measurements {
        assert_eq!(profiles[&one.benchmark.id].total(), one.warm);
        let history = store.history(&one.benchmark.id, &way(), Some("main"), Trees::Clean, 9).await.unwrap();
        assert_eq!(history.points.len(), 1, "{}", one.benchmark.id);
        assert_eq!(history.points[0].run.id, run.id);
    }
    // By the id that it had, too.
    assert_eq!(store.find(&first.run.id).await.unwrap(), Found::One(run.id));
    // A shard is no run.
    assert!(matches!(store.get(&all[0].0.id).await, Err(GetError::Unknown { .. })));
}

pub async fn the_order_of_shards_means_nothing_and_a_retry_changes_nothing(store: Store) {
    let all = [shard(1, 1, "a", 10), shard(2, 2, "b", 20), shard(3, 3, "b", 30)];
    let mut found = Vec::new();
    for (number, order) in [[0, 1, 2], [2, 1, 0], [1, 2, 0]].into_iter().enumerate() {
        let name = format!("acme/{number}");
        let within = store.create_project(&name, Visibility::Private, by(1)).await.unwrap();
        let named = |at: usize| {
            // An id names one run among all projects, and one shard.
            let (mut run, profiles) = all[at].clone();
            run.shard.as_mut().unwrap().key = name.clone();
            (run, profiles)
        };
        for at in order {
            assert_eq!(put(&within, &named(at)).await.put, Put::Stored);
            assert_eq!(put(&within, &named(at)).await.put, Put::AlreadyThere);
        }
        let (run, profiles) = only(&within).await;
        assert_eq!(profiles["b"].total(), run.measurement("b").unwrap().warm);
        assert_eq!(run.measurement("b").unwrap().warm, all[2].0.measurements[0].warm);
        found.push((run.measurements, run.warnings, run.incomplete, run.started));
    }
    assert_eq!(found[0].1.len(), 1, "{:?}", found[0].1);
    assert!(found.iter().all(|one| *one == found[0]));
}

pub async fn a_shard_that_was_measured_again_takes_the_place_of_the_first(store: Store) {
    let (first, again) = (shard(1, 1, "a", 10), shard(4, 1, "d", 40));
    put(&store, &again).await;
    put(&store, &shard(2, 2, "b", 20)).await;
    // Comes late, and is older.
    let late = put(&store, &first).await;
    assert_eq!((late.put, names(&only(&store).await.0)), (Put::AlreadyThere, vec!["b", "d"]));
    let fresh = shard(5, 1, "e", 50);
    put(&store, &fresh).await;
    let (run, profiles) = only(&store).await;
    assert_eq!(names(&run), ["b", "e"]);
    assert_eq!(profiles.into_keys().collect::<Vec<_>>(), ["b", "e"]);
    let mut other = fresh;
    other.0.warnings.push("another".to_string());
    let taken = store.put_shard(&other.0, &other.1).await;
    assert!(matches!(taken, Err(PutShardError::Put(PutError::Taken { .. }))), "{taken:?}");
}

pub async fn a_shard_of_another_run_is_refused_and_changes_nothing(store: Store) {
    put(&store, &shard(1, 1, "a", 10)).await;
    let before = only(&store).await;
    let (other, profiles) = shard(2, 2, "b", 20);
    let refused = store.put_shard(&on("d", "main", other.clone()), &profiles).await;
    assert!(matches!(refused, Err(PutShardError::Unlike(_))), "{refused:?}");
    let mut four = other.clone();
    four.shard.as_mut().unwrap().of = 4;
    let refused = store.put_shard(&four, &profiles).await;
    assert!(matches!(refused, Err(PutShardError::Count { found: 4, expected: 3 })), "{refused:?}");
    let refused = store.put_shard(&run(9), &Profiles::new()).await;
    assert!(matches!(refused, Err(PutShardError::NoShard)), "{refused:?}");
    assert_eq!(only(&store).await, before);
}

pub async fn of_shards_at_once_none_is_lost(store: Store) {
    let all: Vec<(Run, Profiles)> = (1..=8)
        .map(|number| {
            let (mut run, profiles) = shard(number, number, &format!("b{number}"), u64::from(number));
            run.shard.as_mut().unwrap().of = 8;
            (run, profiles)
        })
        .collect();
    let puts = join_all(all.iter().chain(&all).map(|(run, profiles)| store.put_shard(run, profiles))).await;
    let stored = puts.iter().filter(|put| put.as_ref().unwrap().put == Put::Stored).count();
    assert_eq!(stored, 8);
    let (run, profiles) = only(&store).await;
    assert_eq!((run.measurements.len(), profiles.len(), run.incomplete), (8, 8, None));
}

pub async fn shards_name_their_blobs_until_their_run_goes(store: Store) {
    let demo = store.create_project("acme/demo", Visibility::Private, by(1)).await.unwrap();
    for one in [shard(1, 1, "a", 10), shard(2, 2, "b", 20), shard(3, 3, "c", 30)] {
        put(&demo, &one).await;
    }
    // What the first and the second made is made anew by the third.
    let collected = store.collect(Duration::ZERO).await.unwrap();
    assert_eq!(collected.removed, 2);
    put(&demo, &shard(4, 1, "d", 40)).await;
    let (run, profiles) = only(&demo).await;
    assert_eq!((names(&run), profiles.len()), (vec!["b", "c", "d"], 3));
    let kept = invar_store::Retention { runs_days: Some(1), profiles_days: Some(1) };
    let now = By { who: "retention", at: Timestamp(i64::MAX / 2) };
    assert_eq!(demo.expire(kept, "other", now).await.unwrap().runs, 1);
    store.collect(Duration::ZERO).await.unwrap();
    assert_eq!(store.collect(Duration::ZERO).await.unwrap().removed, 0);
    // The first of a new run.
    let again = put(&demo, &shard(5, 2, "b", 20)).await;
    assert_eq!(again.there, [2]);
}

pub async fn shards_are_copied_and_others_may_follow(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let other = Store::open(folder.path()).await.unwrap();
    put(&other, &shard(1, 1, "a", 10)).await;
    put(&other, &shard(2, 2, "b", 20)).await;
    other.put(&run(9)).await.unwrap();
    let copied = store.copy_from(&other).await.unwrap();
    assert_eq!((copied.stored, copied.already_there, copied.lost.len()), (2, 0, 0));
    let copied = store.copy_from(&other).await.unwrap();
    assert_eq!((copied.stored, copied.already_there), (0, 2));
    let last = put(&store, &shard(3, 3, "c", 30)).await;
    assert_eq!((&last.there[..], last.run.measured, last.run.incomplete), (&[1, 2, 3][..], 3, None));
}

//! The promises about what runs have beside their rows: profiles, whose blobs are collected and copied.

use super::*;

pub async fn profiles_come_back_as_they_were(store: Store) {
    let profiles = |count| ["t.py::a", "t.py::b"].map(|name| (name.to_string(), profile(name, count)));
    for number in [1, 2] {
        let profiles = Profiles::from(profiles(u64::from(number)));
        assert_eq!(store.put_with(&run(number), &profiles).await.unwrap(), Put::Stored);
    }
    assert_eq!(store.profile(&run(1).id, "t.py::b").await.unwrap(), Some(profile("t.py::b", 1)));
    assert_eq!(store.profile(&run(2).id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 2)));
    // Again, with others: what is there stays.
    let others = Profiles::from(profiles(9));
    assert_eq!(store.put_with(&run(1), &others).await.unwrap(), Put::AlreadyThere);
    assert_eq!(store.profile(&run(1).id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 1)));
}

pub async fn a_run_may_have_profiles_of_some_benchmarks(store: Store) {
    let profiles = Profiles::from([("t.py::a".to_string(), profile("t.py::a", 1))]);
    store.put_with(&run(1), &profiles).await.unwrap();
    put(&store, &[run(2)]).await;
    assert_eq!(store.profile(&run(1).id, "t.py::b").await.unwrap(), None);
    assert_eq!(store.profile(&run(2).id, "t.py::a").await.unwrap(), None);
    assert_eq!(store.profile("nobody", "t.py::a").await.unwrap(), None);
    assert_eq!(store.profiled(&run(1).id).await.unwrap(), BTreeSet::from(["t.py::a".to_string()]));
    assert_eq!(store.profiled("nobody").await.unwrap(), BTreeSet::new());
    assert_eq!(store.profile(&run(1).id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 1)));
}

pub async fn every_profile_of_a_run_is_there(store: Store) {
    let one = Builder::new("a").finish();
    let kept = Profiles::from([("a".to_string(), one.clone()), ("b".to_string(), one)]);
    let run = Run::started("0190f3c2-7b1e-7cc3-9a54-000000000001", Timestamp(1), Machine::reference_1());
    store.put_with(&run, &kept).await.unwrap();
    assert_eq!(store.profiles(&run.id).await.unwrap(), kept);
    let other = store.create_project("acme/demo", Visibility::Public, by(1)).await.unwrap();
    assert!(other.profiles(&run.id).await.unwrap().is_empty());
}

pub async fn blobs_that_no_row_names_are_collected(store: Store) {
    let kept = Profiles::from([("t.py::a".to_string(), profile("t.py::a", 1))]);
    let lost = Profiles::from([("t.py::a".to_string(), profile("t.py::a", 2))]);
    assert_eq!(store.collect(Duration::ZERO).await.unwrap().removed, 0);
    assert_eq!(store.put_with(&run(1), &kept).await.unwrap(), Put::Stored);
    // It is refused because of its id, after its blobs were written.
    let other = Run { id: run(1).id, ..run(2) };
    assert!(store.put_with(&other, &lost).await.is_err());
    let collected = store.collect(Duration::ZERO).await.unwrap();
    assert_eq!(collected.removed, 2);
    assert!(collected.bytes > 0);
    assert_eq!(store.collect(Duration::ZERO).await.unwrap().removed, 0);
    assert_eq!(store.get(&run(1).id).await.unwrap(), run(1));
    assert_eq!(store.profile(&run(1).id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 1)));
    // What was removed is written again when it is needed.
    assert_eq!(store.put_with(&run(3), &lost).await.unwrap(), Put::Stored);
    assert_eq!(store.profile(&run(3).id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 2)));
}

pub async fn a_collector_spares_what_is_young_or_named_in_another_project(store: Store) {
    let other = store.create_project("acme/demo", Visibility::Public, by(7)).await.unwrap();
    put(&other, &[run(1)]).await;
    let refused = Run { id: run(1).id, ..run(2) };
    assert!(store.put(&refused).await.is_err());
    assert_eq!(store.collect(Duration::from_secs(3600)).await.unwrap().removed, 0);
    assert_eq!(store.collect(Duration::ZERO).await.unwrap().removed, 1);
    assert_eq!(other.get(&run(1).id).await.unwrap(), run(1));
}

pub async fn a_store_can_be_copied_from_another_one_whole(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let other = Store::open(folder.path()).await.unwrap();
    let demo = other.create_project("acme/demo", Visibility::Public, by(7)).await.unwrap();
    demo.set_settings("[compare]\n", by(8)).await.unwrap();
    let profiles = Profiles::from(["t.py::a", "t.py::b"].map(|name| (name.to_string(), profile(name, 1))));
    put(&other, &[run(1), run(2)]).await;
    demo.put_with(&run(3), &profiles).await.unwrap();
    demo.put_verification(&verification(1, [100, 150])).await.unwrap();
    put(&store, &[run(2), run(4)]).await;
    let copied = Copied { projects: 1, stored: 2, already_there: 1, lost: BTreeMap::new() };
    assert_eq!(store.copy_from(&other).await.unwrap(), copied);
    assert_eq!(ids(&store.list(9).await.unwrap()), [run(4).id, run(2).id, run(1).id]);
    let here = store.project("acme/demo").await.unwrap().unwrap();
    assert_eq!(here.about().await.unwrap(), demo.about().await.unwrap());
    assert_eq!(here.get(&run(3).id).await.unwrap(), run(3));
    assert_eq!((here.verified().await.unwrap(), store.verified().await.unwrap()), (1, 0));
    let profiled = ["t.py::a", "t.py::b"].map(str::to_string);
    assert_eq!(here.profiled(&run(3).id).await.unwrap(), BTreeSet::from(profiled));
    assert_eq!(here.profile(&run(3).id, "t.py::b").await.unwrap(), Some(profile("t.py::b", 1)));
    // Again: a copy that was cut off is finished.
    let copied = Copied { already_there: 3, ..Copied::default() };
    assert_eq!(store.copy_from(&other).await.unwrap(), copied);
    // What is lost is said, and the rest comes.
    put(&other, &[run(5), run(6)]).await;
    let before = std::fs::read_dir(folder.path().join("blobs")).unwrap().count();
    assert!(before > 0);
    std::fs::remove_dir_all(folder.path().join("blobs")).unwrap();
    put(&other, &[run(7)]).await;
    let copied = store.copy_from(&other).await.unwrap();
    assert_eq!((copied.stored, copied.lost.len()), (1, 5));
}

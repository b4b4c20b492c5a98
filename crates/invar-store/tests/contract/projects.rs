//! The promises about projects: what one sees of another, and whom a token lets in.

use super::*;

pub async fn projects_are_made_once_and_found_by_name(store: Store) {
    let nameless = Project {
        name: String::new(),
        visibility: Visibility::Private,
        created: Timestamp(0),
        settings: String::new(),
    };
    assert_eq!(store.projects().await.unwrap(), std::slice::from_ref(&nameless));
    assert_eq!(store.about().await.unwrap(), nameless);
    let demo = store.create_project("acme/Demo", Visibility::Public, by(7)).await.unwrap();
    let acme = Project {
        name: "acme/Demo".into(),
        visibility: Visibility::Public,
        created: Timestamp(7),
        ..nameless.clone()
    };
    assert_eq!(demo.about().await.unwrap(), acme);
    // Which project a store is within does not matter for these.
    assert_eq!(demo.projects().await.unwrap(), [nameless, acme.clone()]);
    let again = demo.create_project("ACME/demo", Visibility::Private, by(8)).await.unwrap_err();
    assert_eq!(again, CreateProjectError::Taken { name: "ACME/demo".into() });
    let error = store.create_project("demo", Visibility::Public, by(9)).await.unwrap_err();
    assert_eq!(error, CreateProjectError::Name { name: "demo".into() });
    let found = store.project("Acme/demo").await.unwrap().unwrap();
    assert_eq!(found.about().await.unwrap(), acme);
    assert_eq!(demo.project("").await.unwrap().unwrap().about().await.unwrap().name, "");
    assert!(store.project("acme").await.unwrap().is_none());
    assert!(store.project("acme/dem_").await.unwrap().is_none());
}

pub async fn a_project_has_settings_and_somebody_who_may_see_it(store: Store) {
    let demo = store.create_project("acme/demo", Visibility::Public, by(7)).await.unwrap();
    demo.set_settings("[compare]\n", by(8)).await.unwrap();
    demo.show_to(Visibility::Private, by(9)).await.unwrap();
    let about = demo.about().await.unwrap();
    assert_eq!((about.settings.as_str(), about.visibility), ("[compare]\n", Visibility::Private));
    assert_eq!(store.about().await.unwrap().settings, "");
}

pub async fn nothing_is_seen_from_another_project(store: Store) {
    let other = store.create_project("acme/demo", Visibility::Public, by(7)).await.unwrap();
    let profiles = Profiles::from([("t.py::a".to_string(), profile("t.py::a", 1))]);
    let kept = on("abc1", "main", run(1));
    assert_eq!(other.put_with(&kept, &profiles).await.unwrap(), Put::Stored);
    assert!(matches!(store.get(&kept.id).await, Err(GetError::Unknown { .. })));
    assert_eq!(store.list(9).await.unwrap(), []);
    assert_eq!(store.find(&kept.id).await.unwrap(), Found::None);
    assert_eq!(latest(&store, Wanted::default()).await, None);
    assert!(store.commits_measured(&way()).await.unwrap().is_empty());
    assert_eq!(store.runs(&listing(9)).await.unwrap(), []);
    assert_eq!(store.commits(&listing(9)).await.unwrap(), []);
    assert!(store.branches(9).await.unwrap().is_empty());
    assert!(store.commits_starting("abc1").await.unwrap().is_empty());
    assert_eq!(store.way(&kept.id).await.unwrap(), None);
    assert_eq!(store.ways("t.py::a").await.unwrap(), []);
    assert_eq!(store.history("t.py::a", &way(), None, Trees::All, 9).await.unwrap().points, []);
    assert_eq!(store.histories(&[Summary::of(&kept)], &way()).await.unwrap(), []);
    assert_eq!(store.profile(&kept.id, "t.py::a").await.unwrap(), None);
    // And everything from its own.
    assert_eq!(other.get(&kept.id).await.unwrap(), kept);
    assert_eq!(other.history("t.py::a", &way(), None, Trees::All, 9).await.unwrap().points.len(), 1);
    assert_eq!(other.profile(&kept.id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 1)));
}

pub async fn a_series_is_its_projects(store: Store) {
    let other = store.create_project("acme/demo", Visibility::Public, by(7)).await.unwrap();
    put(&store, &[on("a", "main", run(1)), on("a", "main", run(3))]).await;
    put(&other, &[on("a", "main", run(2)), on("a", "main", run(4))]).await;
    for (store, expected) in [(&store, [1, 3]), (&other, [2, 4])] {
        let history = store.history("t.py::a", &way(), Some("main"), Trees::Clean, 9).await.unwrap();
        let counts = history.points.iter().map(|point| point.reading.events.get(Event::Instructions));
        assert_eq!(counts.collect::<Vec<_>>(), expected);
        assert_eq!(store.commits(&listing(9)).await.unwrap().len(), 1);
    }
}

pub async fn an_id_names_one_run_among_all_projects(store: Store) {
    let other = store.create_project("acme/demo", Visibility::Public, by(7)).await.unwrap();
    put(&store, &[run(1)]).await;
    assert!(matches!(other.put(&run(1)).await, Err(PutError::Taken { .. })));
    assert_eq!(other.list(9).await.unwrap(), []);
    assert_eq!(store.get(&run(1).id).await.unwrap(), run(1));
}

fn new_token(digest: &str, expires: Option<i64>) -> NewToken<'_> {
    NewToken { name: "ci", digest, scopes: "read upload", expires: expires.map(Timestamp) }
}

pub async fn a_token_lets_into_its_project_until_it_is_revoked(store: Store) {
    let here = store.create_project("acme/demo", Visibility::Private, by(1)).await.unwrap();
    let other = store.create_project("acme/other", Visibility::Private, by(1)).await.unwrap();
    let number = here.create_token(&new_token("d1", None), by(5)).await.unwrap();
    assert!(other.tokens().await.unwrap().is_empty());
    assert!(store.use_token("d2", Timestamp(9)).await.unwrap().is_none());
    let (within, token) = store.use_token("d1", Timestamp(9)).await.unwrap().unwrap();
    assert_eq!(within.about().await.unwrap().name, "acme/demo");
    assert_eq!((token.name.as_str(), token.scopes.as_str(), token.used), ("ci", "read upload", None));
    // Noted, and not again within the same minute.
    for (now, used) in [(50, 9), (60_000_009, 60_000_009), (1, 1)] {
        store.use_token("d1", Timestamp(now)).await.unwrap().unwrap();
        assert_eq!(here.tokens().await.unwrap()[0].used, Some(Timestamp(used)), "{now}");
    }
    assert!(!other.revoke_token(number, by(9)).await.unwrap());
    assert!(here.revoke_token(number, by(9)).await.unwrap());
    assert!(!here.revoke_token(number, by(9)).await.unwrap());
    assert!(store.use_token("d1", Timestamp(99)).await.unwrap().is_none());
    assert!(here.create_token(&new_token("d3", None), by(5)).await.unwrap() > number);
}

pub async fn a_token_that_has_expired_lets_in_nowhere(store: Store) {
    let here = store.create_project("acme/demo", Visibility::Private, by(1)).await.unwrap();
    here.create_token(&new_token("d1", Some(100)), by(5)).await.unwrap();
    assert!(store.use_token("d1", Timestamp(99)).await.unwrap().is_some());
    assert!(store.use_token("d1", Timestamp(100)).await.unwrap().is_none());
    assert_eq!(here.tokens().await.unwrap()[0].expires, Some(Timestamp(100)));
}

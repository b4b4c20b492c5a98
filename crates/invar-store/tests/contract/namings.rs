//! The promises about names of benchmarks: what was decided, until it is taken back.

use invar_core::naming::RenameError;
use invar_store::{IgnoredBenchmark, NameError, names};

use super::*;

pub async fn a_benchmark_is_renamed_or_archived_until_that_is_taken_back(store: Store) {
    let demo = store.create_project("acme/demo", Visibility::Private, by(1)).await.unwrap();
    assert_eq!(demo.named().await.unwrap(), 0);
    let renamed = demo.rename_benchmark("t.py::a", "t.py::b", by(5)).await.unwrap();
    let archived = demo.archive_benchmark("t.py::c", by(6)).await.unwrap();
    let held = demo.namings().await.unwrap();
    assert_eq!(held.iter().map(|it| it.number).collect::<Vec<_>>(), [renamed, archived]);
    assert_eq!(
        (held[0].becomes.as_deref(), held[0].who.as_str(), held[0].at),
        (Some("t.py::b"), "ada", Timestamp(5))
    );
    let found = names(&held);
    assert_eq!((found.today("t.py::a"), found.is_archived("t.py::c")), ("t.py::b", true));
    // Of another project nothing is known.
    assert_eq!((store.namings().await.unwrap().len(), store.named().await.unwrap()), (0, 0));
    assert!(!store.undo_naming(renamed, by(7)).await.unwrap());
    let before = demo.named().await.unwrap();
    assert!(demo.undo_naming(renamed, by(7)).await.unwrap());
    assert!(!demo.undo_naming(renamed, by(7)).await.unwrap());
    assert!(demo.undo_naming(archived, by(8)).await.unwrap());
    assert!(demo.named().await.unwrap() > before);
    assert_eq!(demo.namings().await.unwrap(), []);
    let said: Vec<String> = demo.audit(4).await.unwrap().into_iter().map(|entry| entry.what).collect();
    assert_eq!(
        said,
        [
            "took the benchmark t.py::c out of the archive",
            "took back that the benchmark t.py::a is t.py::b",
            "archived the benchmark t.py::c",
            "renamed the benchmark t.py::a: it is t.py::b",
        ]
    );
}

pub async fn names_lead_in_no_circle_whoever_decides_at_once(store: Store) {
    store.rename_benchmark("a", "b", by(5)).await.unwrap();
    let refused = async |from, to| store.rename_benchmark(from, to, by(6)).await.unwrap_err();
    assert_eq!(refused("b", "a").await, NameError::Rename(RenameError::Circle));
    assert_eq!(refused("a", "c").await, NameError::Rename(RenameError::Taken("b".into())));
    store.archive_benchmark("b", by(6)).await.unwrap();
    assert_eq!(store.archive_benchmark("a", by(6)).await.unwrap_err(), NameError::Archived);
    let links = (0..6).map(|number| (format!("x{number}"), format!("x{}", (number + 1) % 6)));
    let renames = links.map(|(from, to)| {
        let store = store.clone();
        tokio::spawn(async move { store.rename_benchmark(&from, &to, by(7)).await.is_ok() })
    });
    let done: Vec<bool> = join_all(renames).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(done.iter().filter(|done| **done).count(), 5, "{done:?}");
}

pub async fn names_follow_what_another_store_has_decided(store: Store) {
    store.archive_benchmark("mine", by(1)).await.unwrap();
    let decided = [("a".to_string(), Some("b".to_string())), ("c".to_string(), None)];
    assert!(store.follow_names(&decided, by(2)).await.unwrap());
    assert!(!store.follow_names(&decided, by(3)).await.unwrap());
    let names = invar_store::names(&store.namings().await.unwrap());
    assert_eq!((names.today("a"), names.is_archived("c"), names.is_archived("mine")), ("b", true, false));
    assert!(store.follow_names(&[], by(4)).await.unwrap());
    assert_eq!(store.namings().await.unwrap(), []);
}

pub async fn a_benchmark_is_ignored_until_that_is_taken_back(store: Store) {
    let demo = store.create_project("acme/demo", Visibility::Private, by(1)).await.unwrap();
    let first = demo.ignore_benchmark("t.py::a", "flaky", by(5)).await.unwrap();
    let second = demo.ignore_benchmark("t.py::a", "it waits", by(6)).await.unwrap();
    let held = demo.ignored().await.unwrap();
    let expected = IgnoredBenchmark {
        number: second,
        benchmark: "t.py::a".to_string(),
        reason: "it waits".to_string(),
        who: "ada".to_string(),
        at: Timestamp(6),
    };
    assert_eq!(held, [expected]);
    assert_eq!(store.ignored().await.unwrap(), []);
    assert!(!demo.undo_ignoring(first, by(7)).await.unwrap());
    assert!(!store.undo_ignoring(second, by(7)).await.unwrap());
    assert!(demo.undo_ignoring(second, by(7)).await.unwrap());
    assert!(!demo.undo_ignoring(second, by(8)).await.unwrap());
    assert_eq!(demo.ignored().await.unwrap(), []);
    let said: Vec<String> = demo.audit(2).await.unwrap().into_iter().map(|entry| entry.what).collect();
    assert_eq!(
        said,
        ["took back that the benchmark t.py::a is ignored", "ignores the benchmark t.py::a: it waits"]
    );
}

//! Benchmarks that are renamed, merged and archived: what pages show then, and after it was taken back.

use axum::http::StatusCode;
use invar_core::event::{Event, Events};
use invar_core::run::Run;
use invar_store::{Profiles, Role, Store};

use crate::browser::Browser;
use crate::fixture::{Asking, BY, PUBLIC, run};

/// A run of the main branch in which each of these costs so much.
fn costing(number: u32, benchmarks: &[(&str, u64)]) -> Run {
    let mut run = run(number);
    run.started.0 += i64::from(number);
    let source = run.source.as_mut().unwrap();
    source.parents = vec![format!("{:040x}", number - 1)];
    let one = run.measurements.pop().unwrap();
    for (name, instructions) in benchmarks {
        let mut one = one.clone();
        one.benchmark = invar_core::benchmark::Benchmark::named(name);
        let mut warm = Events::default();
        warm.add(Event::Instructions, *instructions);
        one.warm = warm;
        run.measurements.push(one);
    }
    run
}

/// A project whose test was renamed with the third commit, and one of whose tests was given up.
async fn renamed() -> (Asking, Store, Browser) {
    let asking = Asking::new().await;
    let store = asking.store.project(PUBLIC).await.unwrap().unwrap();
    store.set_settings("default_branch = \"main\"\n", BY).await.unwrap();
    let old =
        Profiles::from([("t.py::old".to_string(), invar_core::profile::Builder::new("t.py::old").finish())]);
    store.put_with(&costing(1, &[("t.py::old", 1000), ("t.py::gone", 5)]), &old).await.unwrap();
    store.put_with(&costing(2, &[("t.py::old", 1000), ("t.py::gone", 5)]), &old).await.unwrap();
    store.put(&costing(3, &[("t.py::new", 2000)])).await.unwrap();
    asking.account("ada", false, Some((PUBLIC, Role::Admin))).await;
    let ada = Browser::signed_in(&asking, "ada").await;
    (asking, store, ada)
}

fn at(rest: &str) -> String {
    format!("/{PUBLIC}{rest}")
}

#[tokio::test]
async fn a_history_goes_on_under_the_new_name_and_back() {
    let (asking, store, mut ada) = renamed().await;
    let page = at("/settings/benchmarks");
    let points = async |ada: &mut Browser, name: &str| {
        let said = ada.get(&asking, &at(&format!("/b/{name}.json"))).await.json();
        said["series"][0]["points"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((points(&mut ada, "t.py::old").await, points(&mut ada, "t.py::new").await), (2, 1));
    let commit = at(&format!("/commits/{:040x}.json", 3));
    let counts = async |ada: &mut Browser| ada.get(&asking, &commit).await.json()["counts"].clone();
    assert_eq!(counts(&mut ada).await["dropped"], 2);
    let fields = [("benchmark", "t.py::old"), ("becomes", "t.py::new")];
    assert_eq!(ada.send(&asking, &page, &page, &fields).await.status, StatusCode::SEE_OTHER);
    assert_eq!(points(&mut ada, "t.py::new").await, 3);
    // The comparison of the third commit is one of what was renamed, too: it costs twice as much.
    let judged = counts(&mut ada).await;
    assert_eq!((&judged["dropped"], &judged["new"], &judged["regressed"]), (&1.into(), &0.into(), &1.into()));
    // The old address leads to the new one, in every form.
    for form in ["", ".json", ".csv"] {
        let moved = ada.get(&asking, &at(&format!("/b/t.py::old{form}?branch=main"))).await;
        assert_eq!(moved.location, at(&format!("/b/t.py::new{form}?branch=main")));
    }
    let shown = ada.get(&asking, &at("/b/t.py::new")).await.text();
    assert!(shown.contains("Before: ") && shown.contains("t.py::old"), "{shown}");
    // Its profiles are there, as are its results in lists, runs and searches.
    let flame = at(&format!("/runs/{}/b/t.py::new/flame", costing(1, &[]).id));
    assert_eq!(ada.get(&asking, &flame).await.status, StatusCode::OK);
    let list = ada.get(&asking, &at("/benchmarks.csv")).await.text();
    assert!(list.contains("t.py::new") && !list.contains("t.py::old"), "{list}");
    let found = ada.get(&asking, &at("/search.json?q=old")).await.text();
    assert!(found.contains("\"t.py::new\"") && found.contains("was t.py::old"), "{found}");
    // A comparison that was judged before is judged anew.
    let number = store.namings().await.unwrap()[0].number.to_string();
    assert_eq!(ada.send(&asking, &page, &page, &[("undo", &number)]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(counts(&mut ada).await["dropped"], 2);
    assert_eq!(points(&mut ada, "t.py::new").await, 1);
}

#[tokio::test]
async fn an_archived_benchmark_is_neither_listed_nor_missing_nor_dropped() {
    let (asking, store, mut ada) = renamed().await;
    let page = at("/settings/benchmarks");
    let commit = at(&format!("/commits/{:040x}", 3));
    for address in ["/overview", "/benchmarks"] {
        assert!(ada.get(&asking, &at(address)).await.text().contains("gone"), "{address}");
    }
    assert!(ada.get(&asking, &page).await.text().contains("Not in the newest commit"));
    assert_eq!(
        ada.send(&asking, &page, &page, &[("archive", "t.py::gone")]).await.status,
        StatusCode::SEE_OTHER
    );
    for address in [at("/overview"), at("/benchmarks"), commit, at("/search?q=gon")] {
        let shown = ada.get(&asking, &address).await.text();
        assert!(!shown.contains("t.py::gone"), "{address}: {shown}");
    }
    let history = ada.get(&asking, &at("/b/t.py::gone")).await.text();
    assert!(history.contains("This benchmark is archived"), "{history}");
    let again = ada.send(&asking, &page, &page, &[("archive", "t.py::gone")]).await;
    assert!(again.status == StatusCode::UNPROCESSABLE_ENTITY && again.text().contains("archived already"));
    let number = store.namings().await.unwrap()[0].number.to_string();
    ada.send(&asking, &page, &page, &[("undo", &number)]).await;
    assert!(ada.get(&asking, &at("/benchmarks")).await.text().contains("gone"));
    let log = ada.get(&asking, &at("/settings/log")).await.text();
    assert!(log.contains("archived the benchmark t.py::gone") && log.contains("out of the archive"), "{log}");
}

#[tokio::test]
async fn what_nobody_measures_is_not_renamed_and_names_make_no_circle() {
    let (asking, _, mut ada) = renamed().await;
    let page = at("/settings/benchmarks");
    let refused = async |ada: &mut Browser, benchmark: &str, becomes: &str, why: &str| {
        let said = ada.send(&asking, &page, &page, &[("benchmark", benchmark), ("becomes", becomes)]).await;
        assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(said.text().contains(why), "{}", said.text());
    };
    refused(&mut ada, "t.py::odl", "t.py::new", "No run calls a benchmark").await;
    refused(&mut ada, "t.py::old", "", "is empty").await;
    refused(&mut ada, "t.py::old", "t.py::old", "called already").await;
    ada.send(&asking, &page, &page, &[("benchmark", "t.py::old"), ("becomes", "t.py::new")]).await;
    refused(&mut ada, "t.py::new", "t.py::old", "called already").await;
    refused(&mut ada, "t.py::old", "t.py::gone", "take that back first").await;
}

#[tokio::test]
async fn an_ignored_benchmark_is_shown_and_decides_nothing_until_that_is_taken_back() {
    let (asking, store, mut ada) = renamed().await;
    let page = at("/settings/benchmarks");
    // It costs twice as much in the newest commit, which is the only thing that changed.
    store.put(&costing(4, &[("t.py::new", 4000)])).await.unwrap();
    let decides = async |ada: &mut Browser| {
        let report = ada.get(&asking, &at(&format!("/commits/{:040x}.json", 4))).await.json();
        let badge = ada.get(&asking, &at("/badge.json")).await.text();
        let overview = ada.get(&asking, &at("/overview.json")).await.json();
        let attention = overview["attention"].as_array().unwrap().len();
        (report["blocks"].as_bool().unwrap(), report["headline"].to_string(), badge, attention)
    };
    let before = decides(&mut ada).await;
    assert!(before.0 && before.3 == 1, "{before:?}");
    let fields = [("ignore", "t.py::new"), ("reason", "it waits for a disk")];
    assert_eq!(ada.send(&asking, &page, &page, &fields).await.status, StatusCode::SEE_OTHER);
    let ignored = decides(&mut ada).await;
    assert!(!ignored.0 && ignored.1 != before.1 && ignored.2 != before.2 && ignored.3 == 0, "{ignored:?}");
    let report = ada.get(&asking, &at(&format!("/commits/{:040x}.json", 4))).await.json();
    let row = &report["benchmarks"][0];
    assert_eq!((&row["verdict"], &row["blocking"]), (&"regressed".into(), &false.into()));
    assert_eq!((&row["ignored"]["who"], &row["ignored"]["reason"]), (&"ada".into(), &fields[1].1.into()));
    assert_eq!(report["notes"][0], "1 benchmark that changed is ignored.");
    for address in
        [at(&format!("/commits/{:040x}", 4)), page.clone(), at("/b/t.py::new"), at("/settings/log")]
    {
        let shown = ada.get(&asking, &address).await.text();
        assert!(shown.contains("it waits for a disk"), "{address}: {shown}");
    }
    // By another name it is the same benchmark.
    store.rename_benchmark("t.py::new", "t.py::newer", BY).await.unwrap();
    assert!(!decides(&mut ada).await.0);
    let number = store.ignored().await.unwrap()[0].number.to_string();
    assert_eq!(ada.send(&asking, &page, &page, &[("regard", &number)]).await.status, StatusCode::SEE_OTHER);
    let after = decides(&mut ada).await;
    assert!(after.0 && after.3 == 1, "{after:?}");
    // What says nothing, or nothing that is there, is refused.
    for fields in [[("ignore", "t.py::new"), ("reason", "")], [("ignore", "t.py::nothing"), ("reason", "x")]]
    {
        assert_eq!(ada.send(&asking, &page, &page, &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
}

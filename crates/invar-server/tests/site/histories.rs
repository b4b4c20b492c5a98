//! What is kept between requests is what would be read anew: a site that has followed its store, beside one that starts now.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use futures_util::future::join_all;
use invar_core::diagnostic::Diagnostic;
use invar_core::run::Run;

use crate::fixture::{Asking, run};

/// Pages that show what every benchmark did, with their twins.
const ADDRESSES: [&str; 11] = [
    "/",
    "/overview.json",
    "/overview.csv",
    "/benchmarks",
    "/benchmarks.json",
    "/benchmarks.csv?sort=change",
    "/benchmarks.json?branch=side",
    "/benchmarks?branch=side&sort=time",
    "/b/tests/test_1.py::test_1.json",
    "/b/tests/test_1.py::test_1.csv?branch=*&trees=all",
    "/b/tests/test_0.py::test_0.json?branch=side&over=branch:main&points=7",
];

/// A run of a history in which benchmarks come, go, fail, change, and are measured on two branches, some of it dirty.
fn step(number: u32) -> Run {
    let name = |index: u32| format!("tests/test_{}.py::test_{index}", index % 3);
    let there = |index: &u32| match index {
        7 => number >= 9,
        8 => number <= 20,
        9 => !number.is_multiple_of(4),
        _ => true,
    };
    let costs: Vec<(String, u64)> = (0..12)
        .filter(there)
        .map(|index| (name(index), 2000 * u64::from(100 + index + (number / 5 * index) % 7 * 10)))
        .collect();
    let costs: Vec<(&str, u64)> = costs.iter().map(|(name, cost)| (name.as_str(), *cost)).collect();
    let mut run = run(number, if number % 5 == 3 { "side" } else { "main" }, &costs);
    if number % 6 == 1 {
        run.measurements[2].diagnostics.insert(Diagnostic::Failed);
    }
    run.source.as_mut().unwrap().dirty = number % 11 == 10;
    run
}

#[tokio::test]
async fn a_site_that_follows_its_store_shows_what_one_does_that_starts_now() {
    let follows = Asking::of(&[step(1)]).await;
    // More commits of `main` than a page goes back.
    for number in 2..52 {
        follows.store.put(&step(number)).await.unwrap();
        // Not after every run, so that more than one is new at times.
        if number % 7 == 2 {
            continue;
        }
        let starts = follows.restarted();
        for address in ADDRESSES {
            let (kept, anew) = (follows.page(address).await, starts.page(address).await);
            assert!(kept == anew, "{address} after run {number}:\n{kept}\n{anew}");
        }
    }
}

#[tokio::test]
async fn who_asks_at_the_same_time_is_told_the_same() {
    let runs: Vec<Run> = (1..12).map(step).collect();
    let asking = Arc::new(Asking::of(&runs).await);
    let expected = asking.restarted().page("/benchmarks.json").await;
    let clients = (0..16).map(|_| {
        let asking = Arc::clone(&asking);
        tokio::spawn(async move { asking.page("/benchmarks.json").await })
    });
    for said in join_all(clients).await {
        assert_eq!(said.unwrap(), expected);
    }
}

#[tokio::test]
async fn who_asks_first_and_goes_away_keeps_nobody_waiting() {
    let runs: Vec<Run> = (1..12).map(step).collect();
    let asking = Asking::of(&runs).await;
    let expected = asking.restarted().page("/benchmarks.json").await;
    // Stopped at whatever it waits for first, second and so on, until it is answered.
    for polls in 0.. {
        let asking = asking.restarted();
        let mut first = Box::pin(asking.page("/benchmarks.json"));
        let mut left = polls;
        let stopped = std::future::poll_fn(|context| match first.as_mut().poll(context) {
            std::task::Poll::Ready(said) => std::task::Poll::Ready(Some(said)),
            std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => {
                left -= 1;
                std::task::Poll::Pending
            }
        });
        let answered = stopped.await;
        drop(first);
        assert_eq!(asking.page("/benchmarks.json").await, expected);
        if let Some(said) = answered {
            assert!(polls > 0, "it was stopped nowhere");
            assert_eq!(said, expected);
            return;
        }
    }
}

#[tokio::test]
async fn who_has_the_data_of_a_history_is_told_so_until_there_is_more() {
    let address = "/b/tests/test_1.py::test_1.json";
    let asking = Asking::of(&[step(1), step(2)]).await;
    let ask = async |asking: &Asking, has: &str| {
        let request = Request::get(address).header("host", "127.0.0.1").header("if-none-match", has);
        asking.ask(request.body(Body::empty()).unwrap()).await
    };
    let first = asking.get(address).await;
    let tag = first.header("etag").to_string();
    // From memory, and by a server that has not written it yet.
    for asking in [&asking, &asking.restarted()] {
        let again = ask(asking, &tag).await;
        assert_eq!(
            (again.status.as_u16(), again.body.as_str(), again.header("etag")),
            (304, "", tag.as_str())
        );
    }
    asking.store.put(&step(4)).await.unwrap();
    let more = ask(&asking, &tag).await;
    assert_eq!(more.status.as_u16(), 200);
    assert!(more.body.len() > first.body.len() && more.header("etag") != tag);
}

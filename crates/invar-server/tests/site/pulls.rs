//! Commits, branches that would be merged, and finding things.

use axum::http::StatusCode;
use serde_json::Value;

use crate::fixture::{Asking, commit, history, run, words};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_commit_says_what_it_did_against_the_one_before() {
    let asking = Asking::of(&history()).await;
    let address = format!("/commits/{}", commit(2));
    let text = words(&asking.page(&address).await);
    assert!(text.contains("art049 · 25 Jul 2024, 14:00 UTC"), "{text}");
    assert!(text.contains("02c0ffe degrades performance by 20.0 %"), "{text}");
    assert!(text.contains("Against 01c0ffe , the commit before."), "{text}");
    assert!(text.contains("▼ 1 regressed") && text.contains("▼ +20.0 %"), "{text}");
    assert_eq!(
        json(&asking.page(&format!("{address}.json?verdict=regressed")).await)["benchmarks"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let short = asking.get("/commits/02c0.json").await;
    assert_eq!(
        (short.status, short.header("location")),
        (StatusCode::SEE_OTHER, &*format!("{address}.json"))
    );
}

#[tokio::test]
async fn the_first_commit_has_nothing_before_it() {
    let asking = Asking::of(&history()).await;
    let text = words(&asking.page(&format!("/commits/{}", commit(1))).await);
    assert!(text.contains("No baseline for main yet: 2 benchmarks recorded"), "{text}");
    assert!(json(&asking.page(&format!("/commits/{}.json", commit(1))).await)["base"].is_null());
}

#[tokio::test]
async fn a_branch_is_judged_by_where_it_left_the_default_branch() {
    let mut runs = history();
    let mut second =
        run(5, "faster", &[("tests/test_fibo.py::big", 3_000_000), ("tests/test_fibo.py::small", 2400)]);
    second.source.as_mut().unwrap().merge_base = Some(commit(3));
    runs.push(second);
    let asking = Asking::of(&runs).await;
    let page = asking.page("/pulls/faster").await;
    let text = words(&page);
    assert!(text.contains("Merging faster will degrade performance by 25.0 %"), "{text}");
    assert!(text.contains("The baseline is the merge base with main."), "{text}");
    // The strip: what merging each commit would have done.
    assert!(text.contains("04c0ffe ▲ 33.3 %") && text.contains("05c0ffe ▼ 25.0 %"), "{text}");
    let first = words(&asking.page(&format!("/pulls/faster?head={}", commit(4))).await);
    assert!(first.contains("Merging faster will improve performance by 33.3 %"), "{first}");
    assert_eq!(asking.get("/pulls/faster?head=nothing").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn branches_are_listed_until_they_are_merged() {
    let mut runs = history();
    // The branch's commit, measured on the default branch.
    let mut merged = run(6, "main", &[("tests/test_fibo.py::big", 1_800_000)]);
    merged.source.as_mut().unwrap().commit = Some(commit(4));
    let asking = Asking::of(&runs).await;
    let open = words(&asking.page("/pulls").await);
    assert!(
        open.contains("faster Change number 4") && open.contains("▲ 1 improved") && open.contains("✓ free"),
        "{open}"
    );
    runs.push(merged);
    let asking = Asking::of(&runs).await;
    let open = words(&asking.page("/pulls").await);
    assert!(open.contains("All 1 measured branches have been merged."), "{open}");
    assert!(words(&asking.page("/pulls?show=all").await).contains("faster merged"));
}

#[tokio::test]
async fn a_search_finds_benchmarks_commits_and_branches() {
    let asking = Asking::of(&history()).await;
    let found = async |query: &str| -> Vec<String> {
        let json = json(&asking.page(&format!("/search.json?q={query}")).await);
        let found = json["found"].as_array().unwrap().iter();
        found
            .map(|found| format!("{} {}", found["kind"].as_str().unwrap(), found["name"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(
        found("FIBO").await,
        ["benchmark tests/test_fibo.py::big", "benchmark tests/test_fibo.py::small"]
    );
    assert_eq!(found("number%203").await, ["commit 03c0ffe"]);
    assert_eq!(found("03c0").await, ["commit 03c0ffe"]);
    assert_eq!(found("fast").await, ["branch faster"]);
    // What means something in a pattern means itself.
    for nothing in ["%25", "t_st_", "nothing", "%5C"] {
        assert_eq!(found(nothing).await, Vec::<String>::new(), "{nothing}");
    }
    assert!(words(&asking.page("/search?q=nothing").await).contains("Nothing found"));
    let text = words(&asking.page("/search?q=fast").await);
    assert!(text.contains("branches") && text.contains("faster"), "{text}");
}

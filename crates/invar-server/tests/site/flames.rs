//! Flame graphs, their differences, and who pays.

use axum::http::StatusCode;
use serde_json::Value;

use crate::fixture::{Asking, history, profiled, run, words};

const BIG: &str = "tests/test_fibo.py::big";

async fn asking() -> Asking {
    Asking::with_profiles(&profiled(), |_| ()).await
}

fn id(number: u32) -> String {
    run(number, "main", &[]).id
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_flame_graph_is_a_table_for_who_has_no_script() {
    let page = asking().await.page(&format!("/runs/{}/b/{BIG}/flame", id(3))).await;
    let text = words(&page);
    assert!(text.contains("Who pays: 2.40 M cycles"), "{text}");
    // Half of the instructions are Python's own, and two cycles each.
    assert!(text.contains("work<T>") || text.contains("work&#60;T&#62;"), "{text}");
    assert!(text.contains("Python · fibo.py:12") && text.contains("1.20 M 2.40 M 1"), "{text}");
    assert!(page.contains("data-from=\"/runs/") && page.contains("flame.json\""), "{page}");
}

#[tokio::test]
async fn its_numbers_are_asked_for_as_json() {
    let asking = asking().await;
    let numbers =
        json(&asking.page(&format!("/runs/{}/b/{BIG}/flame.json?measure=instructions", id(3))).await);
    assert_eq!((&numbers["invar_flame"], &numbers["benchmark"]), (&1.into(), &BIG.into()));
    assert_eq!(numbers["shown"]["measure"], 1);
    let csv = asking.page(&format!("/runs/{}/b/{BIG}/flame.csv?measure=instructions", id(3))).await;
    assert!(csv.starts_with("function,object,file,line,kind,own_instructions,"), "{csv}");
    assert!(csv.contains("fib,,fibo.py,12,python,600000,1200000,1\r\n"), "{csv}");
}

#[tokio::test]
async fn the_difference_of_two_runs_says_who_pays_for_it() {
    let asking = asking().await;
    let address = format!("/compare/{}...{}/b/{BIG}", id(1), id(2));
    let text = words(&asking.page(&address).await);
    assert!(text.contains("Who pays for the change: 2.00 M cycles → 2.40 M cycles"), "{text}");
    assert!(text.contains("▼ +20.0 %"), "{text}");
    assert!(text.contains("fib (fibo.py:12): +400 k cycles"), "{text}");
    assert!(text.contains("+200 k +400 k ="), "{text}");
    let numbers = json(&asking.page(&format!("{address}.json")).await);
    assert_eq!(numbers["sides"].as_array().unwrap().len(), 2);
    let csv = asking.page(&format!("{address}.csv")).await;
    assert!(csv.contains("fib,,fibo.py,12,python,1000000,1200000,2000000,2400000,1,1\r\n"), "{csv}");
    // By branch it is the same, and offers its permalink.
    let by_branch = asking.page(&format!("/compare/{}...main/b/{BIG}", id(1))).await;
    assert!(by_branch.contains("Permalink of these two runs"));
}

#[tokio::test]
async fn a_comparison_names_who_pays_and_leads_to_the_picture() {
    let asking = asking().await;
    let page = asking.page("/compare/02c0ffee...faster").await;
    let text = words(&page);
    assert!(text.contains("−600 k fib"), "{text}");
    assert!(page.contains(&format!("href=\"/compare/{}...{}/b/{BIG}\"", id(2), id(4))), "{page}");
    let report = json(&asking.page("/compare/02c0ffee...faster.json").await);
    assert!(report["benchmarks"][0].to_string().contains("fib"), "{report}");
    let run = asking.page(&format!("/runs/{}", id(3))).await;
    assert_eq!(run.matches(">Flame graph<").count(), 3, "{run}");
    let history = asking.page(&format!("/b/{BIG}")).await;
    assert!(history.contains(&format!("href=\"/compare/{}...{}/b/{BIG}\"", id(1), id(2))), "{history}");
}

#[tokio::test]
async fn a_profile_goes_to_other_tools_as_a_file() {
    let asking = asking().await;
    for (format, start) in [
        ("speedscope", "{\"$schema\""),
        ("firefox", "{\"meta\""),
        ("callgrind", "# callgrind format"),
        ("folded", "tests/test_fibo.py::big;fib (fibo.py:12)"),
        ("pprof", ""),
    ] {
        let said = asking.get(&format!("/runs/{}/b/{BIG}/flame/{format}", id(3))).await;
        assert_eq!(said.status, StatusCode::OK, "{format}");
        assert!(
            said.body.trim_start().starts_with(start),
            "{format}: {}",
            &said.body[..60.min(said.body.len())]
        );
        let name = said.header("content-disposition");
        assert!(name.starts_with("attachment; filename=\"invar-big."), "{format}: {name}");
    }
    let nothing = asking.get(&format!("/runs/{}/b/{BIG}/flame/nothing", id(3))).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_name_leads_to_the_run_that_it_means() {
    let said = asking().await.get(&format!("/runs/faster/b/{BIG}/flame.json")).await;
    assert_eq!(said.status, StatusCode::SEE_OTHER);
    assert_eq!(said.header("location"), format!("/runs/{}/b/{BIG}/flame.json", id(4)));
}

#[tokio::test]
async fn without_profiles_everything_else_is_there() {
    let asking = Asking::of(&history()).await;
    let said = asking.get(&format!("/runs/{}/b/{BIG}/flame", id(3))).await;
    assert_eq!(said.status, StatusCode::NOT_FOUND);
    assert!(words(&said.body).contains("has no profile of `tests/test_fibo.py::big`"), "{}", said.body);
    for page in [format!("/runs/{}", id(3)), "/compare/02c0ffee...faster".to_string(), format!("/b/{BIG}")] {
        assert!(!asking.page(&page).await.contains("/flame\""), "{page}");
    }
    assert!(!words(&asking.page("/compare/02c0ffee...faster").await).contains("Who pays"));
}

#[tokio::test]
async fn a_lost_profile_is_said_and_the_rest_is_shown() {
    let asking = asking().await;
    std::fs::remove_dir_all(asking.folder().join("profiles")).unwrap();
    let lost = asking.get(&format!("/runs/{}/b/{BIG}/flame", id(3))).await;
    assert_eq!(lost.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(lost.body.contains("This profile could not be read."), "{}", lost.body);
    let text = words(&asking.page("/compare/02c0ffee...faster").await);
    assert!(text.contains("Who pays is not known: a profile could not be read"), "{text}");
}

//! What the pages say, and their twins.

use axum::http::StatusCode;
use invar_core::machine::Machine;
use invar_core::noise::Verification;
use serde_json::Value;

use crate::fixture::{Asking, commit, history, measurement, run, words};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn id(number: u32) -> String {
    run(number, "main", &[]).id
}

#[tokio::test]
async fn the_overview_says_how_the_project_does() {
    let asking = Asking::of(&history()).await;
    insta::assert_snapshot!(words(&asking.page("/").await));
}

#[tokio::test]
async fn a_comparison_is_the_report() {
    let asking = Asking::of(&history()).await;
    insta::assert_snapshot!(words(&asking.page("/compare/main...faster").await));
}

#[tokio::test]
async fn a_change_within_the_noise_floor_is_none_as_soon_as_it_was_verified() {
    let runs = [run(1, "main", &[("a", 100_000)]), run(2, "main", &[("a", 108_000)])];
    let asking = Asking::of(&runs).await;
    let address = format!("/compare/{}...{}", runs[0].id, runs[1].id);
    assert!(asking.page(&address).await.contains("blocks the merge"));
    assert!(asking.page(&format!("/runs/{}", runs[1].id)).await.contains("degrades"));
    let attends = async || asking.page("/").await.contains("slower since");
    assert!(attends().await && asking.page("/b/a").await.contains("+8.0 % since"));
    let (machine, instrument) = (runs[0].machine.clone(), runs[0].instrument);
    let command = vec!["pytest".to_string()];
    let mut verification = Verification::begin(&id(9), runs[0].started, command, machine, instrument);
    verification.add("as usual", &runs[0], None);
    verification.add("every CPU busy", &run(3, "main", &[("a", 110_000)]), None);
    asking.store.put_verification(&verification).await.unwrap();
    let page = words(&asking.page(&format!("{address}?verdict=all")).await);
    assert!(page.contains("Nothing blocks the merge"), "{page}");
    assert!(page.contains("threshold raised from 5.0 % to 10.0 %: its noise floor"), "{page}");
    assert!(page.contains("Noise floor, as verified: 10.0 %"), "{page}");
    assert!(asking.page(&format!("/runs/{}", runs[1].id)).await.contains("does not change"));
    assert!(!attends().await && !asking.page("/b/a").await.contains("% since"));
    for twin in ["/benchmarks.json", "/b/a.json"] {
        assert!(!asking.page(twin).await.contains("regressed"), "{twin}");
    }
}

#[tokio::test]
async fn a_history_is_a_chart_and_a_table() {
    let asking = Asking::of(&history()).await;
    insta::assert_snapshot!(words(&asking.page("/b/tests/test_fibo.py::big").await));
}

#[tokio::test]
async fn the_feed_names_commits_that_changed_something() {
    let asking = Asking::of(&history()).await;
    insta::assert_snapshot!(asking.page("/changes.atom").await);
}

#[tokio::test]
async fn every_page_has_its_twins() {
    let asking = Asking::of(&history()).await;
    let run = format!("/runs/{}", id(3));
    let commit = format!("/commits/{}", commit(3));
    for (page, member) in [
        ("/overview", "invar_overview"),
        ("/commits", "invar_commits"),
        ("/pulls", "invar_commits"),
        (commit.as_str(), "invar_report"),
        ("/pulls/faster", "invar_report"),
        ("/runs", "invar_list"),
        ("/benchmarks", "invar_history"),
        ("/b/tests/test_fibo.py::big", "invar_history"),
        ("/compare/main...faster", "invar_report"),
        (run.as_str(), "invar"),
    ] {
        let html = asking.get(page).await;
        assert_eq!(
            (html.status, html.header("content-type")),
            (StatusCode::OK, "text/html; charset=utf-8"),
            "{page}"
        );
        assert!(html.body.contains(&format!("href=\"{page}.json\"")), "{page}: {}", html.body);
        assert_eq!(json(&asking.page(&format!("{page}.json")).await)[member], 1, "{page}");
        let csv = asking.get(&format!("{page}.csv")).await;
        assert!(csv.header("content-type").starts_with("text/csv"), "{page}");
        let fields: Vec<usize> =
            csv.body.split_terminator("\r\n").map(|record| record.split(',').count()).collect();
        assert!(fields.len() > 1 && fields.iter().all(|&count| count == fields[0]), "{page}: {}", csv.body);
    }
}

#[tokio::test]
async fn an_empty_store_says_what_to_do() {
    let asking = Asking::of(&[]).await;
    for page in ["/", "/commits", "/pulls", "/runs", "/benchmarks", "/compare"] {
        let text = words(&asking.page(page).await);
        assert!(
            text.contains("No runs yet") && text.contains("invar run -- pytest benchmarks/"),
            "{page}: {text}"
        );
    }
    for twin in
        ["/overview.json", "/commits.csv", "/runs.json", "/benchmarks.json", "/changes.atom", "/readyz"]
    {
        asking.page(twin).await;
    }
    assert_eq!(json(&asking.page("/badge.json").await)["message"], "not judged yet");
}

#[tokio::test]
async fn a_filter_holds_for_the_page_and_its_twins() {
    let asking = Asking::of(&history()).await;
    let improved = words(&asking.page("/compare/main...faster?verdict=improved").await);
    assert!(improved.contains("big") && !improved.contains("small"), "{improved}");
    let unchanged = json(&asking.page("/compare/main...faster.json?verdict=unchanged&q=DUMP").await);
    assert_eq!(unchanged["benchmarks"].as_array().unwrap().len(), 1);
    assert_eq!(unchanged["benchmarks"][0]["benchmark"], "tests/test_json.py::dump");
    assert_eq!(
        json(&asking.page("/compare/main...faster.json").await)["benchmarks"].as_array().unwrap().len(),
        3
    );
    let found = json(&asking.page("/benchmarks.json?q=fibo").await);
    assert_eq!(found["series"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn sides_are_named_by_run_commit_or_branch() {
    let asking = Asking::of(&history()).await;
    for (base, head) in [
        ("main".to_string(), "faster".to_string()),
        (id(3), id(4)),
        ("03c0ffee".to_string(), commit(4)),
        (id(3)[30..].to_string(), "faster".to_string()),
    ] {
        let report = json(&asking.page(&format!("/compare/{base}...{head}.json")).await);
        assert_eq!(
            (&report["base"]["run"], &report["head"]["run"]),
            (&id(3).into(), &id(4).into()),
            "{base}...{head}"
        );
    }
    let page = asking.page("/compare/main...faster").await;
    assert!(page.contains(&format!("href=\"/compare/{}...{}\"", id(3), id(4))), "{page}");
    let permanent = asking.page(&format!("/compare/{}...{}", id(3), id(4))).await;
    assert!(!permanent.contains("Permalink"));
    let chosen = asking.get("/compare?base=main&head=feature%2Fx").await;
    assert_eq!(
        (chosen.status, chosen.header("location")),
        (StatusCode::SEE_OTHER, "/compare/main...feature/x")
    );
}

#[tokio::test]
async fn a_short_name_of_a_run_leads_to_its_address() {
    let asking = Asking::of(&history()).await;
    let short = asking.get(&format!("/runs/{}.json", &id(2)[30..])).await;
    assert_eq!(short.status, StatusCode::SEE_OTHER);
    assert_eq!(short.header("location"), format!("/runs/{}.json", id(2)));
    assert_eq!(asking.get("/runs/faster").await.header("location"), format!("/runs/{}", id(4)));
}

#[tokio::test]
async fn a_run_shows_its_circumstances_and_what_differs() {
    let mut runs = history();
    runs[3].environment.set("runtime", "python", "3.14.0");
    runs[3].failed.insert("tests/test_a.py::broken".to_string(), "ValueError: no".to_string());
    runs[3].incomplete = Some("it was killed".to_string());
    let asking = Asking::of(&runs).await;
    let text = words(&asking.page(&format!("/runs/{}", id(4))).await);
    for expected in [
        "This run is incomplete: it was killed. Benchmarks may be missing.",
        "the merge base with main",
        "≠ 1 differ",
        "3.13.2 → 3.14.0",
        "tests/test_a.py::broken ValueError: no",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[tokio::test]
async fn a_list_goes_on_where_its_page_ends() {
    let runs: Vec<_> = (1..=70).map(|number| run(number, "main", &[("a", 1000)])).collect();
    let asking = Asking::of(&runs).await;
    for (list, on_a_page) in [("/runs", 50), ("/commits", 30)] {
        let first = asking.page(list).await;
        let next = first.split("href=\"").find(|rest| rest.contains("rel=\"next\"")).unwrap();
        let next = next.split('"').next().unwrap().replace("&#38;", "&");
        let second = asking.page(&next).await;
        let newest = |page: &str| words(page).matches("Change number").count();
        assert_eq!(newest(&first), on_a_page, "{list}");
        assert_eq!(newest(&second), (70 - on_a_page).min(on_a_page), "{list}");
        assert!(words(&second).contains(&format!("Change number {} ", 70 - on_a_page)), "{list}");
    }
}

#[tokio::test]
async fn many_benchmarks_are_several_pages() {
    let names: Vec<String> = (0..600).map(|number| format!("t.py::a{number:03}")).collect();
    let costs = |cycles| names.iter().map(|name| (name.as_str(), cycles)).collect::<Vec<_>>();
    let asking = Asking::of(&[run(1, "main", &costs(1000)), run(2, "main", &costs(2000))]).await;
    let (first, second) = (asking.page("/benchmarks").await, asking.page("/benchmarks?page=2").await);
    assert_eq!([&first, &second].map(|page| page.matches("href=\"/b/").count()), [500, 100]);
    assert!(first.contains("page=2") && second.contains("page=1"));
    assert_eq!(json(&asking.page("/benchmarks.json").await)["series"].as_array().unwrap().len(), 600);
    let (first, third) =
        (asking.page("/compare/01c0ffee...main").await, asking.page("/compare/01c0ffee...main?page=3").await);
    assert_eq!([&first, &third].map(|page| page.matches("<summary>Details").count()), [200, 200]);
}

#[tokio::test]
async fn what_is_measured_meanwhile_is_shown() {
    let asking = Asking::of(&history()).await;
    assert!(asking.page("/").await.contains("will improve performance"));
    asking.store.put(&run(5, "main", &[("tests/test_fibo.py::big", 9_000_000)])).await.unwrap();
    let overview = words(&asking.page("/").await);
    assert!(overview.contains("main@05c0ffe · Change number 5"), "{overview}");
    assert_eq!(json(&asking.page("/badge.json").await)["message"], "1 regressed");
}

#[tokio::test]
async fn a_tree_with_changes_has_a_history_as_well() {
    let mut only = run(1, "main", &[("a", 1000)]);
    only.source.as_mut().unwrap().dirty = true;
    let asking = Asking::of(&[only]).await;
    let text = words(&asking.page("/b/a").await);
    assert!(
        text.contains("these are the results of all branches and trees") && text.contains("500 ns"),
        "{text}"
    );
    assert!(words(&asking.page("/").await).contains("1 benchmark measured, nothing to compare with yet"));
}

#[tokio::test]
async fn a_directory_without_git_has_pages_as_well() {
    let runs: Vec<_> = (1..=3)
        .map(|number| invar_core::run::Run {
            source: None,
            ..run(number, "", &[("a", 1000 * u64::from(number))])
        })
        .collect();
    let asking = Asking::of(&runs).await;
    let overview = words(&asking.page("/").await);
    assert!(overview.contains("the run before: there is no history to go by"), "{overview}");
    assert!(overview.contains("▼ +50.0 % a"), "{overview}");
    assert!(words(&asking.page("/benchmarks").await).contains("1.50 µs"));
    assert!(words(&asking.page("/b/a").await).contains("+50.0 % (regressed)"));
}

#[tokio::test]
async fn a_metric_can_be_chosen_and_the_axis_may_start_at_nothing() {
    let asking = Asking::of(&history()).await;
    let text = words(&asking.page("/b/tests/test_fibo.py::big?metric=instructions&y=zero&branch=*").await);
    assert!(text.contains("1.20 M") && text.contains("900 k"), "{text}");
    assert!(text.contains("instructions") && text.contains("faster@04c0ffe"), "{text}");
}

#[tokio::test]
async fn branches_and_parameters_are_laid_over_a_history() {
    let all = |number, branch, five, six| {
        run(number, branch, &[("t.py::f[5]", five), ("t.py::f[6]", six), ("t.py::fx", 9)])
    };
    let asking =
        Asking::of(&[all(1, "main", 100, 200), all(2, "main", 100, 200), all(3, "faster", 50, 60)]).await;
    let page = asking.page("/b/t.py::f%5B5%5D").await;
    // What may be: other branches, and what differs in its parameters only.
    for value in ["branch:faster", "b:t.py::f[6]"] {
        assert!(page.contains(&format!("<option value=\"{value}\">")), "{page}");
    }
    assert!(
        !page.contains("branch:main\"")
            && !page.contains("b:t.py::fx")
            && !page.contains("class=\"line over")
    );
    let over = "/b/t.py::f%5B5%5D?over=branch%3Afaster&over=b%3At.py%3A%3Af%5B6%5D";
    let page = asking.page(over).await;
    assert_eq!(page.matches("<table class=\"stack overlay\"").count(), 2, "{page}");
    // A place each for three runs: the branch's is the last one.
    assert!(page.contains("d=\"M80 ") && page.contains("class=\"line over look-"), "{page}");
    assert!(page.contains("?over=b%3At.py%3A%3Af%5B6%5D\">Remove<span class=\"hidden\"> faster"), "{page}");
    let twin = json(&asking.page(&over.replace('?', ".json?")).await);
    let series = twin["series"].as_array().unwrap();
    let said: Vec<(&str, usize)> = series
        .iter()
        .map(|one| (one["benchmark"].as_str().unwrap(), one["points"].as_array().unwrap().len()))
        .collect();
    assert_eq!(said, [("t.py::f[5]", 2), ("t.py::f[5]", 1), ("t.py::f[6]", 2)]);
    // What is the history itself, is there twice, or is nothing, is not laid over.
    let none = asking.page("/b/t.py::f%5B5%5D?over=branch%3Amain&over=x&over=").await;
    assert!(!none.contains("table class=\"stack overlay\""));
    let once = asking.page("/b/t.py::f%5B5%5D?over=branch%3Afaster&over=branch%3Afaster").await;
    assert_eq!(once.matches("<table class=\"stack overlay\"").count(), 1);
    let hostile = asking.page("/b/t.py::f%5B5%5D?over=branch%3A%22%3E%3Cscript%3E").await;
    assert!(hostile.contains("no results") && !hostile.contains("<script>"), "{hostile}");
}

#[tokio::test]
async fn runs_of_unlike_machines_are_not_compared() {
    let mut other = run(9, "callgrind", &[]);
    other.machine = Machine::callgrind();
    other.measurements = vec![invar_core::measurement::Measurement {
        machine: Machine::callgrind(),
        ..measurement("tests/test_fibo.py::big", 5)
    }];
    let asking = Asking::of(&[history(), vec![other]].concat()).await;
    let refused = asking.get("/compare/main...callgrind.json").await;
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (StatusCode::CONFLICT, "application/problem+json")
    );
    assert_eq!(json(&refused.body)["title"], "These runs cannot be compared");
    assert!(
        json(&refused.body)["detail"].as_str().unwrap().contains("machine `reference-1`"),
        "{}",
        refused.body
    );
    let mut later = run(10, "callgrind", &[("tests/test_fibo.py::big", 5)]);
    later.source.as_mut().unwrap().default_branch = None;
    asking.store.put(&later).await.unwrap();
    let commits = words(&asking.page("/commits?branch=callgrind").await);
    assert!(commits.contains("Change number 10 not comparable against 09c0ffe"), "{commits}");
    let page = words(&asking.page("/b/tests/test_fibo.py::big?branch=*").await);
    assert!(page.contains("simulation, callgrind") && page.contains("simulation, reference-1"), "{page}");
}

#[tokio::test]
async fn badges_say_how_the_newest_commit_did() {
    let asking = Asking::of(&history()[..2]).await;
    assert_eq!(
        json(&asking.page("/badge.json").await),
        serde_json::json!({"schemaVersion": 1, "label": "performance", "message": "1 regressed", "color": "b34700"})
    );
    let badge = asking.get("/badge.svg").await;
    assert_eq!(badge.header("content-type"), "image/svg+xml");
    assert!(badge.body.contains("aria-label=\"performance: 1 regressed\""), "{}", badge.body);
}

//! What administrators see of the server, and what they can ask it to do.

use std::fs;
use std::os::unix::fs::symlink;

use axum::http::StatusCode;
use invar_server::team::collector::{Pace, collect_if_due};
use invar_server::team::upload::Limits;
use invar_server::team::{Team, router};

use crate::browser::Browser;
use crate::fixture::{Asking, PRIVATE, runs, sent};

const PAGE: &str = "/admin/server";
const DATA: &str = "/admin/server.json";

fn duty<'a>(data: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let duties = data["duties"].as_array().unwrap().iter();
    duties.into_iter().find(|duty| duty["name"] == name).unwrap()
}

#[tokio::test]
async fn an_administrator_sees_what_is_kept_and_what_was_done() {
    let mut asking = Asking::new().await;
    let token = asking.token(PRIVATE, "read upload", None).await;
    asking.with("POST", &runs(PRIVATE), Some(&token), sent(1)).await;
    let team = Team::new(asking.store.clone(), Limits::default(), |_| ()).called("build-1".to_string());
    asking.router = router(team.clone());
    asking.account("root", true, None).await;
    let mut root = Browser::signed_in(&asking, "root").await;
    let before = root.get(&asking, DATA).await.json();
    assert_eq!((&before["ready"], &before["who"]), (&true.into(), &"build-1".into()));
    assert_eq!(before["database"]["rows"]["runs"], 1);
    assert_eq!(before["database"]["rows"]["projects"], 2);
    assert_eq!(
        (&before["blobs"]["kinds"], &duty(&before, "collection")["state"]),
        (&serde_json::json!([]), &"not yet".into())
    );
    let page = root.get(&asking, PAGE).await.text();
    assert!(page.contains("Blobs are counted by the collector."), "{page}");
    collect_if_due(&team, Pace::default()).await.unwrap().expect("it is due");
    let after = root.get(&asking, DATA).await.json();
    let kinds = after["blobs"]["kinds"].as_array().unwrap();
    assert_eq!(kinds.iter().map(|kind| kind["blobs"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 0, 1]);
    for name in ["collection", "retention"] {
        let done = duty(&after, name);
        assert_eq!((&done["state"], &done["who"]), (&"done".into(), &"build-1".into()), "{done}");
        assert!(done["due_us"].as_i64().unwrap() > done["ended_us"].as_i64().unwrap(), "{done}");
    }
    let page = root.get(&asking, PAGE).await.text();
    assert!(page.contains("Every blob is named by a row, or too young."), "{page}");
    assert!(page.contains("SQLite 3.") && page.contains(">build-1<"), "{page}");
}

#[tokio::test]
async fn what_is_not_due_is_done_now_if_an_administrator_asks_for_it() {
    let mut asking = Asking::new().await;
    let team = Team::new(asking.store.clone(), Limits::default(), |_| ());
    asking.router = router(team.clone());
    asking.account("root", true, None).await;
    let mut root = Browser::signed_in(&asking, "root").await;
    let hasten = [("hasten", "collection")];
    let csrf = crate::browser::csrf(&root.get(&asking, PAGE).await.text());
    let early = root.post(&asking, PAGE, &[("csrf", csrf.as_str()), hasten[0]]).await;
    assert_eq!(early.status, StatusCode::CONFLICT, "nobody has ever done it");
    collect_if_due(&team, Pace::default()).await.unwrap().expect("it is due");
    assert_eq!(collect_if_due(&team, Pace::default()).await.unwrap(), None);
    let asked = root.send(&asking, PAGE, PAGE, &hasten).await;
    assert_eq!((asked.status, asked.location.as_str()), (StatusCode::SEE_OTHER, PAGE));
    collect_if_due(&team, Pace::default()).await.unwrap().expect("it was asked for");
    for nothing in ["", "backup", "everything"] {
        let said = root.send(&asking, PAGE, PAGE, &[("hasten", nothing)]).await;
        assert_eq!(said.status, StatusCode::BAD_REQUEST, "{nothing}");
    }
    let log = asking.store.audit_of_all(1).await.unwrap().remove(0);
    assert_eq!((log.who.as_str(), log.what.as_str()), ("root", "asked for collection to be done now"));
}

#[tokio::test]
async fn what_failed_says_why_and_is_tried_again_in_an_hour() {
    let mut asking = Asking::new().await;
    let team = Team::new(asking.store.clone(), Limits::default(), |_| ());
    asking.router = router(team.clone());
    asking.account("root", true, None).await;
    let mut root = Browser::signed_in(&asking, "root").await;
    // What leads to itself cannot be looked into.
    let blobs = asking.folder.path().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    symlink("loop", blobs.join("loop")).unwrap();
    let failed = collect_if_due(&team, Pace::default()).await.unwrap_err();
    let data = root.get(&asking, DATA).await.json();
    let collection = duty(&data, "collection");
    assert_eq!((&collection["state"], &collection["said"]), (&"failed".into(), &failed.as_str().into()));
    let hours =
        (collection["due_us"].as_i64().unwrap() - collection["ended_us"].as_i64().unwrap()) / 3_600_000_000;
    assert_eq!(hours, 1);
    assert_eq!(duty(&data, "retention")["state"], "done", "each on its own");
    assert!(root.get(&asking, PAGE).await.text().contains("<b>failed</b>"));
}

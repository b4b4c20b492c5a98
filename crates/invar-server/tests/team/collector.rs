//! What is left over is removed by one server, once a day.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use invar_core::run::Timestamp;
use invar_server::team::Team;
use invar_server::team::collector::{Pace, collect_if_due};
use invar_server::team::upload::Limits;
use invar_store::{Role, Store};

use crate::browser::Browser;
use crate::fixture::{Asking, BY, PRIVATE, run, runs, sent};

#[tokio::test]
async fn what_no_row_names_is_removed_by_one_server_and_what_rows_name_stays() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "read upload", None).await;
    let said = asking.with("POST", &runs(PRIVATE), Some(&token), sent(1)).await;
    let name = format!("{}00.json.zst", "ab".repeat(31));
    let orphan: PathBuf = asking.folder.path().join("blobs/ab").join(name);
    fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    fs::write(&orphan, "left").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(48 * 3600);
    File::options().write(true).open(&orphan).unwrap().set_modified(long_ago).unwrap();
    let servers = [0, 1].map(|_| Team::new(asking.store.clone(), Limits::default(), |_| ()));
    let first = collect_if_due(&servers[0], Pace::default()).await.unwrap().expect("it is due");
    assert_eq!((first.removed, first.bytes, orphan.exists()), (1, 4, false));
    assert_eq!(collect_if_due(&servers[1], Pace::default()).await.unwrap(), None, "it is done for today");
    let back = asking.with("GET", &format!("{}/parcel", said.location), Some(&token), Vec::new()).await;
    assert_eq!(zstd::decode_all(&back.body[..]).unwrap(), sent(1));
}

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// A run of a branch, so many days ago.
async fn put_before(store: &Store, number: u32, branch: &str, days: i64) {
    let mut run = run(number);
    run.started = Timestamp(jiff::Timestamp::now().as_microsecond() - days * DAY_US);
    run.source.as_mut().unwrap().branch = Some(branch.to_string());
    store.put(&run).await.unwrap();
}

#[tokio::test]
async fn what_a_project_does_not_keep_is_shown_before_and_goes_with_the_next_collection() {
    let asking = Asking::new().await;
    let store = asking.store.project(PRIVATE).await.unwrap().unwrap();
    store.set_settings("default_branch = \"main\"\n", BY).await.unwrap();
    for (number, branch, days) in [(1, "main", 400), (2, "x", 400), (3, "x", 3), (4, "y", 40)] {
        put_before(&store, number, branch, days).await;
    }
    asking.account("ada", false, Some((PRIVATE, Role::Admin))).await;
    let mut ada = Browser::signed_in(&asking, "ada").await;
    let page = format!("/{PRIVATE}/settings/retention");
    let looked =
        ada.send(&asking, &page, &page, &[("runs", "30"), ("profiles", ""), ("act", "preview")]).await;
    assert_eq!(looked.status.as_u16(), 200);
    assert!(looked.text().contains("Runs</th><td class=\"number\">2</td>"), "{}", looked.text());
    assert!(store.retention().await.unwrap().is_forever(), "it was only looked at");
    for bad in ["0", "-1", "many", "70000"] {
        let said = ada.send(&asking, &page, &page, &[("runs", bad), ("act", "save")]).await;
        assert_eq!(said.status.as_u16(), 422, "{bad}");
    }
    let saved = ada.send(&asking, &page, &page, &[("runs", "30"), ("profiles", ""), ("act", "save")]).await;
    assert_eq!(saved.status.as_u16(), 303);
    assert_eq!(asking.kept(PRIVATE).await, 4, "nothing goes by that");
    let server = Team::new(asking.store.clone(), Limits::default(), |_| ());
    collect_if_due(&server, Pace::default()).await.unwrap().expect("it is due");
    let mut left: Vec<String> = store.list(9).await.unwrap().into_iter().map(|run| run.id).collect();
    left.sort();
    assert_eq!(left, [run(1).id, run(3).id]);
    assert!(ada.get(&asking, &page).await.text().contains("Runs</th><td class=\"number\">0</td>"));
    let log = store.audit(2).await.unwrap();
    assert_eq!((log[0].who.as_str(), log[0].what.starts_with("removed 2 runs")), ("retention", true));
    assert_eq!(
        (log[1].who.as_str(), log[1].what.starts_with("keeps runs of other branches for 30 days")),
        ("ada", true)
    );
}

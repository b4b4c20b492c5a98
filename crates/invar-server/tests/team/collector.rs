//! What is left over is removed by one server, once a day.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use invar_server::team::Team;
use invar_server::team::collector::collect_if_due;
use invar_server::team::upload::Limits;

use crate::fixture::{Asking, PRIVATE, runs, sent};

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
    let first = collect_if_due(&servers[0]).await.unwrap().expect("it is due");
    assert_eq!((first.removed, first.bytes, orphan.exists()), (1, 4, false));
    assert_eq!(collect_if_due(&servers[1]).await.unwrap(), None, "it is done for today");
    let back = asking.with("GET", &format!("{}/parcel", said.location), Some(&token), Vec::new()).await;
    assert_eq!(zstd::decode_all(&back.body[..]).unwrap(), sent(1));
}

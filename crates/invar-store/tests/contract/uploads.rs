//! The promises about uploads in parts: they are put side by side, whoever takes them, and are gone when their time is over.

use invar_store::{NewUpload, PutPart, Upload};

use super::*;

const NOW: Timestamp = Timestamp(1000);

fn new(id: &str, bytes: u64) -> NewUpload<'_> {
    NewUpload { id, digest: "", bytes, expires: Timestamp(2000), most: 3 }
}

async fn begin(store: &Store, new: NewUpload<'_>) -> Option<Upload> {
    store.begin_upload(new, NOW).await.unwrap()
}

async fn put(store: &Store, id: &str, start: u64, content: &[u8]) -> PutPart {
    store.put_part(id, start, content, NOW).await.unwrap()
}

pub async fn parts_come_in_their_order_and_each_once(store: Store) {
    let expected = Upload { id: "u".to_string(), bytes: 9, arrived: 0, expires: Timestamp(2000) };
    assert_eq!(begin(&store, new("u", 9)).await, Some(expected.clone()));
    assert_eq!(put(&store, "u", 4, b"e").await, PutPart::Elsewhere(0));
    assert_eq!(put(&store, "u", 0, b"abcd").await, PutPart::Kept(4));
    // Sent again by somebody who was not told.
    assert_eq!(put(&store, "u", 0, b"abcd").await, PutPart::Elsewhere(4));
    assert_eq!(put(&store, "u", 4, b"efghij").await, PutPart::TooMuch(9));
    assert_eq!(put(&store, "u", 4, b"").await, PutPart::Kept(4));
    assert_eq!(put(&store, "u", 4, b"abcd").await, PutPart::Kept(8));
    assert_eq!(put(&store, "u", 8, b"i").await, PutPart::Kept(9));
    assert_eq!(store.upload("u", NOW).await.unwrap(), Some(Upload { arrived: 9, ..expected }));
    assert_eq!(store.parts("u").await.unwrap(), b"abcdabcdi");
    // Readers see nothing of it.
    assert_eq!(store.list(9).await.unwrap(), []);
    assert_eq!(put(&store, "v", 0, b"a").await, PutPart::Unknown);
}

pub async fn of_parts_at_once_one_is_kept(store: Store) {
    begin(&store, new("u", 100)).await.unwrap();
    let puts = (0..8_u8).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { put(&store, "u", 0, &[b'a' + number; 10]).await })
    });
    let put: Vec<PutPart> = join_all(puts).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(put.iter().filter(|put| **put == PutPart::Kept(10)).count(), 1, "{put:?}");
    assert_eq!(put.iter().filter(|put| **put == PutPart::Elsewhere(10)).count(), 7, "{put:?}");
    assert_eq!(store.parts("u").await.unwrap().len(), 10);
}

pub async fn an_upload_is_found_again_by_its_digest_and_no_more_are_under_way_than_may_be(store: Store) {
    begin(&store, NewUpload { digest: "d", ..new("u", 9) }).await.unwrap();
    put(&store, "u", 0, b"abc").await;
    let again = begin(&store, NewUpload { digest: "d", ..new("v", 9) }).await.unwrap();
    assert_eq!((again.id.as_str(), again.arrived), ("u", 3));
    // Of another length it is another one.
    assert_eq!(begin(&store, NewUpload { digest: "d", ..new("v", 8) }).await.unwrap().id, "v");
    let begun = (0..5).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { begin(&store, new(&format!("w{number}"), 9)).await.is_some() })
    });
    let begun: Vec<bool> = join_all(begun).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(begun.iter().filter(|begun| **begun).count(), 1, "{begun:?}");
    // The one that is there may be gone on with, and another project has its own.
    assert!(begin(&store, NewUpload { digest: "d", ..new("x", 9) }).await.is_some());
    let other = store.create_project("acme/demo", Visibility::Public, by(1)).await.unwrap();
    assert_eq!(begin(&other, NewUpload { digest: "d", ..new("y", 9) }).await.unwrap().id, "y");
}

pub async fn an_upload_is_its_projects_and_ends(store: Store) {
    let other = store.create_project("acme/demo", Visibility::Public, by(1)).await.unwrap();
    begin(&store, new("u", 9)).await.unwrap();
    assert_eq!(other.upload("u", NOW).await.unwrap(), None);
    assert_eq!(put(&other, "u", 0, b"a").await, PutPart::Unknown);
    assert!(!other.forget_upload("u", NOW).await.unwrap());
    other.upload_ends("u", NOW).await.unwrap();
    assert!(store.upload("u", Timestamp(1999)).await.unwrap().is_some());
    store.upload_ends("u", Timestamp(3000)).await.unwrap();
    assert_eq!(store.upload("u", Timestamp(2000)).await.unwrap(), None);
    store.upload_ends("u", Timestamp(1500)).await.unwrap();
    assert_eq!(store.upload("u", Timestamp(1500)).await.unwrap(), None);
    assert_eq!(store.put_part("u", 0, b"a", Timestamp(1500)).await.unwrap(), PutPart::Unknown);
    assert!(store.forget_upload("u", NOW).await.unwrap());
    assert!(!store.forget_upload("u", NOW).await.unwrap());
}

pub async fn parts_are_collected_once_their_upload_is_gone(store: Store) {
    for id in ["u", "v", "w"] {
        begin(&store, new(id, 9)).await.unwrap();
        put(&store, id, 0, b"both").await;
    }
    put(&store, "w", 4, b"own").await;
    assert_eq!(store.collect(Duration::ZERO).await.unwrap().removed, 0);
    assert!(store.forget_upload("w", NOW).await.unwrap());
    assert_eq!(store.collect(Duration::ZERO).await.unwrap().removed, 1);
    assert_eq!(store.parts("v").await.unwrap(), b"both");
    assert_eq!(store.expire_uploads(Timestamp(1999)).await.unwrap(), 0);
    assert_eq!(store.expire_uploads(Timestamp(2000)).await.unwrap(), 2);
    assert_eq!(store.collect(Duration::ZERO).await.unwrap().removed, 1);
    // What was removed is written again when it is sent again.
    begin(&store, new("x", 9)).await.unwrap();
    put(&store, "x", 0, b"both").await;
    assert_eq!(store.parts("x").await.unwrap(), b"both");
}

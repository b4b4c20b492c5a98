//! The promises about trusted publishers: who is let in by a forge's word, for how long, and what remains of it.

use invar_store::{NewPublisher, Publisher};

use super::*;

const NEW: NewPublisher<'static> = NewPublisher {
    forge: "github",
    issuer: "https://issuer.example",
    repository: "acme/fib",
    reference: "refs/heads/*",
    environment: "",
};

fn token(digest: &str) -> NewToken<'_> {
    NewToken {
        name: "acme/fib at refs/heads/main",
        digest,
        scopes: "read upload",
        expires: Some(Timestamp(100)),
    }
}

/// A project with a publisher.
async fn publishing(store: &Store) -> (Store, Publisher) {
    let demo = store.create_project("acme/demo", Visibility::Private, by(1)).await.unwrap();
    demo.create_publisher(NEW, by(5)).await.unwrap().unwrap();
    let publisher = demo.publishers().await.unwrap().pop().unwrap();
    (demo, publisher)
}

pub async fn a_publisher_is_its_projects_until_it_is_removed(store: Store) {
    let (demo, publisher) = publishing(&store).await;
    assert_eq!((publisher.repository.as_str(), publisher.created), ("acme/fib", Timestamp(5)));
    assert_eq!((publisher.used, &publisher.repository_id), (None, &None));
    // However it is capitalised, there is one.
    let again = NewPublisher { repository: "ACME/fib", ..NEW };
    assert_eq!(demo.create_publisher(again, by(6)).await.unwrap(), None);
    let other = NewPublisher { environment: "release", ..NEW };
    assert!(demo.create_publisher(other, by(6)).await.unwrap().unwrap() > publisher.number);
    assert_eq!((demo.publishers().await.unwrap().len(), store.publishers().await.unwrap().len()), (2, 0));
    assert!(!store.remove_publisher(publisher.number, by(7)).await.unwrap());
    assert!(demo.remove_publisher(publisher.number, by(7)).await.unwrap());
    assert!(!demo.remove_publisher(publisher.number, by(7)).await.unwrap());
    let said: Vec<String> = demo.audit(9).await.unwrap().into_iter().map(|entry| entry.what).collect();
    let shown = "trusts the publisher acme/fib at refs/heads/*";
    assert_eq!(said[0], format!("{shown} (https://issuer.example) no more"));
    assert_eq!(said[1], format!("{shown} in the environment release (https://issuer.example)"));
    assert_eq!(said.len(), 4);
}

pub async fn a_publishers_token_is_worth_something_until_it_expires_or_the_publisher_is_gone(store: Store) {
    let (demo, publisher) = publishing(&store).await;
    let made = async |digest: &str, id: &str, at| {
        demo.create_token_of(&publisher, id, &token(digest), by(at)).await.unwrap()
    };
    assert!(made("d1", "77", 10).await.is_some());
    let worth = async |digest: &str, at| store.use_token(digest, Timestamp(at)).await.unwrap().is_some();
    assert!(worth("d1", 99).await && !worth("d1", 100).await);
    // Nobody made it, so nobody is shown it among those that somebody did.
    assert_eq!(demo.tokens().await.unwrap(), []);
    let seen = demo.publishers().await.unwrap().pop().unwrap();
    assert_eq!((seen.used, seen.repository_id.as_deref()), (Some(Timestamp(10)), Some("77")));
    // Another repository that has come by the same name.
    assert!(made("d2", "78", 11).await.is_none() && !worth("d2", 12).await);
    assert!(made("d2", "77", 12).await.is_some());
    let said = demo.audit(1).await.unwrap().pop().unwrap();
    assert_eq!(said.what, "was let in as acme/fib at refs/heads/main, to read and upload");
    assert!(demo.remove_publisher(publisher.number, by(20)).await.unwrap());
    assert!(!worth("d1", 21).await && !worth("d2", 21).await);
    assert!(made("d3", "77", 22).await.is_none());
}

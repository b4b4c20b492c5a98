//! People, as forges know them.

use futures_util::future::join_all;
use invar_core::run::Timestamp;
use invar_store::{Account, By, CreateAccountError, Handshake, Identity, NewAccount, NewHandshake, Store};

const FORGE: &str = "https://github.com";

fn by(at: i64) -> By<'static> {
    By { who: "test", at: Timestamp(at) }
}

fn person(subject: &str, name: &str) -> Identity {
    let (subject, name) = (subject.to_string(), name.to_string());
    Identity { forge: FORGE.to_string(), subject, name, organisation: String::new() }
}

async fn account(store: &Store, name: &str, password: &str) -> Account {
    store.create_account(NewAccount { name, password, admin: true }, by(1)).await.unwrap();
    store.account(name).await.unwrap().unwrap().0
}

pub async fn a_handshake_ends_once_in_the_browser_that_began_it(store: Store) {
    let ada = account(&store, "ada", "x").await;
    let new = |state, account| NewHandshake {
        state,
        browser: "b1",
        forge: FORGE,
        account,
        back: "/acme",
        expires: Timestamp(100),
    };
    store.begin_handshake(new("s1", None), Timestamp(1)).await.unwrap();
    store.begin_handshake(new("s2", Some(&ada)), Timestamp(1)).await.unwrap();
    store.begin_handshake(new("s3", None), Timestamp(1)).await.unwrap();
    let end = async |state, browser, forge, at| {
        store.end_handshake(state, browser, forge, Timestamp(at)).await.unwrap()
    };
    assert_eq!(end("s1", "b2", FORGE, 2).await, None, "another browser");
    assert_eq!(end("s1", "b1", "https://gitlab.com", 2).await, None, "another forge");
    assert_eq!(end("s3", "b1", FORGE, 100).await, None, "too late");
    let back = "/acme".to_string();
    assert_eq!(end("s1", "b1", FORGE, 2).await, Some(Handshake { account: None, back: back.clone() }));
    assert_eq!(end("s1", "b1", FORGE, 2).await, None, "once");
    // Of many that end it at once one does.
    let ends = (0..8).map(|_| store.end_handshake("s2", "b1", FORGE, Timestamp(2)));
    let ended: Vec<_> = join_all(ends).await.into_iter().filter_map(|found| found.unwrap()).collect();
    assert_eq!(ended, [Handshake { account: Some(ada.number), back }]);
}

pub async fn an_account_is_known_by_the_number_of_a_person_and_not_by_their_name(store: Store) {
    let (ada, bob) = (account(&store, "ada", "x").await, account(&store, "bob", "x").await);
    assert!(store.link_identity(&ada, &person("7", "ada-l"), by(2)).await.unwrap());
    assert!(
        store.link_identity(&ada, &person("7", "ada-l"), by(2)).await.unwrap(),
        "it is linked so already"
    );
    assert!(
        !store.link_identity(&bob, &person("7", "ada-l"), by(2)).await.unwrap(),
        "that is somebody else's"
    );
    assert_eq!(store.identified(FORGE, "8").await.unwrap(), None, "another person of that name");
    assert_eq!(store.identified("https://gitlab.com", "7").await.unwrap(), None, "another forge");
    let renamed = person("7", "lovelace");
    store.identity_was_used(&renamed, Timestamp(3)).await.unwrap();
    assert_eq!(store.identified(FORGE, "7").await.unwrap(), Some((ada.clone(), renamed.clone())));
    assert_eq!(store.identities(&ada).await.unwrap(), [renamed]);
    assert!(!store.unlink_identity(&bob, FORGE, "7", by(4)).await.unwrap(), "not bob's");
    assert!(store.unlink_identity(&ada, FORGE, "7", by(4)).await.unwrap());
    assert_eq!(store.identified(FORGE, "7").await.unwrap(), None);
    let log: Vec<String> = store.audit_of_all(2).await.unwrap().into_iter().map(|entry| entry.what).collect();
    assert_eq!(
        log,
        ["unlinked ada from lovelace of https://github.com", "linked ada to ada-l of https://github.com",]
    );
    // What goes with an account.
    assert!(store.link_identity(&bob, &person("9", "bob"), by(5)).await.unwrap());
    assert!(store.remove_account(&bob, by(6)).await.unwrap());
    assert_eq!(store.identified(FORGE, "9").await.unwrap(), None);
}

pub async fn an_account_for_a_person_is_called_as_they_are_where_that_is_free(store: Store) {
    let first = store.create_account_for(&person("1", "ada"), by(1)).await;
    assert_eq!(first, Err(CreateAccountError::Link), "the first account is made by a link");
    account(&store, "ada", "x").await;
    let made = store.create_account_for(&person("1", "ada"), by(2)).await.unwrap();
    assert_eq!((made.name.as_str(), made.admin), ("ada-2", false));
    let again = store.create_account_for(&person("1", "eve"), by(3)).await;
    assert!(matches!(again, Err(CreateAccountError::Taken { .. })), "{again:?}");
    assert!(store.account("eve").await.unwrap().is_none(), "nothing is left of that");
    let bad = store.create_account_for(&person("2", "a/b"), by(3)).await;
    assert!(matches!(bad, Err(CreateAccountError::Name { .. })), "{bad:?}");
    // Nobody could sign in to it any more.
    assert!(!store.unlink_identity(&made, FORGE, "1", by(4)).await.unwrap());
    assert!(store.link_identity(&made, &person("3", "ada"), by(5)).await.unwrap());
    assert!(store.unlink_identity(&made, FORGE, "1", by(6)).await.unwrap());
}

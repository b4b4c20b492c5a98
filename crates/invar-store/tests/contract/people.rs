//! The promises about people: accounts, what lets them in, what they may do, and what is written down of it.

use invar_store::{Account, CreateAccountError, Link, NewAccount, NewAcknowledgement, NewSecret, Role};

use super::*;

fn new(name: &str) -> NewAccount<'_> {
    NewAccount { name, password: "checked by this", admin: false }
}

/// An account of this name.
async fn account(store: &Store, name: &str, admin: bool) -> Account {
    let number = store.create_account(NewAccount { admin, ..new(name) }, by(3)).await.unwrap();
    let account = Account { number, name: name.to_string(), admin, created: Timestamp(3) };
    assert_eq!(store.account(name).await.unwrap().unwrap().0, account);
    account
}

fn secret(digest: &str) -> NewSecret<'_> {
    NewSecret { digest, created: Timestamp(10), expires: Timestamp(100) }
}

pub async fn an_account_is_made_once_and_found_by_name(store: Store) {
    assert_eq!(store.account("ada").await.unwrap(), None);
    let ada = account(&store, "Ada", false).await;
    let (found, password) = store.account("aDA").await.unwrap().unwrap();
    assert_eq!((found, password.as_str()), (ada.clone(), "checked by this"));
    let again = store.create_account(new("ADA"), by(4)).await.unwrap_err();
    assert_eq!(again, CreateAccountError::Taken { name: "ADA".into() });
    let hostile = store.create_account(new("a b"), by(4)).await.unwrap_err();
    assert_eq!(hostile, CreateAccountError::Name { name: "a b".into() });
    let bob = account(&store, "bob", true).await;
    assert_eq!(store.accounts().await.unwrap(), [ada.clone(), bob.clone()]);
    assert!(store.remove_account(&ada, by(5)).await.unwrap());
    assert!(!store.remove_account(&ada, by(5)).await.unwrap());
    assert_eq!(store.accounts().await.unwrap(), [bob]);
    assert!(account(&store, "ada", false).await.number > ada.number);
}

pub async fn a_session_is_worth_something_until_it_ends(store: Store) {
    let ada = account(&store, "ada", false).await;
    store.create_session(&ada, secret("s1")).await.unwrap();
    store.create_session(&ada, secret("s2")).await.unwrap();
    assert_eq!(store.session("s1", Timestamp(99)).await.unwrap(), Some(ada.clone()));
    assert_eq!(store.session("s1", Timestamp(100)).await.unwrap(), None);
    assert_eq!(store.session("s3", Timestamp(50)).await.unwrap(), None);
    store.end_session("s1").await.unwrap();
    assert_eq!(store.session("s1", Timestamp(50)).await.unwrap(), None);
    assert_eq!(store.session("s2", Timestamp(50)).await.unwrap(), Some(ada));
}

pub async fn a_new_password_ends_sessions_and_links(store: Store) {
    let (ada, bob) = (account(&store, "ada", false).await, account(&store, "bob", true).await);
    store.create_session(&ada, secret("s1")).await.unwrap();
    store.create_session(&bob, secret("s2")).await.unwrap();
    store.create_link(Some(&ada), secret("l1"), by(11)).await.unwrap();
    store.set_password(&ada, "another", by(12)).await.unwrap();
    assert_eq!(store.account("ada").await.unwrap().unwrap().1, "another");
    assert_eq!(store.session("s1", Timestamp(50)).await.unwrap(), None);
    assert_eq!(store.link("l1", Timestamp(50)).await.unwrap(), None);
    assert_eq!(store.session("s2", Timestamp(50)).await.unwrap(), Some(bob));
}

pub async fn the_first_account_is_made_by_one_link_once(store: Store) {
    for digest in ["l1", "l2"] {
        store.create_link(None, secret(digest), by(10)).await.unwrap();
    }
    assert_eq!(store.link("l1", Timestamp(50)).await.unwrap(), Some(Link::First));
    assert_eq!(store.link("l1", Timestamp(100)).await.unwrap(), None);
    let made = |digest: &'static str, at| store.create_first_account(digest, new("ada"), by(at));
    assert_eq!(made("l3", 50).await.unwrap_err(), CreateAccountError::Link);
    assert_eq!(made("l1", 100).await.unwrap_err(), CreateAccountError::Link);
    // What failed has used nothing up.
    made("l1", 50).await.unwrap();
    assert_eq!(store.link("l2", Timestamp(50)).await.unwrap(), None);
    assert_eq!(made("l2", 50).await.unwrap_err(), CreateAccountError::Link);
    store.create_link(None, secret("l4"), by(10)).await.unwrap();
    assert_eq!(store.link("l4", Timestamp(50)).await.unwrap(), None);
    assert_eq!(made("l4", 50).await.unwrap_err(), CreateAccountError::Link);
    assert_eq!(store.accounts().await.unwrap().len(), 1);
}

pub async fn of_first_accounts_at_once_one_is_made(store: Store) {
    for number in 0..8 {
        store.create_link(None, secret(&format!("l{number}")), by(10)).await.unwrap();
    }
    let made = (0..8).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let (digest, name) = (format!("l{number}"), format!("a{number}"));
            store.create_first_account(&digest, new(&name), by(50)).await.is_ok()
        })
    });
    let made: Vec<bool> = join_all(made).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
    assert_eq!(store.accounts().await.unwrap().len(), 1);
}

pub async fn a_link_chooses_a_password_once(store: Store) {
    let ada = account(&store, "ada", false).await;
    for digest in ["l1", "l2"] {
        store.create_link(Some(&ada), secret(digest), by(10)).await.unwrap();
    }
    // A newer one takes the place of the older.
    assert_eq!(store.link("l1", Timestamp(50)).await.unwrap(), None);
    assert_eq!(store.link("l2", Timestamp(50)).await.unwrap(), Some(Link::Password(ada.clone())));
    assert_eq!(store.use_link("l2", "late", Timestamp(100)).await.unwrap(), None);
    assert_eq!(store.use_link("l2", "chosen", Timestamp(50)).await.unwrap(), Some(ada));
    assert_eq!(store.use_link("l2", "again", Timestamp(50)).await.unwrap(), None);
    assert_eq!(store.account("ada").await.unwrap().unwrap().1, "chosen");
    // It is no link for a first account.
    assert!(store.create_first_account("l2", new("eve"), by(50)).await.is_err());
}

pub async fn the_last_administrator_stays(store: Store) {
    let (ada, bob) = (account(&store, "ada", true).await, account(&store, "bob", false).await);
    assert!(!store.set_admin(&ada, false, by(5)).await.unwrap());
    assert!(!store.remove_account(&ada, by(5)).await.unwrap());
    assert!(store.set_admin(&bob, true, by(5)).await.unwrap());
    assert!(store.set_admin(&ada, false, by(5)).await.unwrap());
    assert!(store.remove_account(&ada, by(5)).await.unwrap());
    assert!(!store.remove_account(&bob, by(5)).await.unwrap());
    let accounts = store.accounts().await.unwrap();
    assert_eq!((accounts.len(), accounts[0].admin), (1, true));
}

pub async fn of_two_administrators_one_stays(store: Store) {
    let (ada, bob) = (account(&store, "ada", true).await, account(&store, "bob", true).await);
    let taken = [ada, bob].map(|account| {
        let store = store.clone();
        tokio::spawn(async move { store.remove_account(&account, by(5)).await.unwrap_or(false) })
    });
    let taken: Vec<bool> = join_all(taken).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{taken:?}");
    assert_eq!(store.accounts().await.unwrap().len(), 1);
}

pub async fn a_member_has_one_role_and_sees_its_projects(store: Store) {
    let demo = store.create_project("acme/demo", Visibility::Private, by(1)).await.unwrap();
    let other = store.create_project("acme/other", Visibility::Private, by(1)).await.unwrap();
    let (ada, bob) = (account(&store, "ada", false).await, account(&store, "bob", true).await);
    assert_eq!(demo.role_of(&ada).await.unwrap(), None);
    for role in Role::ALL {
        demo.set_member(&ada, role, by(5)).await.unwrap();
        assert_eq!(demo.role_of(&ada).await.unwrap(), Some(role));
    }
    other.set_member(&bob, Role::Reader, by(6)).await.unwrap();
    assert_eq!(demo.members().await.unwrap().len(), 1);
    assert_eq!(store.roles_of(&ada).await.unwrap(), BTreeMap::from([("acme/demo".to_string(), Role::Admin)]));
    assert!(demo.remove_member(&ada, by(7)).await.unwrap());
    assert!(!demo.remove_member(&ada, by(7)).await.unwrap());
    assert!(!demo.remove_member(&bob, by(7)).await.unwrap());
    assert_eq!(demo.members().await.unwrap(), []);
    other.set_member(&ada, Role::Writer, by(8)).await.unwrap();
    assert!(store.remove_account(&ada, by(9)).await.unwrap());
    assert_eq!(other.members().await.unwrap().len(), 1);
}

pub async fn what_was_done_is_written_down(store: Store) {
    let demo = store.create_project("acme/demo", Visibility::Private, by(1)).await.unwrap();
    let ada = account(&store, "ada", false).await;
    demo.set_member(&ada, Role::Writer, by(5)).await.unwrap();
    let token = NewToken { name: "ci", digest: "d", scopes: "read", expires: None };
    let token = demo.create_token(&token, by(6)).await.unwrap();
    demo.show_to(Visibility::Public, by(7)).await.unwrap();
    demo.revoke_token(token, by(8)).await.unwrap();
    // What did not happen is not there.
    demo.revoke_token(token, by(9)).await.unwrap();
    let entries = demo.audit(9).await.unwrap();
    let said: Vec<(i64, &str, &str)> =
        entries.iter().map(|entry| (entry.at.0, entry.who.as_str(), entry.what.as_str())).collect();
    assert_eq!(
        said,
        [
            (8, "ada", "revoked the token ci"),
            (7, "ada", "made the project public"),
            (6, "ada", "made the token ci, which permits read"),
            (5, "ada", "made ada a member: writer"),
            (1, "ada", "made the project, which is private"),
        ]
    );
    assert_eq!(demo.audit(2).await.unwrap(), entries[..2]);
    let all = store.audit_of_all(99).await.unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!((all[4].project.as_deref(), all[4].what.as_str()), (None, "made the account ada"));
    assert_eq!(all[5].project.as_deref(), Some("acme/demo"));
    assert_eq!(store.audit(9).await.unwrap(), []);
}

pub async fn an_acknowledgement_is_of_a_benchmark_on_a_branch_until_it_is_undone(store: Store) {
    let demo = store.create_project("acme/demo", Visibility::Private, by(1)).await.unwrap();
    let new = NewAcknowledgement { branch: "b", benchmark: "t.py::a", run: "r", cycles: 7, reason: "fine" };
    assert_eq!(demo.acknowledgements().await.unwrap(), 0);
    let first = demo.acknowledge(new, by(5)).await.unwrap();
    let second = demo.acknowledge(NewAcknowledgement { cycles: 8, ..new }, by(6)).await.unwrap();
    demo.acknowledge(NewAcknowledgement { branch: "c", ..new }, by(6)).await.unwrap();
    let held = demo.acknowledged("b").await.unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].number, held[0].cycles, held[0].reason.as_str()), (second, 8, "fine"));
    assert_eq!((held[0].who.as_str(), held[0].at), ("ada", Timestamp(6)));
    assert!(!demo.undo_acknowledgement(first, by(7)).await.unwrap());
    assert!(!store.undo_acknowledgement(second, by(7)).await.unwrap());
    let before = demo.acknowledgements().await.unwrap();
    assert!(demo.undo_acknowledgement(second, by(7)).await.unwrap());
    assert!(demo.acknowledgements().await.unwrap() > before);
    assert_eq!(demo.acknowledged("b").await.unwrap(), []);
    assert_eq!(demo.acknowledged("c").await.unwrap().len(), 1);
    assert_eq!(store.acknowledged("c").await.unwrap(), []);
    assert_eq!(demo.audit(1).await.unwrap()[0].what, "took back the acknowledgement of t.py::a on b");
}

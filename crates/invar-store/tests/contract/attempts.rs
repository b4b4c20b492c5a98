//! The promises about attempts to sign in: counted once for all servers, for a while.

use invar_store::Counted;

use super::*;

const WINDOW: Duration = Duration::from_secs(60);
const MINUTE_US: i64 = 60_000_000;

fn counted(digests: [&str; 2], most: u32) -> [Counted; 2] {
    digests.map(|digest| Counted { digest: digest.to_string(), most })
}

pub async fn who_fails_often_waits_until_the_window_is_over(store: Store) {
    let both = counted(["ada here", "here"], 3);
    let tries = async |counted: &[Counted], at| store.may_try(counted, Timestamp(at), WINDOW).await.unwrap();
    for _ in 0..3 {
        assert!(tries(&both, 5).await);
    }
    // Not even the last of many counts, so nobody is kept out for longer by trying.
    assert!(!tries(&both, 6).await && !tries(&both, MINUTE_US).await);
    assert!(!tries(&counted(["bob here", "here"], 3), 7).await, "by one of them is enough");
    assert!(tries(&counted(["ada there", "there"], 3), 7).await);
    assert!(tries(&both, MINUTE_US + 5).await);
}

pub async fn who_was_right_counts_no_more(store: Store) {
    let both = counted(["ada here", "here"], 3);
    for at in 0..20 {
        assert!(store.may_try(&both, Timestamp(at), WINDOW).await.unwrap(), "{at}");
        store.forget_attempt(&both).await.unwrap();
    }
}

pub async fn what_may_be_done_so_often_is_counted_until_then(store: Store) {
    let [one, _] = counted(["one", "another"], 2);
    let until = Timestamp(10 * MINUTE_US);
    for expected in [true, true, false, false] {
        assert_eq!(store.may_still(&one, until, WINDOW).await.unwrap(), expected);
    }
    // Who signs in meanwhile lets nothing be forgotten before its time.
    let others = counted(["ada here", "here"], 3);
    assert!(store.may_try(&others, Timestamp(10 * MINUTE_US - 1), WINDOW).await.unwrap());
    assert!(!store.may_still(&one, until, WINDOW).await.unwrap());
    assert!(store.may_try(&others, until, WINDOW).await.unwrap());
    assert!(store.may_still(&one, until, WINDOW).await.unwrap());
}

pub async fn of_many_attempts_at_once_no_more_get_through(store: Store) {
    let tries = (0..12).map(|number| {
        let store = store.clone();
        // In another order each: nobody waits for ever.
        let digests = if number % 2 == 0 { ["x", "y"] } else { ["y", "x"] };
        tokio::spawn(async move { store.may_try(&counted(digests, 5), Timestamp(9), WINDOW).await.unwrap() })
    });
    let through: Vec<bool> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(through.iter().filter(|through| **through).count(), 5, "{through:?}");
}

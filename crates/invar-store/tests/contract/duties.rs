//! What servers of one store take turns at.

use std::time::Duration;

use futures_util::future::join_all;
use invar_core::run::Timestamp;
use invar_store::Store;

const MINUTE: Duration = Duration::from_secs(60);

fn minute(number: i64) -> Timestamp {
    Timestamp(number * 60_000_000)
}

pub async fn of_servers_at_once_one_takes_a_duty(store: Store) {
    let stores: Vec<Store> = (0..8).map(|_| store.clone()).collect();
    let takes = stores.iter().map(|store| store.take_duty("collect", minute(1), MINUTE));
    let taken = join_all(takes).await.into_iter().filter(|taken| *taken.as_ref().unwrap()).count();
    assert_eq!(taken, 1);
}

pub async fn a_duty_is_due_again_after_its_time_or_when_its_server_is_lost(store: Store) {
    let take = async |at| store.take_duty("collect", minute(at), 5 * MINUTE).await.unwrap();
    assert!(take(1).await);
    assert!(!take(5).await, "somebody has it");
    assert!(take(6).await, "whoever had it has not come back");
    store.duty_is_done("collect", minute(7), 10 * MINUTE).await.unwrap();
    assert!(!take(16).await, "it is done");
    assert!(take(17).await);
    assert!(store.take_duty("other", minute(17), MINUTE).await.unwrap(), "each on its own");
}

//! What every benchmark did in the runs that pages show as a history, kept in memory.
//!
//! Runs never change, so what was read of them stays right for as long as it is kept, whoever else writes to the store.
//! Where a run came to a branch, that run is read and the others are not; who asks for what is being read waits for it.
//!
//! Nothing is judged here: policies and noise floors may be others at the next request.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use invar_core::history::{Series, joined};
use invar_store::{Comparable, DatabaseError, Store};
use tokio::sync::OnceCell;

use crate::app::Recent;

/// How many results are kept of a project, some twenty megabytes; what was asked for last is kept in any case.
const KEPT: usize = 120_000;
/// How much one of them takes.
const READING_BYTES: usize = 170;
/// Of how many lists of runs, however small.
const LISTS: usize = 16;

/// The histories that were asked for last.
#[derive(Default)]
pub struct Histories(Mutex<Vec<Kept>>);

/// The history of a list of runs, or who is reading it.
#[derive(Clone)]
struct Kept {
    way: Comparable,
    runs: Vec<String>,
    series: Arc<OnceCell<Arc<Vec<Series>>>>,
}

impl Kept {
    fn readings(&self) -> usize {
        self.series.get().map_or(0, |series| series.iter().map(|series| series.points.len()).sum())
    }
}

impl Histories {
    /// What every benchmark did in these runs, as [`Store::histories`] says it.
    pub async fn of(&self, store: &Store, recent: &Recent) -> Result<Arc<Vec<Series>>, DatabaseError> {
        let (wanted, before) = self.enter(recent);
        // Whoever comes first reads. If that fails, or if who asked goes away, the next one does.
        let series = wanted.series.get_or_try_init(|| async {
            let known = before.as_ref().and_then(|before| Some((&before.runs, before.series.get()?)));
            let Some((runs, series)) = known else {
                return Ok(Arc::new(store.histories(&recent.runs, &recent.way).await?));
            };
            let runs: BTreeSet<&str> = runs.iter().map(String::as_str).collect();
            let others = recent.runs.iter().filter(|run| !runs.contains(run.id.as_str()));
            let read = store.histories(&others.cloned().collect::<Vec<_>>(), &recent.way).await?;
            Ok::<_, DatabaseError>(Arc::new(joined(series, read, &recent.runs)))
        });
        let series = Arc::clone(series.await?);
        self.forget();
        Ok(series)
    }

    /// How many bytes they are, more or less.
    pub fn held(&self) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(Kept::readings).sum::<usize>() * READING_BYTES
    }

    /// The place of these runs, now that of those asked for last; and, where it is new, the kept runs that have most in
    /// common with them.
    fn enter(&self, recent: &Recent) -> (Kept, Option<Kept>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = |kept: &Kept| {
            kept.way == recent.way && kept.runs.iter().eq(recent.runs.iter().map(|run| &run.id))
        };
        let wanted = match all.iter().position(is_wanted) {
            Some(at) => all.remove(at),
            None => Kept {
                way: recent.way.clone(),
                runs: recent.runs.iter().map(|run| run.id.clone()).collect(),
                series: Arc::default(),
            },
        };
        let ids: BTreeSet<&str> = wanted.runs.iter().map(String::as_str).collect();
        let in_common = |kept: &Kept| kept.runs.iter().filter(|run| ids.contains(run.as_str())).count();
        let before = all
            .iter()
            .filter(|kept| kept.way == wanted.way && kept.series.initialized() && in_common(kept) > 0)
            .max_by_key(|kept| in_common(kept))
            .cloned();
        all.push(wanted.clone());
        (wanted, before)
    }

    /// Lets go of what was asked for longest ago, as far as there is too much.
    fn forget(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut readings, mut lists) = (0, 0);
        let mut kept = Vec::new();
        for one in all.drain(..).rev() {
            readings += one.readings();
            lists += 1;
            if kept.is_empty() || (readings <= KEPT && lists <= LISTS) {
                kept.push(one);
            }
        }
        kept.reverse();
        *all = kept;
    }
}

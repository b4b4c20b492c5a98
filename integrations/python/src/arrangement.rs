//! Which benchmarks are measured, in which order, whether apart from each other, and how many at the same time: all as they were collected, in
//! one process, one after the other, unless the request says otherwise.
//!
//! For `invar verify`, which proves that a number depends on none of it. The order is part of no byte that a benchmark can see.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::OnceLock;

use pyo3::prelude::*;
use serde_json::Value;

/// The order of benchmarks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Collected,
    Reversed,
    Shuffled,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrangement {
    order: Order,
    /// Full names; `None`: all.
    only: Option<BTreeSet<String>>,
    /// Each in a process of its own.
    isolated: bool,
    /// The seed of the layout of memory.
    layout: u8,
    /// How many at the same time, where each has a process of its own.
    jobs: NonZero<u16>,
}

impl Default for Arrangement {
    fn default() -> Arrangement {
        Arrangement {
            order: Order::Collected,
            only: None,
            isolated: false,
            layout: 0,
            jobs: NonZero::<u16>::MIN,
        }
    }
}

static KEPT: OnceLock<Arrangement> = OnceLock::new();

/// Keeps what this process was asked for. It is asked once.
pub fn keep(arrangement: Arrangement) {
    let _ = KEPT.set(arrangement);
}

/// The places, in `names`, of the benchmarks to measure, in their order.
#[pyfunction]
pub fn arrange(names: Vec<String>) -> Vec<usize> {
    KEPT.get().cloned().unwrap_or_default().places(&names)
}

/// Is each benchmark to be measured in a process of its own?
#[pyfunction]
pub fn isolated() -> bool {
    KEPT.get().is_some_and(|arrangement| arrangement.isolated)
}

/// The seed of the layout of memory that is asked for. No number above 255: Python keeps these ready, so that none of them moves
/// anything itself.
#[pyfunction]
pub fn layout() -> u8 {
    KEPT.get().map_or(0, |arrangement| arrangement.layout)
}

/// How many benchmarks may be measured at the same time.
#[pyfunction]
pub fn jobs() -> u16 {
    KEPT.get().map_or(1, |arrangement| arrangement.jobs.get())
}

impl Arrangement {
    /// Reads the members `order`, `only`, `isolated`, `layout` and `jobs` of a request, which may all be missing.
    pub fn read(request: &Value) -> Option<Arrangement> {
        let order = match &request["order"] {
            Value::Null => Order::Collected,
            order => match order.as_str()? {
                "collected" => Order::Collected,
                "reversed" => Order::Reversed,
                "shuffled" => Order::Shuffled,
                _ => return None,
            },
        };
        let only = match &request["only"] {
            Value::Null => None,
            only => {
                let names = only.as_array()?.iter().map(|name| name.as_str().map(str::to_string));
                Some(names.collect::<Option<_>>()?)
            }
        };
        let isolated = match &request["isolated"] {
            Value::Null => false,
            isolated => isolated.as_bool()?,
        };
        let layout = match &request["layout"] {
            Value::Null => 0,
            layout => u8::try_from(layout.as_u64()?).ok()?,
        };
        let jobs = match &request["jobs"] {
            Value::Null => NonZero::<u16>::MIN,
            jobs => NonZero::new(u16::try_from(jobs.as_u64()?).ok()?)?,
        };
        Some(Arrangement { order, only, isolated, layout, jobs })
    }

    fn places(&self, names: &[String]) -> Vec<usize> {
        let asked = |place: &usize| self.only.as_ref().is_none_or(|only| only.contains(&names[*place]));
        let mut places: Vec<usize> = (0..names.len()).filter(asked).collect();
        match self.order {
            Order::Collected => {}
            Order::Reversed => places.reverse(),
            Order::Shuffled => shuffle(&mut places),
        }
        places
    }
}

/// The same order in every run: Fisher and Yates, by Knuth's generator from a fixed seed.
fn shuffle(places: &mut [usize]) {
    let mut state = 0x1234_5678_9abc_def1_u64;
    for end in (1..places.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        places.swap(end, (state >> 33) as usize % (end + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(request: &str, expected: Option<&str>) {
        let request = serde_json::from_str(request).unwrap();
        let names: Vec<String> = "abcdef".chars().map(String::from).collect();
        let order = Arrangement::read(&request).map(|arrangement| {
            arrangement.places(&names).into_iter().map(|place| names[place].as_str()).collect::<String>()
        });
        assert_eq!(order.as_deref(), expected);
    }

    #[test]
    fn benchmarks_are_measured_as_they_were_collected_unless_asked() {
        check("{}", Some("abcdef"));
        check(r#"{"order": "reversed"}"#, Some("fedcba"));
        check(r#"{"only": ["d", "b", "z"], "order": "reversed"}"#, Some("db"));
        check(r#"{"order": "sideways"}"#, None);
        check(r#"{"only": "a"}"#, None);
        check(r#"{"isolated": "yes"}"#, None);
        check(r#"{"jobs": 2}"#, Some("abcdef"));
        check(r#"{"jobs": 0}"#, None);
        check(r#"{"layout": 256}"#, None);
    }

    #[test]
    fn a_shuffled_order_is_another_one_and_always_the_same() {
        let mut places: Vec<usize> = (0..20).collect();
        shuffle(&mut places);
        let mut again: Vec<usize> = (0..20).collect();
        shuffle(&mut again);
        assert_eq!(places, again);
        assert_ne!(places, (0..20).collect::<Vec<_>>());
        places.sort_unstable();
        assert_eq!(places, (0..20).collect::<Vec<_>>());
    }
}

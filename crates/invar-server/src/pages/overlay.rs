//! What is laid over the history of a benchmark: other branches, and the same test with other parameters.
//!
//! Each is a history of its own, measured in the same way, on the same scale. Where several are shown, a place on the way from
//! left to right is a run, the oldest first. Which colour a line has follows from its name, not from how many others there are;
//! its dashes tell it apart without colours.

use std::collections::BTreeMap;

use invar_core::history::{Point, Series};
use invar_core::run::Timestamp;
use invar_store::{Comparable, Trees};

use super::benchmark::Row;
use super::runs::BRANCHES;
use crate::app::App;
use crate::asked::{Asked, OVER};
use crate::problem::Problem;

/// How many lines are laid over a chart, and how many looks they have.
const MOST: usize = 6;
/// How many parameters of a test are offered.
const OFFERED: u32 = 50;

/// What is laid over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// The same benchmark on another branch.
    Branch(String),
    /// Another benchmark on the same branch.
    Benchmark(String),
}

impl Over {
    /// As in the address: `branch:faster`, `b:t.py::a[5]`.
    fn read(text: &str) -> Option<Over> {
        let (kind, name) = text.split_once(':')?;
        match kind {
            "branch" => Some(Over::Branch(name.to_string())),
            "b" => Some(Over::Benchmark(name.to_string())),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Over::Branch(name) => format!("branch:{name}"),
            Over::Benchmark(name) => format!("b:{name}"),
        }
    }
}

/// A line that is laid over, as the page shows it.
pub struct Overlay {
    /// What it is of.
    pub name: String,
    /// Its look: a number below [`MOST`].
    pub look: usize,
    /// This page without it.
    pub without: String,
    /// Its points, the newest first.
    pub rows: Vec<Row>,
}

/// Which history something is laid over.
pub struct Overlays<'a> {
    /// The benchmark.
    pub benchmark: &'a str,
    /// How it was measured.
    pub way: &'a Comparable,
    /// On which branch; `None`: on all of them.
    pub branch: Option<&'a str>,
    /// Of which trees.
    pub trees: Trees,
    /// How many points each has at most.
    pub limit: u32,
}

impl Overlays<'_> {
    /// What is asked for, each once; what is the history itself is nothing over it.
    pub async fn found(&self, app: &App, asked: &Asked) -> Result<Vec<(Over, Series)>, Problem> {
        let mut found: Vec<(Over, Series)> = Vec::new();
        for over in asked.values(OVER).filter_map(Over::read) {
            let (benchmark, branch) = match &over {
                Over::Branch(branch) => (self.benchmark, Some(branch.as_str())),
                Over::Benchmark(benchmark) => (benchmark.as_str(), self.branch),
            };
            let is_itself = (benchmark, branch) == (self.benchmark, self.branch);
            if is_itself || found.len() == MOST || found.iter().any(|(other, _)| *other == over) {
                continue;
            }
            let series = app.history(benchmark, self.way, branch, self.trees, self.limit).await?;
            found.push((over, series));
        }
        Ok(found)
    }

    /// What may be laid over, by kind: what it is in the address, and for people.
    pub async fn offered(&self, app: &App) -> Result<Vec<(&'static str, Vec<(String, String)>)>, Problem> {
        let branches = app.store().branches(BRANCHES).await?.into_iter();
        let branches = branches.filter(|branch| Some(branch.as_str()) != self.branch);
        let branches: Vec<_> = branches.map(|name| (Over::Branch(name.clone()).text(), name)).collect();
        let mut parameters = Vec::new();
        if let Some((test, _)) = self.benchmark.split_once('[') {
            let names = app.names().await?;
            for name in app.store().benchmarks_with(&format!("{test}["), OFFERED).await? {
                let today = names.today(&name).to_string();
                // A search does not mind capitals.
                let is_other =
                    today != self.benchmark && today.starts_with(test) && !names.is_archived(&today);
                let over = (Over::Benchmark(today.clone()).text(), today);
                if is_other && !parameters.contains(&over) {
                    parameters.push(over);
                }
            }
        }
        let kinds = [("Branches", branches), ("Parameters", parameters)];
        Ok(kinds.into_iter().filter(|(_, all)| !all.is_empty()).collect())
    }
}

/// What tells places apart.
pub fn key(point: &Point) -> (Timestamp, String) {
    (point.run.started, point.run.id.clone())
}

/// The places of all runs of these histories, the oldest first.
pub fn places<'a>(all: impl Iterator<Item = &'a Series>) -> BTreeMap<(Timestamp, String), usize> {
    let mut places: BTreeMap<_, usize> =
        all.flat_map(|series| &series.points).map(|point| (key(point), 0)).collect();
    places.values_mut().enumerate().for_each(|(index, place)| *place = index);
    places
}

/// What the page says of each, without its points.
pub fn shown(asked: &Asked, all: &[(Over, Series)]) -> Vec<Overlay> {
    let mut taken = [false; MOST];
    let overlay = |(over, _): &(Over, Series)| {
        let text = over.text();
        let first = crc32fast::hash(text.as_bytes()) as usize % MOST;
        // Two names with one look would be no good: the next one that is free.
        let look = (0..MOST).map(|step| (first + step) % MOST).find(|look| !taken[*look]).unwrap_or(first);
        taken[look] = true;
        let others: Vec<&str> = asked.values(OVER).filter(|other| *other != text).collect();
        Overlay {
            name: match over {
                Over::Branch(name) | Over::Benchmark(name) => name.clone(),
            },
            look,
            without: asked.with(OVER, &others.join("\n")),
            rows: Vec::new(),
        }
    };
    all.iter().map(overlay).collect()
}

//! What pages ask: the store, and what follows from it.
//!
//! Runs never change, so what was read or judged once is kept; a judgement depends on two runs, on the policy, which
//! is that of the server's start, and on what was said since: of noise, of regressions, of the names of benchmarks. Pages
//! know benchmarks by the names of today; only the store knows what runs called them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use invar_core::acknowledge::{Acknowledgement, Acknowledgements};
use invar_core::compare::Comparison;
use invar_core::config::Policy;
use invar_core::cost::Cycles;
use invar_core::history::Series;
use invar_core::ignore::{Ignored, Ignoring};
use invar_core::naming::{self, Names};
use invar_core::profile::{Both, PAYERS, Profile, Why};
use invar_core::report::{Brief, Judgement, Paid, Report, ReportOptions};
use invar_core::run::{Run, Summary};
use invar_store::{
    Acknowledged, Comparable, Found, IgnoredBenchmark, Listing, Revision, Store, Trees, Wanted, is_gathered,
};

use crate::address::Links;
use crate::answers::Answers;
use crate::histories::Histories;
use crate::problem::Problem;

/// A project that is shown.
pub struct Site {
    /// Its runs.
    pub store: Store,
    /// What it is called.
    pub project: String,
    /// The path that its pages are below: `/acme/demo`; empty where there is one project only.
    pub root: String,
    /// When a change counts.
    pub policy: Policy,
    /// The branch that changes are merged into; `None`: what runs say.
    pub default_branch: Option<String>,
    /// Who is told, in a line, what went wrong on this side.
    pub log: fn(&str),
}

/// How many results of runs are kept in memory, some sixty megabytes, and how many judgements. What is more is read, or judged,
/// again.
const RESULTS_KEPT: usize = 120_000;
const BRIEFS_KEPT: usize = 20_000;
/// As how many results the rest of a run counts.
const OF_A_RUN: usize = 20;
/// How many rows of reports, some thirty megabytes.
const ROWS_KEPT: usize = 20_000;
/// How much a result of a run, and a row of a report, are reckoned to take in memory: as the limits beside them say it.
const RESULT_BYTES: usize = 500;
const ROW_BYTES: usize = 1500;
/// For how many changes of benchmarks it is kept who pays.
const PAID_KEPT: usize = 2_000;
/// Shorter beginnings of ids and commits are taken for branches.
const FEWEST_DIGITS: usize = 4;

/// What a page is given.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    site: Site,
    links: Links,
    /// By id, and by what was known of names.
    runs: Mutex<BTreeMap<(String, i64), Arc<Run>>>,
    /// The names of today, and of which state they are.
    names: Mutex<(i64, Arc<Names>)>,
    /// By both runs, and what was known beside them.
    briefs: Mutex<BTreeMap<(String, String, Revision), Option<Brief>>>,
    reports: Mutex<Vec<(ReportKey, Arc<Report>)>>,
    paid: Mutex<BTreeMap<([String; 3], i64), Paid>>,
    histories: Histories,
    answers: Answers,
}

/// What a report follows from: both runs, what was known beside them, and what the report was told.
type ReportKey = (String, String, Revision, ReportOptions);

/// Runs that are shown as a history: what is measured now, the oldest first.
pub struct Recent {
    /// How they were measured.
    pub way: Comparable,
    /// The runs.
    pub runs: Vec<Summary>,
}

impl App {
    /// What pages of this site are given.
    pub fn new(site: Site) -> App {
        App(Arc::new(Inner {
            links: Links::below(&site.root),
            site,
            runs: Mutex::default(),
            names: Mutex::default(),
            briefs: Mutex::default(),
            reports: Mutex::default(),
            paid: Mutex::default(),
            histories: Histories::default(),
            answers: Answers::default(),
        }))
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0.site.store
    }

    /// When a change counts.
    pub fn policy(&self) -> &Policy {
        &self.0.site.policy
    }

    /// What the project is called.
    pub fn project(&self) -> &str {
        &self.0.site.project
    }

    /// Where its pages are.
    pub fn links(&self) -> &Links {
        &self.0.links
    }

    /// Data that was asked for lately.
    pub fn answers(&self) -> &Answers {
        &self.0.answers
    }

    /// How much memory it holds of what was read and judged, in bytes, more or less.
    pub fn held(&self) -> usize {
        fn of<T>(kept: &Mutex<T>, bytes: impl FnOnce(&T) -> usize) -> usize {
            bytes(&kept.lock().unwrap_or_else(PoisonError::into_inner))
        }
        let results = |run: &Arc<Run>| run.measurements.len() + OF_A_RUN;
        of(&self.0.runs, |runs| runs.values().map(results).sum::<usize>() * RESULT_BYTES)
            + of(&self.0.briefs, |briefs| briefs.len() * RESULT_BYTES)
            + of(&self.0.reports, |kept| {
                kept.iter().map(|(_, report)| report.rows.len()).sum::<usize>() * ROW_BYTES
            })
            + of(&self.0.paid, |paid| paid.len() * ROW_BYTES)
            + self.0.histories.held()
            + self.0.answers.held()
    }

    /// Says what went wrong on this side.
    pub fn log(&self, line: &str) {
        (self.0.site.log)(line);
    }

    /// What benchmarks are called today.
    pub async fn names(&self) -> Result<Arc<Names>, Problem> {
        Ok(self.names_in_state().await?.1)
    }

    /// The same, with the number of the state that they are of.
    async fn names_in_state(&self) -> Result<(i64, Arc<Names>), Problem> {
        let kept = || self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.store().named().await?;
        let known = kept().clone();
        if known.0 == state {
            return Ok(known);
        }
        let names = Arc::new(invar_store::names(&self.store().namings().await?));
        *kept() = (state, Arc::clone(&names));
        Ok((state, names))
    }

    /// A run, whole, by the names of today.
    pub async fn run(&self, id: &str) -> Result<Arc<Run>, Problem> {
        let (state, names) = self.names_in_state().await?;
        let key = (id.to_string(), state);
        // A page that was stopped in its middle has left a map that is as good as before.
        let kept = || self.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = kept().get(&key) {
            return Ok(Arc::clone(run));
        }
        let run = self.store().get(id).await?;
        let run = Arc::new(if names.is_empty() { run } else { names.run(&run) });
        // Another shard comes, and then there is another run instead.
        if run.incomplete.is_some() && is_gathered(&run.id) {
            return Ok(run);
        }
        let mut runs = kept();
        let results = |run: &Arc<Run>| run.measurements.len() + OF_A_RUN;
        if runs.values().map(results).sum::<usize>() + results(&run) > RESULTS_KEPT {
            runs.clear();
        }
        runs.insert(key, Arc::clone(&run));
        Ok(run)
    }

    /// The branch whose history is the project's; `None` where no run names one.
    pub async fn branch(&self) -> Result<Option<String>, Problem> {
        if let Some(branch) = &self.0.site.default_branch {
            return Ok(Some(branch.clone()));
        }
        let Some(newest) = self.store().latest(&Wanted::default()).await? else { return Ok(None) };
        let run = self.run_if_readable(&newest.id).await?;
        let source = run.as_ref().and_then(|run| run.source.as_ref());
        Ok(source.and_then(|source| source.default_branch.clone()).or(newest.branch))
    }

    /// A run, whole; `None` if its results are lost. For pages that are about more than this run.
    pub async fn run_if_readable(&self, id: &str) -> Result<Option<Arc<Run>>, Problem> {
        match self.run(id).await {
            Ok(run) => Ok(Some(run)),
            Err(Problem::Run(_)) => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// The newest commits of a branch that can be compared with its newest run; where there are none, its newest runs.
    pub async fn recent(&self, branch: Option<&str>, limit: u32) -> Result<Option<Recent>, Problem> {
        let branch = branch.map(str::to_string);
        let clean = Wanted { branch: branch.clone(), dirty: Some(false), ..Wanted::default() };
        let any = Wanted { branch: branch.clone(), ..Wanted::default() };
        let newest = match self.store().latest(&clean).await? {
            Some(newest) => Some(newest),
            None => self.store().latest(&any).await?,
        };
        let Some(newest) = newest else { return Ok(None) };
        let Some(way) = self.store().way(&newest.id).await? else { return Ok(None) };
        let listing = Listing { branch, comparable: Some(way.clone()), limit, ..Listing::default() };
        let mut runs = self.store().commits(&listing).await?;
        if runs.is_empty() {
            runs = self.store().runs(&listing).await?;
            runs.retain(|run| run.measured > 0);
        }
        runs.reverse();
        Ok(Some(Recent { way, runs }))
    }

    /// What every benchmark did in these runs.
    pub async fn histories(&self, recent: &Recent) -> Result<Arc<Vec<Series>>, Problem> {
        let said = self.0.histories.of(self.store(), recent).await?;
        let names = self.names().await?;
        Ok(if names.is_empty() { said } else { Arc::new(names.series(said.to_vec())) })
    }

    /// What a benchmark is called in runs: its name of today, and those that it had.
    async fn names_of(&self, benchmark: &str) -> Result<Vec<String>, Problem> {
        let names = self.names().await?;
        Ok(std::iter::once(benchmark).chain(names.before(benchmark)).map(str::to_string).collect())
    }

    /// In which ways a benchmark was measured, by any of its names; the one measured last first.
    pub async fn ways(&self, benchmark: &str) -> Result<Vec<Comparable>, Problem> {
        let mut ways = Vec::new();
        for name in self.names_of(benchmark).await? {
            for way in self.store().ways(&name).await? {
                if !ways.contains(&way) {
                    ways.push(way);
                }
            }
        }
        Ok(ways)
    }

    /// A benchmark's newest points, at most so many, of one branch or of all, by any of its names.
    pub async fn history(
        &self,
        benchmark: &str,
        way: &Comparable,
        branch: Option<&str>,
        trees: Trees,
        limit: u32,
    ) -> Result<Series, Problem> {
        let mut series = self.store().history(benchmark, way, branch, trees, limit).await?;
        for name in self.names_of(benchmark).await?.iter().skip(1) {
            let before = self.store().history(name, way, branch, trees, limit).await?;
            naming::join(&mut series.points, before.points);
        }
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        series.points.drain(..series.points.len().saturating_sub(most));
        Ok(series)
    }

    /// The benchmarks of a run that have a profile.
    pub async fn profiled(&self, run: &str) -> Result<BTreeSet<String>, Problem> {
        let names = self.names().await?;
        let profiled = self.store().profiled(run).await?;
        Ok(profiled.into_iter().map(|name| names.today(&name).to_string()).collect())
    }

    /// How a run did against another; `None` if they cannot be compared, or if the results of one are lost.
    pub async fn judge(&self, base: &Summary, head: &Summary) -> Result<Option<Brief>, Problem> {
        self.judge_in(base, head, self.state().await?).await
    }

    /// What a judgement of two runs follows from beside these, which never change.
    async fn state(&self) -> Result<Revision, Problem> {
        Ok(Revision { runs: 0, ..self.store().revision().await? })
    }

    /// The same in this state.
    async fn judge_in(
        &self,
        base: &Summary,
        head: &Summary,
        state: Revision,
    ) -> Result<Option<Brief>, Problem> {
        let key = (base.id.clone(), head.id.clone(), state);
        let kept = || self.0.briefs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(brief) = kept().get(&key) {
            return Ok(brief.clone());
        }
        let (Some(base), Some(head)) =
            (self.run_if_readable(&base.id).await?, self.run_if_readable(&head.id).await?)
        else {
            return Ok(None);
        };
        let policy = self.policy_for(&head).await?;
        let comparison = Comparison::of(&base, &head, &policy).ok();
        let report = comparison.map(|it| Report::of(&it, &policy, ReportOptions::default()));
        let brief = report.as_ref().map(Brief::of);
        let mut briefs = kept();
        if briefs.len() >= BRIEFS_KEPT {
            briefs.clear();
        }
        briefs.insert(key, brief.clone());
        Ok(brief)
    }

    /// The report of two runs, by the policy and the noise floors that are known.
    pub async fn report(
        &self,
        base: &Run,
        head: &Run,
        options: ReportOptions,
    ) -> Result<Arc<Report>, Problem> {
        let key = (base.id.clone(), head.id.clone(), self.state().await?, options);
        let kept = || self.0.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, report)) = kept().iter().find(|(known, _)| *known == key) {
            return Ok(Arc::clone(report));
        }
        let policy = self.policy_for(head).await?;
        let comparison = Comparison::of(base, head, &policy)?;
        let report = Arc::new(Report::of(&comparison, &policy, key.3.clone()));
        let mut reports = kept();
        reports.push((key, Arc::clone(&report)));
        // Those that were asked for last, as far as there is room.
        let rows = |(_, report): &(ReportKey, Arc<Report>)| report.rows.len() + OF_A_RUN;
        while reports.len() > 1 && reports.iter().map(rows).sum::<usize>() > ROWS_KEPT {
            reports.remove(0);
        }
        Ok(report)
    }

    /// The policy, with the noise floors that are known for what is measured like this run, and what is acknowledged on
    /// its branch.
    async fn policy_for(&self, head: &Run) -> Result<Policy, Problem> {
        let policy = self.policy_by(&Comparable::with(head)).await?;
        let said = self.acknowledged(head).await?.into_iter().map(|said| {
            let Acknowledged { benchmark, cycles, reason, who, at, .. } = said;
            (benchmark, Acknowledgement { cost: Cycles(cycles), reason, who, at })
        });
        Ok(policy.with_acknowledged(Acknowledgements(said.collect())))
    }

    /// What is acknowledged on the branch of a run.
    pub async fn acknowledged(&self, head: &Run) -> Result<Vec<Acknowledged>, Problem> {
        let Some(branch) = head.source.as_ref().and_then(|source| source.branch.as_ref()) else {
            return Ok(Vec::new());
        };
        let mut all = self.store().acknowledged(branch).await?;
        let names = self.names().await?;
        all.iter_mut().for_each(|said| said.benchmark = names.today(&said.benchmark).to_string());
        Ok(all)
    }

    /// The branch of a run, if regressions can be acknowledged on it: not on the one that others are merged into.
    pub async fn acknowledgeable(&self, head: &Run) -> Result<Option<String>, Problem> {
        let branch = head.source.as_ref().and_then(|source| source.branch.clone());
        let into = self.branch().await?;
        Ok(branch.filter(|branch| Some(branch) != into.as_ref()))
    }

    /// The policy, with the noise floors that are known for what is measured in this way, and what is ignored.
    pub async fn policy_by(&self, way: &Comparable) -> Result<Policy, Problem> {
        let floors = self.store().floors(way).await?;
        let names = self.names().await?;
        let ignored = self.store().ignored().await?.into_iter().map(|one| {
            let IgnoredBenchmark { benchmark, reason, who, at, .. } = one;
            (names.today(&benchmark).to_string(), Ignoring { reason, who, at })
        });
        Ok(self.policy().with_floors(floors.by(&names)).with_ignored(Ignored(ignored.collect())))
    }

    /// The same for what these runs were measured like.
    pub async fn policy_of(&self, recent: Option<&Recent>) -> Result<Policy, Problem> {
        match recent {
            Some(recent) => self.policy_by(&recent.way).await,
            None => Ok(self.policy().clone()),
        }
    }

    /// Who pays for the change of a benchmark. What cannot be known, because a profile is not there or is lost, is said.
    pub async fn paid(&self, base: &Run, head: &Run, benchmark: &str) -> Result<Paid, Problem> {
        let key = ([base.id.as_str(), &head.id, benchmark].map(str::to_string), self.store().named().await?);
        let kept = || self.0.paid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(paid) = kept().get(&key) {
            return Ok(paid.clone());
        }
        let profiles = (self.profile(base, benchmark).await, self.profile(head, benchmark).await);
        let unknown = |why: &str| Paid::Unknown(why.to_string());
        let paid = match profiles {
            (Err(problem @ Problem::Store(_)), _) | (_, Err(problem @ Problem::Store(_))) => {
                return Err(problem);
            }
            (Err(problem), _) | (_, Err(problem)) => {
                self.log(&problem.for_the_log().unwrap_or_default());
                unknown("a profile could not be read")
            }
            // Nobody has recorded any, and nothing is missing.
            (Ok(None), Ok(None)) => Paid::Unasked,
            (Ok(None), Ok(_)) => unknown("the baseline has no profile"),
            (Ok(_), Ok(None)) => unknown("the candidate has no profile"),
            (Ok(Some(base)), Ok(Some(profile))) => {
                let machine = head.measurement(benchmark).map_or(&head.machine, |found| &found.machine);
                Paid::By(Box::new(Why::of(Both { base: &base, head: &profile }, machine, PAYERS)))
            }
        };
        let mut all = kept();
        if all.len() >= PAID_KEPT {
            all.clear();
        }
        all.insert(key, paid.clone());
        Ok(paid)
    }

    /// Who pays in a benchmark of a run: its profile, and no other's, is read. It may have lines of Python functions.
    pub async fn profile(&self, run: &Run, benchmark: &str) -> Result<Option<Profile>, Problem> {
        for name in self.names_of(benchmark).await? {
            if let Some(profile) = self.store().profile(&run.id, &name).await? {
                return Ok(Some(profile));
            }
        }
        Ok(None)
    }

    /// Each run against the one before it in the list, which is newest first. The last one is judged by nothing unless
    /// `before` is there.
    pub async fn judgements(
        &self,
        runs: &[Summary],
        before: Option<&Summary>,
    ) -> Result<Vec<Judgement>, Problem> {
        let state = self.state().await?;
        let mut judgements = Vec::with_capacity(runs.len());
        for (index, run) in runs.iter().enumerate() {
            let base = runs.get(index + 1).or(before);
            let brief = match base {
                Some(base) => self.judge_in(base, run, state).await?,
                None => None,
            };
            judgements.push(Judgement { run: run.clone(), base: base.cloned(), brief });
        }
        Ok(judgements)
    }

    /// The run that a name means: a run's id or an end of it, a commit or its beginning, or a branch. Of a commit's runs
    /// one that can be compared with `like` goes before others.
    pub async fn pick(&self, name: &str, like: Option<&Comparable>) -> Result<Summary, Problem> {
        let unknown = || {
            Problem::NotFound(format!(
                "`{name}` is no stored run, no measured commit and no measured branch."
            ))
        };
        if name.len() >= FEWEST_DIGITS {
            match self.store().find(name).await? {
                Found::One(id) => return Ok(Summary::of(self.run(&id).await?.as_ref())),
                Found::Several(runs) => return Err(ambiguous(name, runs.len(), "runs")),
                Found::None => {}
            }
            let commits = self.store().commits_starting(name).await?;
            match &commits[..] {
                [] => {}
                [commit] => {
                    let wanted = Wanted { commit: Some(commit.clone()), ..Wanted::default() };
                    return self.latest(wanted, like).await?.ok_or_else(unknown);
                }
                several => return Err(ambiguous(name, several.len(), "commits")),
            }
        }
        let wanted = Wanted { branch: Some(name.to_string()), ..Wanted::default() };
        self.latest(wanted, like).await?.ok_or_else(unknown)
    }

    async fn latest(&self, wanted: Wanted, like: Option<&Comparable>) -> Result<Option<Summary>, Problem> {
        let found = self.store().latest(&Wanted { comparable: like.cloned(), ..wanted.clone() }).await?;
        match (found, like) {
            (None, Some(_)) => Ok(self.store().latest(&wanted).await?),
            (found, _) => Ok(found),
        }
    }
}

fn ambiguous(name: &str, count: usize, what: &str) -> Problem {
    Problem::Unusable(format!("`{name}` could be any of {count} {what}: write more of it."))
}

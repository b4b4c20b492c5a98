//! What may be written on the command line. Decides nothing.

mod server;

use std::ffi::OsString;
use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use invar_core::layouts::Spend;

pub use server::{Admin, AdminAct, Apart, OfServer, Serve, SignIn, Work};

/// Measures benchmarks by executing them on a simulated CPU: the same code gives the same numbers, on every run.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

const EXIT_CODES: &str = "\
Exit status:
  0  all is well
  1  something regressed past its threshold (compare)
  2  the command line, invar.toml or a name in it cannot be used
  3  the benchmark command failed or measured nothing; doctor: this machine cannot measure
  4  a file or the store cannot be read or written

Measure, change something, measure again, compare:
  invar run -- pytest benchmarks/
  invar run -- pytest benchmarks/
  invar compare";

/// Options of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// Whether to colour what is written
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Common options")]
    pub color: Color,
    /// Where runs are kept [default: .invar at the root of the checkout]
    #[arg(
        long,
        global = true,
        value_name = "DIRECTORY",
        env = "INVAR_STORE",
        hide_env_values = true,
        help_heading = "Common options"
    )]
    pub store: Option<PathBuf>,
}

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Even into a file.
    Always,
    /// Not at all.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Run),
    Verify(Verify),
    Compare(Compare),
    Report(Report),
    List(List),
    Show(Show),
    Flame(Flame),
    Export(Export),
    Import(Import),
    Login(Login),
    Push(Push),
    Pull(Pull),
    // It has many more options than the others.
    Serve(Box<Serve>),
    Work(Work),
    Admin(Admin),
    Doctor(Doctor),
    Completions(Completions),
}

/// Run a benchmark suite, show its results and keep them
///
/// COMMAND is anything that ends up running pytest with pytest-invar: pytest itself, tox, nox, uv run, make. What it
/// writes goes to standard error; the results are on standard output.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar run -- pytest benchmarks/
  invar run --baseline v1.2 -- tox -e bench
  invar run --counts --json -- make bench > run.json
  invar run --shard 2/4 --upload -- pytest --splits 4 --group 2
  invar run --explain-environment")]
pub struct Run {
    /// The simulated CPU: `reference-1`, `callgrind`, one of invar.toml, or a description [default: as invar.toml
    /// says, else reference-1]
    #[arg(long, value_name = "MACHINE")]
    pub machine: Option<String>,
    /// Count instructions, accesses and branches without simulating caches, which is faster
    #[arg(long)]
    pub counts: bool,
    /// Measure in so many layouts of memory and show the mean, since what depends on addresses moves less then; `auto`: each
    /// benchmark in as many as make it sure [default: as invar.toml says, else 1]
    #[arg(long, value_name = "COUNT", value_parser = layouts)]
    pub layouts: Option<Spend>,
    /// Measure so many benchmarks at the same time, `auto`: one for each CPU. Counts do not change; benchmarks that share a
    /// port or a file would meet
    #[arg(long, short, value_name = "COUNT", default_value = "1", value_parser = jobs)]
    pub jobs: NonZero<u16>,
    /// Do not record who pays, which is faster; counts never do
    #[arg(long)]
    pub no_profile: bool,
    /// Record the cost of each line of Python functions, too, for `invar show BENCHMARK --source FUNCTION`; takes longer, and
    /// profiles are larger
    #[arg(long, conflicts_with_all = ["no_profile", "counts"])]
    pub python_lines: bool,
    /// What to compare with: a run, a commit, a branch, a tag, a file, or `none` [default: the merge base with the
    /// default branch, or its nearest measured ancestor]
    #[arg(long, value_name = "REVISION")]
    pub baseline: Option<String>,
    /// Do not keep the run
    #[arg(long)]
    pub no_store: bool,
    /// Send the run to the server of invar.toml; if that fails the run is still kept here, and `invar push` sends it
    #[arg(long)]
    pub upload: bool,
    /// The same, and end with status 4 if it fails
    #[arg(long)]
    pub upload_required: bool,
    /// Measured is a part of the suite, whose other parts other jobs measure: `2/4` is the second of four. Of those that are
    /// sent to it a server makes one run. The command itself measures no other part than it is told to
    #[arg(long, value_name = "NUMBER/COUNT")]
    pub shard: Option<String>,
    /// What the shards of one run have in common, and those of no other [default: the run of GitHub Actions or the pipeline of
    /// GitLab, and the job]
    #[arg(long, value_name = "KEY", env = crate::shard::VARIABLE, hide_env_values = true, requires = "shard")]
    pub shard_key: Option<String>,
    /// Write no progress
    #[arg(long, short)]
    pub quiet: bool,
    /// Write the run as JSON, as `invar export` does
    #[arg(long)]
    pub json: bool,
    /// Say what is pinned in the environment of the measured process, and why; runs nothing
    #[arg(long)]
    pub explain_environment: bool,
    /// The command, after `--`
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "explain_environment")]
    pub command: Vec<OsString>,
}

/// Prove that the numbers repeat: measure a suite under unlike circumstances and show how far each benchmark moves
///
/// The suite is run eight times: as usual, with another home and environment, with every CPU busy, in another order, as a copy at
/// another path, as a copy with an unrelated edit. A benchmark that moves is shown with what moved, and the likely cause. What
/// was found is stored, and no comparison calls a change one that is within it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar verify -- pytest benchmarks/
  invar verify --only load,alone -- pytest benchmarks/
  invar verify --all --json -- tox -e bench > noise.json")]
pub struct Verify {
    /// The simulated CPU, as for `invar run`
    #[arg(long, value_name = "MACHINE")]
    pub machine: Option<String>,
    /// Try every circumstance
    #[arg(long, conflicts_with = "only")]
    pub all: bool,
    /// Try these circumstances, and as usual
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Do not keep what was found
    #[arg(long)]
    pub no_store: bool,
    /// Write no progress
    #[arg(long, short)]
    pub quiet: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
    /// The command, after `--`
    #[arg(last = true, value_name = "COMMAND", required = true)]
    pub command: Vec<OsString>,
}

/// Which two runs.
#[derive(Debug, Args)]
pub struct Sides {
    /// What is compared with: a run's id or its end as `invar list` shows it, a commit, branch, tag or HEAD~3, a file,
    /// `worktree`, or `server:` and a commit or branch, of which the server's run is fetched [default: the merge base with the default branch, or its nearest measured ancestor]
    pub baseline: Option<String>,
    /// What is judged, named in the same ways [default: the latest run]
    pub candidate: Option<String>,
}

/// Compare two runs, benchmark by benchmark; ends with status 1 if a regression blocks
///
/// Thresholds, and which causes block, are in invar.toml.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar compare                       the latest run with the merge base
  invar compare main worktree         this tree with the branch main
  invar compare --why                 which functions pay
  invar compare server:main           the latest run with the newest of main on the server
  invar compare 3f1a0c e6de00         two runs, as invar list names them
  invar compare before.json after.json --json")]
pub struct Compare {
    #[command(flatten)]
    pub sides: Sides,
    /// Show unchanged benchmarks, too
    #[arg(long)]
    pub all: bool,
    /// Say which functions pay for each change
    #[arg(long, conflicts_with = "csv")]
    pub why: bool,
    /// Write JSON
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Write CSV: a record for each benchmark
    #[arg(long)]
    pub csv: bool,
}

/// Write the report of a change, as for a pull request
///
/// Ends with status 0 whatever it says: what blocks a merge is `invar compare`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar report
  invar report --format markdown --output report.md
  invar report main my-branch --subject '#4'")]
pub struct Report {
    #[command(flatten)]
    pub sides: Sides,
    /// How to write it
    #[arg(long, value_name = "FORMAT", default_value = "terminal")]
    pub format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// What is merged, as the headline calls it, such as `#4` [default: the candidate's branch]
    #[arg(long, value_name = "NAME")]
    pub subject: Option<String>,
    /// Write into this file
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// How to write a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Terminal,
    /// For a comment under a pull request.
    Markdown,
    /// For scripts.
    Json,
}

/// List the stored runs, newest first
#[derive(Debug, Args)]
pub struct List {
    /// How many at most
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20)]
    pub limit: u32,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// Show a run in full, or who pays in one of its benchmarks
///
/// With BENCHMARK: the functions and call paths that cost the most.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar show
  invar show main
  invar show test_fibo
  invar show main test_fibo
  invar show main test_fibo --source fibo_iter")]
pub struct Show {
    /// The run, named as for `invar compare`; what is no run may be a benchmark of the latest [default: the latest]
    pub run: Option<String>,
    /// The benchmark, by its full name or a part that no other has
    pub benchmark: Option<String>,
    /// Show the source of this function with the cost of each line: its name, or a part that no other has
    #[arg(long, value_name = "FUNCTION")]
    pub source: Option<String>,
    /// Write JSON; of a run, as `invar export` does
    #[arg(long)]
    pub json: bool,
}

/// Draw who pays in a benchmark: a flame graph as a page of its own, for any browser
///
/// The page needs no network and no server. Lines of source that cost something are in it, as their files are now.
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "\
Examples:
  invar flame test_fibo
  invar flame main test_fibo -o fibo.html
  invar flame test_fibo --diff main worktree"
)]
pub struct Flame {
    /// The run, named as for `invar compare` [default: the latest]
    #[arg(conflicts_with = "diff")]
    pub run: Option<String>,
    /// The benchmark, by its full name or a part that no other has; or a file of another's: callgrind.out, or folded stacks
    /// called *.folded
    #[arg(required_unless_present = "diff")]
    pub benchmark: Option<String>,
    /// Draw the difference of two runs, or of two files of another's
    #[arg(long, num_args = 2, value_names = ["BASE", "HEAD"])]
    pub diff: Option<Vec<String>>,
    /// How to write it; a difference is drawn as html only
    #[arg(long, value_name = "FORMAT", default_value = "html")]
    pub format: ProfileFormat,
    /// Write into this file; `-` is standard output [default: invar-flame-BENCHMARK.html]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Whose frames are shown at first, in the page those of a Python interpreter folded; other formats have no others
    #[arg(long, value_name = "FRAMES", default_value = "mixed")]
    pub view: Frames,
    /// What is measured at first: `cycles`, or an event such as `instructions`; folded stacks have no others
    #[arg(long, value_name = "MEASURE", default_value = "cycles")]
    pub measure: String,
}

/// How to write a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProfileFormat {
    /// A page for a browser.
    Html,
    /// For speedscope.app.
    Speedscope,
    /// For profiler.firefox.com.
    Firefox,
    /// For pprof.
    Pprof,
    /// For callgrind_annotate and KCachegrind.
    Callgrind,
    /// Collapsed stacks, one a line, for flamegraph.pl and its kin.
    Folded,
}

/// Whose frames are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Frames {
    /// Everybody's.
    Mixed,
    /// Python's: native cost goes to the Python function that called for it.
    Python,
    /// Native ones.
    Native,
}

/// Write a run for other programs, or for another Invar
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar export -o run.json
  invar export main --csv > main.csv")]
pub struct Export {
    /// The run, named as for `invar compare` [default: the latest]
    pub run: Option<String>,
    /// Write JSON, which `invar import` reads; this is the default
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Write CSV: a record for each pass of each benchmark
    #[arg(long)]
    pub csv: bool,
    /// Write into this file
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Keep runs that were exported elsewhere, or everything of another store
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar import run.json
  ssh build.example.com invar export | invar import -
  invar import /var/lib/invar --database postgres://invar@db/invar --blobs s3://bucket/invar")]
pub struct Import {
    /// Files of `invar export` or of a store, `-` for standard input; or a store's directory: its projects, runs and
    /// profiles
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write the list of these runs as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub apart: Apart,
}

/// Keep a token of a server, so that runs can be sent and fetched
///
/// The token is read from standard input, or asked for without showing it. It is kept in
/// $XDG_CONFIG_HOME/invar/tokens, which nobody else may read. In CI the variable INVAR_TOKEN does without.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar login https://invar.example.org
  printf %s \"$TOKEN\" | invar login https://invar.example.org")]
pub struct Login {
    /// The server [default: as INVAR_SERVER or invar.toml says]
    pub url: Option<String>,
}

/// Send stored runs, with their profiles, to the server
///
/// The server and the project are those of invar.toml, [server] url and project; INVAR_SERVER goes before the first.
/// A run that is there already is not sent twice.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar push
  invar push main 3f1a0c
  invar push --all")]
pub struct Push {
    /// The runs, named as for `invar compare` [default: the latest]
    #[arg(conflicts_with = "all")]
    pub runs: Vec<String>,
    /// Every stored run
    #[arg(long)]
    pub all: bool,
}

/// Fetch a run of the server, with its profiles, to compare with
///
/// Without an option it is the nearest measured ancestor of the merge base with the default branch; where none has been
/// measured, the newest run of that branch.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar pull && invar compare
  invar pull --branch main
  invar pull --commit 3f1a0c2")]
pub struct Pull {
    /// The run of this commit: its digits, or the first of them
    #[arg(long, value_name = "COMMIT", conflicts_with = "branch")]
    pub commit: Option<String>,
    /// The newest run of this branch
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,
}

/// Say whether this machine can measure, and what to do where it cannot
#[derive(Debug, Args)]
pub struct Doctor {
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// Write completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar completions bash > ~/.local/share/bash-completion/completions/invar
  invar completions zsh > ~/.zfunc/_invar
  invar completions fish > ~/.config/fish/completions/invar.fish")]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

fn jobs(text: &str) -> Result<NonZero<u16>, String> {
    if text == "auto" {
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        return Ok(NonZero::new(cpus.try_into().unwrap_or(u16::MAX)).unwrap_or(NonZero::<u16>::MIN));
    }
    text.parse().map_err(|_| "it is neither `auto` nor a number from 1 to 65535".to_string())
}

fn layouts(text: &str) -> Result<Spend, String> {
    Spend::parse(text).map_err(|why| format!("it {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}

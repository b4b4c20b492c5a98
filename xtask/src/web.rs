//! `cargo xtask web` and `cargo xtask screens`: what the server's pages run in a browser, and a browser that looks at them.
//!
//! The scripts come out of `web/` into `web/dist`, from where a build of the server takes them. The checks run on the demo's
//! data, and every page must be without a violation that axe knows of, in light and dark, on a screen and on a phone.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{demo_server, prepare};

/// Builds the scripts of the server's pages.
pub fn build() -> Result<()> {
    // Of node there are many packages; any will do.
    if Command::new("npm").arg("--version").stdout(Stdio::null()).status().is_err() {
        prepare::system_packages(&[("the tools that check and bundle scripts", "npm")])?;
    }
    // What is installed is what the lock file says.
    let (lock, done) = (folder().join("package-lock.json"), folder().join("node_modules/.package-lock.json"));
    let modified = |path: &PathBuf| path.metadata().and_then(|metadata| metadata.modified()).ok();
    if modified(&done).is_none_or(|done| modified(&lock).is_some_and(|lock| lock > done)) {
        prepare::run(npm().args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    }
    prepare::run(npm().args(["run", "--silent", "check"]))?;
    prepare::run(npm().args(["run", "--silent", "build"]))
}

/// Looks at every page, and clicks through some of them.
pub fn screens() -> Result<()> {
    prepare::system_packages(&[("the browser that looks at pages", "chromium")])?;
    build()?;
    let site = demo_server::make()?;
    let mut serve = site.tools.shell(&site.checkout);
    serve.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut server = Server(serve.spawn().context("cannot start `invar serve`")?);
    let output = server.0.stdout.take().context("`invar serve` has an output")?;
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address)?;
    let address = address.trim().trim_end_matches('/');
    ensure!(address.starts_with("http://"), "`invar serve` said no address but `{address}`");
    let screens = prepare::root().join("target/screens");
    prepare::run(node("clicks.mjs").arg(address))?;
    prepare::run(node("screens.mjs").arg(address).arg(&screens))?;
    drop(server);
    team(&site, &screens)
}

/// The same with a team's server, from its first minute on.
fn team(site: &demo_server::Site, screens: &PathBuf) -> Result<()> {
    let data = site.checkout.join("../team");
    let mut serve = site.tools.shell(&site.checkout);
    serve
        .args(["serve", "--team", "--listen", "127.0.0.1:0", "--requests-per-minute", "0", "--data"])
        .arg(&data);
    // People may sign in by both; where that leads, nobody goes here.
    for forge in ["GITHUB", "GITLAB"] {
        serve.env(format!("INVAR_{forge}_CLIENT_ID"), "invar");
        serve.env(format!("INVAR_{forge}_CLIENT_SECRET"), "of the pictures");
    }
    serve.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server(serve.spawn().context("cannot start `invar serve --team`")?);
    let output = server.0.stdout.take().context("`invar serve` has an output")?;
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address)?;
    let mut said = BufReader::new(server.0.stderr.take().context("`invar serve` says something")?);
    let mut link = String::new();
    while !link.contains("/setup?secret=") {
        link.clear();
        ensure!(said.read_line(&mut link)? > 0, "`invar serve --team` said no link for the first account");
    }
    let link = link.split_whitespace().last().unwrap_or_default().to_string();
    // What is said later must not fill the pipe.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::stderr()));
    let mut check = node("team.mjs");
    check.arg(address.trim().trim_end_matches('/')).arg(link).arg(screens);
    prepare::run(check.arg(&site.tools.invar).arg(&site.checkout))
}

/// Ends with whoever has started it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder() -> PathBuf {
    prepare::root().join("web")
}

fn npm() -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(folder());
    npm
}

fn node(check: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(folder().join("checks").join(check)).current_dir(folder());
    node
}

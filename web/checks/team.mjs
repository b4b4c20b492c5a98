// A team's server, from its first minute on: ways through it as people go them, and pictures of its pages.
//
// node team.mjs SITE SETUP_LINK DIRECTORY COMMAND CHECKOUT
//
// COMMAND is `invar`, and CHECKOUT one whose store has the demo's runs: they are pushed when the site has a token for them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync } from "node:fs";

import { open } from "./browser.mjs";
import { look } from "./look.mjs";

const [site, setup, directory, command, checkout] = process.argv.slice(2);
const project = "/acme/fib";
const password = "correct horse battery";
const browser = await open();
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
context.setDefaultTimeout(30_000);
const page = await context.newPage();
const errors = [];
page.on("pageerror", (error) => errors.push(String(error)));
const looked = [];
const see = async (pages, state) => looked.push(await look(browser, site, Object.entries(pages), directory, state));
const done = (what) => console.log(`ok: ${what}`);

// The first account.
const link = setup.slice(setup.indexOf("/setup"));
await see({ "team-setup": link, "team-sign-in": "/sign-in", "team-projects-none": "/", "nowhere-team": "/acme/nothing" });
await page.goto(site + link);
await page.getByLabel("Name").fill("ada");
await page.getByLabel("Password").fill(password);
await page.getByRole("button", { name: "Make the account" }).click();
await page.getByRole("button", { name: "Sign out" }).click();
await page.getByRole("link", { name: "Sign in" }).first().click();
await page.getByLabel("Name").fill("ada");
await page.getByLabel("Password").fill(password);
await page.getByRole("button", { name: "Sign in", exact: true }).click();
done("the first account is made, signs out and in again");

// A project and its first run.
await page.getByRole("link", { name: "Admin", exact: true }).first().click();
const make = page.locator("form[aria-labelledby=make-project]");
await make.getByLabel("Name").fill("acme/fib");
await make.getByRole("button", { name: "Make the project" }).click();
await page.waitForURL(`${site}${project}`);
await page.getByText("No runs yet").waitFor();
assert.ok(await page.getByText(`project = "acme/fib"`).isVisible());
await see({ "team-first": project }, await context.storageState());
await page.getByRole("link", { name: "Settings, Tokens" }).click();
await page.getByLabel("What it is for").fill("CI");
await page.getByRole("button", { name: "Make the token" }).click();
const token = await page.locator("pre[data-copy]").innerText();
assert.match(token, /^inv_/);
appendFileSync(`${checkout}/invar.toml`, `\n[server]\nurl = "${site}"\nproject = "acme/fib"\n`);
execFileSync(command, ["push", "--all"], { cwd: checkout, env: { ...process.env, INVAR_TOKEN: token }, stdio: ["ignore", "inherit", "inherit"] });
await page.goto(site + project);
await page.getByRole("link", { name: "All commits" }).click();
await page.getByRole("link", { name: "With changes" }).click();
await page.locator("main tbody th a").first().click();
await page.getByRole("link", { name: "Open the comparison" }).click();
await page.getByRole("link", { name: /^Flame graph of the difference/ }).first().click();
await page.locator(".flame:not(.waiting) canvas").waitFor();
assert.match(page.url(), /\/acme\/fib\/compare\/.+\/b\//);
await page.keyboard.press("Escape");
await page.goto(site + project);
await page.keyboard.press("/");
await page.keyboard.type("iterative_fibo_big");
await page.locator("dialog.palette li:first-child", { hasText: "benchmark" }).waitFor();
await page.keyboard.press("Enter");
await page.waitForURL(/\/acme\/fib\/b\//);
done("from the set-up by an upload to the flame graph of a difference, and by the palette to a benchmark");

// A token is worth nothing when it is revoked.
const asked = () => fetch(`${site}${project}/runs.json`, { headers: { authorization: `Bearer ${token}` } });
assert.equal((await asked()).status, 200);
await page.goto(`${site}${project}/settings/tokens`);
assert.equal(await page.getByText(token).count(), 0);
await page.getByRole("button", { name: "Revoke CI" }).click();
await page.getByText("None yet.").waitFor();
assert.equal((await asked()).status, 401);
done("a token is made, shown once, and revoked");

// A regression is acknowledged, and that is taken back.
const pull = `${project}/pulls/check-everything`;
await page.goto(site + pull);
await page.locator(".regressed-text").waitFor();
const many = await page.locator("details.acknowledge").count();
assert.ok(many > 0);
for (let left = many; left > 0; left--) {
  const form = page.locator("details.acknowledge").first();
  await form.locator("summary").click();
  if (left === many) await see({ "team-acknowledge": pull }, await context.storageState());
  await form.getByRole("textbox").fill("Checking everything is worth it");
  await form.getByRole("button").click();
  await page.waitForURL(site + pull);
  await page.waitForFunction((wanted) => document.querySelectorAll("details.acknowledge").length === wanted, left - 1);
}
await page.getByText("Nothing blocks the merge").waitFor();
await see({ "team-acknowledged": pull }, await context.storageState());
await page.getByRole("button", { name: /^Take it back/ }).first().click();
await page.locator(".regressed-text").waitFor();
done("regressions are acknowledged with a reason, block no more, and block again when that is taken back");

// Another account, as a member.
await page.goto(`${site}/admin`);
await page.locator("#account-name").fill("bob");
await page.getByRole("button", { name: "Make the account" }).click();
const invitation = await page.locator("pre[data-copy]").innerText();
const other = await browser.newContext();
const bob = await other.newPage();
await bob.goto(invitation);
await bob.getByLabel("Password").fill(password);
await bob.getByRole("button", { name: "Choose it" }).click();
assert.equal((await bob.goto(site + project)).status(), 404);
await page.goto(`${site}${project}/settings/members`);
await page.getByLabel("Account", { exact: true }).fill("bob");
await page.getByLabel("Role", { exact: true }).selectOption("reader");
await page.getByRole("button", { name: "Save" }).click();
await page.getByRole("button", { name: "Remove bob" }).waitFor();
assert.equal((await bob.goto(site + project)).status(), 200);
assert.equal(await bob.getByRole("link", { name: "Settings" }).count(), 0);
done("somebody is invited, and becomes a member");

// A repository is trusted.
await page.goto(`${site}${project}/settings/publishers`);
await page.getByLabel("Repository", { exact: true }).fill("acme/fib");
await page.getByLabel(/^Branches and tags;/).fill("refs/heads/*");
await page.getByRole("button", { name: "Trust it" }).click();
await page.getByRole("button", { name: "Remove acme/fib" }).waitFor();
done("a repository's CI is trusted");

// A benchmark is renamed, which can be taken back, and another one archived.
const names = `${site}${project}/settings/benchmarks`;
await page.goto(names);
const [old, given] = await page.locator("#known option").evaluateAll((options) => options.map(({ value }) => value));
const history = (name) => `${site}${project}/b/${encodeURIComponent(name).replaceAll("%2F", "/")}`;
await page.getByLabel("What runs have called it").fill(old);
await page.getByLabel("What it is called from now on").fill(`${old}_renamed`);
await page.getByRole("button", { name: "Rename it" }).click();
await page.getByRole("button", { name: /^Take it back/ }).filter({ hasText: old }).waitFor();
await page.goto(history(old));
await page.waitForURL(/_renamed$/);
await page.getByText("Before:").waitFor();
await page.getByRole("link", { name: "Rename, merge, archive or ignore it" }).click();
await page.getByRole("form", { name: "Archive" }).getByLabel("Benchmark").fill(given);
await page.getByRole("button", { name: "Archive it" }).click();
await page.getByRole("button", { name: /^Take it back/ }).filter({ hasText: given }).click();
await page.getByRole("button", { name: /^Take it back/ }).filter({ hasText: given }).waitFor({ state: "detached" });
done("a benchmark is renamed and its old address leads to the new one; another one is archived, and back");

// One is to decide nothing, for a reason, which its page says.
const ignore = page.getByRole("form", { name: "Ignore" });
await ignore.getByLabel("Benchmark").fill(given);
await ignore.getByLabel("Why it is to decide nothing").fill("waits for a server");
await ignore.getByRole("button", { name: "Ignore it" }).click();
await page.goto(history(given));
await page.getByText("This benchmark decides nothing").waitFor();
await page.goto(names);
await page.getByRole("button", { name: /^Take it back/ }).filter({ hasText: `${given} is ignored` }).click();
await page.getByText("What decides nothing").waitFor({ state: "detached" });
done("a benchmark is ignored for a reason, which its page says, and decides again");

// What would not be kept.
await page.goto(`${site}${project}/settings/retention`);
await page.getByLabel(/^Days for runs/).fill("30");
await page.getByLabel(/^Days for profiles/).fill("10");
await page.getByRole("button", { name: "Show what would go" }).click();
await page.getByText("What would go, if that were saved").waitFor();
await page.getByRole("button", { name: "Save" }).click();
await page.getByText("What goes the next time").waitFor();
done("what is not to be kept is shown before it is saved");

// An administrator asks for something to be done now.
await page.goto(`${site}/admin/server`);
await page.getByRole("button", { name: /^Do it now/ }).filter({ hasText: "Retention" }).click();
await page.getByRole("link", { name: "Accounts and projects" }).click();
await page.getByText("asked for retention to be done now").waitFor();
done("what a server does from time to time is asked for");

// What is left of the pages.
const settings = ["general", "policy", "benchmarks", "tokens", "publishers", "members", "retention", "log"].map((name) => [`team-settings-${name}`, `${project}/settings/${name}`]);
await page.goto(`${site}${project}/settings/policy`);
await page.locator("#settings").fill('default_branch = "main"\n\n[threshold]\ncycles = "5%"\ninstructions = "2%"\n\n[[benchmark]]\nmatch = "*iterative*"\nthreshold = "10%"\n');
await page.getByRole("button", { name: "Save" }).click();
await page.getByText("10.0 %").waitFor();
await page.goto(`${site}${project}/settings/tokens`);
await page.getByLabel("What it is for").fill("CI");
await page.getByRole("button", { name: "Make the token" }).click();
await see(
  { "team-projects": "/", "team-overview": project, "team-admin": "/admin", "team-admin-server": "/admin/server", "team-account": "/account", ...Object.fromEntries(settings) },
  await context.storageState(),
);
assert.deepEqual(errors, []);
await browser.close();
const problems = looked.flatMap(({ problems }) => problems);
for (const problem of problems) console.error(problem);
console.log(`${looked.reduce((sum, { pictures }) => sum + pictures, 0)} pictures in ${directory}, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

// A browser for the checks, and where the demo's pages are.

import { chromium } from "playwright-core";

/** Chromium as Debian and its kin install it; `CHROMIUM` names another. */
export async function open() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    // Root has no sandbox to give away.
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
}

async function json(site, path) {
  const answer = await fetch(site + path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

/** Addresses of one page of every kind, by a name for each. */
export async function pages(site) {
  const changed = (await json(site, "/commits.json?show=changes")).commits.at(-1).run;
  const commits = (await json(site, "/commits.json")).commits;
  const judged = (await json(site, "/commits.json?show=changes")).commits[0];
  const [base, head] = [judged.base.id ?? judged.base.run, judged.run.id ?? judged.run.run];
  const report = await json(site, `/compare/${base}...${head}.json?verdict=improved`);
  const all = (await json(site, `/compare/${base}...${head}.json`)).benchmarks;
  // One that calls much.
  const { benchmark } = report.benchmarks.find(({ benchmark }) => benchmark.includes("recursive_fibo_big")) ?? report.benchmarks[0] ?? all[0];
  const path = (name) => encodeURIComponent(name).replaceAll("%2F", "/").replaceAll("%3A", ":");
  return {
    overview: "/",
    commits: "/commits",
    "commits-changes": "/commits?show=changes",
    commit: `/commits/${judged.run.commit}`,
    "commit-first": `/commits/${(changed ?? commits.at(-1).run).commit}`,
    pulls: "/pulls",
    pull: "/pulls/four-steps",
    "pull-worse": "/pulls/check-everything",
    benchmarks: "/benchmarks",
    benchmark: `/b/${path(benchmark)}`,
    "benchmark-instructions": `/b/${path(benchmark)}?metric=instructions&branch=*&y=zero`,
    "benchmark-over": `/b/${path(benchmark)}?over=branch%3Afour-steps&over=branch%3Acheck-everything`,
    runs: "/runs",
    run: `/runs/${head}`,
    choose: "/compare",
    compare: `/compare/${base}...${head}`,
    "compare-all": `/compare/${base}...${head}?verdict=all`,
    flame: `/runs/${head}/b/${path(benchmark)}/flame`,
    "flame-difference": `/compare/${base}...${head}/b/${path(benchmark)}`,
    search: "/search?q=fib",
    "search-nothing": "/search?q=nothing-has-this-name",
    nowhere: "/nowhere",
  };
}

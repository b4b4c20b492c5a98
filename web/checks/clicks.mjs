// Ways through the site, as people go them; once with the keyboard only.
//
// node clicks.mjs SITE

import assert from "node:assert/strict";

import { open, pages } from "./browser.mjs";

const [site] = process.argv.slice(2);
const all = await pages(site);
const browser = await open();

const ways = {
  async "from the overview by a commit and its comparison to the flame graph of the difference"(page) {
    await page.goto(`${site}/`);
    await page.getByRole("link", { name: "All commits" }).click();
    await page.getByRole("link", { name: "With changes" }).click();
    await page.locator("main tbody th a").first().click();
    assert.match(page.url(), /\/commits\/[0-9a-f]{40}$/);
    await page.getByRole("link", { name: "Open the comparison" }).click();
    assert.match(page.url(), /\/compare\/.+\.\.\..+/);
    await page.getByRole("link", { name: /^Flame graph of the difference/ }).first().click();
    await page.locator(".flame:not(.waiting) canvas").waitFor();
    assert.match(await page.locator("#item").getAttribute("aria-label"), /→/);
    // A click zooms, the address keeps it, and it is there after a reload.
    await page.locator("#tree").click({ position: { x: 120, y: 30 } });
    await page.waitForURL(/#.*zoom=/);
    const zoomed = await page.locator("#path").innerText();
    assert.match(zoomed, /fibo/);
    await page.reload();
    await page.locator(".flame:not(.waiting) canvas").waitFor();
    assert.equal(await page.locator("#path").innerText(), zoomed);
  },

  async "a profile goes to another tool"(page) {
    await page.goto(site + all.flame);
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "speedscope" }).click()]);
    assert.match(file.suggestedFilename(), /^invar-.*\.speedscope\.json$/);
  },

  async "a filter is in the address and there again after a reload"(page) {
    await page.goto(site + all["compare-all"]);
    const rows = page.locator("#benchmarks tbody tr:visible[data-name]");
    const many = await rows.count();
    await page.getByLabel("Name").pressSequentially("iterative");
    const few = await rows.count();
    assert.ok(few > 0 && few < many, `${few} of ${many}`);
    assert.match(page.url(), /q=iterative/);
    await page.reload();
    assert.equal(await rows.count(), few);
    assert.equal(await page.getByLabel("Name").inputValue(), "iterative");
    // A counter is a filter, too, and lets go again.
    await page.goto(site + all.compare);
    await page.locator(".chip", { hasText: "unchanged" }).click();
    assert.match(page.url(), /verdict=unchanged/);
    await page.locator(".chip[aria-current]", { hasText: "unchanged" }).click();
    assert.doesNotMatch(page.url(), /verdict=/);
  },

  async "a history is zoomed, and two of its points are compared"(page) {
    await page.goto(site + all.benchmark);
    const over = page.locator("#history .u-over");
    const box = await over.boundingBox();
    const at = (share) => [box.x + box.width * share, box.y + box.height / 2];
    await page.mouse.move(...at(0.6));
    await page.mouse.down();
    await page.mouse.move(...at(0.8), { steps: 5 });
    await page.mouse.move(...at(0.98), { steps: 5 });
    await page.mouse.up();
    await page.waitForURL(/#.*zoom=/);
    await page.getByRole("button", { name: "Logarithmic" }).click();
    await page.getByRole("button", { name: "Dates" }).click();
    await page.mouse.click(...at(0.2));
    await page.mouse.click(...at(0.9));
    const pinned = await page.locator(".pinned").innerText();
    assert.match(pinned, /A .*B .*Compare/s);
    await page.reload();
    assert.equal(await page.locator(".pinned").innerText(), pinned);
    assert.equal(await page.getByRole("button", { name: "Logarithmic" }).getAttribute("aria-pressed"), "true");
    assert.ok(await page.getByRole("button", { name: "Show all" }).isVisible());
    // A point leads to its commit, and two to their comparison.
    const commit = await page.locator(".pinned a.mono").first().getAttribute("href");
    assert.match(commit, /\/commits\/[0-9a-f]{40}$/);
    await page.getByRole("link", { name: "Compare the two" }).click();
    assert.match(page.url(), /\/compare\/[0-9a-f-]{36}\.\.\.[0-9a-f-]{36}$/);
    assert.ok(await page.locator("#headline").isVisible());
  },

  async "other branches are laid over a history, and are there after a reload"(page) {
    await page.goto(site + all.benchmark);
    for (const branch of ["four-steps", "check-everything"]) {
      await page.getByLabel("Lay over").selectOption(`branch:${branch}`);
      await page.getByRole("button", { name: "Show", exact: true }).click();
      await page.locator(".overlays li", { hasText: branch }).waitFor();
    }
    await page.reload();
    assert.equal(await page.locator(".overlays li").count(), 2);
    assert.equal(await page.locator("table.overlay").count(), 2);
    // The newest places are those of the branches.
    await page.locator(".zoomable").focus();
    await page.keyboard.press("End");
    assert.match(await page.locator(".point-tip").innerText(), /four-steps: |check-everything: /);
    await page.getByRole("link", { name: "Remove four-steps" }).click();
    await page.locator(".overlays li", { hasText: "four-steps" }).waitFor({ state: "detached" });
    assert.doesNotMatch(page.url(), /four-steps/);
  },

  async "a branch is looked at commit by commit"(page) {
    await page.goto(`${site}/pulls`);
    await page.getByRole("link", { name: "four-steps" }).click();
    const headline = await page.locator("#headline").innerText();
    assert.match(headline, /^Merging four-steps will /);
    await page.locator(".strip a").first().click();
    assert.match(page.url(), /head=[0-9a-f]{40}/);
    assert.equal(await page.locator(".strip a[aria-current]").count(), 1);
  },

  async "with the keyboard only"(page) {
    await page.goto(`${site}/`);
    // The palette, to a part of the site.
    await page.keyboard.press("/");
    await page.keyboard.type("Pull req");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/pulls$/);
    // To a benchmark.
    await page.keyboard.press("Control+k");
    await page.keyboard.type("iterative_fibo_big");
    await page.locator("dialog.palette li[aria-selected=true]", { hasText: "iterative_fibo_big" }).waitFor();
    await page.locator("dialog.palette li:first-child", { hasText: "benchmark" }).waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/b\/.*iterative_fibo_big/);
    // Two points of its history.
    await page.locator(".zoomable").focus();
    for (const key of ["End", "Enter", "PageUp", "PageUp", "ArrowLeft", "Enter"]) await page.keyboard.press(key);
    assert.match(await page.locator(".pinned").innerText(), /A .*B .*Compare/s);
    // Rows, and where they lead.
    await page.keyboard.press("g");
    await page.keyboard.press("c");
    await page.waitForURL(/\/commits$/);
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("o");
    await page.waitForURL(/\/commits\/[0-9a-f]{40}$/);
    const here = page.url();
    await page.keyboard.press("[");
    await page.waitForURL((url) => url.href !== here);
    // A flame graph: in, and out again.
    await page.goto(site + all["flame-difference"]);
    await page.locator(".flame:not(.waiting) canvas").waitFor();
    await page.locator("#tree").focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    assert.ok(await page.locator("#path").isVisible());
    await page.keyboard.press("Escape");
    assert.ok(await page.locator("#path").isHidden());
    await page.keyboard.press("h");
    assert.equal(await page.getByRole("button", { name: "Head", exact: true }).getAttribute("aria-pressed"), "true");
    // The sheet of keys.
    await page.goto(`${site}/runs`);
    await page.keyboard.press("?");
    assert.ok(await page.locator("dialog.sheet[open]").isVisible());
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("dialog.sheet[open]").count(), 0);
  },

  async "without scripts there is a table for every picture"(page, context) {
    await context.close();
    const plain = await browser.newContext({ javaScriptEnabled: false });
    const read = await plain.newPage();
    await read.goto(site + all.flame);
    assert.ok((await read.locator("#rows tr").count()) > 0);
    assert.ok(await read.locator("#plain-measure").isVisible());
    await read.goto(site + all.benchmark);
    assert.ok(await read.locator("#history svg").isVisible());
    assert.ok((await read.locator("#points tbody tr").count()) > 1);
    await plain.close();
  },
};

let failed = 0;
for (const [name, way] of Object.entries(ways)) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  try {
    await way(page, context);
    assert.deepEqual(errors, []);
    console.log(`ok: ${name}`);
  } catch (error) {
    failed++;
    console.error(`FAILED: ${name}: ${error.stack}`);
  }
  await context.close();
}
await browser.close();
process.exitCode = failed === 0 ? 0 : 1;

// Looks at pages: pictures in light and dark, on a screen and on a phone, and axe's opinion on each of them.

import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

const { source: axe } = createRequire(import.meta.url)("axe-core");
/** A list goes on as it began. */
const TALLEST = 2400;
const WIDTHS = { screen: 1280, phone: 390 };

/** Looks at `pages`, addresses by name, with this state of a browser; returns how many pictures there are, and what is wrong. */
export async function look(browser, site, pages, directory, storageState) {
  await mkdir(directory, { recursive: true });
  const problems = [];
  let pictures = 0;
  for (const theme of ["light", "dark"]) {
    for (const [device, width] of Object.entries(WIDTHS)) {
      // What the policy forbids must not be bypassed here, or it would not be tested; axe comes in by the debugger.
      const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: theme, reducedMotion: "reduce", storageState });
      const page = await context.newPage();
      let here = "";
      page.on("console", (message) => {
        // A page that is not there says so, and is meant to.
        if (message.type() === "error" && !here.startsWith("nowhere")) problems.push(`${here}: console: ${message.text()}`);
      });
      page.on("pageerror", (error) => problems.push(`${here}: ${error}`));
      for (const [name, path] of pages) {
        here = `${name} ${theme} ${device}`;
        await page.goto(site + path, { waitUntil: "networkidle" });
        await page.waitForFunction(() => !document.querySelector(".flame.waiting"));
        const height = Math.min(await page.evaluate(() => document.documentElement.scrollHeight), TALLEST);
        await page.screenshot({ path: join(directory, `${name}-${theme}-${device}.png`), fullPage: true, clip: { x: 0, y: 0, width, height } });
        pictures++;
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) problems.push(`${here}: ${wide} px wider than the window`);
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
        for (const { id, help, nodes } of violations) {
          problems.push(`${here}: ${id}: ${help}: ${nodes.slice(0, 3).map(({ target }) => target.join(" ")).join(", ")}`);
        }
      }
      await context.close();
    }
  }
  return { pictures, problems };
}

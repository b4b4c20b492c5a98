// Pictures of every page, in light and dark, on a screen and on a phone; and axe's opinion on each of them.
//
// node screens.mjs SITE DIRECTORY [PAGE ...]

import { open, pages } from "./browser.mjs";
import { look } from "./look.mjs";

const [site, directory, ...only] = process.argv.slice(2);
const browser = await open();
const wanted = Object.entries(await pages(site)).filter(([name]) => only.length === 0 || only.includes(name));
const { pictures, problems } = await look(browser, site, wanted, directory);
await browser.close();
for (const problem of problems) console.error(problem);
console.log(`${pictures} pictures in ${directory}, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

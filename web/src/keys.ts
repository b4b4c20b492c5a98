// Keys: everything that they do can be done by links and buttons, too.

import { element, isTyping } from "./page";

const GO: Record<string, string> = { o: "Overview", c: "Commits", p: "Pull requests", b: "Benchmarks", r: "Runs", m: "Compare" };
const SHEET: [string, string][] = [
  ["/ Ctrl-K", "search, go to"],
  ["g then o c p b r m", "overview, commits, pull requests, benchmarks, runs, compare"],
  ["j k", "next row, row before"],
  ["o Enter", "open the row"],
  ["e", "its details"],
  ["f", "its flame graph"],
  ["[ ]", "commit or page before, next one"],
  ["y", "copy a link that stays"],
  ["?", "these keys"],
];

/** Listens to keys; `find` opens the palette. */
export function keys(find: () => void): void {
  const sheet = sheetOfKeys();
  const button = element("button", { type: "button", className: "keys-button", textContent: "?", title: "Keys (?)" });
  button.setAttribute("aria-label", "Keys");
  button.addEventListener("click", () => sheet.showModal());
  document.querySelector(".theme")?.before(button);
  // A flame graph has keys of its own.
  const alone = document.querySelector(".flame") === null;
  button.hidden = !alone;
  let going = false;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "k") {
      event.preventDefault();
      find();
      return;
    }
    if (!alone || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const act = going ? () => go(event.key) : ACTS[event.key];
    going = !going && event.key === "g";
    if (event.key === "/") find();
    else if (event.key === "?") sheet.showModal();
    else if (!act || act() === false) return;
    event.preventDefault();
  });
}

const follow = (selector: string, within: ParentNode = document) => {
  const link = within.querySelector<HTMLAnchorElement>(selector);
  link?.click();
  return link !== null;
};

/** What each key does; false: nothing, here. */
const ACTS: Record<string, () => boolean> = {
  j: () => step(1),
  k: () => step(-1),
  o: () => follow("th a", row() ?? document.createElement("tr")),
  e: () => {
    const details = row()?.querySelector("details");
    if (details) details.open = !details.open;
    return details != null;
  },
  f: () => follow("[data-flame]", row() ?? document),
  "[": () => follow("a[rel=prev]"),
  "]": () => follow("a[rel=next]"),
  y: () => {
    const link = document.querySelector<HTMLAnchorElement>("[data-permalink]");
    void navigator.clipboard?.writeText(link?.href ?? location.href);
    return true;
  },
};

function go(key: string): boolean {
  const name = GO[key];
  const links = [...document.querySelectorAll<HTMLAnchorElement>(".sections a")];
  const link = links.find((link) => link.textContent === name);
  link?.click();
  return link !== undefined;
}

/** The row that the focus is in. */
const row = () => document.activeElement?.closest<HTMLTableRowElement>("tbody tr") ?? null;

/** Moves the focus to the link of another row. */
function step(by: number): boolean {
  const rows = [...document.querySelectorAll<HTMLTableRowElement>("main table.stack > tbody > tr")];
  const shown = rows.filter((row) => !row.hidden && row.querySelector("th a") && row.offsetParent);
  const here = row();
  const at = here ? shown.indexOf(here) + by : by > 0 ? 0 : shown.length - 1;
  const link = shown[Math.max(0, Math.min(shown.length - 1, at))]?.querySelector<HTMLAnchorElement>("th a");
  link?.focus();
  return link !== undefined;
}

function sheetOfKeys(): HTMLDialogElement {
  const rows = SHEET.flatMap(([keys, text]) => [
    element("dt", {}, ...keys.split(" ").map((key) => (key === "then" ? " then " : element("kbd", { textContent: key })))),
    element("dd", { textContent: text }),
  ]);
  const close = element("form", { method: "dialog" }, element("button", { textContent: "Close" }));
  const title = element("h2", { id: "keys-title", textContent: "Keys" });
  const sheet = element("dialog", { className: "sheet" }, title, element("dl", {}, ...rows), close);
  sheet.setAttribute("aria-labelledby", "keys-title");
  document.body.append(sheet);
  return sheet;
}

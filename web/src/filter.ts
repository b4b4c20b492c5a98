// A table that is filtered while somebody types. What is typed is in the address, so that it is there after a reload, and the
// server filters in the same way.

import { element } from "./page";

/** Makes a form filter the table, or the parts of the page, that it names. */
export function filter(form: HTMLFormElement): void {
  const input = form.elements.namedItem("q");
  const id = form.dataset["filters"] ?? "";
  if (!(input instanceof HTMLInputElement)) return;
  // The rest is on other pages: there the server has to look.
  if (document.querySelector(".pager a")) return;
  const asked = input.value;
  const parts = [...document.querySelectorAll<HTMLElement>(`#${id}, [data-part="${id}"]`)];
  const rows = parts.flatMap((part) => [...part.querySelectorAll<HTMLTableRowElement>("tr[data-name]")]);
  if (rows.length === 0) return;
  const found = element("output", { className: "sub" });
  input.after(found);
  let later = 0;
  input.addEventListener("input", () => {
    const text = input.value.toLowerCase();
    clearTimeout(later);
    // What the server has left out for another text is not here.
    if (!text.includes(asked.toLowerCase())) {
      later = window.setTimeout(() => form.requestSubmit(), 400);
      return;
    }
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.dataset["name"]?.toLowerCase().includes(text);
      if (!row.hidden) shown++;
    }
    for (const part of parts) {
      const matches = [...part.querySelectorAll<HTMLElement>("tr[data-name]")].some((row) => !row.hidden);
      if (part.dataset["part"]) part.hidden = !matches;
    }
    found.textContent = text === "" ? "" : `${shown} of ${rows.length}`;
    const address = new URL(location.href);
    if (input.value === "") address.searchParams.delete("q");
    else address.searchParams.set("q", input.value);
    window.history.replaceState(null, "", address);
  });
}

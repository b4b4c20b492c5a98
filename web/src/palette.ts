// The command palette: goes to a benchmark, a commit, a branch or a part of the site by a few letters of its name.

import { element } from "./page";

interface Found {
  kind: string;
  name: string;
  about: string;
  href: string;
}

/** How long nobody types before the server is asked, in milliseconds. */
const PAUSE = 120;

/** Makes the palette; returns what opens it. `search` is the form that does the same without a script. */
export function palette(search: HTMLFormElement): () => void {
  const input = element("input", { type: "search", placeholder: "Benchmark, commit, branch …", autocomplete: "off", spellcheck: false });
  input.setAttribute("aria-label", "Go to");
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-controls", "palette-found");
  input.setAttribute("aria-expanded", "true");
  input.setAttribute("aria-autocomplete", "list");
  const list = element("ul", { id: "palette-found" });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Found");
  const none = element("p", { className: "sub", hidden: true, textContent: "Nothing found." });
  none.setAttribute("role", "status");
  const dialog = element("dialog", { className: "palette" }, input, list, none, element("p", { className: "sub hint", textContent: "↑ ↓ choose · Enter go · Esc close" }));
  dialog.setAttribute("aria-label", "Go to");
  document.body.append(dialog);

  const sections: Found[] = [...document.querySelectorAll<HTMLAnchorElement>(".sections a")].map((link) => ({
    kind: "page", name: link.textContent ?? "", about: "", href: link.href,
  }));
  let shown: Found[] = [];
  let chosen = 0;
  let asking = 0;
  let later = 0;
  /** Is there something typed that is not yet answered? */
  let typed = false;
  let pending: Promise<void> | null = null;

  const show = (found: Found[]) => {
    shown = found;
    chosen = 0;
    list.replaceChildren(...found.map((one, index) => {
      const item = element("li", { id: `palette-${index}` },
        element("span", { className: "kind", textContent: one.kind }), element("span", { className: "name mono", textContent: one.name }),
        element("span", { className: "sub", textContent: one.about }));
      item.setAttribute("role", "option");
      item.addEventListener("mousemove", () => choose(index));
      item.addEventListener("click", () => go(index));
      return item;
    }));
    none.hidden = found.length > 0;
    choose(0);
  };
  const choose = (index: number) => {
    chosen = index;
    [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
    const item = list.children[index];
    if (item) {
      input.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  };
  const go = (index: number) => {
    const one = shown[index];
    if (one) location.assign(one.href);
  };
  const ask = () => {
    clearTimeout(later);
    typed = false;
    return (pending = answered());
  };
  const answered = async () => {
    const text = input.value.trim();
    const mine = ++asking;
    const pages = sections.filter((one) => one.name.toLowerCase().includes(text.toLowerCase()));
    const address = new URL(search.action);
    address.pathname += ".json";
    address.searchParams.set("q", text);
    const answer = await fetch(address).catch(() => null);
    const found: Found[] = answer?.ok ? (await answer.json()).found : [];
    // Somebody has typed on meanwhile.
    if (mine !== asking) return;
    show(text === "" ? [...pages, ...found] : [...found, ...pages]);
    pending = null;
  };
  input.addEventListener("input", () => {
    clearTimeout(later);
    typed = true;
    later = window.setTimeout(ask, PAUSE);
  });
  input.addEventListener("keydown", (event) => {
    const many = shown.length;
    if (event.key === "ArrowDown" && many) choose((chosen + 1) % many);
    else if (event.key === "ArrowUp" && many) choose((chosen + many - 1) % many);
    // What is shown is not yet of what was typed last.
    else if (event.key === "Enter" && (typed || pending)) void (typed ? ask() : pending)?.then(() => go(0));
    else if (event.key === "Enter") go(chosen);
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  return () => {
    if (dialog.open) return;
    input.value = "";
    dialog.showModal();
    show(sections);
    void ask();
  };
}

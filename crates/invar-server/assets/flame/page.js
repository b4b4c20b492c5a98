// The page: what was chosen, what was typed and pointed at, and the parts beside the picture.

const $ = (id) => document.getElementById(id);
const whole = $("flame");
const profile = unpack(data);
whole.classList.remove("waiting");
// Who looks at Python wants to see Python and what it calls, not how an interpreter executes it.
const hasPython = profile.functions.some(({ kind }) => kind === PYTHON);
const STATE = {
  measure: 0, direction: "callees", view: "mixed", interpreter: !hasPython || data.shown.view === "native", recursion: false, side: "diff", width: "union",
  colour: "total", swapped: false, find: "", ...data.shown,
};
const state = { ...STATE };
const picture = new Picture($("canvas"), $("tree"));
let tree, root, zoom, selected, hovered = null, layout, table = [], most = 0, colours = palette();
let order = { column: "own", down: true }, all = false;

function element(name, properties, ...kids) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...kids);
  return made;
}

const names = () => { const titles = data.sides.map((side) => visible(side.title)); return state.swapped ? titles.reverse() : titles; };
const diffs = () => profile.differs && state.side === "diff";
const shownSide = () => (profile.differs && state.side === "base" ? 0 : 1);
const unit = () => data.measures[state.measure].label;
const kindName = (kind) => ["native", "interpreter", "Python"][kind];
const finds = () => {
  const text = state.find.toLowerCase();
  return text === "" ? null : ({ name, file, object }) => name.toLowerCase().includes(text) || file.toLowerCase().includes(text) || object.toLowerCase().includes(text);
};
/** Where a function is: `src/fibo.py:12`, else its object. */
const place = ({ file, line, object }) => visible(file ? (line ? `${file}:${line}` : file) : object);
/** The same with the end of the path only, where it is long: `pydantic/main.py:748`. */
const near = (fn) => place({ ...fn, file: fn.file.replace(/^.*\/(?:site|dist)-packages\//, "").replace(/^\/.*\/([^/]+\/[^/]+)$/, "$1") });

// What is shown, from the state.

function rebuild() {
  const path = []; // A frame keeps its place if the new tree has one like it.
  for (let frame = selected; frame; frame = frame.above) path.unshift(frame);
  const level = zoom ? zoom.depth : 0;
  tree = viewed(profile, state);
  root = rooted(profile, tree, state);
  selected = zoom = root;
  for (const was of path.slice(1)) {
    const next = selected.kids.find((kid) => kid.fn.index === was.fn.index && kid.inlined === was.inlined);
    if (!next) break;
    selected = next;
    if (selected.depth === level) zoom = selected;
  }
  table = flat(profile, tree);
  most = tree.own[0].reduce((most, base, index) => Math.max(most, Math.abs(tree.own[1][index] - base)), 0);
  relayout();
  functions();
}

function relayout() {
  const wide = Math.max(1, $("tree").clientWidth);
  layout = laid(zoom, 0.7 / wide);
  $("tree").style.setProperty("--rows", `${layout.rows.length * ROW}px`);
  $("room").style.height = `${Math.max(0, layout.rows.length * ROW - $("tree").clientHeight)}px`;
  trail();
  search();
  draw();
}

function draw() {
  picture.draw(layout.rows, { state, colours, selected, hovered, matches: finds(), diffs: diffs(), most });
}

function search() {
  const matches = finds();
  if (!matches) { $("found").textContent = ""; return; }
  const { share, functions: many } = matched(tree, (fn) => matches(profile.functions[fn]));
  $("found").textContent = many === 0 ? "no match" : `${many} ${many === 1 ? "function" : "functions"} · ${percent(share)}`;
}

function trail() {
  const frames = [];
  for (let frame = zoom; frame; frame = frame.above) frames.unshift(frame);
  const shown = frames.length > 6 ? [frames[0], null, ...frames.slice(-4)] : frames;
  $("path").replaceChildren(...shown.flatMap((frame, index) => {
    const step = frame ? element("button", { className: "plain", textContent: visible(frame.fn.name), title: visible(frame.fn.name), onclick: () => zoomTo(frame) }) : "…";
    if (frame === zoom) step.setAttribute("aria-current", "true");
    return index ? [element("span", { className: "sep", textContent: "▸" }), step] : [step];
  }));
  $("path").hidden = zoom === root;
}

function zoomTo(frame) {
  zoom = frame;
  relayout();
  select(frame);
}

function select(frame, speak = true) {
  selected = frame;
  const top = frame.depth * ROW, scroller = $("tree");
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (top + ROW > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + ROW - scroller.clientHeight;
  const item = $("item");
  item.setAttribute("aria-level", frame.depth + 1);
  item.setAttribute("aria-expanded", frame.kids.length > 0);
  item.setAttribute("aria-label", `${visible(frame.fn.name)}, ${told(frame).map(([word, text]) => `${word} ${text}`).join(", ")}`);
  if (speak) inspect();
  draw();
}

// What is pointed at and typed.

const tip = $("tip");
function hover(event) {
  const box = picture.at(event.clientX, event.clientY);
  const frame = box ? box.frame : null;
  if (frame !== hovered) { hovered = frame; draw(); }
  tip.hidden = !frame;
  if (!frame) return;
  tip.replaceChildren(element("p", { className: "who" }, ...described(frame)), facts(frame), element("p", { className: "where", textContent: unit() }));
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
  tip.style.top = `${event.clientY + 18 + height > innerHeight ? Math.max(4, event.clientY - height - 10) : event.clientY + 18}px`;
}
$("tree").addEventListener("mousemove", hover);
$("tree").addEventListener("mouseleave", () => { hovered = null; tip.hidden = true; draw(); });
$("tree").addEventListener("scroll", () => { tip.hidden = true; draw(); });
$("tree").addEventListener("click", (event) => {
  const box = picture.at(event.clientX, event.clientY);
  if (box) zoomTo(box.frame);
});

function out() {
  if (zoom.above) { const frame = zoom; zoomTo(zoom.above); select(frame); } else if (state.find) find("");
}

function beside(step) {
  const row = layout.rows[selected.depth] || [];
  const next = row[row.findIndex((box) => box.frame === selected) + step];
  if (next) select(next.frame);
}

const KEYS = [
  ["↑ ↓ ← →", "caller, dearest callee, neighbours"], ["Enter", "zoom in"], ["Esc, Backspace", "zoom out; clear the search"], ["Home", "the whole"],
  ["/", "find"], ["i", "callers or callees"], ["t", "the table"], ["c", "copy the path"], ...($("theme") ? [["m", "light, dark, as the system"]] : []),
  ...(profile.differs ? [["b d h", "base, difference, head"], ["s", "swap base and head"]] : []), ["?", "these keys"],
];
const acts = {
  ArrowUp: () => selected.above && select(selected.above),
  ArrowDown: () => { const kid = selected.kids[0]; if (kid) { if (selected.depth < zoom.depth) select(onWay(selected)); else select(kid); } },
  ArrowLeft: () => beside(-1), ArrowRight: () => beside(1),
  Enter: () => zoomTo(selected), Escape: out, Backspace: out, Home: () => zoomTo(root),
};
const anywhere = {
  "/": () => { $("find").focus(); $("find").select(); }, i: () => set("direction", state.direction === "callers" ? "callees" : "callers"),
  t: () => $("functions").querySelector("button").focus(), c: copy, ...($("theme") ? { m: theme } : {}), "?": () => $("keys").showModal(),
  ...(profile.differs ? { b: () => set("side", "base"), d: () => set("side", "diff"), h: () => set("side", "head"), s: () => set("swapped", !state.swapped) } : {}),
};
/** The frame below on the way to the one that is zoomed into. */
function onWay(frame) {
  let next = zoom;
  while (next.above !== frame) next = next.above;
  return next;
}
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName) && event.target.type !== "checkbox";
  if (event.key === "Escape" && event.target === $("find")) { find(""); $("tree").focus(); return; }
  if (event.key === "Enter" && event.target === $("find")) { $("tree").focus(); return; }
  if (typing) return;
  const act = event.target === $("tree") && acts[event.key] || anywhere[event.key] || event.key === "Escape" && out;
  if (act) { event.preventDefault(); act(); }
});

// What can be chosen.

function set(name, value) {
  state[name] = value;
  controls();
  rebuild();
  select(selected);
  remember();
}

function choice(id, name, options) {
  const buttons = options.map(([value, text, title]) => {
    const button = element("button", { textContent: text, title: title || "", onclick: () => set(name, value) });
    button.setAttribute("aria-pressed", state[name] === value);
    return button;
  });
  const had = $(id).contains(document.activeElement);
  $(id).replaceChildren($(id).querySelector("legend"), ...buttons);
  if (had) buttons[options.findIndex(([value]) => value === state[name])].focus();
}

function options(id, name, options) {
  $(id).replaceChildren(...options.map(([value, textContent]) => element("option", { value, textContent, selected: state[name] === value })));
  $(id).onchange = () => set(name, options[$(id).selectedIndex][0]);
}

function controls() {
  choice("direction", "direction", [["callees", "Callees", "From the benchmark down (i)"], ["callers", "Callers", "Upside down: from where the cost was spent (i)"]]);
  const kinds = new Set(profile.functions.map(({ kind }) => kind));
  $("view").hidden = !kinds.has(PYTHON);
  choice("view", "view", [["mixed", "Mixed"], ["python", "Python", "Native cost goes to the Python function that called it"], ["native", "Native"]]);
  $("interpreter-label").hidden = !kinds.has(INTERPRETER);
  options("measure", "measure", data.measures.map(({ label }, index) => [index, label]));
  choice("side", "side", [["base", "Base", "b"], ["diff", "Difference", "d"], ["head", "Head", "h"]]);
  options("width", "width", [["union", "larger of both"], ["head", "head"], ["base", "base"]]);
  options("colour", "colour", [["total", "change of total"], ["own", "change of own"], ["kind", "function"]]);
  $("interpreter").checked = state.interpreter;
  $("interpreter").disabled = state.view === "python";
  $("recursion").checked = state.recursion;
  legend();
  const [one, other] = names();
  const side = (word, name) => [element("span", { className: "kicker", textContent: word }), ` ${name} `];
  $("runs").replaceChildren(...(profile.differs ? [...side("base", one), "→ ", ...side("head", other)] : [one]), element("span", { className: "soft", textContent: ` · ${visible(data.machine)}` }));
}

function legend() {
  const swatch = (colour, text, mark = "") => { const made = element("span", {}, element("i", { className: `swatch ${mark}` }), text); if (colour) made.firstChild.style.background = colour; return made; };
  if (diffs() && state.colour !== "kind") {
    const steps = [-1, -0.5, -0.12, 0, 0.12, 0.5, 1].map((t) => { const made = element("i", { className: "step" }); made.style.background = changeColour(t, colours); return made; });
    const ends = state.colour === "own" ? ["less", "more"] : ["−50 %", "+50 %"];
    $("legend").replaceChildren(element("span", { className: "scale" }, `▲ cheaper ${ends[0]} `, ...steps, ` ${ends[1]} dearer ▼`), swatch("", "new", "dotted"), swatch("", "removed", "hatched"), element("span", { className: "soft", textContent: `${unit()}` }));
    return;
  }
  const kinds = new Set(profile.functions.map(({ kind }) => kind));
  const sample = (kind) => profile.functions.find((fn) => fn.kind === kind);
  const parts = [];
  if (kinds.has(PYTHON) && state.view !== "native") parts.push(swatch(kindColour({ ...sample(PYTHON), index: -1, name: "" }, { ...colours, made: new Map() }), "Python"));
  const objects = [...new Set(profile.functions.filter(({ kind, object }) => kind === NATIVE && object).map(({ object }) => object))];
  if (state.view !== "python") for (const object of objects.slice(0, 6)) parts.push(swatch(nativeColour(object, 0, colours.dark), visible(object)));
  if (state.view !== "python" && objects.length > 6) parts.push(element("span", { className: "soft", textContent: `and ${objects.length - 6} more` }));
  if (kinds.has(INTERPRETER) && state.interpreter && state.view !== "python") parts.push(swatch(kindColour({ ...sample(INTERPRETER), index: -1, name: "" }, { ...colours, made: new Map() }), "interpreter"));
  $("legend").replaceChildren(...parts, element("span", { className: "soft", textContent: unit() }));
}

function theme() {
  const themes = ["auto", "light", "dark"];
  const html = document.documentElement;
  html.dataset.theme = themes[(themes.indexOf(html.dataset.theme) + 1) % 3];
  recolour();
  remember();
}
function recolour() {
  if ($("theme")) $("theme").textContent = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[document.documentElement.dataset.theme];
  colours = palette();
  legend();
  if (layout) { draw(); functions(); }
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

// The address keeps what was chosen, so that it can be passed on.

function remember() {
  const kept = Object.entries(state).filter(([name, value]) => value !== STATE[name]).map(([name, value]) => [name, String(value)]);
  if ($("theme") && document.documentElement.dataset.theme !== "auto") kept.push(["theme", document.documentElement.dataset.theme]);
  const at = [];
  for (let frame = zoom; frame.above; frame = frame.above) at.unshift(frame.fn.index);
  if (at.length) kept.push(["zoom", at.join(".")]);
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
}
function recall() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const among = (name, ...values) => { if (values.includes(asked.get(name))) state[name] = asked.get(name); };
  const flag = (name) => { if (["true", "false"].includes(asked.get(name))) state[name] = asked.get(name) === "true"; };
  among("direction", "callees", "callers"); among("view", "mixed", "python", "native"); among("side", "base", "diff", "head");
  among("width", "union", "head", "base"); among("colour", "total", "own", "kind");
  flag("interpreter"); flag("recursion"); flag("swapped");
  const measure = Number(asked.get("measure"));
  if (data.measures[measure]) state.measure = measure;
  state.find = asked.get("find") || "";
  if ($("theme") && ["light", "dark"].includes(asked.get("theme"))) document.documentElement.dataset.theme = asked.get("theme");
  return (asked.get("zoom") || "").split(".").filter(Boolean).map(Number);
}

if ($("benchmark")) $("benchmark").textContent = visible(data.benchmark);
whole.classList.toggle("differs", profile.differs);
$("find").oninput = () => { find($("find").value); remember(); };
$("interpreter").onchange = () => set("interpreter", $("interpreter").checked);
$("recursion").onchange = () => set("recursion", $("recursion").checked);
$("swap").onclick = () => set("swapped", !state.swapped);
if ($("theme")) $("theme").onclick = theme;
$("keys-button").onclick = () => $("keys").showModal();
$("more").onclick = () => { all = true; functions(); };
$("key-list").replaceChildren(...KEYS.flatMap(([keys, text]) => [element("dt", {}, ...keys.split(" ").map((key) => element("kbd", { textContent: key.replace(",", "") }))), element("dd", { textContent: text })]));
const path = recall();
$("find").value = state.find;
recolour();
controls();
rebuild();
for (const index of path) { const next = zoom.kids.find((kid) => kid.fn.index === index); if (!next) break; zoom = next; }
relayout();
select(zoom);
new ResizeObserver(() => requestAnimationFrame(relayout)).observe($("tree"));
$("tree").addEventListener("keyup", remember);
$("tree").addEventListener("mouseup", () => requestAnimationFrame(remember));

// Beside the picture: what is said about a frame, its source, and the table of functions, which says the same in words.

function told(frame) {
  const sum = root.total, both = profile.differs;
  const side = shownSide();
  const value = (pair) => (diffs() && pair[0] === pair[1] ? `${count(pair[1])}, as before` : diffs() ? `${count(pair[0])} → ${count(pair[1])} (${delta(pair)}, ${change(pair)})` : count(pair[side]));
  const share = (pair) => (sum[side] > 0 ? ` · ${percent(pair[side] / sum[side])}` : "");
  const facts = [
    ["own", value(frame.own) + (diffs() ? "" : share(frame.own))],
    ["total", value(frame.total) + (diffs() ? "" : share(frame.total))],
    ["calls", value(frame.calls)],
  ];
  if (both && diffs() && isNew(frame)) facts.unshift(["", "new"]);
  if (both && diffs() && isGone(frame)) facts.unshift(["", "removed"]);
  return facts;
}

function facts(frame) {
  const list = element("dl", {});
  for (const [word, text] of told(frame)) list.append(element("div", {}, ...(word ? [element("dt", { textContent: word })] : []), element("dd", { textContent: text })));
  return list;
}

function described(frame) {
  const fn = frame.fn;
  const where = [kindName(fn.kind) + (frame.inlined ? ", inlined" : ""), fn.object && visible(fn.object), fn.file && place(fn)].filter(Boolean).join(" · ");
  return [element("strong", { textContent: visible(fn.name) }), element("span", { className: "where", textContent: frame === root ? unit() : where })];
}

function inspect() {
  const frame = selected;
  $("inspected").replaceChildren(element("p", { className: "who" }, ...described(frame)), facts(frame));
  const button = (textContent, title, onclick) => element("button", { textContent, title, onclick });
  $("actions").replaceChildren(
    button("Zoom", "Enter", () => zoomTo(frame)),
    button("Find all", "Mark every frame of this function", () => find(frame.fn.name)),
    button("Copy path", "c", copy),
  );
  source(frame.fn);
}

/** The lines of a function with their costs, where they are known: of a Python function's with what they call. */
function source(fn) {
  const indices = profile.lines.get(fn.index) || [];
  const python = fn.kind === PYTHON;
  const pairs = (columns) => {
    const sides = state.swapped ? [...columns].reverse() : columns;
    return new Map(indices.map((at) => [profile.line[at], [sides[0][at], sides[1][at]]]));
  };
  const known = profile.sources.get(fn.index);
  const costs = pairs((python ? profile.lineTotal : profile.lineOwn)[state.measure]);
  const more = python ? [["own", pairs(profile.lineOwn[state.measure])], ["entered", pairs(profile.lineEntered)]] : [];
  if (costs.size === 0) { $("source").replaceChildren(); return; }
  const numbers = known ? known.text.map((_, index) => known.first + index) : [...costs.keys()].sort((a, b) => a - b);
  const sum = [0, 1].map((side) => [...costs.values()].reduce((sum, pair) => sum + pair[side], 0));
  const side = shownSide();
  const rows = numbers.map((number) => {
    const pair = costs.get(number) || [0, 0];
    const part = sum[side] > 0 ? pair[side] / sum[side] : 0;
    const row = element("tr", {},
      element("td", { className: "number", textContent: number || "?" }),
      element("td", { className: "number part", textContent: pair[side] ? count(pair[side]) : "" }),
      element("td", { className: `number ${tone(pair)}`, textContent: diffs() && pair[0] !== pair[1] ? delta(pair) : "" }),
      ...more.map(([, counts]) => element("td", { className: "number", textContent: count((counts.get(number) || [0, 0])[side]).replace(/^0$/, "") })),
      element("td", { className: "code", textContent: known ? visible(known.text[number - known.first].replaceAll("\t", "    ")) : "" }));
    row.children[1].style.setProperty("--part", part);
    return row;
  });
  const heads = ["line", python ? `${unit()}, with callees` : unit(), diffs() ? "change" : "", ...more.map(([head]) => head), known ? visible(fn.file) : ""];
  $("source").replaceChildren(element("table", { className: "lines" },
    element("caption", { className: "hidden", textContent: "Cost by source line, along all paths" }),
    element("thead", {}, element("tr", {}, ...heads.map((textContent) => element("th", { scope: "col", textContent })))),
    element("tbody", {}, ...rows)));
}

function copy() {
  const path = [];
  for (let frame = selected; frame; frame = frame.above) path.unshift(frame);
  const steps = path.map(({ fn }) => `${visible(fn.name)}${place(fn) ? ` (${place(fn)})` : ""}`);
  const text = `${steps.join("\n")}\n${unit()}: ${told(selected).map(([word, text]) => `${word} ${text}`).join(", ")}\n`;
  const hand = () => { // Pages of files may have no clipboard of their own.
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  if (navigator.clipboard) navigator.clipboard.writeText(text).catch(hand); else hand();
}

function find(text) {
  state.find = $("find").value = text;
  search();
  draw();
  functions();
}

// The table: the same in words.

const tone = ([base, head]) => (head > base ? "worse" : head < base ? "better" : "");

function columns() {
  const side = shownSide(), whole = root.total[side];
  const cell = (pair) => ({ text: count(pair[side]), part: whole > 0 ? pair[side] / whole : 0 });
  const moved = (pair) => ({ text: delta(pair), tone: tone(pair) });
  const plain = [
    ["own", "Own", (row) => row.own[side], (row) => cell(row.own)],
    ["total", "Total", (row) => row.total[side], (row) => cell(row.total)],
    ["calls", "Calls", (row) => row.calls[side], (row) => ({ text: count(row.calls[side]) })],
  ];
  const differing = [
    ["own", "Own Δ", (row) => Math.abs(row.own[1] - row.own[0]), (row) => moved(row.own)],
    ["total", "Total Δ", (row) => Math.abs(row.total[1] - row.total[0]), (row) => moved(row.total)],
    ["calls", "Calls Δ", (row) => Math.abs(row.calls[1] - row.calls[0]), (row) => ({ text: delta(row.calls) })],
  ];
  return [["name", "Function", (row) => row.fn.name], ...(diffs() ? differing : plain)];
}

function functions() {
  const shown = columns();
  $("heads").replaceChildren(...shown.map(([key, title]) => {
    const down = order.column === key ? (order.down ? "descending" : "ascending") : "none";
    const arrow = { descending: " ↓", ascending: " ↑", none: "" }[down];
    const head = element("th", { scope: "col", className: key === "name" ? "" : "number" }, element("button", {
      className: "plain", textContent: title + arrow,
      onclick: () => { order = { column: key, down: order.column === key ? !order.down : key !== "name" }; functions(); $("heads").children[shown.findIndex(([other]) => other === key)].firstChild.focus(); },
    }));
    head.setAttribute("aria-sort", down);
    return head;
  }));
  const by = shown.find(([key]) => key === order.column)[2];
  const matches = finds();
  const side = shownSide();
  const rows = table.filter((row) => (!matches || matches(row.fn)) && (diffs() || row.total[side] > 0 || row.calls[side] > 0));
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  rows.sort((one, other) => (order.down ? compare(by(other), by(one)) : compare(by(one), by(other))) || compare(other.total[1], one.total[1]) || one.fn.index - other.fn.index);
  const limit = all ? rows.length : 100;
  $("rows").replaceChildren(...rows.slice(0, limit).map((row) => {
    const word = diffs() ? (isNew(row) ? " new" : isGone(row) ? " removed" : "") : "";
    const button = element("button", { className: "plain name", title: visible(row.fn.name), textContent: short(visible(row.fn.name)) || visible(row.fn.name), onclick: () => reveal(row.fn) });
    const swatch = element("i", { className: "swatch" });
    swatch.style.background = kindColour(row.fn, colours);
    const name = element("th", { scope: "row" }, element("span", { className: "named" }, swatch, button, element("span", { className: "word", textContent: word })), element("small", { textContent: [row.fn.kind === NATIVE ? "" : kindName(row.fn.kind), near(row.fn)].filter(Boolean).join(" · "), title: place(row.fn) }));
    return element("tr", {}, name, ...shown.slice(1).map(([, , , of]) => {
      const { text, part, tone } = of(row);
      const cell = element("td", { className: `number ${tone || ""} ${part === undefined ? "" : "part"}`, textContent: text });
      if (part !== undefined) cell.style.setProperty("--part", part);
      return cell;
    }));
  }));
  $("more").hidden = rows.length <= limit;
  $("more").textContent = `Show all ${rows.length} functions`;
}

/** Selects the widest frame of a function, and marks all of them. */
function reveal(fn) {
  let best = null, todo = [root];
  for (let steps = 0; todo.length && steps < 200000; steps++) {
    const frame = todo.pop();
    if (frame.fn.index === fn.index && frame !== root && (!best || frame.width > best.width)) best = frame;
    else if (!best || frame.width > best.width) todo.push(...frame.kids);
  }
  state.find = $("find").value = fn.name;
  zoom = root;
  relayout();
  if (best) select(best); else draw();
}

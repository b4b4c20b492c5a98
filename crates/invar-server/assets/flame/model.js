// The numbers: from the page's data to frames with costs. Draws nothing, knows no element.
//
// A frame is a box of the graph: a function on one path of callers (or, inverted, of callees), with its cost on each side.
// Frames are made when they are asked for, because an inverted tree can be much larger than the profile itself.

const PYTHON = 2, INTERPRETER = 1, NATIVE = 0;

/** Numbers of which most are zero: how many zeros, a number, how many zeros, a number. */
function spread(sparse, length) {
  const out = new Float64Array(length);
  for (let index = 0, at = 0; index + 1 < sparse.length; index += 2, at++) {
    at += sparse[index];
    out[at] = sparse[index + 1];
  }
  return out;
}

/** The data as arrays. Everywhere below, side 0 is the base and side 1 the head; a profile alone is a head. */
function unpack(data) {
  const { strings, functions: packed, nodes } = data;
  const count = nodes.parent.length;
  const functions = packed.name.map((name, index) => ({
    name: strings[name], object: strings[packed.object[index]], file: strings[packed.file[index]],
    line: packed.line[index], kind: packed.kind[index], index,
  }));
  const sides = data.sides.length === 2 ? [0, 1] : [null, 0];
  const of = (columns) => sides.map((side) => (side === null ? new Float64Array(count) : spread(columns[side], count)));
  const inlined = new Uint8Array(count);
  nodes.inlined.forEach((index) => { inlined[index] = 1; });
  const lines = new Map();
  data.lines.function.forEach((index, at) => {
    if (!lines.has(index)) lines.set(index, []);
    lines.get(index).push(at);
  });
  const lineCount = data.lines.function.length;
  const ofLines = (columns) => sides.map((side) => (side === null ? new Float64Array(lineCount) : spread(columns[side], lineCount)));
  return {
    functions, count, inlined, lines, differs: data.sides.length === 2,
    parent: Int32Array.from(nodes.parent), fn: Int32Array.from(nodes.function),
    calls: of(nodes.calls), own: data.measures.map((_, measure) => of(nodes.own[measure])),
    line: data.lines.line, lineOwn: data.measures.map((_, measure) => ofLines(data.lines.own[measure])),
    lineTotal: data.measures.map((_, measure) => ofLines(data.lines.total[measure])), lineEntered: ofLines(data.lines.entered),
    sources: new Map(data.sources.map(([index, first, text]) => [index, { first, text }])),
  };
}

/** The tree as it is looked at: some frames dissolved into their callers, same paths united. Sums stay equal. */
function viewed(profile, state) {
  const { functions, parent, fn } = profile;
  const keeps = functions.map(({ kind }) => {
    if (state.view === "python") return kind === PYTHON;
    if (state.view === "native") return kind !== PYTHON && (state.interpreter || kind !== INTERPRETER);
    return state.interpreter || kind !== INTERPRETER;
  });
  const size = functions.length;
  const into = new Int32Array(profile.count);
  const tree = { parent: [0], fn: [fn[0]], inlined: [0], kids: [[]], calls: [[], []], own: [[], []] };
  const places = new Map();
  const [a, b] = state.swapped ? [1, 0] : [0, 1];
  const own = profile.own[state.measure], calls = profile.calls;
  const add = (place, index, counts) => {
    [a, b].forEach((side, at) => {
      tree.own[at][place] = (tree.own[at][place] || 0) + own[side][index];
      if (counts) tree.calls[at][place] = (tree.calls[at][place] || 0) + calls[side][index];
      else tree.calls[at][place] = tree.calls[at][place] || 0;
    });
  };
  add(0, 0, true);
  for (let index = 1; index < profile.count; index++) {
    const above = into[parent[index]];
    if (!keeps[fn[index]]) { into[index] = above; add(above, index, false); continue; }
    if (state.recursion) {
      let same = above;
      while (same !== 0 && tree.fn[same] !== fn[index]) same = tree.parent[same];
      if (same !== 0) { into[index] = same; add(same, index, true); continue; }
    }
    const key = (above * size + fn[index]) * 2 + profile.inlined[index];
    let place = places.get(key);
    if (place === undefined) {
      place = tree.fn.length;
      places.set(key, place);
      tree.parent.push(above); tree.fn.push(fn[index]); tree.inlined.push(profile.inlined[index]); tree.kids.push([]);
      tree.kids[above].push(place);
    }
    into[index] = place;
    add(place, index, true);
  }
  const count = tree.fn.length;
  const weigh = weight(profile, state);
  tree.width = tree.own[1].map((head, index) => weigh(tree.own[0][index], head));
  tree.ownWidth = tree.width.slice();
  tree.total = tree.own.map((side) => side.slice());
  for (let index = count - 1; index > 0; index--) {
    const above = tree.parent[index];
    tree.width[above] += tree.width[index];
    tree.total[0][above] += tree.total[0][index];
    tree.total[1][above] += tree.total[1][index];
  }
  return tree;
}

/** How wide a cost is drawn. */
function weight(profile, state) {
  const side = profile.differs ? (state.side === "diff" ? state.width : state.side) : "head";
  if (side === "base") return (base) => base;
  if (side === "head") return (base, head) => head;
  return Math.max;
}

/** Callers above, callees below. */
class Down {
  constructor(profile, tree, place, above) {
    Object.assign(this, { profile, tree, place, above, depth: above ? above.depth + 1 : 0 });
    this.fn = profile.functions[tree.fn[place]];
    this.inlined = tree.inlined[place] === 1;
    this.width = tree.width[place];
    this.own = [tree.own[0][place], tree.own[1][place]];
    this.total = [tree.total[0][place], tree.total[1][place]];
    this.calls = [tree.calls[0][place], tree.calls[1][place]];
  }
  get kids() {
    this.made ??= sorted(this.tree.kids[this.place]
      .filter((place) => this.tree.width[place] > 0)
      .map((place) => new Down(this.profile, this.tree, place, this)));
    return this.made;
  }
}

/** Upside down: what spent the cost above, its callers below. An entry is where a cost was spent, and how far up its path we are. */
class Up {
  constructor(profile, tree, entries, fn, above) {
    Object.assign(this, { profile, tree, entries, above, depth: above ? above.depth + 1 : 0 });
    this.fn = fn;
    this.inlined = false;
    this.width = 0; this.own = [0, 0]; this.total = [0, 0]; this.calls = [0, 0];
    for (const [spent, at] of entries) {
      this.width += tree.ownWidth[spent];
      for (const side of [0, 1]) {
        this.total[side] += tree.own[side][spent];
        this.calls[side] += above ? tree.calls[side][spent] : 0;
        if (at === 0 && above) this.own[side] += tree.own[side][spent];
      }
    }
    if (!above) this.calls = [tree.calls[0][0], tree.calls[1][0]];
  }
  get kids() {
    if (this.made) return this.made;
    const groups = new Map();
    for (const [spent, at] of this.entries) {
      if (this.above && at === 0) continue;
      const next = this.above ? this.tree.parent[at] : spent;
      const fn = this.tree.fn[next];
      if (!groups.has(fn)) groups.set(fn, []);
      groups.get(fn).push([spent, next]);
    }
    const kids = [...groups].map(([fn, entries]) => new Up(this.profile, this.tree, entries, this.profile.functions[fn], this));
    this.made = sorted(kids.filter((kid) => kid.width > 0));
    return this.made;
  }
}

/** The topmost frame. */
function rooted(profile, tree, state) {
  if (state.direction !== "callers") return new Down(profile, tree, 0, null);
  const spent = [];
  tree.ownWidth.forEach((own, place) => { if (own > 0) spent.push([place, place]); });
  return new Up(profile, tree, spent, { ...profile.functions[tree.fn[0]] }, null);
}

function sorted(frames) {
  return frames.sort((one, other) => other.width - one.width
    || (one.fn.name < other.fn.name ? -1 : one.fn.name > other.fn.name ? 1 : one.fn.index - other.fn.index));
}

/** A row for each function. Recursion counts once in a total: only the outermost frame of a path adds to it. */
function flat(profile, tree) {
  const rows = new Map();
  const open = new Uint32Array(profile.functions.length);
  const todo = [[0, false]];
  while (todo.length) {
    const [place, leaves] = todo.pop();
    const fn = tree.fn[place];
    if (leaves) { open[fn]--; continue; }
    if (!rows.has(fn)) rows.set(fn, { fn: profile.functions[fn], own: [0, 0], total: [0, 0], calls: [0, 0] });
    const row = rows.get(fn);
    for (const side of [0, 1]) {
      row.own[side] += tree.own[side][place];
      row.calls[side] += tree.calls[side][place];
      if (open[fn] === 0) row.total[side] += tree.total[side][place];
    }
    open[fn]++;
    todo.push([place, true]);
    for (const kid of tree.kids[place]) todo.push([kid, false]);
  }
  rows.delete(tree.fn[0]);
  return [...rows.values()];
}

/** Boxes that are wide enough to be seen, row by row, with their place from 0 to 1; and how many were not. */
function laid(zoom, least) {
  const rows = [];
  let unseen = 0;
  for (let frame = zoom.above, row = zoom.depth - 1; frame; frame = frame.above, row--) rows[row] = [{ frame, x: 0, w: 1, above: true }];
  let level = [{ frame: zoom, x: 0, w: 1, above: false }];
  while (level.length) {
    rows.push(level);
    const next = [];
    for (const { frame, x, w } of level) {
      let at = x;
      for (const kid of frame.kids) {
        const wide = frame.width > 0 ? (w * kid.width) / frame.width : 0;
        if (wide >= least) next.push({ frame: kid, x: at, w: wide, above: false });
        else unseen++;
        at += wide;
      }
    }
    level = next;
  }
  return { rows, unseen };
}

/** What the frames that match cost together; a match within a match counts once. */
function matched(tree, matches) {
  const within = new Uint8Array(tree.fn.length);
  let sum = 0, functions = new Set();
  for (let place = 0; place < tree.fn.length; place++) {
    const here = matches(tree.fn[place]);
    if (here) functions.add(tree.fn[place]);
    const above = place > 0 && within[tree.parent[place]];
    if (here && !above) sum += tree.width[place];
    within[place] = here || above ? 1 : 0;
  }
  return { share: tree.width[0] > 0 ? sum / tree.width[0] : 0, functions: functions.size };
}

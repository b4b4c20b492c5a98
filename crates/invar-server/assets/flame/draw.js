// The picture: colours, numbers as people read them, boxes on a canvas. Decides nothing about what is shown.

const ROW = 21, TEXT = 12, PAD = 5, TAU = Math.PI * 2;

/** A count in three or four digits: `812`, `9204`, `12.3 k`, `3.10 M`. */
function count(number) {
  if (number < 10000) return String(number);
  for (const [scale, unit] of [[1e3, "k"], [1e6, "M"], [1e9, "G"], [1e12, "T"]]) {
    const value = number / scale;
    if (value < 999.5 || unit === "T") return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${unit}`;
  }
}
const percent = (ratio) => {
  const value = Math.abs(ratio) * 100;
  if (!Number.isFinite(value)) return "∞ %";
  return `${value.toFixed(value !== 0 && value < 0.095 ? 2 : value < 999.95 ? 1 : 0)} %`;
};
const signed = (number, text) => (number > 0 ? `+${text}` : number < 0 ? `−${text}` : "=");
const delta = ([base, head]) => signed(head - base, count(Math.abs(head - base)));
const ratio = ([base, head]) => (base === head ? 0 : base === 0 ? Infinity : (head - base) / base);
const change = (pair) => signed(pair[1] - pair[0], percent(ratio(pair)));
/** Text from outside in one line: what would not be seen, or would turn the line round, is written out. */
const visible = (text) => text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
  (character) => `\\u{${character.codePointAt(0).toString(16)}}`);

/** The end of a long name, which is where names differ: `ModelValidator::validate`, `+0x12a0` of what has no name. Empty where there is nothing to leave out. */
function short(name) {
  const nameless = /\+0x[0-9a-f]+$/.exec(name);
  if (nameless) return nameless[0];
  if (!name.includes("::")) return "";
  let depth = 0, out = "";
  for (const character of name) {
    if (character === "<" || character === "(") depth++;
    else if (character === ">" || character === ")") depth = Math.max(0, depth - 1);
    else if (depth === 0) out += character;
  }
  const parts = out.split("::").map((part) => part.trim()).filter(Boolean);
  return parts.length > 1 ? parts.slice(-2).join("::") : "";
}

function hashed(text) {
  let hash = 2166136261;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 16777619);
  return (hash >>> 0) / 4294967296;
}

/** The colours of the theme that is on, from the style sheet. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  const rgb = (name) => value(name).match(/\w\w/g).map((hex) => parseInt(hex, 16));
  return {
    dark: style.colorScheme === "dark", ground: value("--card"), text: value("--text"), soft: value("--soft"), line: value("--line"),
    mark: value("--mark-found"), focus: value("--link"), ink: value("--ink"),
    flat: rgb("--flat"), better: rgb("--better"), worse: rgb("--worse"), font: value("--sans"), made: new Map(),
  };
}

/** The colour of a function by who executes it: Python warm, native by object from green to blue, an interpreter's own work grey. */
function kindColour(fn, colours) {
  const key = fn.index;
  if (colours.made.has(key)) return colours.made.get(key);
  const own = hashed(fn.name);
  const shade = (own - 0.5) * 7;
  const made = fn.kind === PYTHON
    ? (colours.dark ? `hsl(${34 + own * 14} 52% ${35 + shade}%)` : `hsl(${36 + own * 14} 92% ${74 + shade}%)`)
    : fn.kind === INTERPRETER
      ? (colours.dark ? `hsl(214 10% ${29 + shade * 0.7}%)` : `hsl(214 16% ${84 + shade * 0.7}%)`)
      : nativeColour(fn.object, shade, colours.dark);
  colours.made.set(key, made);
  return made;
}
function nativeColour(object, shade, dark) {
  const hue = 140 + hashed(object) * 180;
  return dark ? `hsl(${hue} 32% ${33 + shade}%)` : `hsl(${hue} 46% ${79 + shade}%)`;
}

/** From better over nothing to worse; `t` from -1 to 1. Small changes are to be seen, so the scale is not straight. */
function changeColour(t, colours) {
  const end = t < 0 ? colours.better : colours.worse;
  const far = t === 0 ? 0 : 0.12 + 0.88 * Math.sqrt(Math.min(1, Math.abs(t)));
  return `rgb(${colours.flat.map((from, index) => Math.round(from + (end[index] - from) * far)).join(" ")})`;
}

/** How strongly a frame has changed, from -1 to 1. Half as much again is as strong as it gets. */
function strength(frame, state, most) {
  if (state.colour === "own") return most > 0 ? (frame.own[1] - frame.own[0]) / most : 0;
  return Math.max(-1, Math.min(1, ratio(frame.total) / 0.5));
}
const isNew = (frame) => frame.total[0] === 0 && frame.calls[0] === 0;
const isGone = (frame) => frame.total[1] === 0 && frame.calls[1] === 0;

/** What stands in a box. In a difference its change is there in digits with a sign: never colour alone. */
function label(frame, diffs) {
  const name = visible(frame.fn.name);
  if (!diffs) return [name, ""];
  if (isNew(frame)) return [name, "new"];
  if (isGone(frame)) return [name, "removed"];
  return [name, change(frame.total)];
}

class Picture {
  constructor(canvas, scroller) {
    Object.assign(this, { canvas, scroller, rows: [], context: canvas.getContext("2d") });
  }

  /** Draws the rows that can be seen. `look`: state, colours, selected, hovered, matches or null, diffs, most. */
  draw(rows, look) {
    this.rows = rows;
    const { canvas, context, scroller } = this;
    const width = scroller.clientWidth, height = scroller.clientHeight, scale = window.devicePixelRatio || 1;
    this.width = width;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.fillStyle = look.colours.ground;
    context.fillRect(0, 0, width, height);
    context.font = `${TEXT}px ${look.colours.font}`;
    context.textBaseline = "middle";
    const top = scroller.scrollTop;
    const first = Math.max(0, Math.floor(top / ROW)), last = Math.min(rows.length, Math.ceil((top + height) / ROW));
    for (let row = first; row < last; row++) for (const box of rows[row]) this.box(box, row * ROW - top, look);
  }

  box({ frame, x, w, above }, y, look) {
    const { context } = this, { colours, diffs, state } = look;
    const left = Math.round(x * this.width), right = Math.round((x + w) * this.width);
    const wide = Math.max(1, right - left - (right - left > 2 ? 1 : 0)), tall = ROW - 1;
    const matches = look.matches && look.matches(frame.fn);
    const byChange = diffs && state.colour !== "kind";
    context.globalAlpha = look.matches && !matches ? 0.28 : above ? 0.62 : 1;
    context.fillStyle = frame.depth === 0 && !byChange ? `rgb(${colours.flat.join(" ")})`
      : byChange ? changeColour(strength(frame, state, look.most), colours) : kindColour(frame.fn, colours);
    context.fillRect(left, y, wide, tall);
    if (diffs && isGone(frame)) this.hatch(left, y, wide, tall, colours.ink);
    if (diffs && isNew(frame)) this.dots(left, y, wide, tall, colours.ink);
    if (frame.inlined && wide > 6) { context.fillStyle = colours.ink; context.globalAlpha *= 0.35; context.fillRect(left, y + 3, 2, tall - 6); context.globalAlpha = 1; }
    if (matches) { context.fillStyle = colours.mark; context.fillRect(left, y + tall - 3, wide, 3); }
    if (wide > 26) this.text(label(frame, diffs), left, y, wide, colours, look.matches && !matches ? 0.45 : 1);
    context.globalAlpha = 1;
    const same = look.hovered && look.hovered.fn === frame.fn;
    if (same && frame !== look.selected) { context.strokeStyle = colours.text; context.lineWidth = 1; context.strokeRect(left + 0.5, y + 0.5, Math.max(0, wide - 1), tall - 1); }
    if (frame === look.selected) { context.strokeStyle = colours.focus; context.lineWidth = 2.5; context.strokeRect(left + 1.25, y + 1.25, Math.max(0, wide - 2.5), tall - 2.5); }
  }

  text([name, aside], left, y, wide, colours, alpha) {
    const { context } = this;
    context.globalAlpha = alpha;
    context.fillStyle = colours.ink;
    const room = wide - 2 * PAD;
    let side = aside ? context.measureText(aside).width : 0;
    // The name needs some of the room; what changed is also told by the table and the inspector.
    if (side > room - 30) side = 0;
    const shown = this.cut(name, side ? room - side - 8 : room);
    context.fillText(shown, left + PAD, y + ROW / 2);
    if (side) { context.font = `600 ${TEXT - 1}px ${colours.font}`; context.fillText(aside, left + wide - PAD - context.measureText(aside).width, y + ROW / 2); context.font = `${TEXT}px ${colours.font}`; }
  }

  cut(text, room) {
    const { context } = this;
    if (text.length > 400) text = text.slice(0, 400);
    if (context.measureText(text).width <= room) return text;
    text = short(text) || text;
    if (context.measureText(text).width <= room) return text;
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (context.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle; else high = middle - 1;
    }
    return low > 1 ? `${text.slice(0, low)}…` : "";
  }

  hatch(left, y, wide, tall, ink) {
    const { context } = this;
    context.save();
    context.beginPath(); context.rect(left, y, wide, tall); context.clip();
    context.globalAlpha *= 0.3; context.strokeStyle = ink; context.lineWidth = 1.5; context.beginPath();
    for (let at = left - tall; at < left + wide; at += 7) { context.moveTo(at, y + tall); context.lineTo(at + tall, y); }
    context.stroke(); context.restore();
  }

  dots(left, y, wide, tall, ink) {
    const { context } = this;
    context.save();
    context.beginPath(); context.rect(left, y, wide, tall); context.clip();
    context.globalAlpha *= 0.28; context.fillStyle = ink; context.beginPath();
    for (let row = 0; row * 6 < tall; row++) for (let at = left + (row % 2 ? 5 : 2); at < left + wide; at += 6) { context.moveTo(at, y + 3 + row * 6); context.arc(at, y + 3 + row * 6, 1, 0, TAU); }
    context.fill(); context.restore();
  }

  /** The box at a place of the page. */
  at(clientX, clientY) {
    const bounds = this.canvas.getBoundingClientRect();
    const row = this.rows[Math.floor((clientY - bounds.top + this.scroller.scrollTop) / ROW)];
    const x = (clientX - bounds.left) / this.width;
    return row && row.find((box) => x >= box.x && x < box.x + box.w);
  }
}

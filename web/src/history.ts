// The history of a benchmark: zoom by dragging, commits or dates, three scales, and two points to compare. It takes its points
// from the table below it and stands in place of the server's picture. What was chosen is in the address.

import uPlot from "uplot";

import { element, token } from "./page";
import { type Across, type Up, ends, named } from "./scale";

/** A run, and what it says of each line. */
interface Point {
  run: string;
  seconds: number;
  title: string;
  message: string;
  when: string;
  href: string;
  cells: (Cell | null)[];
}

/** A result. */
interface Cell {
  value: number;
  verdict: string;
  text: string;
  change: string;
}

/** What is drawn: the history itself, and what is laid over it. */
interface Line {
  name: string;
  colour: string;
  dash: number[];
}

/** Dashes by look, as in the site's style sheet. */
const DASHES = [[7, 4], [2, 4], [10, 3, 2, 3], [4, 3], [12, 4], [1, 5]];

/** More points than these are a line; only what is marked is a dot. */
const DOTS_MOST = 160;
const HEIGHT = 300;

/** Draws in place of what is in `place`. */
export function history(place: HTMLElement): void {
  const tables = [...document.querySelectorAll<HTMLTableElement>("#points, table.overlay")];
  const lines = tables.map(({ dataset }): Line => dataset["look"] === undefined
    ? { name: place.dataset["name"] ?? "", colour: "--history", dash: [] }
    : { name: dataset["name"] ?? "", colour: `--over-${dataset["look"]}`, dash: DASHES[Number(dataset["look"])] ?? [] });
  const points = read(tables);
  if (points.length < 2) return;
  new Chart(place, points, lines);
}

/** The runs of all tables, the oldest first. */
function read(tables: HTMLTableElement[]): Point[] {
  const text = (row: HTMLElement, selector: string) => row.querySelector(selector)?.textContent?.trim().replace(/\s+/g, " ") ?? "";
  const points = new Map<string, Point>();
  tables.forEach((table, line) => {
    for (const row of [...table.querySelectorAll<HTMLTableRowElement>(":scope > tbody > tr")].reverse()) {
      const run = row.dataset["run"] ?? "";
      const point = points.get(run) ?? {
        run,
        seconds: Number(row.dataset["seconds"]),
        title: text(row, "th"),
        message: text(row, ".message"),
        when: text(row, ".when"),
        href: row.querySelector<HTMLAnchorElement>("th a")?.href ?? "",
        cells: tables.map(() => null),
      };
      point.cells[line] = {
        value: Number(row.dataset["value"]),
        verdict: row.dataset["verdict"] ?? "",
        text: text(row, "td.number"),
        change: text(row, "td.number + td.number"),
      };
      points.set(run, point);
    }
  });
  // Of one table the order is the table's: runs of one second are in it, too.
  const all = [...points.values()];
  return tables.length > 1 ? all.sort((a, b) => a.seconds - b.seconds) : all;
}

class Chart {
  private across: Across = "commits";
  private up: Up = "values";
  /** The first and the last point that are shown. */
  private zoom: [number, number] | null = null;
  /** Points that were clicked, at most two. */
  private pins: number[] = [];
  private at: number;
  private readonly metric: string;
  private readonly frame = element("div", { className: "zoomable", tabIndex: 0 });
  private readonly tip = element("div", { className: "point-tip", hidden: true });
  private readonly pinned = element("div", { className: "pinned" });
  private readonly bar = element("div", { className: "chart-bar" });
  private plot: uPlot | null = null;

  constructor(private readonly place: HTMLElement, private readonly points: Point[], private readonly lines: Line[]) {
    this.metric = place.dataset["metric"] ?? "";
    this.at = points.length - 1;
    if (new URLSearchParams(location.search).get("y") === "zero") this.up = "zero";
    this.recall();
    this.pinned.setAttribute("aria-live", "polite");
    this.frame.setAttribute("role", "slider");
    this.frame.setAttribute("aria-label", "Results, the oldest first; Enter takes a point to compare");
    this.frame.setAttribute("aria-valuemin", "1");
    this.frame.setAttribute("aria-valuemax", String(points.length));
    this.frame.addEventListener("keydown", (event) => this.key(event));
    this.frame.addEventListener("focus", () => { if (this.frame.matches(":focus-visible")) this.hover(this.at); });
    this.frame.addEventListener("blur", () => { this.tip.hidden = true; });
    place.replaceChildren(this.bar, this.frame, this.pinned);
    this.say();
    this.controls();
    this.draw();
    let width = place.clientWidth;
    new ResizeObserver(() => {
      if (place.clientWidth === width) return;
      width = place.clientWidth;
      this.plot?.setSize({ width, height: HEIGHT });
    }).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  private draw(): void {
    const { points, lines } = this;
    this.plot?.destroy();
    this.frame.replaceChildren(this.tip);
    const xs = points.map((point, index) => (this.across === "date" ? point.seconds : index));
    const ys = lines.map((_, line) => points.map(({ cells }) => {
      const value = cells[line]?.value;
      return value === undefined ? null : this.up === "log" ? Math.max(value, 1) : value;
    }));
    const soft = token("--soft"), line = token("--line"), accent = token("--history");
    const grid = { stroke: line, width: 1 };
    const axis = { stroke: soft, grid, ticks: { ...grid, size: 4 }, font: "12px system-ui, sans-serif" };
    this.plot = new uPlot({
      width: this.place.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: true, y: false, dist: 6 }, points: { size: 9, fill: accent, stroke: token("--card"), width: 2 }, y: false },
      select: { show: true, left: 0, top: 0, width: 0, height: 0 },
      scales: {
        x: { time: this.across === "date" },
        y: { distr: this.up === "log" ? 3 : 1, range: (_, low, high) => ends(low, high, this.up) },
      },
      axes: [
        this.across === "date" ? { ...axis, size: 44 } : {
          ...axis, size: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], space: 110,
          values: (_, splits) => splits.map((at) => points[at]?.title.replace(/^.*@/, "") ?? ""),
        },
        { ...axis, size: 74, values: (_, splits) => splits.map((value) => (value === null ? "" : named(value, this.metric))) },
      ],
      series: [
        {},
        ...lines.map(({ colour, dash }, line): uPlot.Series => ({
          stroke: token(colour), width: 2, dash, spanGaps: true, ...(lines.length === 1 ? { fill: token("--area") } : {}),
          points: { show: line === 0 ? points.length <= DOTS_MOST : false, size: 6, fill: token(colour), stroke: token("--card") },
        })),
      ],
      hooks: {
        draw: [(plot) => this.marks(plot)],
        setSelect: [(plot) => this.selected(plot)],
        setCursor: [(plot) => { if (plot.cursor.left !== undefined && plot.cursor.left >= 0) this.hover(plot.cursor.idx ?? null); }],
        ready: [(plot) => this.listen(plot)],
      },
    }, [xs, ...ys], this.frame);
    this.zoomed();
  }

  private listen(plot: uPlot): void {
    let from = 0;
    plot.over.addEventListener("mousedown", (event) => { from = event.clientX; });
    plot.over.addEventListener("click", (event) => {
      const index = plot.cursor.idx;
      if (Math.abs(event.clientX - from) < 4 && index != null) this.pin(index);
    });
    plot.over.addEventListener("dblclick", () => this.show(null));
    plot.over.addEventListener("mouseleave", () => { this.tip.hidden = true; });
  }

  /** What was dragged over becomes the whole. */
  private selected(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 6) return;
    const [first, last] = [plot.posToIdx(left), plot.posToIdx(left + width)];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.show(last > first ? [first, last] : null);
  }

  private show(zoom: [number, number] | null): void {
    this.zoom = zoom;
    this.zoomed();
    this.controls();
    this.remember();
  }

  private zoomed(): void {
    const [first, last] = this.zoom ?? [0, this.points.length - 1];
    const x = (index: number) => (this.across === "date" ? this.points[index]?.seconds ?? 0 : index);
    const room = (x(last) - x(first)) * 0.01;
    this.plot?.setScale("x", { min: x(first) - room, max: x(last) + room });
  }

  /** Triangles for what changed, and letters for what was clicked. */
  private marks(plot: uPlot): void {
    const { ctx } = plot, scale = devicePixelRatio;
    const place = (index: number, line: number): [number, number] => [
      plot.valToPos(plot.data[0][index] ?? 0, "x", true),
      plot.valToPos(plot.data[line + 1]?.[index] ?? 0, "y", true),
    ];
    const { left, top, width, height } = plot.bbox;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left - 8 * scale, top - 12 * scale, width + 16 * scale, height + 24 * scale);
    ctx.clip();
    const results = this.points.flatMap(({ cells }, index) => cells.map((cell, line) => ({ cell, line, index })));
    results.forEach(({ cell, line, index }) => {
      const way = cell?.verdict === "improved" ? -1 : cell?.verdict === "regressed" ? 1 : 0;
      if (way === 0) return;
      const [x, y] = place(index, line);
      ctx.beginPath();
      ctx.moveTo(x, y + 8 * way * scale);
      ctx.lineTo(x - 7 * scale, y - 5 * way * scale);
      ctx.lineTo(x + 7 * scale, y - 5 * way * scale);
      ctx.closePath();
      ctx.fillStyle = token(way < 0 ? "--improved" : "--regressed");
      ctx.fill();
      ctx.strokeStyle = token("--card");
      ctx.lineWidth = 1.5 * scale;
      ctx.stroke();
    });
    this.pins.forEach((index, at) => {
      const [x, y] = place(index, this.first(index));
      ctx.strokeStyle = token("--text");
      ctx.lineWidth = 1.5 * scale;
      ctx.setLineDash([4 * scale, 3 * scale]);
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + height);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.beginPath();
      ctx.arc(x, y, 9 * scale, 0, Math.PI * 2);
      ctx.fillStyle = token("--text");
      ctx.fill();
      ctx.fillStyle = token("--card");
      ctx.font = `700 ${11 * scale}px system-ui, sans-serif`;
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.fillText("AB"[at] ?? "", x, y + 0.5 * scale);
    });
    ctx.restore();
  }

  private hover(index: number | null): void {
    const point = index === null ? undefined : this.points[index];
    this.tip.hidden = !point || !this.plot;
    if (!point || !this.plot || index === null) return;
    this.at = index;
    this.tip.replaceChildren(
      element("p", {}, element("strong", { className: "mono", textContent: point.title }), ` ${point.message}`),
      ...this.words(point).map((textContent) => element("p", { textContent })),
      element("p", { className: "sub", textContent: point.when }));
    const x = this.plot.valToPos(this.plot.data[0][index] ?? 0, "x") + this.plot.bbox.left / devicePixelRatio;
    const most = this.frame.clientWidth - this.tip.offsetWidth - 4;
    this.tip.style.left = `${Math.max(4, Math.min(x + 14, most))}px`;
    this.say();
  }

  /** The first line that a run is on. */
  private first(index: number): number {
    return Math.max(0, this.points[index]?.cells.findIndex((cell) => cell !== null) ?? 0);
  }

  /** What a run says of each line that it is on. */
  private words({ cells }: Point): string[] {
    return cells.flatMap((cell, line) => {
      if (!cell) return [];
      const name = this.lines.length > 1 ? `${this.lines[line]?.name ?? ""}: ` : "";
      return [`${name}${cell.text}${cell.change ? ` · ${cell.change}` : ""}`];
    });
  }

  private say(): void {
    const point = this.points[this.at];
    this.frame.setAttribute("aria-valuenow", String(this.at + 1));
    if (point) this.frame.setAttribute("aria-valuetext", `${point.title} ${point.message}: ${this.words(point).join("; ")}`);
  }

  private key(event: KeyboardEvent): void {
    const [first, last] = this.zoom ?? [0, this.points.length - 1];
    const to: Record<string, number> = {
      ArrowLeft: this.at - 1, ArrowRight: this.at + 1, PageUp: this.at - 10, PageDown: this.at + 10, Home: first, End: last,
    };
    const next = to[event.key];
    if (next !== undefined) {
      const index = Math.max(first, Math.min(last, next));
      this.hover(index);
      const x = this.plot?.valToPos(this.plot.data[0][index] ?? 0, "x") ?? 0;
      const y = this.plot?.valToPos(this.plot.data[this.first(index) + 1]?.[index] ?? 0, "y") ?? 0;
      this.plot?.setCursor({ left: x, top: y }, false);
    } else if (event.key === "Enter" || event.key === " ") this.pin(this.at);
    else if (event.key === "Escape" && this.pins.length) this.keep([]);
    else if (event.key === "Escape" && this.zoom) this.show(null);
    else return;
    event.preventDefault();
  }

  /** The first point is A, the second B; a third starts anew. */
  private pin(index: number): void {
    if (this.pins.includes(index)) this.keep(this.pins.filter((pin) => pin !== index));
    else this.keep(this.pins.length < 2 ? [...this.pins, index] : [index]);
  }

  private keep(pins: number[]): void {
    this.pins = pins;
    this.controls();
    this.remember();
    this.plot?.redraw(false);
  }

  private controls(): void {
    const choice = <T extends string>(name: string, values: [T, string][], current: T, set: (value: T) => void) => {
      const group = element("span", { className: "switch" });
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", name);
      group.append(...values.map(([value, textContent]) => {
        const button = element("button", { type: "button", textContent });
        button.setAttribute("aria-pressed", String(value === current));
        button.addEventListener("click", () => {
          set(value);
          this.draw();
          this.controls();
          this.remember();
          const again = [...this.bar.querySelectorAll("button")].find((other) => other.textContent === textContent);
          again?.focus();
        });
        return button;
      }));
      return group;
    };
    const whole = element("button", { type: "button", textContent: "Show all", hidden: this.zoom === null });
    whole.addEventListener("click", () => this.show(null));
    this.bar.replaceChildren(
      choice<Across>("Order", [["commits", "Commits"], ["date", "Dates"]], this.across, (value) => { this.across = value; }),
      choice<Up>("Scale", [["values", "Fit"], ["zero", "From zero"], ["log", "Logarithmic"]], this.up, (value) => { this.up = value; }),
      whole,
      element("span", { className: "sub", textContent: "drag to zoom; click a point, and another to compare" }),
      element("a", { href: "#results", textContent: "As a table" }));
    const shown = this.pins.map((index, at) => {
      const point = this.points[index];
      return element("p", {}, element("b", { className: "pin", textContent: "AB"[at] ?? "" }), " ",
        element("a", { className: "mono", href: point?.href ?? "", textContent: point?.title ?? "" }), ` ${point?.message ?? ""} · ${point ? this.words(point).join("; ") : ""} `);
    });
    if (this.pins.length === 2) {
      const [base, head] = [...this.pins].sort((a, b) => a - b).map((index) => encodeURIComponent(this.points[index]?.run ?? ""));
      const href = (this.place.dataset["between"] ?? "").replace("BASE", base ?? "").replace("HEAD", head ?? "");
      shown.push(element("p", {}, element("a", { className: "button", href, textContent: "Compare the two" })));
    }
    this.pinned.replaceChildren(...shown);
  }

  // The address keeps what was chosen, so that it can be passed on.

  private remember(): void {
    const kept = new URLSearchParams();
    if (this.across !== "commits") kept.set("x", this.across);
    if (this.up !== "values") kept.set("y", this.up);
    const runs = (indices: number[]) => indices.map((index) => this.points[index]?.run ?? "").join("~");
    if (this.zoom) kept.set("zoom", runs(this.zoom));
    if (this.pins.length) kept.set("pins", runs(this.pins));
    const text = kept.toString();
    window.history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }

  private recall(): void {
    const kept = new URLSearchParams(location.hash.slice(1));
    if (kept.get("x") === "date") this.across = "date";
    const up = kept.get("y");
    if (up === "zero" || up === "log") this.up = up;
    const indices = (name: string) => (kept.get(name) ?? "").split("~")
      .map((run) => this.points.findIndex((point) => point.run === run)).filter((index) => index >= 0);
    const [first, last] = indices("zoom");
    if (first !== undefined && last !== undefined && last > first) this.zoom = [first, last];
    this.pins = indices("pins").slice(0, 2);
  }
}

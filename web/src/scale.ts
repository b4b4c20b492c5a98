// Numbers and axes of a history. Draws nothing.

/** Which way points stand beside each other. */
export type Across = "commits" | "date";
/** Where the vertical axis starts, and whether it is even. */
export type Up = "values" | "zero" | "log";

/** The least that the vertical axis spans, relative to its greatest value: what is less would be noise, were there any. */
const SPAN_LEAST = 0.05;

/** The ends of the vertical axis for values between these. */
export function ends(low: number, high: number, up: Up): [number, number] {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (up === "log") return [Math.max(low, 1) / 1.15, Math.max(high, 1) * 1.15];
  const least = Math.max(Math.abs(high) * SPAN_LEAST, 1e-9);
  const missing = Math.max(least - (high - low), 0) / 2;
  const room = Math.max(high - low, least) * 0.08;
  const bottom = up === "zero" ? 0 : Math.max(low - missing - room, 0);
  return [bottom, high + missing + room];
}

/** A value as people read it: nanoseconds as time, everything else as a count. */
export function named(value: number, metric: string): string {
  const steps: [number, string][] = metric === "cycles"
    ? [[1, "ns"], [1e3, "µs"], [1e6, "ms"], [1e9, "s"]]
    : [[1, ""], [1e3, "k"], [1e6, "M"], [1e9, "G"]];
  const [scale, unit] = steps.findLast(([scale]) => value >= scale) ?? [1, metric === "cycles" ? "ns" : ""];
  const number = value / scale;
  const digits = number >= 100 ? number.toFixed(1) : number >= 10 ? number.toFixed(2) : number.toFixed(3);
  const short = scale === 1 && Number.isInteger(number) ? String(number) : digits.replace(/\.?0+$/, "");
  return unit ? `${short} ${unit}` : short;
}

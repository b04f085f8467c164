/** Numbers, sizes and shapes as short text. */

import type { GraphNode, Spec } from "../protocol";

/** Four significant digits, as the kernel writes them; a true minus sign. */
export function number(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined) {
    return "–";
  }
  if (!Number.isFinite(value)) {
    return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "−inf";
  }
  if (value === 0) {
    return "0";
  }
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) {
    return minus(String(value));
  }
  if (size >= 1e5 || size < 1e-3) {
    const [mantissa = "", exponent = ""] = value.toExponential(digits - 1).split("e");
    return minus(`${mantissa.replace(/\.?0+$/, "")}e${exponent.replace("+", "")}`);
  }
  return minus(String(Number(value.toPrecision(digits))));
}

function minus(text: string): string {
  return text.replaceAll("-", "−");
}

export function milliseconds(value: number): string {
  if (value >= 1000) {
    return `${number(value / 1000, 3)} s`;
  }
  return value >= 0.1 ? `${value.toFixed(value >= 10 ? 1 : 2)} ms` : `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} µs`;
}

export function bytes(value: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit ? number(value, 3) : value} ${units[unit]}`;
}

export function shape(dims: Spec["shape"]): string {
  if (dims === null) {
    return "(…)";
  }
  const texts = dims.map((each) => (each === null ? "?" : String(each)));
  return texts.length === 1 ? `(${texts[0]},)` : `(${texts.join(", ")})`;
}

/** The dtype is left out where it is the usual one. */
export function spec(each: Spec): string {
  return each.dtype === "float32" ? shape(each.shape) : `${each.dtype} ${shape(each.shape)}`;
}

export function specs(node: GraphNode): string {
  return node.outputs.map(spec).join(", ");
}

export function title(node: GraphNode): string {
  const scope = node.scope?.length ? `${node.scope.join("/")}/` : "";
  return node.name.startsWith(scope) ? node.name.slice(scope.length) : node.name;
}

/** With a comma at every thousand. `toLocaleString` writes the same, after 30 ms in which it learns the languages. */
export function grouped(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

export function plural(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** What to say of a run when so many came after it that nobody watched; nothing when it is the last one. */
export function earlierRun(missed = 0): string {
  return missed ? `an earlier run: ${plural(missed, "later one")} not watched` : "";
}

/** A time to wait, as one says it. */
export function duration(seconds: number): string {
  if (seconds < 90) {
    return `${seconds < 10 ? number(seconds, 2) : Math.round(seconds)} s`;
  }
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${number(seconds / 3600, 2)} h`;
}

/** 1st, 2nd, 3rd, 4th, … */
export function ordinal(count: number): string {
  const ending = /1[123]$/.test(String(count)) ? "th" : (["th", "st", "nd", "rd"][count % 10] ?? "th");
  return `${grouped(count)}${ending}`;
}

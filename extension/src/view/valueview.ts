/** The viewer of one value: statistics, histogram, heat map, slices along axes, exact numbers. */

import { number, shape as shapeText } from "../model/format";
import type { Histogram, Sample, Statistics, Value } from "../protocol";
import { axesOf, described, picture, type Picture } from "./array";
import { button, h, s } from "./dom";

const MAX_ROWS = 60;
const MAX_COLUMNS = 24;

/** What was chosen for a tensor stays while other values of it arrive. */
export type Places = Map<number, number>;

export function valueView(value: Value, places: Places, redraw: () => void, gradient = false): HTMLElement[] {
  const parts: HTMLElement[] = [];
  const size = value.shape.reduce((a, b) => a * b, 1);
  if (size === 1) {
    parts.push(h("div", { class: "fb-quote fb-code" }, value.text.replaceAll("-", "−")));
    return parts;
  }
  parts.push(statistics(value.statistics));
  if (value.histogram) {
    parts.push(histogram(value.histogram, gradient), bounds(value.histogram));
  }
  if (value.sample && value.sample.data.length > 1) {
    parts.push(...elements(value, value.sample, places, redraw));
  }
  return parts;
}

function statistics(found: Statistics): HTMLElement {
  const stat = (name: string, text: string, bad = false): HTMLElement =>
    h("div", { class: bad ? "fb-stat fb-bad" : "fb-stat" }, h("i", {}, name), h("b", {}, text));
  return h(
    "div",
    { class: "fb-stats" },
    stat("min", number(found.min, 3)),
    stat("mean", number(found.mean, 3)),
    stat("max", number(found.max, 3)),
    stat("std", number(found.std, 3)),
    stat("norm", number(found.norm, 3)),
    stat("nan", number(found.nans), found.nans > 0),
    stat("inf", number(found.infs), found.infs > 0),
    stat("zero", number(found.zeros)),
  );
}

function histogram(found: Histogram, gradient: boolean): HTMLElement {
  const most = Math.max(...found.counts, 1);
  const width = 100 / found.counts.length;
  const bars = [...found.counts].map((count, index) => {
    const height = (count / most) * 60;
    return s("rect", { x: index * width + 0.12, y: 64 - Math.max(height, count ? 1 : 0), width: width - 0.24, height: Math.max(height, count ? 1 : 0) });
  });
  const svg = s("svg", { viewBox: "0 0 100 64", preserveAspectRatio: "none", class: `fb-hist${gradient ? " fb-of-grad" : ""}` }, ...bars);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `histogram from ${number(found.low)} to ${number(found.high)}`);
  return h("div", {}, svg);
}

function bounds(found: Histogram): HTMLElement {
  const middle = found.sampled ? "histogram of a sample" : "";
  return h("div", { class: "fb-axis" }, h("span", {}, number(found.low, 3)), h("span", {}, middle), h("span", {}, number(found.high, 3)));
}

function elements(value: Value, sample: Sample, places: Places, redraw: () => void): HTMLElement[] {
  const parts: HTMLElement[] = [];
  const shown = picture(sample, places);
  parts.push(heatMap(shown, value.statistics));
  for (const axis of axesOf(sample.shape).others) {
    parts.push(slider(sample, axis, places, redraw));
  }
  const words = described(sample, value.shape);
  const error = sample.error ? `; others differ from the nearest kept by at most ${number(sample.error, 3)}` : "";
  if (words) {
    parts.push(h("div", { class: "fb-note" }, `${words}${error}`));
  }
  parts.push(numbers(shown, value, sample));
  return parts;
}

function slider(sample: Sample, axis: number, places: Places, redraw: () => void): HTMLElement {
  const place = places.get(axis) ?? 0;
  const input = h("input", { type: "range", min: 0, max: sample.shape[axis]! - 1, value: place, "aria-label": `axis ${axis}` });
  input.addEventListener("input", () => {
    places.set(axis, Number(input.value));
    redraw();
  });
  const index = sample.starts[axis]! + sample.strides[axis]! * place;
  return h("div", { class: "fb-row" }, h("span", {}, `axis ${axis}`), input, h("span", { class: "fb-mono" }, String(index)));
}

/** Blue below zero, orange above, white at zero; for values of one sign from pale to full. */
function heatMap(shown: Picture, found: Statistics): HTMLElement {
  const { rows, columns } = shown;
  const canvas = h("canvas", { class: "fb-heat", width: columns, height: rows, role: "img" });
  canvas.setAttribute("aria-label", `heat map, ${rows} by ${columns}`);
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(columns, rows);
  const span = Math.max(Math.abs(found.min ?? 0), Math.abs(found.max ?? 0)) || 1;
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const value = shown.at(row, column);
      const color = Number.isFinite(value) ? diverging(value / span) : Number.isNaN(value) ? [207, 34, 46] : [130, 80, 223];
      image.data.set([...color, 255], 4 * (row * columns + column));
    }
  }
  context.putImageData(image, 0, 0);
  canvas.style.height = `${Math.round(Math.min(190, Math.max(rows === 1 ? 22 : 60, (308 * rows) / columns)))}px`;
  return canvas;
}

const STOPS: [number, number, number][] = [
  [33, 102, 172],
  [103, 169, 207],
  [247, 247, 247],
  [244, 165, 92],
  [201, 90, 30],
];

/** A colour for −1 … 1. */
export function diverging(value: number): [number, number, number] {
  const place = Math.min(1, Math.max(-1, value)) * 2 + 2;
  const low = Math.min(3, Math.floor(place));
  const [from, to, share] = [STOPS[low]!, STOPS[low + 1]!, place - low];
  return from.map((each, index) => Math.round(each + (to[index]! - each) * share)) as [number, number, number];
}

function numbers(shown: Picture, value: Value, sample: Sample): HTMLElement {
  const details = h("details", {}, h("summary", {}, "numbers"));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) {
      details.append(table(shown), copyButton(value, sample));
    }
  });
  return details;
}

function table(shown: Picture): HTMLElement {
  const columns = Math.min(shown.columns, MAX_COLUMNS);
  const rows = Math.min(shown.rows, MAX_ROWS);
  const cells = (row: number): HTMLElement[] =>
    Array.from({ length: columns }, (_, column) => h("td", {}, exact(shown.at(row, column))));
  const head = h("tr", {}, h("th", {}), ...Array.from({ length: columns }, (_, each) => h("th", {}, String(shown.columnIndex(each)))));
  const body = Array.from({ length: rows }, (_, row) => h("tr", {}, h("th", {}, String(shown.rowIndex(row))), ...cells(row)));
  const cut = rows < shown.rows || columns < shown.columns;
  const note = cut ? h("div", { class: "fb-note" }, `the first ${rows} × ${columns} of ${shown.rows} × ${shown.columns}`) : null;
  return h("div", {}, h("div", { class: "fb-table", tabindex: 0 }, h("table", {}, head, ...body)), note);
}

/** A float32 with as many digits as tell it from its neighbours. */
function exact(value: number): string {
  return Number.isNaN(value) ? "nan" : Number.isFinite(value) ? String(Number(value.toPrecision(9))).replace("-", "−") : value > 0 ? "inf" : "−inf";
}

function copyButton(value: Value, sample: Sample): HTMLElement {
  const copy = (): void => void navigator.clipboard?.writeText(asNumpy(value, sample));
  return button("copy as NumPy", "copy as NumPy", copy, { class: "fb-link" });
}

/** Python that makes the array (of a sample: what was kept). */
export function asNumpy(value: Value, sample: Sample): string {
  const text = [...sample.data].map((each) => (Number.isNaN(each) ? "np.nan" : Number.isFinite(each) ? String(each) : each > 0 ? "np.inf" : "-np.inf"));
  return `np.array([${text.join(", ")}], dtype="${value.dtype}").reshape(${shapeText(sample.shape)})`;
}

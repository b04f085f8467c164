/** The viewer of one tensor's values: statistics, histogram, heat map, slices along axes, exact numbers. */

import { bytes, number, ordinal, plural, shape as shapeText } from "../model/format";
import type { Store } from "../model/store";
import type { Histogram, Ref, Sample, Statistics, ToKernel, Value } from "../protocol";
import { type Axes, axesOf, described, indexOf, partOf, type Range, type Reader, reader, spread, window } from "./array";
import { button, h, s } from "./dom";
import { Editor } from "./editor";
import { HeatMap } from "./heatmap";
import { asNumpy, copy } from "./numpytext";
import { Table } from "./table";

const PIXELS = 128;
const ROWS = 40;
const COLUMNS = 16;

export class ValueView {
  readonly root = h("div", { class: "fb-value-of" });
  private readonly summary = h("div", { class: "fb-summary" });
  private readonly heat = new HeatMap();
  private readonly sliders = h("div", { class: "fb-sliders" });
  private readonly sampled = h("div", { class: "fb-note" });
  private readonly table = new Table();
  private readonly numbers: HTMLDetailsElement;
  private readonly window = h("div", { class: "fb-row" });
  /** Which part of the value the table shows. */
  private readonly part = h("div", { class: "fb-note" });
  private readonly copied: HTMLElement;
  private readonly editor: Editor | null;
  private shape = "";
  private axes: Axes = axesOf([]);
  /** Where the picture is along the axes it does not show, and where the table begins. */
  private readonly places = new Map<number, number>();
  private from = [0, 0];
  private asked = "";

  constructor(
    private readonly store: Store,
    private readonly ref: Ref,
    private readonly send: (message: ToKernel) => void,
    private readonly options: { gradient: boolean; edit: boolean },
  ) {
    this.editor = options.edit ? new Editor(store, ref, send) : null;
    const copied = button("Copy as NumPy", "copy as NumPy", () => this.copy(copied), { class: "fb-inline" });
    this.copied = h("div", { class: "fb-row" }, copied);
    this.numbers = h("details", {}, h("summary", {}, "numbers"), this.window, this.part, this.table.root);
    this.numbers.addEventListener("toggle", () => this.update());
    this.root.append(this.summary, this.heat.root, this.sliders, this.sampled, this.editor?.root ?? "", this.numbers, this.copied);
  }

  /** Show what is known now. */
  update(): void {
    const value = this.store.value(this.ref);
    if (!value) {
      const outputs = this.store.nodes[this.ref.node]?.outputs.length ?? 0;
      this.summary.replaceChildren(h("div", { class: "fb-note" }, outputs ? "This value was not kept." : "It has no output."));
    } else {
      this.summary.replaceChildren(...summary(value, this.options.gradient));
      this.prepare(value);
    }
    const count = value?.sample?.data.length ?? 0;
    for (const each of [this.heat.root, this.sliders, this.sampled, this.numbers]) {
      each.hidden = count < 2;
    }
    this.copied.hidden = count === 0;
    if (value && count > 1) {
      this.elements(value);
    }
    this.editor?.update();
  }

  /** Sliders and fields stay the same while the shape does, so that they can be dragged. */
  private prepare(value: Value): void {
    const spaced = this.spaced(value);
    const shape = `${value.shape} ${spaced?.every ?? ""}`;
    if (shape === this.shape) {
      return;
    }
    this.shape = shape;
    this.axes = axesOf(value.shape);
    this.places.clear();
    this.from = [0, 0];
    this.sliders.replaceChildren(...this.axes.others.map((axis) => this.slider(axis, value.shape[axis]!)));
    const { rows, columns } = this.axes;
    const begin = (which: number, size: number, name: string): HTMLElement | string => {
      if (size <= (which ? COLUMNS : ROWS)) {
        return "";
      }
      const field = h("input", { type: "number", min: 0, max: size - 1, value: 0, "aria-label": `${name} from` });
      field.addEventListener("input", () => {
        this.from[which] = Math.max(0, Math.min(size - 1, Number(field.value) || 0));
        this.update();
      });
      return h("label", {}, `${name} from `, field);
    };
    const fields = spaced
      ? [begin(0, spaced.data.length, "kept elements")]
      : [begin(0, value.shape[rows] ?? 1, "rows"), begin(1, value.shape[columns] ?? 1, "columns")];
    this.window.replaceChildren(...fields);
  }

  /** Of a large value in a recording: the elements that were kept, which are not side by side in any axis. */
  private spaced(value: Value): (Sample & { every: number }) | null {
    const { sample } = value;
    return sample?.every !== undefined && !this.store.live ? { ...sample, every: sample.every } : null;
  }

  private slider(axis: number, size: number): HTMLElement {
    const input = h("input", { type: "range", min: 0, max: size - 1, value: 0, "aria-label": `axis ${axis}` });
    const text = h("span", { class: "fb-mono" }, "0");
    input.addEventListener("input", () => {
      this.places.set(axis, Number(input.value));
      text.textContent = input.value;
      this.update();
    });
    return h("div", { class: "fb-row" }, h("span", {}, `axis ${axis}`), input, text);
  }

  private elements(value: Value): void {
    const { store, ref, axes } = this;
    const read = reader(value, store.partsOf(ref));
    const size = (axis: number): number => value.shape[axis] ?? 1;
    const base = value.shape.map((_, axis) => this.places.get(axis) ?? 0);
    const rows = spread(size(axes.rows), PIXELS);
    const columns = spread(size(axes.columns), value.shape.length === 1 ? 4 * PIXELS : PIXELS);
    const exact = this.heat.draw(value, axes, rows, columns, base, read);
    const missing = exact ? null : this.slices(value, base, rows, columns);
    const wanted = (this.numbers.open ? this.draw(value, base, read) : null) ?? missing;
    this.tell(value, exact && rows.stride === 1 && columns.stride === 1);
    if (wanted) {
      this.ask(wanted);
    }
  }

  private draw(value: Value, base: number[], read: Reader): number[][] | null {
    const { axes, store } = this;
    const spaced = this.spaced(value);
    if (spaced) {
      this.drawSpaced(value, spaced);
      return null;
    }
    const rows = axes.rows < 0 ? { start: 0, stride: 1, count: 1 } : window(value, axes.rows, this.from[0]!, ROWS, store.live);
    const columns = window(value, axes.columns, this.from[1]!, COLUMNS, store.live);
    const at = (row: number, column: number): number[] =>
      base.map((place, axis) => (axis === axes.rows ? row : axis === axes.columns ? column : place));
    let exact = true;
    const edit = this.editor && !this.editor.barred ? this.editor : null;
    this.table.draw({
      rows,
      columns,
      read: (row, column) => {
        const found = read(at(row, column));
        exact &&= found.exact;
        return found;
      },
      edit: edit && ((row, column, text) => edit.set(text, at(row, column))),
    });
    const size = (axis: number): number => value.shape[axis] ?? 1;
    const parts = [partOf(rows, size(axes.rows), "rows"), partOf(columns, size(axes.columns), "columns")];
    this.part.textContent = parts.filter(Boolean).join("; ");
    return exact ? null : this.slices(value, base, rows, columns);
  }

  private drawSpaced({ shape }: Value, { every, data }: Sample & { every: number }): void {
    const start = Math.min(this.from[0]!, data.length - 1);
    const rows = { start, stride: 1, count: Math.min(ROWS, data.length - start) };
    this.table.draw({
      rows,
      columns: { start: 0, stride: 1, count: 1 },
      read: (row) => ({ value: data[row]!, exact: true }),
      label: (row) => indexOf(row * every, shape).join(", "),
      edit: null,
    });
    const shown = partOf(rows, data.length, "of those kept");
    this.part.textContent = `every ${ordinal(every)} element was kept${shown && `; ${shown}`}`;
  }

  private slices(value: Value, base: readonly number[], rows: Range, columns: Range): number[][] {
    return value.shape.map((size, axis) => {
      const range = axis === this.axes.rows ? rows : axis === this.axes.columns ? columns : null;
      if (range) {
        return [range.start, Math.min(size, range.start + range.stride * range.count), range.stride];
      }
      return axis === this.axes.channel ? [0, size, 1] : [base[axis]!, base[axis]! + 1, 1];
    });
  }

  /** Ask a kernel for what is not here; once for the same. */
  private ask(slices: number[][]): void {
    const key = JSON.stringify([slices, this.store.status.position, this.store.edited?.seconds]);
    if (this.store.live && key !== this.asked) {
      this.asked = key;
      this.send({ type: "inspect", ...this.ref, slices });
    }
  }

  private tell(value: Value, whole: boolean): void {
    const sample = value.sample!;
    const words = whole ? "" : described(sample, value.shape);
    const error = sample.error ? `; others differ from the nearest kept by at most ${number(sample.error, 3)}` : "";
    this.sampled.textContent = words && `${words}${error}`;
    this.sampled.hidden = !words;
  }

  private copy(control: HTMLElement): void {
    const value = this.store.value(this.ref);
    if (value?.sample) {
      void copy(asNumpy(value, value.sample));
      control.textContent = "copied";
      setTimeout(() => (control.textContent = "copy as NumPy"), 1500);
    }
  }
}

function summary(value: Value, gradient: boolean): HTMLElement[] {
  const size = value.shape.reduce((a, b) => a * b, 1);
  const of = h("div", { class: "fb-note fb-mono" }, `${value.dtype} ${shapeText(value.shape)} · ${plural(size, "element")} · ${bytes(size * itemSize(value.dtype))}`);
  if (value.set) {
    of.append(" · ", h("b", { class: "fb-set" }, "set by you"));
  }
  if (size === 1) {
    return [of, h("div", { class: "fb-quote fb-code" }, value.text.replaceAll("-", "−"))];
  }
  const shown = [of, statistics(value.statistics)];
  return value.histogram ? [...shown, histogram(value.histogram, gradient), bounds(value.histogram)] : shown;
}

function itemSize(dtype: string): number {
  return Math.max(1, Number(/\d+$/.exec(dtype)?.[0] ?? 8) / 8);
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
    const height = Math.max((count / most) * 60, count ? 1 : 0);
    return s("rect", { x: index * width + 0.12, y: 64 - height, width: width - 0.24, height });
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

/** Elements of a value: where they are in its samples, and which of them make a picture or a table. */

import { grouped, ordinal } from "../model/format";
import type { Sample, Value } from "../protocol";

export interface Element {
  value: number;
  /** The very element; else the nearest that was kept. */
  exact: boolean;
}

/** The element at an index of the whole value. */
export type Reader = (index: readonly number[]) => Element;

/** Indices along an axis: so many from `start`, every `stride`-th. */
export interface Range {
  start: number;
  stride: number;
  count: number;
}

/** Which axes make the picture. `channel`: it holds grey, colours, or colours and opacity. */
export interface Axes {
  rows: number;
  columns: number;
  channel: number;
  /** Those that have sliders. */
  others: number[];
}

/** The last two axes with more than one element; a vector is one row. Of a stack of images, the two before the last. */
export function axesOf(shape: readonly number[]): Axes {
  const last = shape.length - 1;
  const long = shape.flatMap((size, axis) => (size > 1 ? [axis] : []));
  if (shape.length >= 3 && [1, 3, 4].includes(shape[last]!) && shape[last - 1]! >= 6 && shape[last - 2]! >= 6) {
    const others = long.filter((axis) => axis < last - 2);
    return { rows: last - 2, columns: last - 1, channel: last, others };
  }
  return { rows: long.at(-2) ?? -1, columns: long.at(-1) ?? last, channel: -1, others: long.slice(0, -2) };
}

export function reader(value: Value, parts: readonly Sample[]): Reader {
  const samples = value.sample ? [...parts, value.sample] : parts;
  return (index) => {
    for (const sample of parts) {
      const found = at(sample, index);
      if (found?.exact) {
        return found;
      }
    }
    for (const sample of samples.slice(-1)) {
      const found = sample.every === undefined ? at(sample, index) : every(sample, value.shape, index);
      if (found) {
        return found;
      }
    }
    return { value: NaN, exact: false };
  };
}

function at(sample: Sample, index: readonly number[]): Element | null {
  let place = 0;
  let exact = true;
  for (let axis = 0; axis < index.length; axis += 1) {
    const [start, stride, size] = [sample.starts[axis]!, sample.strides[axis]!, sample.shape[axis]!];
    const step = Math.floor((index[axis]! - start) / stride);
    if (step < 0 || step >= size) {
      return null;
    }
    exact &&= start + stride * step === index[axis];
    place = place * size + step;
  }
  return { value: sample.data[place] ?? NaN, exact };
}

function every(sample: Sample, shape: readonly number[], index: readonly number[]): Element {
  const flat = index.reduce((sum, each, axis) => sum * shape[axis]! + each, 0);
  const place = Math.floor(flat / sample.every!);
  return { value: sample.data[place] ?? NaN, exact: place * sample.every! === flat };
}

/** Indices along an axis, spread over all of it, at most so many. */
export function spread(size: number, most: number): Range {
  const stride = Math.max(1, Math.ceil(size / most));
  return { start: 0, stride, count: Math.ceil(size / stride) };
}

/** Which indices along an axis a table shows: one after the other, or those that were kept. */
export function window(value: Value, axis: number, from: number, most: number, live: boolean): Range {
  const size = value.shape[axis] ?? 1;
  const { sample } = value;
  const kept = !live && sample && sample.every === undefined ? sample.strides[axis]! : 1;
  const first = Math.floor(Math.min(from, size - 1) / kept) * kept;
  return { start: first, stride: kept, count: Math.max(1, Math.min(most, Math.ceil((size - first) / kept))) };
}

export function placesOf({ start, stride, count }: Range): number[] {
  return Array.from({ length: count }, (_, step) => start + stride * step);
}

/** What a sample is of, in words, and how far off what is shown may be. */
export function described(sample: Sample, shape: readonly number[]): string {
  const size = shape.reduce((a, b) => a * b, 1);
  const kept = sample.data.length;
  if (kept >= size) {
    return "";
  }
  const count = `${grouped(kept)} of ${grouped(size)} elements`;
  if (sample.every !== undefined) {
    return `${count}, every ${ordinal(sample.every)}; statistics are of all`;
  }
  const strides = sample.strides.map((stride) => (stride === 1 ? "all" : `every ${ordinal(stride)}`)).join(" × ");
  return `${count} (${strides})`;
}

/** Which part of an axis a table shows, in words; none when it is all. */
export function partOf(range: Range, size: number, name: string): string {
  const { start, stride, count } = range;
  if (stride === 1 && count >= size) {
    return "";
  }
  const every = stride === 1 ? "" : `, every ${ordinal(stride)}`;
  const last = start + stride * (count - 1);
  return `${name} ${start} … ${last} of ${grouped(size)}${every}`;
}

/** The index of an element by its place in C order. */
export function indexOf(place: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    index.unshift(place % shape[axis]!);
    place = Math.floor(place / shape[axis]!);
  }
  return index;
}

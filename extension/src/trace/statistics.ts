/**
 * Statistics of a value, to the last bit as NumPy has them (flowbook/runtime/summary.py, and `told` and `histogram_of`
 * of flowbook/notebook/sampling.py): so a run looks the same whoever reads it.
 */

import type { Histogram, Statistics } from "../protocol";
import type { Measured } from "./tracedata";

export const BINS = 40;
const BUFFER = 8192; // NumPy converts so many elements at a time, and adds up each lot by itself
const SMALLEST = 2 ** -1022;

/** The statistics of an array's elements; `converted`: they were of another type than float64. */
export function measure(elements: Float64Array, converted: boolean): Measured {
  let [zeros, nans, infs] = [0, 0, 0];
  for (const each of elements) {
    zeros += Number(each === 0);
    nans += Number(each !== each);
    infs += Number(each === Infinity || each === -Infinity);
  }
  const finite = nans || infs ? elements.filter(Number.isFinite) : elements;
  if (finite.length === 0) {
    return { minimum: null, maximum: null, mean: null, std: null, nans, infs, zeros };
  }
  const [minimum, maximum] = range(finite);
  const mean = sum(finite, converted ? BUFFER : finite.length) / finite.length;
  const squares = finite.map((each) => (each - mean) * (each - mean));
  const std = Math.sqrt(sum(squares, squares.length) / finite.length);
  return { minimum, maximum, mean, std, nans, infs, zeros };
}

/** Statistics as a message; the norm comes from mean and deviation, as both are of all elements. */
export function told(measured: Measured, size: number): Statistics {
  const { minimum, maximum, mean, std, nans, infs, zeros } = measured;
  const norm = mean === null || std === null ? null : Math.sqrt(size - nans - infs) * hypot(mean, std);
  return {
    min: finiteOrNull(minimum),
    max: finiteOrNull(maximum),
    mean: finiteOrNull(mean),
    std: finiteOrNull(std),
    norm: finiteOrNull(norm),
    nans,
    infs,
    zeros,
    exact: true,
  };
}

/** The histogram of the finite elements; nothing where it would say nothing. */
export function histogramOf(elements: Float64Array, measured: Measured, sampled: boolean): Histogram | undefined {
  const low = finiteOrNull(measured.minimum);
  const high = finiteOrNull(measured.maximum);
  if (low === null || high === null || !(low < high) || elements.length < 8 || !Number.isFinite(high - low)) {
    return undefined;
  }
  const [counts, edges, width] = [new Int32Array(BINS), edgesOf(low, high), high - low];
  if (edges.some((each, index) => index > 0 && each <= edges[index - 1]!)) {
    return undefined; // there are fewer numbers between them than there are bins
  }
  for (const each of elements) {
    if (each >= low && each <= high) {
      let bin = Math.min(Math.trunc(((each - low) / width) * BINS), BINS - 1);
      bin -= Number(each < edges[bin]!);
      bin += Number(each >= edges[bin + 1]! && bin !== BINS - 1);
      counts[bin]! += 1;
    }
  }
  return { low, high, counts, sampled };
}

/** `numpy.linspace`. */
function edgesOf(low: number, high: number): Float64Array {
  const step = (high - low) / BINS;
  return Float64Array.from({ length: BINS + 1 }, (_, index) => (index === BINS ? high : index * step + low));
}

function range(elements: Float64Array): [number, number] {
  let [low, high] = [elements[0]!, elements[0]!];
  for (const each of elements) {
    low = each < low ? each : low;
    high = each > high ? each : high;
  }
  return [low, high];
}

function sum(elements: Float64Array, buffer: number): number {
  let total = 0;
  for (let from = 0; from < elements.length; from += buffer) {
    total += pairwise(elements, from, Math.min(buffer, elements.length - from));
  }
  return total;
}

/** NumPy's pairwise summation: halves, down to blocks of 128 that are added up in eight columns. */
function pairwise(elements: Float64Array, from: number, count: number): number {
  if (count > 128) {
    const half = Math.floor(count / 2);
    const left = half - (half % 8);
    return pairwise(elements, from, left) + pairwise(elements, from + left, count - left);
  }
  let [index, total] = [0, -0];
  if (count >= 8) {
    const columns = elements.slice(from, from + 8);
    for (index = 8; index + 8 <= count; index += 8) {
      for (let column = 0; column < 8; column += 1) {
        columns[column]! += elements[from + index + column]!;
      }
    }
    const [a, b, c, d, e, f, g, h] = columns as unknown as number[] & { length: 8 };
    total = a! + b! + (c! + d!) + (e! + f! + (g! + h!));
  }
  for (; index < count; index += 1) {
    total += elements[from + index]!;
  }
  return total;
}

// ------------------------------------------------------------------------------------------------ hypot

/** `math.hypot` of Python, which is more exact than `Math.hypot`. */
export function hypot(x: number, y: number): number {
  const [a, b] = [Math.abs(x), Math.abs(y)];
  const largest = Math.max(a, b);
  if (a === Infinity || b === Infinity) {
    return Infinity;
  }
  if (largest !== largest || largest === 0) {
    return largest;
  }
  if (largest < 2 ** -1024) {
    return SMALLEST * hypot(a / SMALLEST, b / SMALLEST);
  }
  const scale = 2 ** -exponentOf(largest);
  const total = new ExactSum();
  total.addProduct(a * scale, a * scale);
  total.addProduct(b * scale, b * scale);
  const root = Math.sqrt(total.value);
  total.addProduct(-root, root);
  return (root + total.value / (2 * root)) / scale;
}

/** A sum of products in twice the precision, of at most 1. */
class ExactSum {
  private high = 1;
  private products = 0;
  private sums = 0;

  addProduct(x: number, y: number): void {
    const product = x * y;
    const [a, b] = [split(x), split(y)];
    this.products += a.low * b.low - (product - a.high * b.high - a.low * b.high - a.high * b.low);
    const sum = this.high + product;
    this.sums += product - (sum - this.high);
    this.high = sum;
  }

  get value(): number {
    return this.high - 1 + (this.products + this.sums);
  }
}

function split(x: number): { high: number; low: number } {
  const large = x * (2 ** 27 + 1);
  const high = large - (large - x);
  return { high, low: x - high };
}

/** The e with 2 ** (e - 1) <= x < 2 ** e. */
function exponentOf(x: number): number {
  const shift = x < SMALLEST ? 54 : 0;
  const high = new DataView(Float64Array.of(x * 2 ** shift).buffer).getUint32(4, true);
  return (high >>> 20) - 1022 - shift;
}

function finiteOrNull(value: number | null): number | null {
  return value === null || !Number.isFinite(value) ? null : value;
}

/** A sample as something to look at: which two axes make the picture, and what the others are at. */

import type { Sample } from "../protocol";

export interface Picture {
  rows: number;
  columns: number;
  at(row: number, column: number): number;
  /** The index in the whole value of a row or a column of the picture. */
  rowIndex(row: number): number;
  columnIndex(column: number): number;
}

/** The axes of the picture: the last two that have more than one element; a vector is one row. */
export function axesOf(shape: readonly number[]): { rows: number; columns: number; others: number[] } {
  const long = shape.flatMap((size, axis) => (size > 1 ? [axis] : []));
  const columns = long.at(-1) ?? shape.length - 1;
  const rows = long.at(-2) ?? -1;
  return { rows, columns, others: long.slice(0, -2) };
}

/** The picture with the other axes at these places. */
export function picture(sample: Sample, places: ReadonlyMap<number, number>): Picture {
  const { shape, data, starts, strides } = sample;
  const { rows, columns, others } = axesOf(shape);
  const steps = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const base = others.reduce((sum, axis) => sum + (places.get(axis) ?? 0) * steps[axis]!, 0);
  const rowStep = rows < 0 ? 0 : steps[rows]!;
  const columnStep = columns < 0 ? 0 : steps[columns]!;
  const index = (axis: number, place: number): number => (axis < 0 ? 0 : starts[axis]! + strides[axis]! * place);
  return {
    rows: rows < 0 ? 1 : shape[rows]!,
    columns: columns < 0 ? 1 : shape[columns]!,
    at: (row, column) => data[base + row * rowStep + column * columnStep] ?? NaN,
    rowIndex: (row) => index(rows, row),
    columnIndex: (column) => index(columns, column),
  };
}

/** What a sample is of, in words. */
export function described(sample: Sample, shape: readonly number[]): string {
  const size = shape.reduce((a, b) => a * b, 1);
  const kept = sample.data.length;
  if (kept >= size) {
    return "";
  }
  const count = `${kept.toLocaleString("en")} of ${size.toLocaleString("en")} elements`;
  if (sample.every !== undefined) {
    return `${count}, every ${sample.every}th; statistics are of all`;
  }
  const strides = sample.strides.map((stride) => (stride === 1 ? "all" : `every ${stride}`)).join(" × ");
  return `${count} (${strides})`;
}

/** A value as a view wants it: `value_message` of flowbook/notebook/sampling.py. */

import type { Sample, Value } from "../protocol";
import { float64, isFloat, numbers, wholeInteger, DTYPES, type Numbers, type Stored } from "./arrays";
import { histogramOf, measure, told } from "./statistics";
import { general } from "./text";
import type { Kept, Measured } from "./tracedata";

export const ELEMENTS = 4096; // of one value

export function valueMessage(kept: Kept): Value {
  const { array, shape, size } = kept;
  const elements = float64(array);
  const measured = kept.measured ?? measure(elements, array.dtype !== "float64");
  const value: Value = {
    node: kept.node,
    output: kept.output,
    dtype: array.dtype,
    shape,
    text: short(kept, measured),
    statistics: told(measured, size),
  };
  const histogram = array.dtype === "bool" ? undefined : histogramOf(elements, measured, kept.measured !== null);
  if (histogram) {
    value.histogram = histogram;
  }
  if (array.size) {
    value.sample = kept.measured ? spaced(array, size) : grid(array, elements);
  }
  return value;
}

/** Every n-th element along each axis, the longest axes thinned first, until there are few enough. */
function grid(array: Stored, elements: Float64Array): Sample {
  const { shape } = array;
  const sizes = [...shape];
  const strides = shape.map(() => 1);
  let size = array.size;
  while (size > ELEMENTS) {
    const axis = sizes.indexOf(sizes.reduce((longest, each) => Math.max(longest, each)));
    strides[axis]! += 1;
    sizes[axis] = Math.ceil(shape[axis]! / strides[axis]!);
    size = sizes.reduce((product, each) => product * each, 1);
  }
  const { kept, error } = thinned(elements, shape, strides);
  return { data: floats(array.dtype, kept), shape: sizes, starts: shape.map(() => 0), strides, error };
}

/** The elements that are kept, and how far another one is at most from the kept one that stands for it; of finite ones. */
function thinned(elements: Float64Array, shape: readonly number[], strides: readonly number[]): { kept: number[]; error: number } {
  const axes: { size: number; stride: number; step: number }[] = [];
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    if (shape[axis] !== 1) {
      axes.unshift({ size: shape[axis]!, stride: strides[axis]!, step });
    }
    step *= shape[axis]!;
  }
  const kept: number[] = [];
  let error = 0;
  const visit = (depth: number, at: number, shown: number): void => {
    const axis = axes[depth];
    if (axis) {
      for (let index = 0; index < axis.size; index += 1) {
        visit(depth + 1, at + index * axis.step, shown + (index - (index % axis.stride)) * axis.step);
      }
    } else if (at === shown) {
      kept.push(elements[at]!);
    } else {
      const difference = Math.abs(elements[at]! - elements[shown]!);
      error = difference > error && difference !== Infinity ? difference : error;
    }
  };
  visit(0, 0, 0);
  return { kept, error };
}

/** The elements that a trace kept of a large value. */
function spaced(array: Stored, size: number): Sample {
  const all = numbers(array);
  const step = Math.max(1, Math.ceil(array.size / ELEMENTS));
  const every = Math.ceil(size / array.size) * step;
  const kept = step === 1 ? all : (all as Float64Array).filter((_, index) => index % step === 0);
  return { data: floats(array.dtype, kept), shape: [kept.length], starts: [0], strides: [every], every };
}

function floats(dtype: string, elements: Numbers | readonly number[]): Float32Array | Float64Array {
  const small = dtype === "float32" || DTYPES.get(dtype)! <= 2; // these fit into float32 exactly
  return small ? Float32Array.from(elements) : Float64Array.from(elements);
}

/** A value in at most some twenty characters. */
function short({ array, size, measured: sampled }: Kept, measured: Measured): string {
  if (!sampled && size === 1) {
    return only(array);
  }
  if (size === 0) {
    return "empty";
  }
  if (measured.minimum === null) {
    return measured.nans ? "nan" : numbers(array).every((each) => each < 0) ? "-inf" : "inf";
  }
  const [low, high] = [general(measured.minimum, 2), general(measured.maximum ?? 0, 2)];
  const text = low === high ? low : `${low} … ${high}`;
  const bad = ([[measured.nans, "nan"], [measured.infs, "inf"]] as const).filter(([count]) => count > 0);
  return [...bad.map(([count, name]) => `${count} ${name}`), text].join(", ");
}

/** The only element of an array. */
function only(array: Stored): string {
  const [value] = numbers(array);
  if (array.dtype === "bool") {
    return value ? "True" : "False";
  }
  if (isFloat(array.dtype)) {
    return general(value!, 4);
  }
  return array.dtype.endsWith("64") ? wholeInteger(array).toString() : value!.toString();
}

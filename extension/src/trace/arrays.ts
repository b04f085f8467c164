/** Arrays in a file, and their elements as numbers. */

/** The dtypes that an array may have, and the bytes of an element. */
export const DTYPES: ReadonlyMap<string, number> = new Map([
  ["bool", 1], ["int8", 1], ["int16", 2], ["int32", 4], ["int64", 8],
  ["uint8", 1], ["uint16", 2], ["uint32", 4], ["uint64", 8],
  ["float16", 2], ["float32", 4], ["float64", 8],
]); // prettier-ignore

/** An array as it lies in the file: little-endian, in C order. */
export interface Stored {
  dtype: string;
  shape: number[];
  size: number;
  bytes: Uint8Array;
}

export type Numbers = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array;

const PLAIN = {
  bool: Uint8Array, int8: Int8Array, int16: Int16Array, int32: Int32Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array,
  float32: Float32Array, float64: Float64Array,
}; // prettier-ignore

/** The elements, in memory of their own; 64-bit integers as the nearest float64, float16 as float32. */
export function numbers({ dtype, bytes }: Stored): Numbers {
  const memory = new Uint8Array(bytes).buffer; // a slice would be no copy where these are a Buffer
  if (dtype === "int64" || dtype === "uint64") {
    return fromPairs(new Uint32Array(memory), dtype === "int64");
  }
  if (dtype === "float16") {
    return Float32Array.from(new Uint16Array(memory), half);
  }
  return new PLAIN[dtype as keyof typeof PLAIN](memory);
}

export function float64({ dtype, bytes }: Stored): Float64Array {
  const found = numbers({ dtype, bytes, shape: [], size: 0 });
  return found instanceof Float64Array ? found : new Float64Array(found);
}

/** Whether its elements are floats. */
export function isFloat(dtype: string): boolean {
  return dtype.startsWith("float");
}

/** The only element of an array of 64-bit integers, in full. */
export function wholeInteger({ dtype, bytes }: Stored): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return dtype === "int64" ? view.getBigInt64(0, true) : view.getBigUint64(0, true);
}

/** 64-bit integers from their halves: only the sum is rounded, so it is the nearest float64. */
function fromPairs(halves: Uint32Array, signed: boolean): Float64Array {
  const found = new Float64Array(halves.length / 2);
  for (let index = 0; index < found.length; index += 1) {
    const high = halves[2 * index + 1]!;
    found[index] = (signed ? high | 0 : high) * 2 ** 32 + halves[2 * index]!;
  }
  return found;
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) {
    return fraction ? NaN : sign * Infinity;
  }
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}

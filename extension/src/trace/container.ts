/**
 * The bytes of a file as its document and its arrays: the reader of flowbook/graph/container.py, which has the format.
 *
 * Nothing in the file is trusted. It takes time and memory in proportion to the file's size.
 */

import { DTYPES, type Stored } from "./arrays";

/** A JSON object. */
export type Members = Readonly<Record<string, unknown>>;

export interface Container {
  document: Members;
  arrays: Map<string, Stored>;
}

const VERSION = 1;
const MAGIC = "FLOWBOOK";
const DIGESTED = 52;
const ALIGNMENT = 64;
const MAX_DEPTH = 256;
export const MAX_RANK = 64;
const NON_FINITE = new Map<unknown, number>([["nan", NaN], ["inf", Infinity], ["-inf", -Infinity]]);
const LOADERS = new Map([["checkpoint", "Session.restore"], ["graph", "load_graph"], ["trace", "Trace.load"], ["repro", "load_repro"]]);

/** The document and the arrays in the bytes of a file of this kind. */
export async function readContainer(bytes: Uint8Array, kind: string): Promise<Container> {
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (magic !== MAGIC) {
    throw new Error(bytes.length ? "not a flowbook file" : "not a flowbook file: it is empty");
  }
  if (bytes.length < DIGESTED) {
    throw damaged("it ends too early");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(8, true);
  if (version > VERSION) {
    throw new Error(`written by a newer flowbook (file format ${version}; this one reads up to ${VERSION}); upgrade flowbook`);
  }
  if (version < 1) {
    throw damaged(`there is no file format ${version}`);
  }
  await checkDigest(bytes);
  const length = view.getUint32(12, true) + view.getUint32(16, true) * 2 ** 32;
  if (length > bytes.length - DIGESTED) {
    throw damaged("its header is longer than the file");
  }
  const header = decodeHeader(bytes.subarray(DIGESTED, DIGESTED + length));
  const { kind: found, document, arrays } = header;
  if (typeof found !== "string") {
    throw damaged("its kind is not text");
  }
  if (found !== kind) {
    const loader = LOADERS.get(found);
    const hint = loader ? `; in Python, ${loader} loads it` : "";
    throw new Error(`this is a file of kind ${quoted(found)}; expected was ${quoted(kind)}${hint}`);
  }
  if (!isObject(document) || !isObject(arrays)) {
    throw damaged("its document or its table of arrays is not an object");
  }
  return { document, arrays: decodeArrays(arrays, bytes, DIGESTED + length) };
}

export function damaged(reason: string): Error {
  return new Error(`damaged: ${reason}; restore the file from a copy, or save it again`);
}

export function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether these are an object's members, and no others. */
export function hasMembers(value: unknown, names: readonly string[]): value is Members {
  return isObject(value) && Object.keys(value).length === names.length && names.every((name) => Object.hasOwn(value, name));
}

/** A page over plain HTTP cannot compute a digest: there the other checks have to do. */
async function checkDigest(bytes: Uint8Array): Promise<void> {
  const subtle = (globalThis.crypto as Crypto | undefined)?.subtle as SubtleCrypto | undefined;
  if (subtle) {
    const digest = new Uint8Array(await subtle.digest("SHA-256", bytes.subarray(DIGESTED) as Uint8Array<ArrayBuffer>));
    if (digest.some((byte, index) => byte !== bytes[20 + index])) {
      throw damaged("its checksum does not match its content");
    }
  }
}

// ------------------------------------------------------------------------------------------------ the header

function decodeHeader(raw: Uint8Array): Members {
  let header: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw);
    if (/\\u[dD][89a-fA-F]/.test(text.replaceAll("\\\\", ""))) {
      throw new Error("an escaped surrogate");
    }
    header = JSON.parse(text);
  } catch (error) {
    throw damaged(`its header is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  header = decodeValue(header, 1);
  if (!hasMembers(header, ["kind", "document", "arrays"])) {
    throw damaged("its header does not have the members kind, document and arrays");
  }
  return header;
}

/** A JSON value as what it stands for, in place where nothing is escaped. */
function decodeValue(value: unknown, depth: number): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw damaged("a number in its header is too large for float64");
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  if (depth > MAX_DEPTH) {
    throw damaged(`its header is nested deeper than ${MAX_DEPTH} levels`);
  }
  if (Array.isArray(value)) {
    const items: unknown[] = value;
    items.forEach((item, index) => (items[index] = decodeValue(item, depth + 1)));
    return items;
  }
  const members = value as Record<string, unknown>;
  const keys = Object.keys(members);
  if (keys.length === 1 && keys[0] === "$float" && NON_FINITE.has(members["$float"])) {
    return NON_FINITE.get(members["$float"]);
  }
  if (!keys.some((key) => key.startsWith("$"))) {
    keys.forEach((key) => {
      const decoded = decodeValue(members[key], depth + 1);
      if (decoded !== members[key]) {
        Object.defineProperty(members, key, { value: decoded }); // an assignment would not do for __proto__
      }
    });
    return members;
  }
  if (keys.some((key) => key.startsWith("$") && !key.startsWith("$$"))) {
    throw damaged("an object in its header has a reserved key, one that starts with a single $");
  }
  return Object.fromEntries(keys.map((key) => [key.replace(/^\$/, ""), decodeValue(members[key], depth + 1)]));
}

// ------------------------------------------------------------------------------------------------ the arrays

/** The arrays, after every byte behind the header is accounted for. */
function decodeArrays(entries: Members, bytes: Uint8Array, headerEnd: number): Map<string, Stored> {
  const checked = Object.entries(entries).map(([name, entry]) => ({ name, ...checkEntry(name, entry) }));
  const start = headerEnd + padding(headerEnd); // offsets count from here
  let position = headerEnd;
  for (const { name, offset, nbytes } of [...checked].sort((a, b) => a.offset - b.offset || a.nbytes - b.nbytes)) {
    const expected = position + padding(position);
    if (start + offset !== expected) {
      throw damaged(`array ${quoted(name)} overlaps another one, or leaves a gap`);
    }
    if (expected + nbytes > bytes.length) {
      throw damaged(`array ${quoted(name)} reaches beyond the end of the file`);
    }
    if (bytes.subarray(position, expected).some((byte) => byte !== 0)) {
      throw damaged(`the padding before array ${quoted(name)} is not zero`);
    }
    position = expected + nbytes;
  }
  if (position !== bytes.length) {
    throw damaged("something follows its last array");
  }
  const arrays = new Map<string, Stored>();
  for (const { name, dtype, shape, offset, nbytes } of checked) {
    const data = bytes.subarray(start + offset, start + offset + nbytes);
    if (dtype === "bool" && data.some((byte) => byte > 1)) {
      throw damaged(`array ${quoted(name)} is bool and has bytes other than 0 and 1`);
    }
    arrays.set(name, { dtype, shape, bytes: data, size: nbytes / DTYPES.get(dtype)! });
  }
  return arrays;
}

function checkEntry(name: string, entry: unknown): { dtype: string; shape: number[]; offset: number; nbytes: number } {
  const refuse = (reason: string) => damaged(`array ${quoted(name)} ${reason}`);
  if (!hasMembers(entry, ["dtype", "shape", "offset", "nbytes"])) {
    throw refuse("is not described by dtype, shape, offset and nbytes");
  }
  const { dtype, shape, offset, nbytes } = entry;
  const itemsize = typeof dtype === "string" ? DTYPES.get(dtype) : undefined;
  if (typeof dtype !== "string" || itemsize === undefined) {
    throw refuse(`has the dtype ${quoted(dtype)}, which files cannot hold`);
  }
  if (!isSize(offset) || !isSize(nbytes)) {
    throw refuse("has an offset or size that is no size");
  }
  if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(isSize)) {
    throw refuse("has a shape that is no shape");
  }
  // Zeros aside the product must fit, too: sizes and places are computed from it.
  if (shape.reduce((product: number, size: number) => product * (size || 1), itemsize) > Number.MAX_SAFE_INTEGER) {
    throw refuse("is too large");
  }
  if (shape.reduce((product: number, size: number) => product * size, itemsize) !== nbytes) {
    throw refuse("has another size than its shape says");
  }
  return { dtype, shape, offset, nbytes };
}

export function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function padding(position: number): number {
  return (ALIGNMENT - (position % ALIGNMENT)) % ALIGNMENT;
}

/** A value for a message: on one line, and not too long. */
function quoted(value: unknown): string {
  if (typeof value !== "string") {
    return value === null ? "null" : `a ${typeof value}`;
  }
  return JSON.stringify(value.length <= 45 ? value : `${value.slice(0, 42)}...`);
}

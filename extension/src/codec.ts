/** Messages as they travel: JSON with the typed arrays beside it (`pack` of flowbook/notebook/protocol.py). */

import type { GraphNode, ToView } from "./protocol";

const ARRAYS = {
  uint8: Uint8Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

/** A packed message, as `export.py` writes it: the JSON, and the arrays' bytes in Base64. */
export interface Packed {
  message: unknown;
  buffers: string[];
}

/** The message that was packed, in place. Every array gets memory of its own, as a received buffer may not be aligned. */
export function unpack(message: unknown, buffers: readonly DataView[]): ToView {
  const found = walk(message, buffers) as ToView;
  if (found.type === "graph") {
    found.nodes = fromColumns(found.nodes as unknown as Columns, buffers);
  }
  return found;
}

/** Nodes as they travel (`flowbook/notebook/columns.py`): by member a value for each node, or which of a few it has. */
interface Columns {
  count: number;
  columns: Record<string, unknown[] | { of: unknown[]; at: unknown }>;
}

/** The nodes; what several have in common is one object. */
function fromColumns({ count, columns }: Columns, buffers: readonly DataView[]): GraphNode[] {
  const nodes = Array.from({ length: count }, (): Record<string, unknown> => ({}));
  for (const [key, column] of Object.entries(columns)) {
    if (Array.isArray(column)) {
      nodes.forEach((node, index) => (node[key] = column[index]));
    } else {
      const at = walk(column.at, buffers) as Uint8Array | Int32Array;
      nodes.forEach((node, index) => at[index] && (node[key] = column.of[at[index]! - 1]));
    }
  }
  return nodes as unknown as GraphNode[];
}

export function unpackBase64(packed: Packed): ToView {
  return unpack(packed.message, packed.buffers.map((each) => new DataView(fromBase64(each).buffer)));
}

function walk(value: unknown, buffers: readonly DataView[]): unknown {
  if (value === null || typeof value !== "object") {
    return value;
  }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      if (typeof value[index] === "object") {
        value[index] = walk(value[index], buffers);
      }
    }
    return value;
  }
  const entries = value as Record<string, unknown>;
  const kind = entries["array"];
  const at = entries["at"];
  if (typeof kind === "string" && typeof at === "number" && kind in ARRAYS) {
    const bytes = buffers[at];
    if (!bytes) {
      throw new Error(`the message refers to array ${at}, but has ${buffers.length}`);
    }
    const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    return new ARRAYS[kind as keyof typeof ARRAYS](copy as ArrayBuffer);
  }
  for (const key in entries) {
    // Columns are unpacked when they are nodes again: most of what is in them is not looked at twice.
    if (typeof entries[key] === "object" && key !== "columns") {
      entries[key] = walk(entries[key], buffers);
    }
  }
  return value;
}

/** The text that was compressed with gzip and written in Base64. */
export function unzip(text: string): Promise<string> {
  return inflated(text).text();
}

/** The same of what is no text. */
export function unzipBytes(text: string): Promise<ArrayBuffer> {
  return inflated(text).arrayBuffer();
}

function inflated(text: string): Response {
  return new Response(new Response(fromBase64(text)).body!.pipeThrough(new DecompressionStream("gzip")));
}

/** What browsers have of their own since 2025, many times faster. */
const native = (Uint8Array as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  if (native) {
    return native.call(Uint8Array, text);
  }
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) {
    bytes[index] = binary.charCodeAt(index);
  }
  return bytes;
}

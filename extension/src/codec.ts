/** Messages as they travel: JSON with the typed arrays beside it (`pack` of flowbook/notebook/protocol.py). */

import type { ToView } from "./protocol";

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

/** The message that was packed, in place: a graph may have 50,000 nodes. Every array gets memory of its own, as a received buffer may not be aligned. */
export function unpack(message: unknown, buffers: readonly DataView[]): ToView {
  return walk(message, buffers) as ToView;
}

export function unpackBase64(packed: Packed): ToView {
  return unpack(packed.message, packed.buffers.map(fromBase64));
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
    if (typeof entries[key] === "object") {
      entries[key] = walk(entries[key], buffers);
    }
  }
  return value;
}

/** The text that was compressed with gzip and written in Base64. */
export async function unzip(text: string): Promise<string> {
  const unpacked = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).text();
}

function fromBase64(text: string): DataView<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) {
    bytes[index] = binary.charCodeAt(index);
  }
  return new DataView(bytes.buffer);
}

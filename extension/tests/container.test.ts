import { describe, expect, it } from "vitest";
import { float64, numbers, wholeInteger } from "../src/trace/arrays";
import { readContainer } from "../src/trace/container";
import { general } from "../src/trace/text";

interface Parts {
  document?: string;
  arrays?: string;
  kind?: string;
  version?: number;
  data?: number[];
}

/** A file of these parts, with the right checksum. */
async function file(parts: Parts = {}): Promise<Uint8Array> {
  const { document = "{}", arrays = "{}", kind = '"trace"', version = 1, data = [] } = parts;
  const header = new TextEncoder().encode(`{"kind":${kind},"document":${document},"arrays":${arrays}}`);
  const start = 52 + header.length;
  const bytes = new Uint8Array(arrays !== "{}" ? Math.ceil(start / 64) * 64 + data.length : start);
  bytes.set(new TextEncoder().encode("FLOWBOOK"));
  const view = new DataView(bytes.buffer);
  view.setUint32(8, version, true);
  view.setUint32(12, header.length, true);
  bytes.set(header, 52);
  bytes.set(data, bytes.length - data.length);
  bytes.set(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.slice(52))), 20);
  return bytes;
}

const entry = (dtype: string, shape: number[], nbytes: number, offset = 0) =>
  `{"dtype":"${dtype}","shape":[${shape}],"offset":${offset},"nbytes":${nbytes}}`;

async function document(text: string): Promise<unknown> {
  return (await readContainer(await file({ document: text }), "trace")).document;
}

async function array(dtype: string, shape: number[], data: number[]) {
  const bytes = await file({ arrays: `{"a":${entry(dtype, shape, data.length)}}`, data });
  return (await readContainer(bytes, "trace")).arrays.get("a")!;
}

describe("the document of a file", () => {
  it("has infinities and nan", async () => {
    const text = '{"a":{"$float":"inf"},"b":[{"$float":"-inf"},{"$float":"nan"},1.5,null,true]}';
    expect(await document(text)).toEqual({ a: Infinity, b: [-Infinity, NaN, 1.5, null, true] });
  });

  it("may have keys that begin with $, or are special to JavaScript", async () => {
    expect(await document('{"$$float":"nan","$$$":1,"a$":2}')).toEqual({ $float: "nan", $$: 1, a$: 2 });
    for (const text of ['{"__proto__":{"x":{"$float":"inf"}}}', '{"$$__proto__":{"x":1},"__proto__":1}']) {
      const found = (await document(text)) as object;
      expect(Object.getPrototypeOf(found)).toBe(Object.prototype);
      expect("x" in found).toBe(false);
    }
  });

  it.each([
    ['{"$float":"one"}', "reserved key"],
    ['{"$a":1}', "reserved key"],
    ['{"a":1e999}', "too large"],
    ['{"a":NaN}', "not JSON"],
    ['{"a":"\\ud800"}', "not JSON"],
    ["[]", "not an object"],
    [`{"a":${"[".repeat(300)}${"]".repeat(300)}}`, "nested deeper"],
  ])("is refused: %.40s", async (text, reason) => {
    await expect(document(text)).rejects.toThrow(reason);
  });
});

describe("the arrays of a file", () => {
  it("are numbers of every dtype", async () => {
    expect(numbers(await array("bool", [2], [0, 1]))).toEqual(Uint8Array.of(0, 1));
    expect(numbers(await array("int16", [2], [255, 255, 1, 0]))).toEqual(Int16Array.of(-1, 1));
    expect(numbers(await array("float32", [1], [0, 0, 192, 63]))).toEqual(Float32Array.of(1.5));
    const big = await array("int64", [1], [1, 0, 0, 0, 0, 0, 32, 128]);
    expect(wholeInteger(big)).toBe(-(2n ** 63n) + 2n ** 53n + 1n);
    expect(float64(big)).toEqual(Float64Array.of(Number(-(2n ** 63n) + 2n ** 53n + 1n)));
    expect(numbers(await array("uint64", [1], Array(8).fill(255)))).toEqual(Float64Array.of(2 ** 64));
    expect(numbers(await array("int64", [1], Array(8).fill(255)))).toEqual(Float64Array.of(-1));
  });

  it("decode float16", async () => {
    const data = [0, 60, 0, 192, 255, 123, 1, 0, 0, 128, 0, 124, 0, 252, 1, 126];
    const found = numbers(await array("float16", [8], data));
    expect(found).toEqual(Float32Array.of(1, -2, 65504, 2 ** -24, -0, Infinity, -Infinity, NaN));
  });

  it("may be none, empty, or begin in the middle of a buffer", async () => {
    expect((await array("float64", [0, 3], [])).size).toBe(0);
    const bytes = await file({ arrays: `{"a":${entry("int32", [1], 4)}}`, data: [7, 0, 0, 0] });
    const inside = new Uint8Array(bytes.length + 3);
    inside.set(bytes, 3);
    const { arrays } = await readContainer(inside.subarray(3), "trace");
    expect(numbers(arrays.get("a")!)).toEqual(Int32Array.of(7));
  });

  it.each([
    [entry("int32", [1], 4, 64), "leaves a gap"],
    [entry("int32", [2], 8), "beyond the end"],
    [entry("uint8", [3], 3), "something follows"],
    [entry("int32", [2], 4), "another size than its shape"],
    [entry("int32", [2 ** 52, 0], 0), "too large"],
    [entry("int32", [-1], 4), "no shape"],
    [entry("int32", [1.5], 4), "no shape"],
    [entry("complex64", [1], 8), "which files cannot hold"],
    [entry("bool", [4], 4), "other than 0 and 1"],
    [entry("int32", [1], 4).replace("offset", "start"), "not described by"],
  ])("are refused: %s", async (arrays, reason) => {
    const bytes = await file({ arrays: `{"a":${arrays}}`, data: [7, 0, 0, 0] });
    await expect(readContainer(bytes, "trace")).rejects.toThrow(reason);
  });

  it("may be listed in another order than they lie", async () => {
    const arrays = `{"b":${entry("int8", [1], 1, 64)},"a":${entry("int8", [1], 1)}}`;
    const { arrays: found } = await readContainer(await file({ arrays, data: [1, ...Array(63).fill(0), 2] }), "trace");
    expect([...found].map(([name, each]) => [name, ...numbers(each)])).toEqual([["b", 2], ["a", 1]]);
  });

  it("do not overlap", async () => {
    const arrays = `{"a":${entry("int32", [1], 4)},"b":${entry("int32", [1], 4)}}`;
    await expect(readContainer(await file({ arrays, data: [7, 0, 0, 0] }), "trace")).rejects.toThrow("overlaps");
  });
});

describe("a file", () => {
  it("of another kind, or of a newer version, says so", async () => {
    await expect(readContainer(await file({ kind: '"graph"' }), "trace")).rejects.toThrow('kind "graph"');
    await expect(readContainer(await file({ version: 2 }), "trace")).rejects.toThrow("upgrade flowbook");
  });

  it("is refused when it ends early, or when a byte is another", async () => {
    const reason = /^damaged|^not a flowbook file|^written by a newer flowbook/;
    const bytes = await file({ arrays: `{"a":${entry("int32", [1], 4)}}`, data: [7, 0, 0, 0] });
    for (let place = 0; place < bytes.length; place += 1) {
      await expect(readContainer(bytes.slice(0, place), "trace")).rejects.toThrow(reason);
      const changed = bytes.slice();
      changed[place]! ^= 1;
      await expect(readContainer(changed, "trace")).rejects.toThrow(reason);
    }
  });
});

describe("a number in a few digits", () => {
  it.each([
    [2.5, 1, "2"], // Python rounds ties to even
    [3.5, 1, "4"],
    [1234.5, 4, "1234"],
    [0.00012345, 4, "0.0001234"], // below the tie, as float64
    [99995, 4, "1e+05"],
    [-0, 2, "0"],
    [-1e-5, 2, "-1e-05"],
    [1e100, 2, "1e+100"],
    [0.1, 2, "0.1"],
    [NaN, 2, "nan"],
    [-Infinity, 2, "-inf"],
  ])("%d in %d is %s", (value, digits, text) => {
    expect(general(value, digits)).toBe(text);
  });
});

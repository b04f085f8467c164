import { instance } from "@viz-js/viz";
import { describe, expect, it } from "vitest";
import { toDot } from "../src/layout/dot";
import { Layouter } from "../src/layout/layouter";
import { outline } from "../src/model/outline";
import { ScopeTree } from "../src/model/scopes";
import { axesOf, described, placesOf, reader, spread, window } from "../src/view/array";
import { unpack } from "../src/codec";
import type { Sample, Value } from "../src/protocol";
import { node, NODES } from "./graphs";

const graphviz = async (dot: string): Promise<string> => (await instance()).renderString(dot, { format: "json0" });

describe("a layout", () => {
  const tree = new ScopeTree(NODES);
  const shown = outline(tree, new Set(tree.all));

  it("puts forward nodes from left to right, and backward ones from right to left", async () => {
    const { boxes, scopes, edges } = await new Layouter(graphviz).layout(shown);
    const x = (key: string): number => boxes.get(key)!.x;
    expect(x("n0")).toBeLessThan(x("n1"));
    expect(x("n1")).toBeLessThan(x("n2"));
    expect(x("n5")).toBeLessThan(x("n4"));
    const scope = scopes.get(1)!;
    expect(scope.x).toBeLessThan(x("n1"));
    expect(scope.x + scope.width).toBeGreaterThan(x("n2"));
    const back = edges.get("n4>n5")!;
    expect(back[0]!.x).toBeGreaterThan(back.at(-1)!.x);
    expect(edges.size).toBe(shown.edges.length);
  });

  it("is asked for once, whatever the values do", async () => {
    const layouter = new Layouter(graphviz);
    const first = await layouter.layout(shown);
    expect(await layouter.layout(outline(tree, new Set(tree.all)))).toBe(first);
    expect(layouter.asked).toBe(1);
    await layouter.layout(outline(tree, new Set([tree.root])));
    expect(layouter.asked).toBe(2);
  });

  it("is in columns where Graphviz cannot run", async () => {
    const { boxes, edges } = await new Layouter(() => Promise.reject(new Error("no"))).layout(shown);
    expect(boxes.size).toBe(6);
    expect(edges.size).toBe(shown.edges.length);
    expect(boxes.get("n0")!.x).toBeLessThan(boxes.get("n3")!.x);
  });

  it("tells Graphviz no text of a user", () => {
    const hostile = new ScopeTree([node('"];evil/x"]'), node("evil", [0])]);
    expect(toDot(outline(hostile, new Set(hostile.all)), true)).not.toContain("evil");
  });
});

describe("a value", () => {
  const data = Float32Array.from({ length: 24 }, (_, each) => each);
  const sample = { data, shape: [2, 3, 4], starts: [0, 0, 0], strides: [5, 1, 2] };
  const value = (shape: number[], kept: Sample): Value => ({
    node: 0, output: 0, dtype: "float32", shape, text: "", sample: kept,
    statistics: { min: 0, max: 1, mean: 0, std: 0, norm: 0, nans: 0, infs: 0, zeros: 0, exact: true },
  });

  it("is a picture of two axes, sliced at the others; of images, with channels", () => {
    expect(axesOf([2, 1, 3, 4])).toEqual({ rows: 2, columns: 3, channel: -1, others: [0] });
    expect(axesOf([7])).toEqual({ rows: -1, columns: 0, channel: -1, others: [] });
    expect(axesOf([5, 28, 28, 3])).toEqual({ rows: 1, columns: 2, channel: 3, others: [0] });
    expect(axesOf([28, 28, 2]).channel).toBe(-1);
  });

  it("is read where it was kept, else at the nearest before that was", () => {
    const read = reader(value([10, 3, 8], sample), []);
    expect(read([5, 2, 6])).toEqual({ value: 23, exact: true });
    expect(read([7, 2, 7])).toEqual({ value: 23, exact: false });
    const flat = reader(value([4, 60], { data, shape: [24], starts: [0], strides: [10], every: 10 }), []);
    expect([flat([1, 0]), flat([1, 9])]).toEqual([{ value: 6, exact: true }, { value: 6, exact: false }]);
  });

  it("is exact in a part that was asked for", () => {
    const part = { data: Float32Array.of(70, 71), shape: [1, 1, 2], starts: [7, 2, 6], strides: [1, 1, 1] };
    const read = reader(value([10, 3, 8], sample), [part]);
    expect([read([7, 2, 7]), read([5, 2, 6])]).toEqual([{ value: 71, exact: true }, { value: 23, exact: true }]);
  });

  it("shows a window of a table: all of it live, what was kept in a recording", () => {
    const long = value([10, 3, 8], sample);
    expect(window(long, 0, 3, 4, true)).toEqual({ start: 3, stride: 1, count: 4 });
    expect(window(long, 0, 6, 4, false)).toEqual({ start: 5, stride: 5, count: 1 });
    expect(placesOf(spread(1000, 128)).at(-1)).toBe(992);
  });

  it("says what of it was kept", () => {
    expect(described(sample, [2, 3, 4])).toBe("");
    expect(described(sample, [10, 3, 8])).toBe("24 of 240 elements (every 5th × all × every 2nd)");
    expect(described({ ...sample, every: 10 }, [240])).toContain("every 10th");
  });
});

describe("a packed message", () => {
  it("gets its arrays back, wherever they lie in memory", () => {
    const bytes = new Uint8Array(13);
    new DataView(bytes.buffer).setFloat64(5, 2.5, true);
    const plain = (): unknown => ({ type: "x", deep: [{ data: { array: "float64", at: 0 } }] });
    const found = unpack(plain(), [new DataView(bytes.buffer, 5, 8)]) as unknown as { deep: { data: Float64Array }[] };
    expect([...found.deep[0]!.data]).toEqual([2.5]);
    expect(() => unpack(plain(), [])).toThrow("refers to array 0");
  });
});

import { instance } from "@viz-js/viz";
import { describe, expect, it } from "vitest";
import { toDot } from "../src/layout/dot";
import { Layouter } from "../src/layout/layouter";
import { outline } from "../src/model/outline";
import { ScopeTree } from "../src/model/scopes";
import { axesOf, described, picture } from "../src/view/array";
import { unpack } from "../src/codec";
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

  it("is a picture of two axes, sliced at the others", () => {
    expect(axesOf([2, 1, 3, 4])).toEqual({ rows: 2, columns: 3, others: [0] });
    const slice = picture(sample, new Map([[0, 1]]));
    expect([slice.rows, slice.columns, slice.at(2, 3), slice.columnIndex(3)]).toEqual([3, 4, 23, 6]);
    expect(picture({ ...sample, shape: [24], starts: [0], strides: [1] }, new Map()).at(0, 7)).toBe(7);
  });

  it("says what of it was kept", () => {
    expect(described(sample, [2, 3, 4])).toBe("");
    expect(described(sample, [10, 3, 8])).toBe("24 of 240 elements (every 5 × all × every 2)");
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

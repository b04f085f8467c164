/** What makes large graphs open quickly. */

import { gzipSync, strToU8 } from "fflate";
import { afterEach, describe, expect, it, vi } from "vitest";
import { unpack, unzip, unzipBytes } from "../src/codec";
import { inColumns } from "../src/layout/columns";
import { Layouter, WorkerEngine } from "../src/layout/layouter";
import { grouped } from "../src/model/format";
import { largest } from "../src/model/largest";
import { outline } from "../src/model/outline";
import { ScopeTree } from "../src/model/scopes";
import { Store } from "../src/model/store";
import type { GraphMessage } from "../src/protocol";
import type { Canvas } from "../src/view/canvas";
import { Scene } from "../src/view/scene";
import type { Size } from "../src/view/size";
import { message, node, NODES } from "./graphs";

afterEach(() => vi.unstubAllGlobals());

describe("the worker", () => {
  it("is started, and asked, at once: what waits for a promise waits for all that the page does first", async () => {
    const asked: string[] = [];
    class Fake {
      onmessage: (event: unknown) => void = () => undefined;
      postMessage({ id, dot }: { id: number; dot: string }): void {
        asked.push(dot);
        queueMicrotask(() => this.onmessage({ data: { id, json: dot.toUpperCase() } }));
      }
      terminate(): void {}
    }
    vi.stubGlobal("Worker", Fake);
    const engine = new WorkerEngine("");
    engine.warm();
    const found = engine.run("digraph{}");
    expect(asked.length).toBe(2);
    expect(await found).toBe("DIGRAPH{}");
    engine.dispose();
  });

  it("that cannot be made fails the layout, and only that", async () => {
    vi.stubGlobal("Worker", class { constructor() { throw new Error("not here"); } });
    const engine = new WorkerEngine("");
    engine.warm();
    await expect(engine.run("digraph{}")).rejects.toThrow("not here");
  });
});

describe("the direction", () => {
  /** What is asked of Graphviz before it has answered anything. */
  function asked(count: number): string[] {
    const found: string[] = [];
    const store = new Store();
    store.receive(message(Array.from({ length: count }, (_, index) => node(`n${index}`, index ? [index - 1] : []))));
    const camera = { fitting: (width: number, height: number) => Math.min(1.15, 1200 / width, 700 / height) };
    const layouter = new Layouter((dot) => {
      found.push(/rankdir=(..)/.exec(dot)![1]!);
      return new Promise(() => undefined);
    });
    const size = { boxes: 40, compact: false, room: 700 } as Size;
    void new Scene(store, { camera } as unknown as Canvas, layouter, () => undefined, size).begin(new Map());
    return found;
  }

  it("is found with one layout, or where the graph is plainly too long with two that are asked for together", () => {
    expect(asked(4)).toEqual(["LR"]);
    expect(asked(30)).toEqual(["LR", "TB"]);
  });

  it("is told by plain columns, in which gradients stand beside the nodes they belong to", () => {
    const tree = new ScopeTree(NODES);
    const { boxes, edges } = inColumns(outline(tree, new Set(tree.all)));
    expect(boxes.get("n5")!.x).toBeLessThan(boxes.get("n4")!.x);
    const back = edges.get("n4>n5")!;
    expect(back[0]!.x).toBe(boxes.get("n4")!.x);
    expect(back[0]!.x).toBeGreaterThan(back.at(-1)!.x);
  });
});

describe("nodes by columns", () => {
  it("are nodes again, with what they have in common in common", () => {
    const columns = {
      name: ["a", "b", "c"],
      scope: { of: [["s"]], at: { array: "uint8", at: 0 } },
      line: { of: [7, 8], at: { array: "int32", at: 1 } },
    };
    const bytes = [Uint8Array.of(1, 0, 1), new Uint8Array(Int32Array.of(0, 2, 1).buffer)].map((each) => new DataView(each.buffer));
    const { nodes } = unpack({ type: "graph", nodes: { count: 3, columns } }, bytes) as GraphMessage;
    expect(nodes).toEqual([{ name: "a", scope: ["s"] }, { name: "b", line: 8 }, { name: "c", scope: ["s"], line: 7 }]);
    expect(nodes[0]!.scope).toBe(nodes[2]!.scope);
  });
});

describe("a packed text", () => {
  it("is unpacked", async () => {
    const packed = btoa(String.fromCharCode(...gzipSync(strToU8("größer"))));
    expect(await unzip(packed)).toBe("größer");
    expect(new Uint8Array(await unzipBytes(packed))).toEqual(strToU8("größer"));
  });
});

describe("of many numbers", () => {
  it("the largest are found as by sorting, of equals the first", () => {
    const all = Float64Array.of(3, NaN, 9, 0, 3, 5, 9, 1, -2);
    expect(largest(all, 4)).toEqual([2, 6, 5, 0]);
    expect(largest(all, 20)).toEqual([2, 6, 5, 0, 4, 7]);
    expect(largest(new Float64Array(3), 4)).toEqual([]);
  });

  it("each is written as English does", () => {
    for (const each of [0, 7, 999, 1000, 54321, 123456, 1234567890]) {
      expect(grouped(each)).toBe(each.toLocaleString("en"));
    }
  });
});

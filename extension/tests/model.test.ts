import type { GraphNode } from "../src/protocol";
import { describe, expect, it } from "vitest";
import { earlierRun, number, shape } from "../src/model/format";
import { outline } from "../src/model/outline";
import { children, CROWD, ScopeTree } from "../src/model/scopes";
import { reach, search } from "../src/model/search";
import { Store } from "../src/model/store";
import { message, node, NODES, recording } from "./graphs";

describe("scopes", () => {
  it("open gradients where a cell asked for them, not where it trains", () => {
    const names = (nodes: GraphNode[], focus: number[]): string[] => {
      const tree = new ScopeTree(nodes);
      return [...tree.open(20, new Set(focus))].map((each) => each.name);
    };
    expect(names(NODES, [4, 5])).toEqual(["", "gradients"]);
    expect(names(NODES, [1, 2])).toEqual(["", "a"]);
    const training = [...NODES, node("update", [5], { kind: "write" })];
    expect(names(training, [4, 5, 6])).not.toContain("gradients");
  });
  it("count their nodes, and leave gradients closed at first", () => {
    const tree = new ScopeTree(NODES);
    expect(tree.root.scopes.map((each) => [each.name, each.count])).toEqual([["a", 2], ["gradients", 2]]);
    expect([...tree.open(40)].map((each) => each.path)).toEqual(["", "a"]);
  });

  it("group neighbours where there are too many, at any size", () => {
    for (const count of [CROWD, CROWD + 1, 5_000, 50_000]) {
      const tree = new ScopeTree(Array.from({ length: count }, (_, each) => node(`n${each}`, each ? [each - 1] : [])));
      expect(Math.max(...tree.all.map(children))).toBeLessThanOrEqual(CROWD);
      expect(tree.inside(tree.root).sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, each) => each));
      expect(outline(tree, tree.open(40)).boxes.length).toBeLessThanOrEqual(CROWD);
      expect(tree.root.count).toBe(count);
      expect(tree.all.every((each) => each.scopes.every((child) => child.parent === each && child.depth === each.depth + 1))).toBe(true);
    }
  });

  it("open no more than there is room for", () => {
    const nodes = Array.from({ length: 90 }, (_, each) => node(`s${each % 3}/n${each}`));
    const tree = new ScopeTree(nodes);
    expect(outline(tree, tree.open(40)).boxes).toHaveLength(32);
    expect(outline(tree, tree.open(90)).boxes).toHaveLength(90);
    expect(outline(tree, tree.open(1)).boxes).toHaveLength(3);
  });
});

describe("an outline", () => {
  it("has one box for a closed scope, and its edges once", () => {
    const tree = new ScopeTree(NODES);
    const shown = outline(tree, new Set([tree.root]));
    expect(shown.boxes.map((each) => each.key)).toEqual(["n0", "s1", "n3", "s2"]);
    expect(shown.edges.map((each) => each.key)).toEqual(["n0>s1", "s1>n3", "s1>s2"]);
    expect(shown.edges[2]!.tensors).toEqual([{ node: 2, output: 0 }, { node: 1, output: 0 }]);
    expect(shown.boxes[3]!.backward).toBe(true);
  });

  it("has another structure when, and only when, something else is to be seen", () => {
    const tree = new ScopeTree(NODES);
    const closed = outline(tree, new Set([tree.root])).structure;
    expect(outline(tree, new Set([tree.root])).structure).toBe(closed);
    expect(outline(tree, new Set(tree.all)).structure).not.toBe(closed);
  });
});

describe("search", () => {
  it("finds by name, op and regular expression", () => {
    expect(search(NODES, "A/")).toEqual([1, 2]);
    expect(search(NODES, "tanh")).toHaveLength(6);
    expect(search(NODES, "/^a.z$/")).toEqual([2]);
    expect(search(NODES, "/(/")).toBeNull();
    expect(search(NODES, "  ")).toEqual([]);
  });

  it("has the node of that very name first", () => {
    expect(search([node("ab"), node("a"), node("ca")], "a")).toEqual([1, 0, 2]);
  });

  it("reaches all that is upstream", () => {
    const up = (each: number): number[] => NODES[each]!.inputs.map((input) => (input as { node: number }).node);
    expect([...reach(5, up)].sort()).toEqual([0, 1, 2, 4, 5]);
  });
});

describe("the store", () => {
  it("takes a recording in, and later events as deltas", () => {
    const store = new Store();
    recording().forEach((each) => store.receive(each));
    expect([...store.state]).toEqual([0, 4, 3, 3, 3, 3]);
    expect(store.time[2]).toBe(500);
    expect(store.spans).toHaveLength(5);
    expect([store.produced(0), store.produced(1)]).toEqual([true, true]);
    const more = { type: "events", run: 0, bytes: new Float64Array(1), thread: new Int32Array(1) } as const;
    store.receive({ ...more, first: 16, node: Int32Array.of(2), state: Uint8Array.of(4), seconds: Float64Array.of(7) });
    expect(store.state[2]).toBe(4);
    expect(store.notices).toEqual([]);
    store.receive({ ...more, first: 90, node: Int32Array.of(2), state: Uint8Array.of(4), seconds: Float64Array.of(7) });
    expect(store.notices.map((each) => each.level)).toEqual(["warning"]);
  });

  it("knows that a run is an earlier one until it is told of another", () => {
    const store = new Store();
    recording().forEach((each) => store.receive(each));
    const nothing = { node: new Int32Array(), state: new Uint8Array() };
    const status = { type: "states", ...nothing, all: false, mode: "done", position: 5, count: 5 } as const;
    const says: string[] = [];
    for (const each of [{ ...status, missed: 1 }, { ...status, missed: 1200 }, status]) {
      store.receive(each);
      says.push(earlierRun(store.status.missed));
    }
    expect(says).toEqual(["an earlier run: 1 later one not watched", "an earlier run: 1,200 later ones not watched", ""]);
    expect([...store.state]).toEqual([0, 4, 3, 3, 3, 3]);
  });

  it("refuses a graph of another version, and says so", () => {
    const store = new Store();
    store.receive({ ...message(NODES), protocol: 99 });
    expect(store.nodes).toEqual([]);
    expect(store.notices[0]!.text).toContain("version 99");
  });
});

describe("numbers", () => {
  it("have four digits and a true minus", () => {
    expect([0, -0.25, 123456, 1234567, 3.14159, 1e-7, NaN, -Infinity, null].map((each) => number(each))).toEqual([
      "0", "−0.25", "123456", "1.235e6", "3.142", "1e−7", "nan", "−inf", "–",
    ]);
    expect([shape([]), shape([3]), shape(["batch", null]), shape(null)]).toEqual(["()", "(3,)", "(batch, ?)", "(…)"]);
  });
});

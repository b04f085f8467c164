import { describe, expect, it } from "vitest";
import { Store } from "../src/model/store";
import type { Events } from "../src/protocol";
import { message, node } from "./graphs";

/** A store that was told of executions, one after the other, each of a second. */
function ran(nodes: Parameters<typeof message>[0], live: boolean, rows: [number, number][]): Store {
  const store = new Store();
  store.receive({ ...message(nodes), live });
  const events: Events = {
    type: "events",
    run: 0,
    first: 0,
    state: Uint8Array.from(rows, (row) => row[0]),
    node: Int32Array.from(rows, (row) => row[1]),
    seconds: Float64Array.from(rows, (_, index) => index),
    bytes: new Float64Array(rows.length),
    thread: new Int32Array(rows.length),
  };
  store.receive(events);
  return store;
}

const runs = (...nodes: number[]): [number, number][] => nodes.flatMap((each): [number, number][] => [[2, each], [3, each]]);
const again = (store: Store): boolean[] => store.spans.map((each) => each.again);
const before = (store: Store, ...positions: number[]): (number | undefined)[] => positions.map((each) => store.ranBefore(each)?.node);
const CHAIN = ["a", "b", "c", "d"].map((name, index) => node(name, index ? [index - 1] : []));

describe("executions", () => {
  it("are of the nodes in their order; a position stands behind the last one", () => {
    const store = ran(CHAIN, true, runs(0, 1, 2, 3));
    expect(again(store)).toEqual([false, false, false, false]);
    expect(before(store, 0, 1, 4, 9)).toEqual([undefined, 0, 3, 3]);
  });

  it("after an edit are told apart, and positions do not count them", () => {
    const store = ran(CHAIN, true, runs(0, 1, 2, 1, 2, 3));
    expect(again(store)).toEqual([false, false, false, true, true, false]);
    expect(before(store, 1, 2, 3, 4)).toEqual([0, 1, 2, 3]);
    expect([store.ranBefore(3)!.end, store.ranBefore(4)!.end]).toEqual([5, 11]);
  });

  const BODY = [node("x"), node("cond"), node("inner", [0], { parent: 1 }), node("y", [1])];

  it("of a body are not positions of a stepped run, but of a recorded one", () => {
    const rows: [number, number][] = [...runs(0), [2, 1], ...runs(2, 2), [3, 1], ...runs(3)];
    const [stepped, recorded] = [ran(BODY, true, rows), ran(BODY, false, rows)];
    expect(again(stepped)).toEqual([false, false, false, false, false]);
    expect(before(stepped, 1, 2, 3)).toEqual([0, 1, 3]);
    expect(before(recorded, 1, 2, 3, 4, 5)).toEqual([0, 2, 2, 1, 3]);
  });

  it("of a body ran again when what is around it did", () => {
    const cond: [number, number][] = [[2, 1], ...runs(2, 2), [3, 1]];
    const store = ran(BODY, true, [...runs(0), ...cond, ...cond]);
    expect(again(store)).toEqual([false, false, false, false, true, true, true]);
  });

  it("of another run begin anew", () => {
    const store = ran(CHAIN, true, runs(0, 1));
    store.receive({ type: "run", run: 7, order: Int32Array.of(0), devices: ["cpu:0"], threads: [], fetches: [] });
    expect([store.spans.length, store.ranBefore(1)]).toEqual([0, undefined]);
  });
});

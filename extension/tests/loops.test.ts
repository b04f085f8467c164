import { describe, expect, it } from "vitest";
import { Loops } from "../src/model/loops";
import { Player } from "../src/player";
import type { States, ToView } from "../src/protocol";
import { message, node } from "./graphs";

/** x, then a loop that runs f and g three times, then y; a branch that runs h once. */
const NODES = [node("x"), node("loop", [0]), node("f", [0], { parent: 1 }), node("g", [2], { parent: 1 }), node("cond", [1]), node("h", [], { parent: 4 }), node("y", [4])];
const ORDER = [0, 2, 3, 2, 3, 2, 3, 1, 5, 4, 6];

function recorded(): ToView[] {
  const rows = ORDER.flatMap((each): [number, number][] => [[2, each], [3, each]]);
  const events: ToView = {
    type: "events", run: 0, first: 0,
    state: Uint8Array.from(rows, (row) => row[0]),
    node: Int32Array.from(rows, (row) => row[1]),
    seconds: Float64Array.from(rows, (_, index) => index),
    bytes: new Float64Array(rows.length),
    thread: new Int32Array(rows.length),
  };
  const run: ToView = { type: "run", run: 0, order: Int32Array.from([0, 1, 2, 3, 4, 5, 6]), devices: Array(7).fill("cpu:0"), threads: ["main"], fetches: [] };
  return [message(NODES), run, events];
}

describe("iterations", () => {
  it("are told at every position, once the loop has begun", () => {
    const loops = new Loops(NODES, ORDER);
    const indices = ORDER.map((_, position) => loops.at(position).map((each) => each.index));
    expect(indices).toEqual([[], [0], [0], [1], [1], [2], [2], [2], [2], [2], [2]]);
    expect(loops.at(4)).toEqual([{ node: 1, index: 1, count: 3 }]);
  });

  it("begin at a position", () => {
    const loops = new Loops(NODES, ORDER);
    expect([0, 1, 2, 3].map((index) => loops.start(1, index, 11))).toEqual([1, 3, 5, undefined]);
    expect([loops.start(1, 0, 0), loops.start(4, 1, 11)]).toEqual([undefined, undefined]);
  });

  it("of a loop in a loop are those of its present run", () => {
    const nested = [node("outer"), node("inner", [], { parent: 0 }), node("f", [], { parent: 1 })];
    const loops = new Loops(nested, [2, 2, 1, 2, 2, 2, 1, 0]);
    expect(loops.at(1)).toEqual([{ node: 0, index: 0, count: 2 }, { node: 1, index: 1, count: 2 }]);
    expect(loops.at(4)).toEqual([{ node: 0, index: 1, count: 2 }, { node: 1, index: 1, count: 3 }]);
    expect([loops.start(1, 0, 4), loops.start(1, 0, 1)]).toEqual([3, 0]);
  });

  it("can be gone to, forward and back", () => {
    const player = new Player(recorded());
    let last: States | undefined;
    player.onMessage((each) => each.type === "states" && (last = each));
    player.send({ type: "hello", protocol: 1 });
    expect([last!.position, last!.iterations]).toEqual([11, [{ node: 1, index: 2, count: 3 }]]);
    player.send({ type: "run_to_iteration", node: 1, index: 1 });
    expect([last!.position, last!.next, last!.iterations?.[0]?.index]).toEqual([3, 2, 1]);
    player.send({ type: "run_to_iteration", node: 1, index: 2 });
    expect([last!.position, last!.iterations?.[0]?.index]).toEqual([5, 2]);
    player.send({ type: "run_to_iteration", node: 1, index: 7 });
    expect(last!.position).toBe(5);
    player.send({ type: "restart" });
    expect(last!.iterations).toBeUndefined();
  });
});

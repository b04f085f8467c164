import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Player } from "../src/player";
import type { States, ToKernel } from "../src/protocol";
import { recording } from "./graphs";

function watched(): { send(message: ToKernel): void; last(): States } {
  const player = new Player(recording(), 10);
  let last: States | undefined;
  player.onMessage((message) => {
    if (message.type === "states") {
      last = message;
    }
  });
  player.send({ type: "hello", protocol: 1 });
  return { send: (message) => player.send(message), last: () => last! };
}

describe("a recorded run", () => {
  it("begins at its end", () => {
    const { mode, position, count, next } = watched().last();
    expect([mode, position, count, next]).toEqual(["done", 5, 5, undefined]);
  });

  it("shows the same at a position, from wherever it is reached", () => {
    const run = watched();
    run.send({ type: "restart" });
    const forward: States[] = [run.last()];
    for (let step = 0; step < 5; step += 1) {
      run.send({ type: "step" });
      forward.push(run.last());
    }
    for (let step = 4; step >= 0; step -= 1) {
      run.send({ type: "back" });
      expect(run.last()).toEqual({ ...forward[step] });
    }
    expect(forward.map((each) => each.next)).toEqual([1, 2, 3, 4, 5, undefined]);
  });

  it("tells ready, finished and released nodes", () => {
    const run = watched();
    run.send({ type: "run_to", node: 2 });
    const { node, state } = run.last();
    expect(Object.fromEntries([...node].map((each, index) => [each, state[index]]))).toEqual({ 1: 4, 2: 3, 3: 1 });
  });

  it("steps over the rest of a scope", () => {
    const run = watched();
    run.send({ type: "restart" });
    run.send({ type: "over" });
    expect(run.last().next).toBe(3);
  });

  it("stays within the run", () => {
    const run = watched();
    run.send({ type: "step" });
    expect(run.last().position).toBe(5);
    run.send({ type: "run_to", position: -3 });
    run.send({ type: "back" });
    expect(run.last().position).toBe(0);
  });
});

describe("playing", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("goes on until the end, and begins again from there", () => {
    const run = watched();
    run.send({ type: "continue" });
    expect([run.last().mode, run.last().position]).toEqual(["running", 0]);
    vi.advanceTimersByTime(25);
    expect(run.last().position).toBe(2);
    vi.advanceTimersByTime(100);
    expect([run.last().mode, run.last().position]).toEqual(["done", 5]);
  });

  it("pauses when told, and at a breakpoint", () => {
    const run = watched();
    run.send({ type: "restart" });
    run.send({ type: "set_breakpoint", pattern: "loss", when: null });
    run.send({ type: "continue" });
    vi.advanceTimersByTime(100);
    expect([run.last().mode, run.last().next]).toEqual(["paused", 3]);
    run.send({ type: "clear_breakpoint", id: 1 });
    run.send({ type: "continue" });
    vi.advanceTimersByTime(11);
    run.send({ type: "pause" });
    expect([run.last().mode, run.last().position]).toEqual(["paused", 3]);
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Player } from "../src/player";
import type { File, States, Story, ToKernel, ToView } from "../src/protocol";
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

describe("what a recording answers", () => {
  function answers(more: ToView[] = []): { send(message: ToKernel): void; explains(node: number): boolean; told: ToView[] } {
    const player = new Player([...recording(), ...more], 10);
    const told: ToView[] = [];
    player.onMessage((message) => told.push(message));
    player.send({ type: "hello", protocol: 1 });
    told.length = 0;
    return { send: (message) => player.send(message), explains: (node) => player.explains(node), told };
  }

  it("matches breakpoints by pattern, changes them, and says what it cannot do", () => {
    const run = answers();
    run.send({ type: "set_breakpoint", pattern: "a/*", when: null });
    expect(run.told).toEqual([{ type: "breakpoints", breakpoints: [{ id: 1, pattern: "a/*", when: null, nodes: [1, 2] }] }]);
    run.send({ type: "set_breakpoint", pattern: "loss", when: "nan", id: 1 });
    expect(run.told.at(-1)).toEqual({ type: "breakpoints", breakpoints: [{ id: 1, pattern: "loss", when: "nan", nodes: [3] }] });
    run.send({ type: "set_breakpoint", pattern: "loss", when: "x > 1" });
    run.send({ type: "set_breakpoint", pattern: "nowhere", when: null });
    expect(run.told.slice(-2).map((each) => each.type)).toEqual(["notice", "notice"]);
  });

  const story = (...nodes: number[]): Story => ({
    type: "story", node: nodes[0]!, text: `of ${nodes[0]}`, chapters: nodes.map((node) => ({ node, text: `at ${node}` })),
  });

  it("tells its story from the node that is asked about", () => {
    const told = story(3, 2, 1);
    const run = answers([told]);
    run.send({ type: "why", node: 2 });
    expect(run.told).toEqual([{ ...told, node: 2, chapters: told.chapters.slice(1) }]);
  });

  it("has a story for some nodes only, and none of another node in its place", () => {
    const run = answers([story(5, 3, 1), story(3, 2)]);
    const texts = [5, 3, 1, 2, 4].map((node) => {
      run.told.length = 0;
      run.send({ type: "why", node });
      return run.told.map((each) => (each.type === "story" ? [each.text, ...each.chapters.map((chapter) => chapter.node)] : each));
    });
    expect(texts).toEqual([[["of 5", 5, 3, 1]], [["of 3", 3, 2]], [["of 5", 1]], [["of 3", 2]], []]);
    expect([5, 3, 1, 2, 4].map((node) => run.explains(node))).toEqual([true, true, true, true, false]);
  });

  it("gives its timeline as trace events", () => {
    const run = answers();
    run.send({ type: "export", kind: "perfetto" });
    const file = run.told[0] as File;
    const { traceEvents } = JSON.parse(new TextDecoder().decode(file.data)) as { traceEvents: { ph: string; name: string; dur: number }[] };
    const executions = traceEvents.filter((each) => each.ph === "X");
    expect(executions.map((each) => each.name)).toEqual(["a/y", "a/z", "loss", "gradients/dz", "gradients/dy"]);
    expect(executions.every((each) => each.dur === 500_000)).toBe(true);
    expect(file.name).toBe("t.perfetto.json");
  });
});

describe("a breakpoint with a condition", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("stops right after the node whose value is nan", () => {
    const statistics = { min: null, max: null, mean: null, std: null, norm: null, nans: 1, infs: 0, zeros: 0, exact: true };
    const values: ToView = { type: "values", values: [{ node: 2, output: 0, dtype: "float32", shape: [], text: "nan", statistics }] };
    const player = new Player([...recording(), values], 10);
    let last: States | undefined;
    player.onMessage((message) => message.type === "states" && (last = message));
    for (const message of [{ type: "hello", protocol: 1 }, { type: "restart" }, { type: "set_breakpoint", pattern: "*", when: "nan" }, { type: "continue" }]) {
      player.send(message as ToKernel);
    }
    vi.advanceTimersByTime(200);
    expect([last!.mode, last!.position, last!.next]).toEqual(["paused", 2, 3]);
  });
});

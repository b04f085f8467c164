/**
 * A host for a recorded run: it answers the buttons from the recording, as a kernel would from a live run.
 *
 * What a view is told depends on the position alone, so going back gives exactly the picture that was there before.
 */

import type { Host } from "./host";
import { Loops } from "./model/loops";
import { matches } from "./model/pattern";
import { perfetto } from "./model/perfetto";
import { Store } from "./model/store";
import type { Breakpoint, Events, GraphNode, RunMessage, States, Story, ToKernel, ToView } from "./protocol";

const RUNNING = 2;
const FINISHED = 3;

export class Player implements Host {
  private readonly listeners = new Set<(message: ToView) => void>();
  private readonly run: RunMessage | undefined;
  /** For each position: how many events have happened by then. */
  private readonly ends: number[] = [];
  /** The node that finishes at each position. */
  private readonly order: number[] = [];
  private readonly loops: Loops;
  private readonly events: Events | undefined;
  private position = 0;
  private timer: ReturnType<typeof setInterval> | undefined;
  private breakpoints: Breakpoint[] = [];
  private readonly nodes: readonly GraphNode[];
  private readonly stories: Story[] = [];
  /** Nodes with a nan, or an infinity, in what they gave. */
  private readonly not = { nan: new Set<number>(), inf: new Set<number>() };

  constructor(
    private readonly recorded: readonly ToView[],
    private readonly interval = 120,
  ) {
    const graph = recorded.find((each) => each.type === "graph");
    this.nodes = graph?.type === "graph" ? graph.nodes : [];
    for (const each of recorded) {
      if (each.type === "run") {
        this.run = each;
      } else if (each.type === "events") {
        this.events = each;
      } else if (each.type === "story") {
        this.stories.push(each);
      } else if (each.type === "values") {
        each.values.forEach(({ node, statistics }) => {
          statistics.nans && this.not.nan.add(node);
          statistics.infs && this.not.inf.add(node);
        });
      }
    }
    this.findPositions();
    this.loops = new Loops(this.nodes, this.order);
    this.position = this.order.length;
  }

  onMessage(listener: (message: ToView) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  send(message: ToKernel): void {
    switch (message.type) {
      case "hello":
        this.recorded.forEach((each) => each.type === "story" || this.emit(each));
        return this.tell();
      case "step":
      case "into":
        return this.go(this.position + 1);
      case "back":
        return this.go(this.position - 1);
      case "over":
      case "out":
        return this.go(this.endOfScope());
      case "restart":
        return this.go(0);
      case "stop":
        return this.go(this.order.length);
      case "pause":
        return this.halt();
      case "continue":
        return this.play();
      case "run_to":
        return this.runTo(message.node, message.position);
      case "run_to_iteration":
        return this.go(this.loops.start(message.node, message.index, this.position) ?? this.position);
      case "set_breakpoint":
        return this.setBreakpoint(message.pattern, message.when, message.id);
      case "clear_breakpoint":
        this.breakpoints = this.breakpoints.filter((each) => each.id !== message.id);
        return this.tellBreakpoints();
      case "why":
        return this.why(message.node);
      case "export":
        return this.export();
      default: // a recording has no more to say of a node, and cannot compute
    }
  }

  /** A position is reached when a node has finished, and all that follows at once (ready, released) has happened. */
  private findPositions(): void {
    const { state, node } = this.events ?? { state: new Uint8Array(), node: new Int32Array() };
    let index = 0;
    while (index < state.length && state[index]! < RUNNING) {
      index += 1;
    }
    this.ends.push(index);
    while (index < state.length) {
      if (state[index] === FINISHED) {
        this.order.push(node[index]!);
        index += 1;
        while (index < state.length && state[index] !== RUNNING && state[index] !== FINISHED) {
          index += 1;
        }
        this.ends.push(index);
      } else {
        index += 1;
      }
    }
  }

  private go(position: number): void {
    this.halt(false);
    this.move(position);
  }

  private move(position: number): void {
    this.position = Math.max(0, Math.min(this.order.length, position));
    this.tell();
  }

  private runTo(node: number | undefined, position: number | undefined): void {
    if (position !== undefined) {
      return this.go(position);
    }
    const found = this.order.indexOf(node ?? -1);
    if (found >= 0) {
      this.go(found + 1);
    }
  }

  /** On to the first position whose next node is in no scope of the next one now. */
  private endOfScope(): number {
    const scopeAt = (position: number) => this.nodes[this.order[position] ?? -1]?.name.replace(/\/?[^/]*$/, "");
    const scope = scopeAt(this.position);
    let position = this.position + 1;
    while (scope && position < this.order.length && `${scopeAt(position)}/`.startsWith(`${scope}/`)) {
      position += 1;
    }
    return position;
  }

  private play(): void {
    this.halt(false);
    if (this.position >= this.order.length) {
      this.position = 0;
    }
    // A run of thousands of nodes takes no longer than a minute to watch.
    const stride = Math.max(1, Math.round(this.order.length / 500));
    this.timer = setInterval(() => {
      let position = this.position;
      for (let count = 0; count < stride && position < this.order.length; count += 1) {
        position += 1;
        if (this.isStop(position)) {
          break;
        }
      }
      if (position >= this.order.length || this.isStop(position)) {
        this.halt(false);
      }
      this.move(position);
    }, this.interval);
    this.tell();
  }

  /** Whether one is to stop here: before a node, or with a condition right after it. */
  private isStop(position: number): boolean {
    const [next, last] = [this.order[position] ?? -1, this.order[position - 1] ?? -1];
    return this.breakpoints.some(({ when, nodes }) =>
      when === null ? nodes.includes(next) : nodes.includes(last) && this.holds(when, last),
    );
  }

  private holds(when: string, node: number): boolean {
    return (when !== "inf" && this.not.nan.has(node)) || (when !== "nan" && this.not.inf.has(node));
  }

  private halt(tell = true): void {
    clearInterval(this.timer);
    this.timer = undefined;
    if (tell) {
      this.tell();
    }
  }

  private setBreakpoint(pattern: string, when: string | null, old?: number): void {
    if (when !== null && !["nan", "inf", "nonfinite"].includes(when)) {
      const text = `A recording cannot compute ${when}: the conditions nan, inf and nonfinite work here.`;
      return this.emit({ type: "notice", level: "warning", text });
    }
    const steps = new Set(this.order);
    const nodes = this.nodes.flatMap(({ name, op }, node) => (steps.has(node) && matches(pattern, name, op) ? [node] : []));
    if (nodes.length === 0) {
      const text = `No node of this run matches ${pattern}: patterns are such as layer1/* or op:log.`;
      return this.emit({ type: "notice", level: "warning", text });
    }
    const id = old ?? Math.max(0, ...this.breakpoints.map((each) => each.id)) + 1;
    this.breakpoints = [...this.breakpoints.filter((each) => each.id !== id), { id, pattern, when, nodes }];
    this.breakpoints.sort((a, b) => a.id - b.id);
    this.tellBreakpoints();
  }

  private tellBreakpoints(): void {
    this.emit({ type: "breakpoints", breakpoints: this.breakpoints });
  }

  explains(node: number): boolean {
    return this.storyOf(node) !== undefined;
  }

  /** The story about a node; else one that comes through it, and so begins there for whoever asks about this node. */
  private storyOf(node: number): Story | undefined {
    return (
      this.stories.find((each) => each.node === node) ??
      this.stories.find((each) => each.chapters.some((chapter) => chapter.node === node))
    );
  }

  private why(node: number): void {
    const story = this.storyOf(node);
    if (story) {
      const from = Math.max(0, story.chapters.findIndex((each) => each.node === node));
      this.emit({ ...story, node, chapters: story.chapters.slice(from) });
    }
  }

  private export(): void {
    const store = new Store();
    this.recorded.forEach((each) => store.receive(each));
    const data = new TextEncoder().encode(perfetto(store));
    const name = `${store.graph?.title || "run"}.perfetto.json`.replaceAll("/", "-");
    this.emit({ type: "file", name, mime: "application/json", data });
  }

  private tell(): void {
    const end = this.ends[this.position] ?? 0;
    const ended = this.position >= this.order.length;
    const failed = ended && this.run?.failed !== undefined;
    const mode = this.timer !== undefined ? "running" : failed ? "failed" : ended ? "done" : "paused";
    const next = failed ? this.run?.failed?.node : this.order[this.position];
    const states: States = {
      type: "states",
      // All that happened: of a node the last counts.
      node: this.events?.node.subarray(0, end) ?? new Int32Array(),
      state: this.events?.state.subarray(0, end) ?? new Uint8Array(),
      all: true,
      mode,
      position: this.position,
      count: this.order.length,
    };
    if (next !== undefined) {
      states.next = next;
    }
    const iterations = this.loops.at(this.position);
    if (iterations.length) {
      states.iterations = iterations;
    }
    this.emit(states);
  }

  private emit(message: ToView): void {
    this.listeners.forEach((listener) => listener(message));
  }
}

/** What a view knows: the graph, the run, values, and what the reader has chosen. Parts subscribe to what they show. */

import type {
  Breakpoint, Checked, Edited, Events, File, GraphMessage, GraphNode, Notice, Progress, Ref, RunMessage, Sample, States,
  Story, Timing, ToView, Value, Values,
} from "../protocol";
import { PROTOCOL } from "../protocol";
import { ScopeTree } from "./scopes";
import { type Span, Spans } from "./spans";

export type Topic =
  | "graph" | "states" | "values" | "selection" | "look" | "run" | "breakpoints" | "notice" | "lit" | "progress" | "story"
  | "file";
export type Colour = "state" | "device" | "time" | "memory" | "gradient";

export class Store {
  graph: GraphMessage | null = null;
  tree = new ScopeTree([]);
  /** Of each node: place in `STATES`. */
  state = new Uint8Array();
  status: Omit<States, "node" | "state" | "all" | "type"> = { mode: "idle", position: 0, count: 0 };
  run: RunMessage | null = null;
  private readonly executions = new Spans();
  /** Milliseconds and bytes of each node's last execution; NaN: none. */
  time = new Float64Array();
  bytes = new Float64Array();
  device: (string | undefined)[] = [];
  /** Half of the spread around the median, where `time` is one of `steps` steps. */
  spread = new Float64Array();
  steps = 0;
  readonly values = new Map<number, Value>();
  /** Nodes with a nan or an infinity in their values. */
  readonly bad = new Set<number>();
  breakpoints: Breakpoint[] = [];
  readers: number[][] = [];
  /** Nodes whose gradient rule made nodes: gradients flow through them. */
  ruled: ReadonlySet<number> = new Set();
  edited: Edited | null = null;
  progress: Progress | null = null;
  story: Story | null = null;
  /** Answers to checks of gradients, by node. */
  readonly checked = new Map<number, Checked>();
  /** The last file that came. */
  file: File | null = null;
  /** A cell's own nodes, where the graph is what is around a cell. */
  focus: ReadonlySet<number> | null = null;
  /** What the last commit changed is marked until the reader has seen it. */
  changesSeen = false;
  /** The kernel is gone: nothing more will come. */
  ended = false;
  notices: Notice[] = [];
  selected: number | null = null;
  lit: ReadonlySet<number> = new Set();
  colour: Colour = "state";
  river = true;
  /** Parts of values that were asked for, by tensor, the latest last. */
  private readonly parts = new Map<number, Sample[]>();
  private seen = 0;
  private readonly listeners = new Map<Topic, Set<() => void>>();

  on(topic: Topic, listener: () => void): void {
    const known = this.listeners.get(topic) ?? new Set();
    known.add(listener);
    this.listeners.set(topic, known);
  }

  tell(topic: Topic): void {
    this.listeners.get(topic)?.forEach((listener) => listener());
  }

  get nodes(): readonly GraphNode[] {
    return this.graph?.nodes ?? [];
  }

  value(ref: Ref | null | undefined): Value | undefined {
    return ref ? this.values.get(keyOf(ref)) : undefined;
  }

  /** What of a tensor is known beside its value's own sample, the latest first. */
  partsOf(ref: Ref): readonly Sample[] {
    return [...(this.parts.get(keyOf(ref)) ?? [])].reverse();
  }

  get spans(): readonly Span[] {
    return this.executions.all;
  }

  /** What ran last before a position; `undefined` at the beginning. */
  ranBefore(position: number): Span | undefined {
    return this.executions.before(position);
  }

  get live(): boolean {
    return this.graph?.live === true && !this.ended;
  }

  /** Whether a node's value is there at this moment: it has run, or did not have to. */
  produced(node: number): boolean {
    return this.state[node]! >= 3 || (this.run !== null && !this.computed[node]);
  }

  /** 1 for each node that the run computes. */
  private computed = new Uint8Array();

  receive(message: ToView): void {
    switch (message.type) {
      case "graph":
        return this.setGraph(message);
      case "run":
        return this.setRun(message);
      case "events":
        return this.addEvents(message);
      case "states":
        return this.setStates(message);
      case "values":
        return this.setValues(message);
      case "breakpoints":
        this.breakpoints = message.breakpoints;
        return this.tell("breakpoints");
      case "edited":
        this.edited = message;
        this.parts.clear();
        this.story = null; // it was of the values before
        this.tell("story");
        return this.tell("values");
      case "progress":
        this.progress = message;
        return this.tell("progress");
      case "timing":
        return this.setTiming(message);
      case "cursor":
        this.lit = new Set(message.nodes);
        return this.tell("lit");
      case "notice":
        this.notices.push(message);
        this.ended ||= message.level === "ended";
        return this.tell("notice");
      case "checked":
        this.checked.set(message.node, message);
        return this.tell("values");
      case "story":
        this.story = message;
        return this.tell("story");
      case "file":
        this.file = message;
        return this.tell("file");
    }
  }

  select(node: number | null): void {
    if (node !== this.selected) {
      this.selected = node;
      this.tell("selection");
    }
  }

  private setGraph(message: GraphMessage): void {
    if (message.protocol !== PROTOCOL) {
      const text =
        `This view speaks version ${PROTOCOL} of the protocol, the kernel version ${message.protocol}. ` +
        "Restart the kernel and reload the page, so that both are of the same flowbook.";
      this.notices.push({ type: "notice", level: "error", text });
      return this.tell("notice");
    }
    const { nodes } = message;
    const chosen = this.selected === null ? null : this.nodes[this.selected]!.name;
    this.graph = message;
    this.focus = message.focus ? new Set(message.focus) : null;
    this.changesSeen = false;
    this.edited = this.story = this.progress = this.run = null;
    this.status = { mode: "idle", position: 0, count: 0 };
    this.steps = 0;
    this.breakpoints = [];
    this.lit = new Set();
    for (const each of [this.checked, this.parts, this.bad]) {
      each.clear();
    }
    this.seen = 0;
    this.executions.clear();
    this.tree = new ScopeTree(nodes);
    this.state = new Uint8Array(nodes.length);
    this.time = new Float64Array(nodes.length).fill(NaN);
    this.bytes = new Float64Array(nodes.length).fill(NaN);
    this.spread = new Float64Array(nodes.length).fill(NaN);
    this.device = nodes.map((each) => each.device);
    this.readers = nodes.map(() => []);
    this.ruled = new Set(nodes.flatMap((each) => each.forward ?? []));
    this.values.clear();
    this.computed = new Uint8Array(nodes.length);
    const again = chosen === null ? -1 : nodes.findIndex((each) => each.name === chosen);
    this.selected = again < 0 ? null : again;
    nodes.forEach((node, index) => {
      for (const input of node.inputs) {
        if (input !== null && typeof input === "object" && this.readers[input.node]?.at(-1) !== index) {
          this.readers[input.node]?.push(index);
        }
      }
    });
    this.tell("graph");
  }

  private setRun(message: RunMessage): void {
    if (message.run !== this.run?.run) {
      this.seen = 0;
      this.executions.clear();
      this.edited = this.story = null;
    }
    this.run = message;
    this.computed.fill(0);
    message.order.forEach((node, index) => {
      this.computed[node] = 1;
      this.device[node] = message.devices[index];
    });
    this.tell("run");
  }

  private addEvents(message: Events): void {
    if (message.first > this.seen) {
      this.notices.push({ type: "notice", level: "warning", text: "Some events did not arrive; times have gaps." });
      this.tell("notice");
    }
    const { node, state, seconds, thread, bytes } = message;
    for (let index = Math.max(0, this.seen - message.first); index < node.length; index += 1) {
      const place = node[index]!;
      this.state[place] = state[index]!;
      if (state[index] === 2) {
        this.executions.begin(place, thread[index]!, seconds[index]!);
      } else if (state[index] === 3) {
        const { parent } = this.nodes[place]!;
        const span = this.executions.finish(place, thread[index]!, seconds[index]!, bytes[index]!, parent, this.graph!.live);
        this.time[place] = (span.end - span.start) * 1000;
        this.spread[place] = NaN;
        this.bytes[place] = span.bytes;
      }
    }
    this.seen = message.first + node.length;
    this.tell("states");
    this.tell("run");
  }

  private setTiming({ node, median, spread, steps }: Timing): void {
    this.steps = steps;
    node.forEach((each, index) => {
      this.time[each] = median[index]! * 1000;
      this.spread[each] = spread[index]! * 1000;
    });
    this.tell("states");
  }

  /** New values. One that is as before brings elements that were asked for: they come beside those that are there. */
  private setValues(message: Values): void {
    for (const value of message.values) {
      const key = keyOf(value);
      const known = this.values.get(key);
      if (known?.sample && value.sample && same(known, value) && !spans(value.sample, value.shape)) {
        const parts = [...(this.parts.get(key) ?? []), value.sample].slice(-PARTS);
        this.parts.set(key, parts);
        this.values.set(key, { ...value, sample: known.sample });
      } else {
        this.values.set(key, value);
        if (!known || !same(known, value)) {
          this.parts.delete(key);
        }
      }
    }
    this.bad.clear();
    for (const { node, statistics } of this.values.values()) {
      if (statistics.nans || statistics.infs) {
        this.bad.add(node);
      }
    }
    this.tell("values");
  }

  private setStates(message: States): void {
    if (message.position !== this.status.position) {
      this.edited = null;
      this.parts.clear();
    }
    if (message.all) {
      this.state.fill(0);
    }
    message.node.forEach((node, index) => (this.state[node] = message.state[index]!));
    const { type: _, node: __, state: ___, all: ____, ...status } = message;
    this.status = status;
    this.tell("states");
  }
}

const PARTS = 6;

function keyOf(ref: Ref): number {
  return ref.node * 64 + ref.output;
}

/** Whether two values are one, as far as can be told. */
function same(a: Value, b: Value): boolean {
  return JSON.stringify([a.shape, a.statistics]) === JSON.stringify([b.shape, b.statistics]);
}

/** Whether a sample reaches from end to end along every axis. */
function spans(sample: Sample, shape: readonly number[]): boolean {
  return (
    sample.every !== undefined ||
    shape.every((size, axis) => sample.starts[axis] === 0 && sample.shape[axis]! * sample.strides[axis]! >= size)
  );
}

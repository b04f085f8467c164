/** What a view knows: the graph, the run, values, and what the reader has chosen. Parts subscribe to what they show. */

import type {
  Breakpoint, Edited, Events, GraphMessage, GraphNode, Notice, Progress, Ref, RunMessage, States, ToView, Value,
} from "../protocol";
import { PROTOCOL } from "../protocol";
import { ScopeTree } from "./scopes";

export type Topic = "graph" | "states" | "values" | "selection" | "look" | "run" | "breakpoints" | "notice" | "lit";
export type Colour = "state" | "device" | "time" | "memory" | "gradient";

/** One execution of a node. */
export interface Span {
  node: number;
  start: number;
  end: number;
  bytes: number;
  thread: number;
}

export class Store {
  graph: GraphMessage | null = null;
  tree = new ScopeTree([]);
  /** Of each node: place in `STATES`. */
  state = new Uint8Array();
  status: Omit<States, "node" | "state" | "all" | "type"> = { mode: "idle", position: 0, count: 0 };
  run: RunMessage | null = null;
  readonly spans: Span[] = [];
  /** Milliseconds and bytes of each node's last execution; NaN: none. */
  time = new Float64Array();
  bytes = new Float64Array();
  device: (string | undefined)[] = [];
  readonly values = new Map<number, Value>();
  breakpoints: Breakpoint[] = [];
  readers: number[][] = [];
  /** Nodes whose gradient rule made nodes: gradients flow through them. */
  ruled: ReadonlySet<number> = new Set();
  edited: Edited | null = null;
  progress: Progress | null = null;
  notices: Notice[] = [];
  selected: number | null = null;
  lit: ReadonlySet<number> = new Set();
  colour: Colour = "state";
  river = true;
  private begun = new Map<string, number>();
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
    return ref ? this.values.get(ref.node * 64 + ref.output) : undefined;
  }

  /** Whether a node's value is there at this moment: it has run, or did not have to. */
  produced(node: number): boolean {
    return this.state[node]! >= 3 || (this.run !== null && !this.computed.has(node));
  }

  private computed = new Set<number>();

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
        message.values.forEach((each) => this.values.set(each.node * 64 + each.output, each));
        return this.tell("values");
      case "breakpoints":
        this.breakpoints = message.breakpoints;
        return this.tell("breakpoints");
      case "edited":
        this.edited = message;
        return this.tell("values");
      case "progress":
        this.progress = message;
        return this.tell("run");
      case "timing":
        message.node.forEach((node, index) => (this.time[node] = message.median[index]! * 1000));
        return this.tell("states");
      case "cursor":
        this.lit = new Set(message.nodes);
        return this.tell("lit");
      case "notice":
        this.notices.push(message);
        return this.tell("notice");
      case "checked":
        this.notices.push({ type: "notice", level: message.passed ? "info" : "warning", text: message.text });
        return this.tell("notice");
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
    this.graph = message;
    this.run = null;
    this.seen = 0;
    this.begun.clear();
    this.tree = new ScopeTree(nodes);
    this.state = new Uint8Array(nodes.length);
    this.time = new Float64Array(nodes.length).fill(NaN);
    this.bytes = new Float64Array(nodes.length).fill(NaN);
    this.device = nodes.map((each) => each.device);
    this.readers = nodes.map(() => []);
    this.ruled = new Set(nodes.flatMap((each) => each.forward ?? []));
    this.values.clear();
    this.computed = new Set();
    this.spans.length = 0;
    this.selected = null;
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
      this.begun.clear();
      this.spans.length = 0;
      this.seen = 0;
    }
    this.run = message;
    this.computed = new Set(message.order);
    message.order.forEach((node, index) => (this.device[node] = message.devices[index]));
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
      const key = `${place},${thread[index]}`;
      this.state[place] = state[index]!;
      if (state[index] === 2) {
        this.begun.set(key, seconds[index]!);
      } else if (state[index] === 3) {
        const start = this.begun.get(key) ?? seconds[index]!;
        this.spans.push({ node: place, start, end: seconds[index]!, bytes: bytes[index]!, thread: thread[index]! });
        this.time[place] = (seconds[index]! - start) * 1000;
        this.bytes[place] = bytes[index]!;
      }
    }
    this.seen = message.first + node.length;
    this.tell("states");
    this.tell("run");
  }

  private setStates(message: States): void {
    if (message.all) {
      this.state.fill(0);
    }
    message.node.forEach((node, index) => (this.state[node] = message.state[index]!));
    const { mode, position, count, next } = message;
    this.status = next === undefined ? { mode, position, count } : { mode, position, count, next };
    this.tell("states");
  }
}

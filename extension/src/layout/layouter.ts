/** Layouts of outlines: made in a worker, kept by structure, so that what was seen before comes back at once. */

import type { Outline } from "../model/outline";
import { inColumns } from "./columns";
import { fromJson, toDot } from "./dot";
import type { Layout } from "./types";
import type { Question, Reply } from "./worker";

const KEPT = 40;
const TIMEOUT = 20_000;

export type Engine = (dot: string) => Promise<string>;

export class Layouter {
  /** How many layouts were asked of Graphviz; a change of values or times adds none. */
  asked = 0;
  private readonly kept = new Map<string, Promise<Layout>>();

  constructor(private readonly engine: Engine) {}

  layout(shown: Outline, across = true): Promise<Layout> {
    const key = `${across ? "across" : "down"} ${shown.structure}`;
    const known = this.kept.get(key);
    if (known) {
      return known;
    }
    this.asked += 1;
    const found = this.engine(toDot(shown, across))
      .then((json) => fromJson(json, shown, across))
      .catch(() => inColumns(shown));
    this.kept.set(key, found);
    if (this.kept.size > KEPT) {
      this.kept.delete(this.kept.keys().next().value!);
    }
    return found;
  }
}

/** Graphviz in a worker; a layout that takes too long ends it, and the next one starts a new one. */
export class WorkerEngine {
  private worker: Worker | null = null;
  private next = 0;
  private readonly waiting = new Map<number, { resolve: (json: string) => void; reject: (error: Error) => void }>();

  constructor(private readonly program: string) {}

  /** Start already, with a layout of next to nothing: until there is a graph, much of what a layout takes is done. */
  warm(): void {
    this.run("digraph{a->b}").catch(() => undefined); // whoever asks for a layout is told
  }

  readonly run: Engine = (dot) =>
    new Promise((resolve, reject) => {
      this.worker ??= this.start();
      const id = (this.next += 1);
      const timer = setTimeout(() => this.fail(new Error("the layout took too long")), TIMEOUT);
      const done = <T>(go: (value: T) => void) => (value: T): void => {
        clearTimeout(timer);
        go(value);
      };
      this.waiting.set(id, { resolve: done(resolve), reject: done(reject) });
      this.worker.postMessage({ id, dot } satisfies Question);
    });

  private start(): Worker {
    const url = URL.createObjectURL(new Blob([this.program], { type: "text/javascript;charset=utf-8" }));
    const worker = new Worker(url);
    worker.onmessage = (event: MessageEvent<Reply>) => this.receive(event.data);
    worker.onerror = (event) => this.fail(new Error(event.message));
    URL.revokeObjectURL(url);
    return worker;
  }

  private receive(reply: Reply): void {
    const asked = this.waiting.get(reply.id);
    this.waiting.delete(reply.id);
    if (reply.json !== undefined) {
      asked?.resolve(reply.json);
    } else {
      asked?.reject(new Error(reply.error));
    }
  }

  private fail(error: Error): void {
    this.dispose();
    this.waiting.forEach((each) => each.reject(error));
    this.waiting.clear();
  }

  dispose(): void {
    this.worker?.terminate();
    this.worker = null;
  }
}

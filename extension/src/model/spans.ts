/** The executions of a run, as its events tell them: which are the first of their node, and which an edit asked for. */

/** One execution of a node. */
export interface Span {
  node: number;
  start: number;
  end: number;
  bytes: number;
  thread: number;
  /** It had run before in this run: an edit made it run once more. */
  again: boolean;
}

export class Spans {
  readonly all: Span[] = [];
  /** Those that positions count: of a stepped run, the first one of each node that is in no body. */
  private readonly counted: Span[] = [];
  /** When each node began, by thread. */
  private readonly begun: number[][] = [];
  private readonly started: true[] = [];
  private readonly finished: true[] = [];

  clear(): void {
    [this.all, this.counted, this.begun, this.started, this.finished].forEach((each) => (each.length = 0));
  }

  begin(node: number, thread: number, seconds: number): void {
    (this.begun[thread] ??= [])[node] = seconds;
    this.started[node] = true;
  }

  /** `parent`: the node in whose body it is. `live`: the run is stepped, not recorded. */
  finish(node: number, thread: number, end: number, bytes: number, parent: number | undefined, live: boolean): Span {
    // In a body a node may run many times while the node around it runs once; that one tells whether this is another run.
    const again = this.finished[parent !== undefined && this.started[parent] ? parent : node] === true;
    const span = { node, start: this.begun[thread]?.[node] ?? end, end, bytes, thread, again };
    this.finished[node] = true;
    this.all.push(span);
    if (!live || (!again && parent === undefined)) {
      this.counted.push(span);
    }
    return span;
  }

  /** What ran last before a position; `undefined` at the beginning. */
  before(position: number): Span | undefined {
    return this.counted[Math.min(position, this.counted.length) - 1];
  }
}

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
  private readonly begun = new Map<string, number>();
  private readonly started = new Set<number>();
  private readonly finished = new Set<number>();

  clear(): void {
    this.all.length = this.counted.length = 0;
    [this.begun, this.started, this.finished].forEach((each) => each.clear());
  }

  begin(node: number, thread: number, seconds: number): void {
    this.begun.set(`${node},${thread}`, seconds);
    this.started.add(node);
  }

  /** `parent`: the node in whose body it is. `live`: the run is stepped, not recorded. */
  finish(node: number, thread: number, end: number, bytes: number, parent: number | undefined, live: boolean): Span {
    // In a body a node may run many times while the node around it runs once; that one tells whether this is another run.
    const again = this.finished.has(parent !== undefined && this.started.has(parent) ? parent : node);
    const span = { node, start: this.begun.get(`${node},${thread}`) ?? end, end, bytes, thread, again };
    this.finished.add(node);
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

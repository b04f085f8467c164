/** The iterations of loops in a recorded run: a node in whose body nodes ran several times while it ran once. */

import type { GraphNode, Iteration } from "../protocol";

/** One run of one loop. */
interface Run {
  node: number;
  /** The position at which each iteration begins. */
  starts: number[];
  /** How often each node of the body has run. */
  ran: Map<number, number>;
}

export class Loops {
  private readonly runs: Run[] = [];

  /** `order`: the node that finishes at each position. */
  constructor(nodes: readonly GraphNode[], order: readonly number[]) {
    const open = new Map<number, Run>();
    order.forEach((node, position) => {
      const begin = open.get(node)?.starts[0] ?? position; // what is in its own body ran before it finished
      open.delete(node); // the next time it is another run
      const parent = nodes[node]?.parent;
      if (parent === undefined) {
        return;
      }
      let run = open.get(parent);
      if (!run) {
        run = { node: parent, starts: [], ran: new Map() };
        open.set(parent, run);
        this.runs.push(run);
      }
      const count = (run.ran.get(node) ?? 0) + 1;
      run.ran.set(node, count);
      if (count > run.starts.length) {
        run.starts.push(begin);
      }
    });
  }

  /** Where loops stand at a position, each in the latest run that has begun, in the order of the graph. */
  at(position: number): Iteration[] {
    const found = new Map<number, Iteration>();
    const begun = this.runs.filter(({ starts }) => starts.length > 1 && starts[0]! <= position);
    begun.sort((a, b) => a.starts[0]! - b.starts[0]!);
    for (const { node, starts } of begun) {
      const index = starts.filter((each) => each <= position).length - 1;
      found.set(node, { node, index, count: starts.length });
    }
    return [...found.values()].sort((a, b) => a.node - b.node);
  }

  /** The position at which an iteration begins, in the run of the loop that `at` tells of. */
  start(node: number, index: number, position: number): number | undefined {
    const begun = this.runs.filter((each) => each.node === node && each.starts[0]! <= position);
    return begun.at(-1)?.starts[index];
  }
}

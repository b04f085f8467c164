/** Finding nodes: by name or op, or with /…/ by regular expression. */

import type { GraphNode } from "../protocol";

/** The nodes that match, in order; `null` for a regular expression that is none. */
export function search(nodes: readonly GraphNode[], text: string): number[] | null {
  const wanted = text.trim();
  if (!wanted) {
    return [];
  }
  const test = matcher(wanted);
  return test && nodes.flatMap((node, index) => (test(node) ? [index] : []));
}

function matcher(wanted: string): ((node: GraphNode) => boolean) | null {
  const pattern = /^\/(.+?)\/?$/.exec(wanted)?.[1];
  if (pattern !== undefined) {
    try {
      const expression = new RegExp(pattern, "i");
      return (node) => expression.test(node.name) || expression.test(node.op);
    } catch {
      return null;
    }
  }
  const lower = wanted.toLowerCase();
  return (node) => node.name.toLowerCase().includes(lower) || node.op.toLowerCase() === lower;
}

/** A node and all that it depends on, or that depend on it. */
export function reach(start: number, next: (node: number) => Iterable<number>): Set<number> {
  const found = new Set([start]);
  const waiting = [start];
  while (waiting.length) {
    for (const each of next(waiting.pop()!)) {
      if (!found.has(each)) {
        found.add(each);
        waiting.push(each);
      }
    }
  }
  return found;
}

/** Finding nodes: by name or op, or with /…/ by regular expression. */

import type { GraphNode } from "../protocol";

/** The nodes that match, in order, one of that very name first; `null` for a regular expression that is none. */
export function search(nodes: readonly GraphNode[], text: string): number[] | null {
  const wanted = text.trim();
  if (!wanted) {
    return [];
  }
  const test = matcher(wanted);
  if (!test) {
    return null;
  }
  const found = nodes.flatMap((node, index) => (test(node) ? [index] : []));
  const exact = found.filter((index) => nodes[index]!.name === wanted);
  return exact.length ? [...exact, ...found.filter((index) => nodes[index]!.name !== wanted)] : found;
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

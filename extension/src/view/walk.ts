/** Which box an arrow key leads to: along an edge where one leads that way, else the nearest that way. */

import type { Layout, Rectangle } from "../layout/types";
import type { Box, Outline } from "../model/outline";

export function nearest(shown: Outline, layout: Layout, from: Box, dx: number, dy: number): Box | null {
  const start = layout.boxes.get(from.key);
  if (!start) {
    return null;
  }
  const linked = new Set<Box>();
  for (const edge of shown.edges) {
    if (edge.source === from) {
      linked.add(edge.target);
    } else if (edge.target === from) {
      linked.add(edge.source);
    }
  }
  const cost = (box: Box): number => {
    const [x, y] = offset(start, layout.boxes.get(box.key)!);
    const [along, across] = dx ? [x * dx, Math.abs(y)] : [y * dy, Math.abs(x)];
    return along < 12 ? Infinity : along + 2.2 * across;
  };
  // Edges lead to the left and right; up and down is from line to line.
  const sets = dx ? [[...linked], shown.boxes] : [shown.boxes];
  for (const set of sets) {
    const best = set.filter((box) => box !== from && layout.boxes.has(box.key)).sort((a, b) => cost(a) - cost(b))[0];
    if (best && cost(best) < Infinity) {
      return best;
    }
  }
  return null;
}

function offset(a: Rectangle, b: Rectangle): [number, number] {
  return [b.x + b.width / 2 - a.x - a.width / 2, b.y + b.height / 2 - a.y - a.height / 2];
}

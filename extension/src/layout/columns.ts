/**
 * A plain layout in columns: for where Graphviz cannot run, and to tell at once about how large a picture will be. Boxes
 * stand as far right as their inputs demand; gradients flow the other way, beside the nodes they belong to.
 */

import type { Outline } from "../model/outline";
import { CARD, type Layout } from "./types";

const GAP = { x: 84, y: 22 };

export function inColumns(shown: Outline): Layout {
  const column = new Map(shown.boxes.map((box) => [box.key, 0]));
  const edges = shown.edges.filter((edge) => edge.source !== edge.target);
  // Boxes may form cycles; a bound on the passes ends them.
  for (let pass = 0, changed = true; changed && pass < 40; pass += 1) {
    changed = false;
    for (const { source, target, backward } of edges) {
      const [left, right] = backward ? [target, source] : [source, target];
      const least = column.get(left.key)! + 1;
      if (column.get(right.key)! < least && least < 60) {
        column.set(right.key, least);
        changed = true;
      }
    }
  }
  const filled = new Map<number, number>();
  const layout: Layout = { across: true, width: 0, height: 0, boxes: new Map(), scopes: new Map(), edges: new Map() };
  for (const box of shown.boxes) {
    const place = column.get(box.key)!;
    const row = filled.get(place) ?? 0;
    filled.set(place, row + 1);
    const rectangle = { x: place * (CARD.width + GAP.x), y: row * (CARD.height + GAP.y), ...CARD };
    layout.boxes.set(box.key, rectangle);
    layout.width = Math.max(layout.width, rectangle.x + CARD.width);
    layout.height = Math.max(layout.height, rectangle.y + CARD.height);
  }
  for (const edge of edges) {
    const [a, b] = [layout.boxes.get(edge.source.key)!, layout.boxes.get(edge.target.key)!];
    const start = { x: a.x + (edge.backward ? 0 : CARD.width), y: a.y + CARD.height / 2 };
    const end = { x: b.x + (edge.backward ? CARD.width : 0), y: b.y + CARD.height / 2 };
    const bend = Math.max(30, Math.abs(end.x - start.x) / 2) * (edge.backward ? -1 : 1);
    layout.edges.set(edge.key, [start, { x: start.x + bend, y: start.y }, { x: end.x - bend, y: end.y }, end]);
  }
  return layout;
}

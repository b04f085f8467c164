/**
 * An outline as DOT, and Graphviz's answer as a layout. Graphviz sees numbers only, never a user's text.
 *
 * Backward edges are turned round for it: so gradients flow the other way, beside the nodes they belong to.
 */

import { type Edge, type Outline, quiet } from "../model/outline";
import type { Scope } from "../model/scopes";
import { CARD, TITLE, type Layout, type Point } from "./types";

const INCH = 72;

export function toDot(shown: Outline, across: boolean): string {
  const size = `width=${CARD.width / INCH},height=${CARD.height / INCH}`;
  // Room for the text at a box's way out: beside it when the graph flows across, else below it.
  const flow = across ? "rankdir=LR;nodesep=0.26;ranksep=1.12" : "rankdir=TB;nodesep=0.3;ranksep=0.45";
  const ports = across ? "tailport=e,headport=w" : "tailport=s,headport=n";
  const lines = [
    `digraph{${flow};splines=true;`,
    `node[shape=box,fixedsize=true,label="",${size}];edge[arrowhead=none,${ports}];`,
  ];
  const inside = new Map<Scope, string[]>();
  for (const [index, box] of shown.boxes.entries()) {
    const list = inside.get(box.around) ?? [];
    list.push(`n${index};`);
    inside.set(box.around, list);
  }
  const top = shown.boxes.length ? rootOf(shown.boxes[0]!.around) : null;
  const visible = new Set(shown.scopes);
  const fill = (scope: Scope): void => {
    lines.push(...(inside.get(scope) ?? []));
    for (const child of scope.scopes.filter((each) => visible.has(each))) {
      lines.push(`subgraph cluster_${child.id}{label=" ";labeljust=l;fontsize=${TITLE - 6};margin=12;`);
      fill(child);
      lines.push("}");
    }
  };
  if (top) {
    fill(top);
  }
  const number = new Map(shown.boxes.map((box, index) => [box, index]));
  shown.edges.forEach((edge, index) => {
    const [tail, head] = edge.backward ? [edge.target, edge.source] : [edge.source, edge.target];
    const loose = quiet(edge) || (!edge.backward && edge.target.backward) ? ",weight=0" : "";
    lines.push(`n${number.get(tail)}->n${number.get(head)}[id=${index}${loose}];`);
  });
  lines.push("}");
  return lines.join("\n");
}

function rootOf(scope: Scope): Scope {
  return scope.parent ? rootOf(scope.parent) : scope;
}

interface Answer {
  bb: string;
  objects?: { name: string; pos?: string; bb?: string }[];
  edges?: { id: string; pos: string }[];
}

export function fromJson(text: string, shown: Outline, across: boolean): Layout {
  const answer = JSON.parse(text) as Answer;
  const [, , width = 0, height = 0] = numbers(answer.bb);
  const layout: Layout = { across, width, height, boxes: new Map(), scopes: new Map(), edges: new Map() };
  for (const each of answer.objects ?? []) {
    if (each.name.startsWith("cluster_") && each.bb) {
      const [left = 0, bottom = 0, right = 0, top = 0] = numbers(each.bb);
      const rectangle = { x: left, y: height - top, width: right - left, height: top - bottom };
      layout.scopes.set(Number(each.name.slice(8)), rectangle);
    } else if (each.pos) {
      const [x = 0, y = 0] = numbers(each.pos);
      const box = shown.boxes[Number(each.name.slice(1))]!;
      layout.boxes.set(box.key, { x: x - CARD.width / 2, y: height - y - CARD.height / 2, ...CARD });
    }
  }
  for (const each of answer.edges ?? []) {
    const edge = shown.edges[Number(each.id)]!;
    layout.edges.set(edge.key, route(each.pos, edge, height));
  }
  return layout;
}

function route(pos: string, edge: Edge, height: number): Point[] {
  const points = pos.split(" ").map((pair) => {
    const [x = 0, y = 0] = numbers(pair);
    return { x, y: height - y };
  });
  return edge.backward ? points.reverse() : points;
}

function numbers(text: string): number[] {
  return text.split(",").map(Number);
}

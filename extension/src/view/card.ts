/** One card: a node, or a closed scope. What changes while it is looked at is set by `paint.ts`. */

import { CARD } from "../layout/types";
import type { Box } from "../model/outline";
import { plural, specs, title } from "../model/format";
import type { GraphNode } from "../protocol";
import { fit, s } from "./dom";
import { FONTS } from "./style/tokens";

const { width: W, height: H } = CARD;

export interface Card {
  box: Box;
  root: SVGGElement;
  shape: SVGPathElement;
  ring: SVGPathElement;
  name: SVGTextElement;
  ms: SVGTextElement;
  /** What the last commit did to it. */
  badge: SVGTextElement;
  bar: SVGRectElement;
  /** The name, uncut. */
  title: string;
}

export function drawCard(box: Box, nodes: readonly GraphNode[]): Card {
  const node = box.node >= 0 ? nodes[box.node]! : null;
  const kind = node ? (box.backward ? "gradient" : node.kind) : box.backward ? "gradient" : "scope";
  const text = node ? title(node) : box.scope!.name;
  const name = s("text", { class: "fb-name", x: 13, y: 15.5 });
  const ms = s("text", { class: "fb-ms", x: W - 9, y: 15 });
  const bar = s("rect", { class: "fb-bar-of", x: 13, y: H - 6.5, height: 2.5, rx: 1.25, width: 0 });
  const ring = s("path", { class: "fb-ring", d: rounded(-4, -4, W + 8, H + 8, 10) });
  const badge = s("text", { class: "fb-badge-text", x: W - 4, y: 4.5 });
  const path = outlineOf(node?.kind ?? "op");
  const shape = s("path", { class: "fb-shape", d: path });
  const [line2, line3] = node
    ? [opOf(node, nodes), specs(node) || "no output"]
    : [plural(box.members.length, "node"), summary(box, nodes)];
  const root = s(
    "g",
    { class: "fb-card", role: "button", "data-key": box.key, tabindex: -1 },
    ring,
    box.scope && s("path", { class: "fb-under", d: rounded(4, 4, W, H, 7) }),
    shape,
    detail(node?.kind ?? "op"),
    strip(kind),
    name,
    ms,
    s("text", { class: "fb-op", x: 13, y: 27.8 }, fit(line2, W - 24, FONTS.text)),
    s("text", { class: "fb-spec", x: 13, y: 39.5 }, fit(line3, W - 24, FONTS.small)),
    box.scope && bar,
    s("circle", { class: "fb-badge", cx: W - 4, cy: 1, r: 7.5 }),
    badge,
    s("path", { class: "fb-arrow", d: `M-13,${H / 2 - 6}l9,6l-9,6z` }),
    node && s("rect", { class: "fb-gutter", x: -16, y: 8, width: 16, height: H - 16 }),
    node && s("circle", { class: "fb-dot", cx: -8, cy: H / 2, r: 4.5 }),
  );
  return { box, root, shape, ring, name, ms, badge, bar, title: text };
}

function opOf(node: GraphNode, nodes: readonly GraphNode[]): string {
  const forward = node.forward === undefined ? null : nodes[node.forward];
  return forward ? `${node.op} · for ${forward.name}` : node.kind === "variable" ? "Variable" : node.op;
}

/** What is in a closed scope beside the model itself. */
function summary(box: Box, nodes: readonly GraphNode[]): string {
  const count = (test: (node: GraphNode) => boolean): number => box.members.filter((each) => test(nodes[each]!)).length;
  const parts = [
    [count((each) => each.forward !== undefined), "backward"],
    [count((each) => each.kind === "write"), "writes"],
    [count((each) => each.kind === "variable"), "variables"],
  ] as const;
  const found = parts.filter(([number]) => number > 0).slice(0, 2);
  return found.map(([number, noun]) => `${number} ${noun}`).join(", ");
}

/** Each kind has its own outline: inputs point into the graph, variables are drums, copies lean from here to there. */
function outlineOf(kind: GraphNode["kind"]): string {
  switch (kind) {
    case "placeholder":
      return `M7,.5H${W - 11}L${W - 0.5},${H / 2}L${W - 11},${H - 0.5}H7A6.5,6.5 0 0 1 .5,${H - 7}V7A6.5,6.5 0 0 1 7,.5Z`;
    case "copy":
      return `M9,.5H${W - 0.5}L${W - 9},${H - 0.5}H.5Z`;
    case "constant":
      return rounded(0.5, 0.5, W - 1, H - 1, 1);
    default:
      return rounded(0.5, 0.5, W - 1, H - 1, 6.5);
  }
}

function detail(kind: GraphNode["kind"]): SVGPathElement | null {
  if (kind === "variable") {
    return s("path", { class: "fb-detail", d: `M${W - 5.5},1V${H - 1}` });
  }
  return kind === "write" ? s("path", { class: "fb-detail", d: `M8.5,1V${H - 1}` }) : null;
}

/** The strip at the left, in the colour of the kind; it follows the corners of the card. */
function strip(kind: string): SVGPathElement {
  const d = kind === "copy" ? `M9,.5H14L5.5,${H - 0.5}H.5Z` : `M5.5,.5V${H - 0.5}A5,5 0 0 1 .5,${H - 5.5}V5.5A5,5 0 0 1 5.5,.5Z`;
  const made = s("path", { class: "fb-strip", d });
  made.style.fill = kind === "op" || kind === "scope" ? "var(--fb-line2)" : kind === "gradient" ? "var(--fb-grad)" : `var(--fb-${kind})`;
  return made;
}

function rounded(x: number, y: number, width: number, height: number, r: number): string {
  return (
    `M${x + r},${y}h${width - 2 * r}a${r},${r} 0 0 1 ${r},${r}v${height - 2 * r}a${r},${r} 0 0 1 ${-r},${r}` +
    `h${2 * r - width}a${r},${r} 0 0 1 ${-r},${-r}v${2 * r - height}a${r},${r} 0 0 1 ${r},${-r}z`
  );
}

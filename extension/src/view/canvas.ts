/** The picture: scopes, edges and cards where a layout puts them. Drawn anew only when the layout is another. */

import { TITLE, type Layout, type Point, type Rectangle } from "../layout/types";
import { type Box, type Edge, type Outline, quiet } from "../model/outline";
import type { Scope } from "../model/scopes";
import type { Store } from "../model/store";
import { plural } from "../model/format";
import type { GraphMessage } from "../protocol";
import { Camera } from "./camera";
import { type Card, drawCard } from "./card";
import { eachFrame, fit, h, s } from "./dom";
import { Minimap } from "./minimap";
import { FONTS } from "./style/tokens";

export interface Actions {
  choose(box: Box): void;
  toggle(scope: Scope): void;
  breakpoint(node: number): void;
  /** There is more or less room. */
  resized(): void;
}

export interface Line {
  edge: Edge;
  path: SVGPathElement;
  river: SVGPathElement;
  width: number;
}

/** Room for a value at the end of the picture. */
const LABEL = 50;

export class Canvas {
  readonly root = h("div", { class: "fb-canvas" });
  readonly camera: Camera;
  readonly cards = new Map<string, Card>();
  readonly lines: Line[] = [];
  /** The text at a box's way out, by key. */
  readonly labels = new Map<string, SVGTextElement>();
  private drawn: GraphMessage | null = null;
  outline: Outline | null = null;
  layout: Layout | null = null;
  readonly svg: SVGSVGElement;
  private readonly empty = h("div", { class: "fb-empty", hidden: true }, "No nodes here yet: what a %%flow cell assigns becomes a node.");
  private readonly layers = ["scopes", "rivers", "edges", "labels", "cards"].map((name) => s("g", { class: `fb-${name}` }));
  private readonly world = s("g", {}, ...this.layers);
  private readonly minimap: Minimap;

  constructor(
    private readonly store: Store,
    private readonly actions: Actions,
  ) {
    this.svg = s("svg", { role: "group", "aria-label": "graph" }, this.arrowheads(), this.world);
    this.root.append(this.svg, this.empty);
    const moved = eachFrame(() => this.move());
    this.camera = new Camera(this.root, moved);
    this.minimap = new Minimap(this.camera);
    this.root.append(this.minimap.root);
    new ResizeObserver(() => {
      actions.resized();
      moved();
    }).observe(this.root);
  }

  /** Whether what is drawn is of the graph that the store has: another one is there before its layout is. */
  get current(): boolean {
    return this.drawn === this.store.graph;
  }

  show(outline: Outline, layout: Layout): void {
    this.drawn = this.store.graph;
    this.outline = outline;
    this.layout = layout;
    const [scopes, rivers, edges, labels, cards] = this.layers;
    this.layers.forEach((layer) => layer.replaceChildren());
    this.cards.clear();
    this.labels.clear();
    this.lines.length = 0;
    for (const scope of outline.scopes) {
      scopes!.append(this.drawScope(scope));
    }
    for (const edge of outline.edges) {
      const points = layout.edges.get(edge.key);
      if (points) {
        const line = this.drawLine(edge, points);
        this.lines.push(line);
        rivers!.append(line.river);
        edges!.append(line.path);
      }
    }
    for (const box of outline.boxes) {
      const place = layout.boxes.get(box.key);
      if (place) {
        const card = drawCard(box, this.store.nodes);
        card.root.setAttribute("transform", `translate(${place.x.toFixed(1)} ${place.y.toFixed(1)})`);
        card.root.addEventListener("click", (event) => this.click(event, box));
        card.root.addEventListener("dblclick", () => box.scope && this.actions.toggle(box.scope));
        this.cards.set(box.key, card);
        cards!.append(card.root);
        const label = s("text", labelPlace(place, box.backward, layout.across));
        this.labels.set(box.key, label);
        labels!.append(label);
      }
    }
    this.empty.hidden = outline.boxes.length > 0;
    this.minimap.show(outline, layout);
    this.move();
  }

  /** Show all of it; `least`: but no smaller than that. */
  fit(least = 0.1): void {
    if (this.layout) {
      const { width, height, across } = this.layout;
      this.camera.fit(width + (across ? LABEL : 0), height, least); // beside the last box there is its value
    }
  }

  private click(event: Event, box: Box): void {
    if (!this.current) {
      return;
    }
    if (this.root.classList.contains("fb-drag")) {
      return;
    }
    if ((event.target as Element).classList.contains("fb-gutter")) {
      this.actions.breakpoint(box.node);
    } else if (box.scope && (event as MouseEvent).detail === 1) {
      this.actions.toggle(box.scope);
    } else {
      this.actions.choose(box);
    }
  }

  private move(): void {
    const { x, y, scale } = this.camera;
    this.world.setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${scale.toFixed(4)})`);
    this.root.style.backgroundPosition = `${x}px ${y}px`;
    this.minimap.move();
  }

  private drawScope(scope: Scope): SVGGElement {
    const place = this.layout!.scopes.get(scope.id);
    const group = s("g", { class: "fb-scope", role: "button", "aria-expanded": "true", tabindex: -1 });
    if (place) {
      const members = this.outline!.boxes.filter((box) => within(box.around, scope));
      if (members.length && members.every((box) => box.backward)) {
        group.classList.add("fb-back");
      }
      const count = ` · ${plural(scope.count, "node")} ▾`;
      const text = fit(scope.name, place.width - 28 - count.length * 5.6, FONTS.text, true) + count;
      group.setAttribute("aria-label", `scope ${scope.path}, ${plural(scope.count, "node")}, open`);
      group.append(
        s("rect", { x: place.x, y: place.y, width: place.width, height: place.height, rx: 10 }),
        s("text", { x: place.x + 12, y: place.y + TITLE - 4 }, text),
      );
      group.addEventListener("click", () => this.root.classList.contains("fb-drag") || this.actions.toggle(scope));
    }
    return group;
  }

  private drawLine(edge: Edge, points: readonly Point[]): Line {
    const d = curve(points);
    const back = edge.backward ? " fb-back" : "";
    const wait = edge.tensors.length ? "" : " fb-wait";
    const path = s("path", { class: `fb-edge${back}${wait}${quiet(edge) ? " fb-quiet" : ""}`, d, "marker-end": `url(#${this.marker(edge.backward)})` });
    return { edge, path, river: s("path", { class: "fb-river", d }), width: -1 };
  }

  private readonly id = `fb${Math.floor(Math.random() * 1e9)}`;

  private marker(backward: boolean): string {
    return `${this.id}-${backward ? "back" : "head"}`;
  }

  private arrowheads(): SVGDefsElement {
    const made = [false, true].map((backward) => {
      const head = s("path", { d: "M0,0L6,3L0,6z" });
      head.style.fill = backward ? "var(--fb-grad)" : "var(--fb-edge2)";
      const box = { viewBox: "0 0 6 6", refX: 5.5, refY: 3, markerWidth: 5.5, markerHeight: 5.5 };
      return s("marker", { id: this.marker(backward), ...box, orient: "auto", markerUnits: "userSpaceOnUse" }, head);
    });
    return s("defs", {}, ...made);
  }
}

/** Where the text at a box's way out begins, or ends where the way out is at the left. */
function labelPlace(box: Rectangle, backward: boolean, across: boolean): { class: string; x: number; y: number } {
  if (across) {
    const x = backward ? box.x - 7 : box.x + box.width + 7;
    return { class: `fb-label${backward ? " fb-end" : ""}`, x, y: box.y + box.height / 2 - 5 };
  }
  return { class: "fb-label", x: box.x + box.width / 2 + 7, y: backward ? box.y - 6 : box.y + box.height + 13 };
}

export function within(scope: Scope | null, outer: Scope): boolean {
  for (let each = scope; each; each = each.parent) {
    if (each === outer) {
      return true;
    }
  }
  return false;
}

function curve(points: readonly Point[]): string {
  const [first, ...rest] = points.map((each) => `${each.x.toFixed(1)},${each.y.toFixed(1)}`);
  return `M${first}C${rest.join(" ")}`;
}

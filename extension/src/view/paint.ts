/** What changes while a run is watched: states, values, times, marks. It sets attributes only and lays nothing out. */

import { CARD } from "../layout/types";
import type { Box } from "../model/outline";
import { milliseconds, number, specs, spec as specText } from "../model/format";
import type { Colour, Store } from "../model/store";
import { STATES } from "../protocol";
import type { Canvas } from "./canvas";
import type { Card } from "./card";
import { MARKS } from "./changes";
import { fit } from "./dom";
import { FONTS } from "./style/tokens";

/** What a search, a reach or the cursor lights up. */
export interface Marks {
  hits: ReadonlySet<number>;
  reached: ReadonlySet<number>;
}

export function paint(canvas: Canvas, store: Store, marks: Marks): void {
  const scale = scaleOf(store);
  for (const card of canvas.cards.values()) {
    paintCard(card, store, marks, scale);
  }
  canvas.root.classList.toggle("fb-dim", marks.reached.size > 0);
  paintLines(canvas, store, marks);
  paintLabels(canvas, store);
}

function paintCard(card: Card, store: Store, marks: Marks, scale: Scale): void {
  const { box } = card;
  const states = box.members.map((node) => (store.produced(node) ? Math.max(3, store.state[node]!) : store.state[node]!));
  const state = stateOf(states);
  const some = (test: (node: number) => boolean): boolean => box.members.some(test);
  const change = changeOf(box, store);
  const glow = glowOf(box, store, scale);
  const failed = store.status.mode === "failed" ? store.run?.failed?.node : undefined;
  const classes: Record<string, boolean> = {
    "fb-failed": failed !== undefined && box.members.includes(failed),
    "fb-next": store.status.mode !== "failed" && store.status.next !== undefined && box.members.includes(store.status.next),
    "fb-selected": store.selected !== null && box.members.includes(store.selected),
    "fb-stale": some((node) => store.nodes[node]!.stale !== undefined),
    "fb-bad-value": some((node) => store.bad.has(node) && store.produced(node)),
    "fb-context": store.focus !== null && !some((node) => store.focus!.has(node)),
    "fb-marked": change !== "",
    [`fb-${change}`]: change !== "",
    "fb-glow": glow > 0,
    "fb-lit": some((node) => store.lit.has(node) || marks.reached.has(node)),
    "fb-hit": some((node) => marks.hits.has(node)),
    "fb-pair": store.selected !== null && !box.members.includes(store.selected) && some((node) => pairs(store, node)),
    "fb-stop": store.breakpoints.some((each) => each.nodes.some((node) => box.members.includes(node))),
  };
  const on = Object.keys(classes).filter((name) => classes[name]);
  card.root.setAttribute("class", ["fb-card", `fb-${STATES[state]}`, ...on].join(" "));
  const done = states.filter((each) => each >= 3).length / states.length;
  card.bar.setAttribute("width", String((CARD.width - 28) * (done < 1 ? done : 0)));
  const time = sum(box, store.time);
  const ms = Number.isNaN(time) || done < 1 ? "" : milliseconds(time);
  setText(card.ms, ms);
  setText(card.name, fit(card.title, CARD.width - 24 - (ms ? 9 + ms.length * 5.6 : 0), FONTS.name, true));
  setText(card.badge, MARKS[change] ?? "");
  card.ring.style.strokeWidth = glow ? `${(1.5 + 3.5 * glow).toFixed(1)}px` : "";
  card.ring.style.strokeOpacity = glow ? (0.35 + 0.65 * glow).toFixed(2) : "";
  card.shape.style.fill = done === 1 || store.colour === "device" ? tint(box, store, scale) : "";
  card.root.setAttribute("aria-label", spoken(box, store, STATES[state]!, ms));
}

/** What the last commit did to a node, or to some of a closed scope. */
function changeOf(box: Box, store: Store): string {
  if (store.nodes[box.members[0]!]!.stale !== undefined && box.node >= 0) {
    return "stale";
  }
  const found = store.changesSeen ? [] : box.members.flatMap((node) => store.nodes[node]!.change ?? []);
  const all = found.length === box.members.length && found.every((each) => each === found[0]);
  return found.length === 0 ? "" : all ? found[0]! : "changed";
}

/** How much an edit changed a value, from 0 to 1, by the logarithm: a tenth of a percent shows, twice as much is full. */
function glowOf(box: Box, store: Store, { ran }: Scale): number {
  let most = 0;
  for (const node of box.members) {
    if (ran.has(node)) {
      const changes = store.nodes[node]!.outputs.map((_, output) => store.value({ node, output })?.change ?? 0);
      const change = Math.max(...changes, 0);
      most = Math.max(most, change > 0 ? Math.min(1, Math.max(0.12, 1 + Math.log10(change) / 4)) : 0.05);
    }
  }
  return most;
}

function pairs(store: Store, node: number): boolean {
  const chosen = store.nodes[store.selected!];
  return store.nodes[node]!.forward === store.selected || chosen?.forward === node;
}

function stateOf(states: readonly number[]): number {
  if (states.length === 1) {
    return states[0]!;
  }
  const least = Math.min(...states);
  return least >= 3 ? least : states.includes(2) ? 2 : Math.max(...states) > 0 ? 1 : 0;
}

function sum(box: Box, column: Float64Array): number {
  let total = NaN;
  for (const node of box.members) {
    const value = column[node]!;
    if (!Number.isNaN(value)) {
      total = Number.isNaN(total) ? value : total + value;
    }
  }
  return total;
}

function spoken(box: Box, store: Store, state: string, ms: string): string {
  if (box.scope) {
    return `scope ${box.scope.path}, ${box.members.length} nodes, closed, ${state}`;
  }
  const node = store.nodes[box.node]!;
  const stale = node.stale ? `stale: ${node.stale}` : "";
  return [node.name, node.op, specs(node), state, ms, stale].filter(Boolean).join(", ");
}

// ------------------------------------------------------------------------------------------------ colours

interface Scale {
  colour: Colour;
  devices: string[];
  most: number;
  least: number;
  /** Nodes that ran again after an edit. */
  ran: ReadonlySet<number>;
}

/** What the colours of the mode run over. */
function scaleOf(store: Store): Scale {
  const column = store.colour === "time" ? store.time : store.bytes;
  let most = 0;
  for (const value of column) {
    most = value > most ? value : most;
  }
  const scale: Scale = { colour: store.colour, devices: devicesOf(store), most, least: 0, ran: new Set(store.edited?.nodes) };
  if (store.colour === "gradient") {
    const norms = store.nodes.flatMap((_, node) => norm(store, node) ?? []).map(Math.log10);
    scale.least = Math.min(...norms);
    scale.most = Math.max(...norms);
  }
  return scale;
}

export function devicesOf(store: Store): string[] {
  return [...new Set(store.device.filter((each) => each !== undefined))].sort() as string[];
}

function tint(box: Box, store: Store, scale: Scale): string {
  const mix = (color: string, share: number): string =>
    `color-mix(in srgb,var(--fb-${color}) ${Math.round(share * 100)}%,var(--fb-bg))`;
  switch (scale.colour) {
    case "state":
      return "";
    case "device": {
      const device = store.device[box.members[0]!];
      return device === undefined ? "var(--fb-bg)" : mix(`d${scale.devices.indexOf(device) % 4}`, 0.22);
    }
    case "time":
    case "memory": {
      const value = sum(box, scale.colour === "time" ? store.time : store.bytes);
      const share = Math.min(1, Math.sqrt((Number.isNaN(value) ? 0 : value) / (scale.most || 1)));
      return mix(scale.colour === "time" ? "heat" : "mem", 0.03 + 0.5 * share);
    }
    case "gradient": {
      const found = box.members.flatMap((node) => norm(store, node) ?? []);
      if (!found.length) {
        return "var(--fb-bg)";
      }
      const share = (Math.log10(Math.max(...found)) - scale.least) / (scale.most - scale.least || 1);
      return mix("grad", 0.06 + 0.44 * share);
    }
  }
}

/** The norm of the gradient with respect to a node's first output, where it is known and not zero. */
export function norm(store: Store, node: number, output = 0): number | null {
  const value = store.value(store.nodes[node]?.gradients?.[output]);
  const found = value?.statistics.norm;
  return found ? found : null;
}

// ------------------------------------------------------------------------------------------------ edges

function paintLines(canvas: Canvas, store: Store, marks: Marks): void {
  for (const line of canvas.lines) {
    const { edge, path, river } = line;
    const flown = edge.tensors.some((each) => store.produced(each.node));
    path.classList.toggle("fb-flown", flown);
    const both = edge.source.members.some((node) => marks.reached.has(node)) && edge.target.members.some((node) => marks.reached.has(node));
    path.classList.toggle("fb-lit", both);
    const flows = store.river && !edge.target.serves && edge.target.members.some((node) => store.ruled.has(node));
    const width = flows ? riverWidth(store, edge.tensors) : 0;
    if (width !== line.width) {
      line.width = width;
      river.style.strokeWidth = `${width}px`;
      river.style.display = width ? "" : "none";
    }
  }
}

/** Edge width by the logarithm of the gradient's norm: 1 px for 1e-6 and less, 11 px for 10 and more. */
function riverWidth(store: Store, tensors: readonly { node: number; output: number }[]): number {
  let most = 0;
  for (const each of tensors) {
    const gradient = store.nodes[each.node]?.gradients?.[each.output];
    if (gradient && store.produced(gradient.node)) {
      most = Math.max(most, norm(store, each.node, each.output) ?? 0);
    }
  }
  return most ? Math.min(11, Math.max(1, 1 + ((Math.log10(most) + 6) / 7) * 10)) : 0;
}

function paintLabels(canvas: Canvas, store: Store): void {
  for (const [key, label] of canvas.labels) {
    const box = canvas.cards.get(key)!.box;
    const node = box.members.at(-1)!;
    const outputs = box.node >= 0 ? store.nodes[node]!.outputs : [];
    const value = outputs.length ? store.value({ node, output: 0 }) : undefined;
    const shown = value && store.produced(node) ? value.text : outputs[0] ? specText(outputs[0]) : "";
    const produced = value !== undefined && store.produced(node);
    label.classList.toggle("fb-value", produced);
    const font = produced ? FONTS.number : FONTS.small;
    setText(label, fit(shown.replaceAll("-", "−"), store.readers[node]!.length ? 76 : 110, font));
  }
}

function setText(element: SVGTextElement, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** What the colours mean now: pairs of a CSS colour and a text. */
export function legend(store: Store): [string, string][] {
  const kinds: [string, string][] = (["placeholder", "variable", "constant", "copy", "write"] as const)
    .filter((kind) => store.nodes.some((node) => node.kind === kind))
    .map((kind) => [`var(--fb-${kind})`, kind]);
  if (store.edited) {
    kinds.push(["var(--fb-glow)", "changed by the edit"]);
  }
  const gradients = store.nodes.some((node) => node.gradients);
  if (gradients) {
    kinds.push(["var(--fb-grad)", store.river ? "gradient, width ~ log ‖∂L‖" : "gradient"]);
  }
  switch (store.colour) {
    case "state":
      return kinds;
    case "device":
      return devicesOf(store).map((each, index) => [`var(--fb-d${index % 4})`, each]);
    case "time":
      return [["var(--fb-heat)", `time, up to ${milliseconds(scaleOf(store).most)}`]];
    case "memory":
      return [["var(--fb-mem)", `bytes of outputs, up to ${number(scaleOf(store).most)}`]];
    case "gradient": {
      const { least, most } = scaleOf(store);
      const range = Number.isFinite(least) ? `1e${least.toFixed(1)} to 1e${most.toFixed(1)}` : "none was computed";
      return [["var(--fb-grad)", `size of gradient: ${range}`.replaceAll("e-", "e−")]];
    }
  }
}

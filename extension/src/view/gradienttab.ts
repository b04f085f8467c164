/** The gradient of a node: its formula with this step's numbers, what flows in and out, and what its rule made. */

import { backwardOf, type Contribution, type Expression, forwardOf, partsOf, short, withNumbers } from "../model/expression";
import { number, specs } from "../model/format";
import type { Store } from "../model/store";
import type { GraphNode, Ref, ToKernel } from "../protocol";
import { reader } from "./array";
import { button, h } from "./dom";
import { links, note } from "./links";
import { math } from "./math";

export interface Asks {
  reveal(node: number): void;
  send(message: ToKernel): void;
}

export function gradientTab(store: Store, index: number, asks: Asks): HTMLElement[] {
  const node = store.nodes[index]!;
  const gradient = node.gradients?.find((each) => each) ?? null;
  const parts: HTMLElement[] = [];
  const link = (ref: Ref, name = store.nodes[ref.node]!.name): HTMLElement => links(store, [[ref.node, norm(store, ref), name]], asks.reveal);
  if (gradient) {
    parts.push(h("h4", {}, `arrives: ∂L/∂${short(node.name)}`));
    const sum = partsOf(store.nodes, gradient);
    if (sum.length > 1) {
      parts.push(note(`A sum: ${short(node.name)} is read ${sum.length} times, and each reader sends its share.`));
      parts.push(links(store, [...sum.map((each): [number, string, string] => [each.node, norm(store, each), `from ${readerOf(store, each)}`]), [gradient.node, norm(store, gradient), "together"]], asks.reveal));
    } else {
      parts.push(link(gradient));
    }
  }
  const forward = node.inputs.length > 0 && node.kind === "op";
  const contributions = backwardOf(store.nodes, index);
  if (forward && (gradient || node.forward !== undefined)) {
    parts.push(h("div", { class: "fb-formula" }, math(named(node, index), "=", forwardOf(store.nodes, index))));
  }
  for (const each of contributions) {
    parts.push(formula(store, each));
  }
  if (contributions.length) {
    const told = contributions.map((each): [number, string, string] => [each.input.node, norm(store, each.result), `to ${store.nodes[each.input.node]!.name}`]);
    parts.push(h("h4", {}, "flows on"), links(store, told, asks.reveal));
  }
  const rule = store.nodes.flatMap((each, place): [number, string][] => (each.forward === index ? [[place, specs(each)]] : []));
  if (rule.length) {
    parts.push(check(store, index, asks), h("h4", {}, `its rule made ${rule.length === 1 ? "this node" : `these ${rule.length} nodes`}`), links(store, rule, asks.reveal));
  }
  if (node.forward !== undefined) {
    parts.push(h("h4", {}, "made by the rule of"), links(store, [[node.forward, store.nodes[node.forward]!.op]], asks.reveal));
  }
  return parts.length ? parts : [note("No gradient of this run goes through it.")];
}

function named(node: GraphNode, index: number): Expression {
  return { kind: "name", ref: { node: index, output: 0 }, text: short(node.name) };
}

/** The node whose rule made a share; that of a sum is its own. */
function readerOf(store: Store, part: Ref): string {
  const forward = store.nodes[part.node]!.forward;
  return forward === undefined ? store.nodes[part.node]!.name : store.nodes[forward]!.name;
}

function norm(store: Store, ref: Ref): string {
  const found = store.produced(ref.node) ? store.value(ref)?.statistics.norm : undefined;
  return found === undefined ? "" : `‖·‖ ${number(found, 3)}`;
}

function formula(store: Store, each: Contribution): HTMLElement {
  const of: Expression = { kind: "derivative", ref: each.result, of: short(store.nodes[each.input.node]!.name) };
  return h("div", { class: "fb-formula" }, math(of, "=", each.formula), ...numbers(store, each));
}

/** The formula once more at the element where the result is largest; else how large what goes in and out is. */
function numbers(store: Store, each: Contribution): HTMLElement[] {
  const value = store.produced(each.result.node) ? store.value(each.result) : undefined;
  const sample = value?.sample;
  if (!value || !sample) {
    return [note("Not computed yet: step on, or press r.")];
  }
  let largest = 0;
  sample.data.forEach((one, place) => {
    largest = Math.abs(one) > Math.abs(sample.data[largest]!) ? place : largest;
  });
  const index = sample.every === undefined ? unravel(largest, sample.shape).map((place, axis) => sample.starts[axis]! + place * sample.strides[axis]!) : null;
  const at = (ref: Ref): number | null => {
    const found = store.value(ref);
    const fits = found && index && (found.shape.length === 0 || String(found.shape) === String(value.shape));
    const element = fits ? reader(found, store.partsOf(ref))(found.shape.length ? index : []) : null;
    return element?.exact ? element.value : null;
  };
  const filled = withNumbers(each.formula, at, (one) => number(one, 3));
  if (!filled || filled.kind === "number" || !index) {
    return [note(`here ${sizes(store, each.formula).join(", ")} → ‖·‖ ${number(value.statistics.norm, 3)}`)];
  }
  const where = index.length ? `at [${index.join(", ")}], where it is largest` : "here";
  return [note(where), math(filled, "=", { kind: "number", text: number(sample.data[largest], 3) })];
}

/** How large each tensor of a formula is. */
function sizes(store: Store, expression: Expression): string[] {
  const found = new Map<string, string>();
  const visit = (each: Expression): void => {
    if (each.kind === "call") {
      each.operands.forEach(visit);
    } else if (each.kind !== "number" && each.ref) {
      const size = store.value(each.ref)?.statistics.norm;
      found.set(each.kind === "derivative" ? `∂L/∂${each.of}` : each.text, number(size, 3));
    }
  };
  visit(expression);
  return [...found].map(([name, size]) => `‖${name}‖ ${size}`);
}

function unravel(place: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    index[axis] = place % shape[axis]!;
    place = Math.floor(place / shape[axis]!);
  }
  return index;
}

/** Analytic against numeric, at the values of this run. */
function check(store: Store, index: number, asks: Asks): HTMLElement {
  const found = store.checked.get(index);
  const ask = button("Check this node's gradient", "check this node", () => asks.send({ type: "check_gradient", node: index }), { class: "fb-inline" });
  ask.disabled = !store.live;
  const words = found
    ? h("span", { class: found.passed ? "fb-good" : "fb-wrong" }, found.text)
    : store.live
      ? "the derivative of its rule against finite differences, at the values of this run"
      : "needs a kernel: this is a recording";
  return h("div", { class: "fb-check" }, ask, " ", words);
}

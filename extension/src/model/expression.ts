/**
 * What a node computes, and what its gradient rule does, as expressions.
 *
 * A rule builds nodes; put into one another they are the formula of the derivative: dy * (1 − y * y).
 */

import type { GraphNode, Ref } from "../protocol";

export type Expression =
  | { kind: "name"; ref: Ref | null; text: string }
  /** The derivative of the loss with respect to a tensor. */
  | { kind: "derivative"; ref: Ref; of: string }
  | { kind: "number"; text: string }
  | { kind: "call"; op: string; operands: Expression[]; attributes: string[]; ref: Ref };

/** The formula goes no deeper than a reader would. */
const DEEPEST = 9;

/** What node `index` computes of its inputs. */
export function forwardOf(nodes: readonly GraphNode[], index: number): Expression {
  return call(nodes, { node: index, output: 0 }, (input) => leaf(nodes, input));
}

/** What one of its inputs contributes to the derivative with respect to it; `null` when nothing flows there. */
export interface Contribution {
  input: Ref;
  /** The tensor that holds it. */
  result: Ref;
  formula: Expression;
}

/** What the rule of node `index` gives for each input that a gradient flows to. */
export function backwardOf(nodes: readonly GraphNode[], index: number): Contribution[] {
  const node = nodes[index]!;
  const seen = new Set<string>();
  return refs(node).flatMap((input) => {
    const key = `${input.node}:${input.output}`;
    const result = seen.has(key) ? null : contribution(nodes, index, input);
    seen.add(key);
    return result ? [{ input, result, formula: derive(nodes, index, result, 0) }] : [];
  });
}

/** The parts that are added where a tensor is read by several nodes: each with the node whose rule made it. */
export function partsOf(nodes: readonly GraphNode[], gradient: Ref): Ref[] {
  const node = nodes[gradient.node]!;
  return isSum(nodes, gradient.node) ? refs(node).flatMap((each) => partsOf(nodes, each)) : [gradient];
}

function contribution(nodes: readonly GraphNode[], index: number, input: Ref): Ref | null {
  const gradient = nodes[input.node]!.gradients?.[input.output];
  const own = nodes[index]!.gradients?.[0];
  if (!gradient) {
    return null;
  }
  const parts = partsOf(nodes, gradient);
  const made = parts.find((each) => nodes[each.node]!.forward === index && !isSum(nodes, each.node));
  // A rule that passes the derivative on as it is makes no node.
  return made ?? parts.find((each) => own && each.node === own.node && each.output === own.output) ?? null;
}

/** A sum at a fan-out: made for the tensor itself, of what the rules of its readers gave. */
function isSum(nodes: readonly GraphNode[], index: number): boolean {
  const node = nodes[index]!;
  return node.op === "add" && node.forward !== undefined && refs(node).length === 2 && refs(node).every((each) => foreign(nodes, each.node, node.forward!));
}

function foreign(nodes: readonly GraphNode[], index: number, forward: number): boolean {
  const node = nodes[index]!;
  return node.forward !== undefined && (node.forward !== forward || isSum(nodes, index));
}

function derive(nodes: readonly GraphNode[], index: number, ref: Ref, depth: number): Expression {
  const own = nodes[index]!;
  const output = own.gradients?.findIndex((each) => each?.node === ref.node && each.output === ref.output) ?? -1;
  if (output >= 0) {
    return { kind: "derivative", ref, of: short(own.name) };
  }
  const node = nodes[ref.node]!;
  if (node.forward !== index || node.inputs.length === 0 || depth >= DEEPEST) {
    return leaf(nodes, ref);
  }
  return call(nodes, ref, (input) => derive(nodes, index, input, depth + 1));
}

function call(nodes: readonly GraphNode[], ref: Ref, operand: (input: Ref) => Expression): Expression {
  const node = nodes[ref.node]!;
  const operands = node.inputs.flatMap((each): Expression[] =>
    each === null ? [] : typeof each === "string" ? [{ kind: "number", text: each }] : [operand(each)],
  );
  return { kind: "call", op: node.op, operands, attributes: attributesOf(node), ref };
}

function leaf(nodes: readonly GraphNode[], ref: Ref): Expression {
  return { kind: "name", ref, text: short(nodes[ref.node]!.name) };
}

/** `axis=1` and the like, from the line of Python. */
function attributesOf(node: GraphNode): string[] {
  return [...(node.formula ?? "").matchAll(/[(,] ?(\w+=(?:\([^()]*\)|[^,()]+))/g)].map((found) => found[1]!);
}

function refs(node: GraphNode): Ref[] {
  return node.inputs.filter((each): each is Ref => each !== null && typeof each === "object");
}

export function short(name: string): string {
  return name.split("/").at(-1)!;
}

/** An expression in one line, as a screen reader says it. */
export function spoken(expression: Expression): string {
  switch (expression.kind) {
    case "name":
    case "number":
      return expression.text;
    case "derivative":
      return `∂L/∂${expression.of}`;
    case "call": {
      const parts = expression.operands.map(spoken);
      return `${expression.op}(${[...parts, ...expression.attributes].join(", ")})`;
    }
  }
}

/** Element by element: an element of the result is computed from the same elements of the operands. */
const ELEMENTWISE: Record<string, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  power: (a, b) => a ** b,
  negative: (a) => -a,
  square: (a) => a * a,
  sqrt: Math.sqrt,
  exp: Math.exp,
  log: Math.log,
  tanh: Math.tanh,
  sin: Math.sin,
  cos: Math.cos,
  reciprocal: (a) => 1 / a,
  sigmoid: (a) => 1 / (1 + Math.exp(-a)),
  relu: (a) => Math.max(0, a),
  greater: (a, b) => Number(a > b),
  less: (a, b) => Number(a < b),
  identity: (a) => a,
  astype: (a) => a,
};

/**
 * The expression with numbers in place of names, at one element; `null` unless it is computed element by element.
 * `value` gives a tensor's element.
 */
export function withNumbers(expression: Expression, value: (ref: Ref) => number | null, text: (value: number) => string): Expression | null {
  switch (expression.kind) {
    case "number":
      return expression;
    case "name":
    case "derivative": {
      const found = expression.ref && value(expression.ref);
      return found === null ? null : { kind: "number", text: text(found) };
    }
    case "call": {
      const operands = expression.op in ELEMENTWISE ? expression.operands.map((each) => withNumbers(each, value, text)) : [null];
      return operands.every((each) => each !== null) ? { ...expression, operands: operands as Expression[] } : null;
    }
  }
}

/** The nodes of a trace as a view wants them: `describe_trace` of flowbook/notebook/describe.py, without a graph. */

import { WRITES, type GraphNode, type Ref } from "../protocol";
import { pair } from "./pairs";
import type { NodeInfo } from "./tracedata";

const KINDS: ReadonlyMap<string, GraphNode["kind"]> = new Map(
  (["placeholder", "variable", "constant", "copy"] as const).map((each) => [each, each]),
);
const ANYWHERE = -2; // in whatever body
const OUTSIDE = -1;
const LONGEST = 2 ** 14; // characters of a name
const LONGEST_TOGETHER = 2 ** 27; // of the names of all outputs

/** Numbered as in the trace. */
export function describeTrace(infos: readonly NodeInfo[]): GraphNode[] {
  const length = infos.reduce((sum, { name, outputs }) => sum + name.length * outputs.length, 0);
  if (length > LONGEST_TOGETHER || infos.some(({ name }) => name.length > LONGEST)) {
    throw new Error("not a trace that can be shown: its nodes have names that are too long");
  }
  const names = new Map<string, Ref>();
  infos.forEach((info, node) => {
    for (let output = 0; output < info.outputs.length; output += 1) {
      const name = output === 0 ? info.name : `${info.name}:${output}`;
      names.set(within(info.parent, name), { node, output }).set(within(ANYWHERE, name), { node, output });
    }
  });
  const steps = new Map(infos.map((info, index) => [within(info.parent, info.name), index]));
  const nodes = infos.map((info) => describe(info, names, steps));
  pair(nodes);
  return nodes;
}

function describe(info: NodeInfo, names: ReadonlyMap<string, Ref>, steps: ReadonlyMap<string, number>): GraphNode {
  const { name, op, parent } = info;
  const node: GraphNode = {
    name,
    op,
    kind: info.kind === "step" ? kindOf(op) : info.kind === "feed" ? "placeholder" : (KINDS.get(info.kind) ?? "op"),
    outputs: info.outputs.map(([dtype, shape]) => ({ dtype, shape })),
    inputs: info.inputs.map((each) => (each === null ? null : named(each, parent, names))),
    device: info.device,
  };
  const read = new Set(node.inputs.map((each) => (typeof each === "object" ? each?.node : undefined)));
  const controls = info.waits.filter((each) => !read.has(each));
  if (controls.length) {
    node.controls = controls;
  }
  const forward = info.forward ? (steps.get(within(parent, info.forward)) ?? steps.get(within(OUTSIDE, info.forward))) : undefined;
  if (forward !== undefined) {
    node.forward = forward;
  }
  if (parent >= 0) {
    node.parent = parent;
  }
  if (info.cell !== null) {
    node.cell = info.cell;
  }
  if (info.line !== null) {
    node.line = info.line;
  }
  const scope = scopeOf(name, info.forward);
  if (scope) {
    node.scope = scope.split("/");
  }
  return node;
}

function named(name: string, parent: number, names: ReadonlyMap<string, Ref>): Ref | string {
  const found = names.get(within(parent, name)) ?? names.get(within(OUTSIDE, name)) ?? names.get(within(ANYWHERE, name));
  return found ? { ...found } : name;
}

function within(parent: number, name: string): string {
  return `${parent} ${name}`;
}

function kindOf(op: string): GraphNode["kind"] {
  return KINDS.get(op) ?? (WRITES.includes(op) ? "write" : "op");
}

/** The scope to draw. Inside a derivation only its own count: the deeper ones repeat the names of the forward nodes. */
function scopeOf(name: string, forward: string | null): string {
  const scope = name.slice(0, Math.max(0, name.lastIndexOf("/")));
  if (forward === null) {
    return scope;
  }
  const before = `${scope}/`.lastIndexOf(`/${forward}/`);
  if (before >= 0) {
    return scope.slice(0, before);
  }
  const word = "gradients";
  return scope.split("/").includes(word) ? scope.slice(0, scope.indexOf(word) + word.length) : scope;
}

/** What is to be seen of a graph: one box for each node or closed scope, and the edges between boxes. */

import type { GraphNode, Ref } from "../protocol";
import type { Scope, ScopeTree } from "./scopes";

export interface Box {
  key: string;
  /** The node, or −1 for a closed scope. */
  node: number;
  scope: Scope | null;
  /** The scope drawn around it. */
  around: Scope;
  /** All nodes it stands for. */
  members: number[];
  /** Made by gradient rules: drawn below the forward nodes, and flows from right to left. */
  backward: boolean;
  /** Some of it is: gradients and what they are for. */
  serves: boolean;
}

export interface Edge {
  key: string;
  source: Box;
  target: Box;
  /** The tensors that flow along it; none: the target only waits. */
  tensors: Ref[];
  backward: boolean;
}

export interface Outline {
  tree: ScopeTree;
  boxes: Box[];
  edges: Edge[];
  /** Open scopes with something in them, outer ones first. */
  scopes: Scope[];
  /** The box that shows each node. */
  place: Box[];
  /** The same for the same structure: what a layout depends on. */
  structure: string;
}

export function outline(tree: ScopeTree, open: ReadonlySet<Scope>): Outline {
  const { nodes } = tree;
  const boxes: Box[] = [];
  const place: Box[] = new Array(nodes.length);
  const scopes: Scope[] = [];
  const visit = (scope: Scope): void => {
    if (scope !== tree.root) {
      scopes.push(scope);
    }
    for (const node of scope.nodes) {
      const backward = isBackward(nodes[node]!);
      const box = { key: `n${node}`, node, scope: null, around: scope, members: [node], backward, serves: backward };
      place[node] = box;
      boxes.push(box);
    }
    for (const child of scope.scopes) {
      if (open.has(child)) {
        visit(child);
      } else {
        const members = tree.inside(child);
        const backward = members.every((each) => isBackward(nodes[each]!));
        const serves = members.some((each) => isBackward(nodes[each]!));
        const box = { key: `s${child.id}`, node: -1, scope: child, around: scope, members, backward, serves };
        members.forEach((each) => (place[each] = box));
        boxes.push(box);
      }
    }
  };
  visit(tree.root);
  // In the order of the graph, whatever is open: so a picture changes little when a scope opens.
  boxes.sort((a, b) => (a.members[0] ?? 0) - (b.members[0] ?? 0));
  const edges = findEdges(nodes, place);
  return { tree, boxes, edges, scopes, place, structure: structure(boxes, edges, scopes) };
}

export function isBackward(node: GraphNode): boolean {
  return node.forward !== undefined || (node.scope?.at(-1) === "gradients" && node.op === "constant");
}

/** An edge that tells little: from the model into a closed scope of gradients and updates, which read all of it. */
export function quiet(edge: Edge): boolean {
  return edge.target.scope !== null && edge.target.serves && !edge.source.serves;
}

function findEdges(nodes: readonly GraphNode[], place: readonly Box[]): Edge[] {
  const found = new Map<string, Edge>();
  const seen = new Map<string, Set<number>>();
  const connect = (from: number, to: number, tensor: Ref | null): void => {
    const source = place[from];
    const target = place[to];
    if (!source || !target || source === target) {
      return;
    }
    const key = `${source.key}>${target.key}`;
    let edge = found.get(key);
    if (!edge) {
      edge = { key, source, target, tensors: [], backward: source.backward && target.backward };
      found.set(key, edge);
      seen.set(key, new Set());
    }
    const number = tensor ? tensor.node * 64 + tensor.output : -1;
    if (tensor && !seen.get(key)!.has(number)) {
      seen.get(key)!.add(number);
      edge.tensors.push(tensor);
    }
  };
  nodes.forEach((node, index) => {
    for (const input of node.inputs) {
      if (input !== null && typeof input === "object") {
        connect(input.node, index, input);
      }
    }
    node.controls?.forEach((each) => connect(each, index, null));
  });
  return [...found.values()];
}

function structure(boxes: readonly Box[], edges: readonly Edge[], scopes: readonly Scope[]): string {
  const parts = boxes.map((each) => `${each.key}@${each.around.id}${each.backward ? "b" : ""}`);
  return [...parts, ...edges.map((each) => each.key), ...scopes.map((each) => `c${each.id}`)].join(" ");
}

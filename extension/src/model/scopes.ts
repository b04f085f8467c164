/**
 * The tree of scopes, and which of them are open.
 *
 * A scope with very many children gets groups of neighbours between it and them, so that every box can be opened to
 * something that fits on a screen, also in a graph without any scopes.
 */

import type { GraphNode } from "../protocol";

export interface Scope {
  id: number;
  name: string;
  path: string;
  parent: Scope | null;
  scopes: Scope[];
  nodes: number[];
  /** Nodes in it, at any depth. */
  count: number;
  /** A group that no user named. */
  made: boolean;
  depth: number;
}

/** More children than this are grouped. */
export const CROWD = 120;

export class ScopeTree {
  readonly root: Scope = blank(0, "", "", null, false);
  readonly all: Scope[] = [this.root];
  /** The scope around each node. */
  readonly around: Scope[] = [];

  constructor(readonly nodes: readonly GraphNode[]) {
    const byPath = new Map<string, Scope>([["", this.root]]);
    let scope = this.root;
    nodes.forEach((node, index) => {
      // Neighbours mostly have one in common, and then it is one object (`codec.ts`).
      if (index === 0 || node.scope !== nodes[index - 1]!.scope) {
        scope = this.find(node.scope ?? [], byPath);
      }
      scope.nodes.push(index);
      for (let each: Scope | null = scope; each; each = each.parent) {
        each.count += 1;
      }
    });
    [...this.all].forEach((scope) => this.group(scope));
    for (const scope of this.all) {
      scope.nodes.forEach((node) => (this.around[node] = scope));
    }
  }

  private find(path: readonly string[], byPath: Map<string, Scope>): Scope {
    const key = path.join("/");
    const found = byPath.get(key);
    if (found) {
      return found;
    }
    const parent = this.find(path.slice(0, -1), byPath);
    const scope = blank(this.all.length, path[path.length - 1] ?? "", key, parent, false);
    parent.scopes.push(scope);
    this.all.push(scope);
    byPath.set(key, scope);
    return scope;
  }

  /** Put neighbours together until a scope has few enough children. */
  private group(scope: Scope): void {
    while (scope.nodes.length > CROWD) {
      const size = Math.max(2, Math.min(CROWD, Math.ceil(scope.nodes.length / CROWD)));
      const { nodes } = scope;
      scope.nodes = [];
      for (let start = 0; start < nodes.length; start += size) {
        const part = nodes.slice(start, start + size);
        const made = this.make(scope, this.label(part), part.length);
        made.nodes = part;
      }
    }
    while (scope.scopes.length > CROWD) {
      const size = Math.max(2, Math.min(CROWD, Math.ceil(scope.scopes.length / CROWD)));
      const { scopes } = scope;
      scope.scopes = [];
      for (let start = 0; start < scopes.length; start += size) {
        const part = scopes.slice(start, start + size);
        const count = part.reduce((sum, each) => sum + each.count, 0);
        const made = this.make(scope, `${part[0]!.name.split(" … ")[0]} … ${part.at(-1)!.name.split(" … ").at(-1)}`, count);
        made.scopes = part;
        part.forEach((each) => (each.parent = made));
      }
    }
    this.setDepths(scope);
  }

  private make(parent: Scope, name: string, count: number): Scope {
    const scope = blank(this.all.length, name, `${parent.path}#${this.all.length}`, parent, true);
    scope.count = count;
    parent.scopes.push(scope);
    this.all.push(scope);
    return scope;
  }

  private label(part: readonly number[]): string {
    const short = (node: number) => this.nodes[node]!.name.split("/").at(-1)!;
    return part.length === 1 ? short(part[0]!) : `${short(part[0]!)} … ${short(part.at(-1)!)}`;
  }

  private setDepths(scope: Scope): void {
    for (const each of scope.scopes) {
      each.depth = scope.depth + 1;
      this.setDepths(each);
    }
  }

  /**
   * Open scopes, the outermost and smallest first, while no more than `limit` boxes are to be seen. What serves the
   * model (gradients, updates, an optimizer's state) stays closed while there is anything else. With `focus`, a scope
   * opens only for a node of these; and gradients open, too, when these nodes do not train: somebody asked for them. `even`: all scopes of one depth, or none.
   */
  open(limit: number, focus: ReadonlySet<number> | null = null, even = false): Set<Scope> {
    const open = new Set<Scope>([this.root]);
    let boxes = children(this.root);
    const serves = this.serving();
    const wanted = focus && this.surrounding(focus);
    const asked = focus !== null && [...focus].every((node) => this.nodes[node]!.kind !== "write");
    const main = (each: Scope): boolean => (asked || !serves.has(each)) && (!wanted || wanted.has(each));
    const some = this.root.nodes.length > 0 || this.root.scopes.some(main);
    const opens = some ? main : () => true;
    const waiting = this.root.scopes.filter(opens);
    while (waiting.length) {
      waiting.sort((a, b) => a.depth - b.depth || children(a) - children(b) || a.id - b.id);
      const { depth } = waiting[0]!;
      const together = waiting.splice(0, even ? waiting.filter((each) => each.depth === depth).length : 1);
      const more = together.reduce((sum, scope) => sum + children(scope) - 1, 0);
      if (boxes + more <= limit) {
        together.forEach((scope) => open.add(scope));
        boxes += more;
        waiting.push(...together.flatMap((scope) => scope.scopes.filter(opens)));
      }
    }
    return open;
  }

  /** All scopes around these nodes. */
  private surrounding(nodes: ReadonlySet<number>): Set<Scope> {
    const found = new Set<Scope>();
    for (const node of nodes) {
      for (let each: Scope | null = this.around[node] ?? null; each; each = each.parent) {
        found.add(each);
      }
    }
    return found;
  }

  /** Scopes that compute nothing of the model itself: with backward nodes or writes in them, or only initial values. */
  private serving(): Set<Scope> {
    const found = new Set<Scope>();
    const computing = new Set<Scope>();
    const initial = this.initial();
    this.nodes.forEach((node, index) => {
      const serves = node.forward !== undefined || node.kind === "write";
      for (let each: Scope | null = this.around[index] ?? null; each; each = each.parent) {
        if (serves) {
          found.add(each);
        } else if (node.kind !== "variable" && node.kind !== "constant" && !initial[index]) {
          computing.add(each);
        }
      }
    });
    this.all.forEach((each) => computing.has(each) || found.add(each));
    return found;
  }

  /** 1 for each node that is there only to give variables their first values. */
  private initial(): Uint8Array {
    const found = new Uint8Array(this.nodes.length);
    const used = new Uint8Array(this.nodes.length);
    for (let index = this.nodes.length - 1; index >= 0; index -= 1) {
      const node = this.nodes[index]!;
      const initial = node.kind === "variable" || (found[index] && !used[index]);
      for (const input of node.inputs) {
        if (input !== null && typeof input === "object") {
          (initial ? found : used)[input.node] = 1;
        }
      }
    }
    return found.map((each, index) => (used[index] ? 0 : each));
  }

  /** The closed scope that hides a node, if one does. */
  hiding(node: number, open: ReadonlySet<Scope>): Scope | null {
    let found: Scope | null = null;
    for (let each: Scope | null = this.around[node] ?? null; each; each = each.parent) {
      if (!open.has(each)) {
        found = each;
      }
    }
    return found;
  }

  /** All nodes of a scope, at any depth. */
  inside(scope: Scope): number[] {
    return [...scope.nodes, ...scope.scopes.flatMap((each) => this.inside(each))];
  }
}

export function children(scope: Scope): number {
  return scope.nodes.length + scope.scopes.length;
}

function blank(id: number, name: string, path: string, parent: Scope | null, made: boolean): Scope {
  return { id, name, path, parent, scopes: [], nodes: [], count: 0, made, depth: parent ? parent.depth + 1 : 0 };
}

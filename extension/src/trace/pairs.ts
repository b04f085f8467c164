/** Which tensor holds the derivative of which: `_pair` of flowbook/notebook/describe.py, which has the reasons. */

import type { GraphNode, Ref, Spec } from "../protocol";

/** What is made out once of a rule or its consumer, so that the time is in proportion to the nodes and their inputs. */
class Pairing {
  /** The nodes of each node's gradient rule. */
  readonly rules = new Map<number, number[]>();
  /** Who reads a node: once for each of its tensors. */
  readonly readers = new Map<number, number[]>();
  private readonly contributions = new Map<number, Contribution>();
  /** For each output a number of its own for its dtype and shape. */
  private readonly specs: number[][];

  constructor(readonly nodes: readonly GraphNode[]) {
    const known = new Map<string, number>();
    this.specs = nodes.map(({ outputs }) => outputs.map((each) => numbered(known, JSON.stringify([each.dtype, each.shape]))));
    nodes.forEach((node, index) => {
      if (node.forward !== undefined) {
        push(this.rules, node.forward, index);
      }
      new Map(tensors(node).map((each) => [`${each.node}:${each.output}`, each])).forEach((each) => push(this.readers, each.node, index));
    });
  }

  contribution(consumer: number): Contribution {
    const found = this.contributions.get(consumer) ?? new Contribution(this, consumer);
    this.contributions.set(consumer, found);
    return found;
  }

  spec({ node, output }: Ref): number {
    return this.specs[node]![output] ?? -1;
  }
}

/** What a rule gives for the operands of its node. */
class Contribution {
  private readonly results = new Map<number, number[]>();
  private readonly places = new Map<string, number>();
  private readonly counts = new Map<number, number>();

  constructor(
    private readonly pairing: Pairing,
    consumer: number,
  ) {
    const { nodes, readers, rules } = pairing;
    const rule = rules.get(consumer)!;
    const made = new Set(rule);
    for (const each of rule) {
      const leaves = (readers.get(each) ?? []).some((reader) => !made.has(reader) || nodes[reader]!.op === "identity");
      if (nodes[each]!.outputs.length && nodes[each]!.op !== "identity" && leaves) {
        push(this.results, pairing.spec({ node: each, output: 0 }), each);
      }
    }
    for (const each of tensors(nodes[consumer]!)) {
      const spec = pairing.spec(each);
      const count = this.counts.get(spec) ?? 0;
      this.counts.set(spec, count + 1);
      const place = `${each.node} ${spec}`;
      this.places.has(place) || this.places.set(place, count);
    }
  }

  /** Among the results of this spec, the one in the operand's place. */
  of(index: number, spec: number): Ref | null {
    const results = this.results.get(spec);
    if (!results) {
      return null;
    }
    const first = this.pairing.spec({ node: index, output: 0 });
    const place = this.places.get(`${index} ${first}`);
    const rank = place !== undefined && results.length === this.counts.get(first) ? place : results.length - 1;
    return { node: results[rank]!, output: 0 };
  }
}

/** Say for each output which tensor is its derivative. */
export function pair(nodes: readonly GraphNode[]): void {
  const pairing = new Pairing(nodes);
  const { rules, readers } = pairing;
  if (!rules.size) {
    return;
  }
  nodes.forEach((node, index) => {
    if (rules.has(index) || readers.get(index)?.some((each) => rules.has(each))) {
      const derivative = derivatives(pairing, index);
      const found = node.outputs.map(derivative);
      if (found.some((each) => each !== null)) {
        node.gradients = found;
      }
    }
  });
}

function derivatives(pairing: Pairing, index: number): (output: Spec, place: number) => Ref | null {
  const { nodes, rules, readers } = pairing;
  const own = rules.get(index) ?? [];
  const scope = `/${nodes[index]!.name}/`;
  const inside = own.filter((each) => `/${nodes[each]!.name}`.includes(scope));
  const made = new Set(inside);
  const sums = new Map<number, Ref>();
  for (const each of own) {
    if (!made.has(each) && nodes[each]!.op === "add" && nodes[each]!.outputs.length) {
      sums.set(pairing.spec({ node: each, output: 0 }), { node: each, output: 0 });
    }
  }
  const reads = new Map<number, Ref>();
  for (const place of (inside.length ? inside : own).flatMap((each) => tensors(nodes[each]!))) {
    const spec = pairing.spec(place);
    if (!made.has(place.node) && nodes[place.node]!.forward !== undefined && !reads.has(spec)) {
      reads.set(spec, place);
    }
  }
  const consumers = (readers.get(index) ?? []).filter((each) => rules.has(each));
  const only = consumers.length === 1 ? pairing.contribution(consumers[0]!) : undefined;
  return ({ dtype }, output) => {
    if (!dtype.startsWith("float")) {
      return null;
    }
    const spec = pairing.spec({ node: index, output });
    const found = sums.get(spec) ?? reads.get(spec) ?? only?.of(index, spec);
    return found ? { ...found } : null;
  };
}

function tensors(node: GraphNode): Ref[] {
  return node.inputs.filter((each): each is Ref => typeof each === "object" && each !== null);
}

function numbered(known: Map<string, number>, text: string): number {
  const found = known.get(text) ?? known.size;
  known.set(text, found);
  return found;
}

function push(map: Map<number, number[]>, at: number, value: number): void {
  const found = map.get(at);
  found ? found.push(value) : map.set(at, [value]);
}

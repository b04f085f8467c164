/** Graphs and recordings for the tests. */

import type { GraphMessage, GraphNode, ToView } from "../src/protocol";
import { PROTOCOL } from "../src/protocol";

export function node(name: string, inputs: number[] = [], more: Partial<GraphNode> = {}): GraphNode {
  const scope = name.split("/").slice(0, -1);
  return {
    name,
    op: "tanh",
    kind: "op",
    outputs: [{ dtype: "float32", shape: [2, 3] }],
    inputs: inputs.map((each) => ({ node: each, output: 0 })),
    ...(scope.length ? { scope } : {}),
    ...more,
  };
}

export function message(nodes: GraphNode[]): GraphMessage {
  return { type: "graph", protocol: PROTOCOL, title: "t", live: false, nodes };
}

/** x → a/y → a/z → loss, and the backward nodes of z and y. */
export const NODES = [
  node("x", [], { kind: "placeholder" }),
  node("a/y", [0]),
  node("a/z", [1]),
  node("loss", [2]),
  node("gradients/dz", [2], { forward: 2 }),
  node("gradients/dy", [4, 1], { forward: 1 }),
];

/** Nodes 1 to 5 run one after the other; 1 is released when 2 has run. */
export function recording(): ToView[] {
  const rows: [number, number, number][] = [[1, 1, 0]];
  for (const each of [1, 2, 3, 4, 5]) {
    rows.push([2, each, each], [3, each, each + 0.5]);
    if (each === 2) {
      rows.push([4, 1, 2.5]);
    }
    if (each < 5) {
      rows.push([1, each + 1, each + 0.5]);
    }
  }
  return [
    message(NODES),
    { type: "run", run: 0, order: Int32Array.of(1, 2, 3, 4, 5), devices: Array(5).fill("cpu:0"), threads: ["main"], fetches: [], total: 6 },
    {
      type: "events",
      run: 0,
      first: 0,
      state: Uint8Array.from(rows, (row) => row[0]),
      node: Int32Array.from(rows, (row) => row[1]),
      seconds: Float64Array.from(rows, (row) => row[2]),
      bytes: new Float64Array(rows.length),
      thread: new Int32Array(rows.length),
    },
  ];
}

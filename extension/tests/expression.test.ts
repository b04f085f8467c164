import { describe, expect, it } from "vitest";
import { backwardOf, forwardOf, partsOf, spoken, withNumbers } from "../src/model/expression";
import { node } from "./graphs";

/** y = tanh(x), z = y * y twice read; the nodes that the rules of tanh and multiply make. */
const NODES = [
  node("x", [], { kind: "placeholder", gradients: [{ node: 9, output: 0 }] }),
  node("y", [0], { op: "tanh", gradients: [{ node: 6, output: 0 }] }),
  node("z", [1], { op: "multiply", gradients: [{ node: 3, output: 0 }] }),
  node("g/one", [], { op: "constant", kind: "constant", forward: 2 }),
  node("g/z/left", [3, 1], { op: "multiply", forward: 2 }),
  node("g/w/right", [3, 1], { op: "multiply", forward: 10 }),
  node("g/sum", [4, 5], { op: "add", forward: 1 }),
  node("g/y/square", [1, 1], { op: "multiply", forward: 1 }),
  { ...node("g/y/rest", [7], { op: "subtract", forward: 1 }), inputs: ["1", { node: 7, output: 0 }] },
  node("g/y/out", [6, 8], { op: "multiply", forward: 1 }),
  node("w", [1], { op: "exp", formula: "w = exp(y)" }),
  node("total", [10], { op: "sum", formula: "total = sum(w, axis=(0, 1), keepdims=True)" }),
];

describe("formulas", () => {
  it("put the nodes of a rule into one another", () => {
    const [only, ...more] = backwardOf(NODES, 1);
    expect(more).toEqual([]);
    expect(spoken(only!.formula)).toBe("multiply(∂L/∂y, subtract(1, multiply(y, y)))");
    expect([only!.input.node, only!.result.node]).toEqual([0, 9]);
  });

  it("say what a node computes, with its attributes", () => {
    expect(spoken(forwardOf(NODES, 1))).toBe("tanh(x)");
    expect(spoken(forwardOf(NODES, 11))).toBe("sum(w, axis=(0, 1), keepdims=True)");
  });

  it("find the shares of a sum, and which one a node sends", () => {
    expect(partsOf(NODES, { node: 6, output: 0 }).map((each) => each.node)).toEqual([4, 5]);
    expect(backwardOf(NODES, 2)[0]!.result.node).toBe(4);
    expect(partsOf(NODES, { node: 9, output: 0 }).map((each) => each.node)).toEqual([9]);
  });

  it("take numbers in place of names, where elements are computed from elements", () => {
    const values = new Map([[6, 0.5], [1, 0.25]]);
    const filled = withNumbers(backwardOf(NODES, 1)[0]!.formula, (ref) => values.get(ref.node) ?? null, String);
    expect(spoken(filled!)).toBe("multiply(0.5, subtract(1, multiply(0.25, 0.25)))");
    expect(withNumbers(forwardOf(NODES, 11), () => 1, String)).toBeNull();
    expect(withNumbers(forwardOf(NODES, 1), () => null, String)).toBeNull();
  });
});

import { describe, expect, it } from "vitest";
import { matches } from "../src/model/pattern";

describe("a pattern", () => {
  // What Python's fnmatchcase says of the same.
  it.each([
    ["layer1/*", "layer1/a/b", true],
    ["layer1/*", "layer2/a", false],
    ["a?c", "abc", true],
    ["a?c", "ac", false],
    ["[ab]x", "bx", true],
    ["[!ab]x", "bx", false],
    ["[!ab]x", "cx", true],
    ["w[*]", "w*", true],
    ["w[*]", "wx", false],
    ["w[[]1]", "w[1]", true],
    ["a.b", "axb", false],
    ["(x+", "(x+", true],
    ["op:log", "log", true],
  ])("%s of %s", (pattern, name, expected) => {
    expect(matches(pattern, name, "log")).toBe(expected || pattern === "op:log");
  });

  it("of operations is no pattern of names", () => {
    expect(matches("op:exp", "op:exp", "log")).toBe(false);
  });
});

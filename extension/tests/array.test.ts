import { describe, expect, it } from "vitest";
import { ordinal } from "../src/model/format";
import { described, indexOf, partOf } from "../src/view/array";

describe("parts of a value", () => {
  it("say which part of an axis they are", () => {
    expect(partOf({ start: 0, stride: 1, count: 32 }, 32, "rows")).toBe("");
    expect(partOf({ start: 0, stride: 1, count: 32 }, 4096, "rows")).toBe("rows 0 … 31 of 4,096");
    expect(partOf({ start: 7, stride: 7, count: 3 }, 30, "columns")).toBe("columns 7 … 21 of 30, every 7th");
    expect(partOf({ start: 0, stride: 2, count: 2 }, 4, "rows")).toBe("rows 0 … 2 of 4, every 2nd");
  });

  it("know the index of an element by its place", () => {
    expect(indexOf(0, [2, 3])).toEqual([0, 0]);
    expect(indexOf(5, [2, 3])).toEqual([1, 2]);
    expect(indexOf(23, [2, 3, 4])).toEqual([1, 2, 3]);
    expect(indexOf(0, [])).toEqual([]);
  });

  it("say how they were taken", () => {
    const data = new Float32Array(10);
    expect(described({ data, shape: [10], starts: [0], strides: [3], every: 3 }, [5, 6])).toMatch(/^10 of 30 elements, every 3rd;/);
    expect(described({ data, shape: [5, 2], starts: [0, 0], strides: [1, 2] }, [5, 4])).toBe("10 of 20 elements (all × every 2nd)");
  });
});

it("ordinals", () => {
  expect([1, 2, 3, 4, 11, 12, 13, 21, 112, 1003].map(ordinal)).toEqual([
    "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th", "1,003rd",
  ]);
});

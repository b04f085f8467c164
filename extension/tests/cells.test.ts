import { describe, expect, it } from "vitest";
import { cellName, findCell } from "../src/lab/cells";

const id = "0a1b2c3d-1111-2222-3333-444455556666";

describe("names of cells", () => {
  it("is what the magic says", () => {
    expect(cellName({ id, source: "%%flow --name net\nx = 1" })).toBe("net");
    expect(cellName({ id, source: "\n  %%flow --device cpu:0 --name 'two words' --quiet\nx" })).toBe("two words");
    expect(cellName({ id, source: '%%flow --name="a b"' })).toBe("a b");
  });
  it("is else the first part of the id, as the kernel shortens it", () => {
    expect(cellName({ id, source: "%%flow\nname = 1  # --name no" })).toBe("0a1b2c3d");
    expect(cellName({ id, source: "y = 1\n%%flow --name late" })).toBe("0a1b2c3d");
    expect(cellName({ id, source: "%%flowers --name no" })).toBe("0a1b2c3d");
    expect(cellName({ id: "my-own-id", source: "" })).toBe("my-own-id");
  });
  it("finds the last of two with one name", () => {
    const cells = [{ id: "a", source: "%%flow --name n" }, { id: "b", source: "%%flow --name n" }, { id: "c", source: "" }];
    expect(findCell(cells, "n")).toBe(1);
    expect(findCell(cells, "c")).toBe(2);
    expect(findCell(cells, "gone")).toBe(-1);
  });
});

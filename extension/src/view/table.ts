/** A window of exact numbers, in which the arrow keys walk, and cells can be changed. */

import type { Element, Range } from "./array";
import { placesOf } from "./array";
import { h } from "./dom";

export interface Cells {
  rows: Range;
  columns: Range;
  read(row: number, column: number): Element;
  /** What to write beside a row; its number, where there is nothing else to say. */
  label?: (row: number) => string;
  /** What to do with what was typed into a cell; none: cells cannot be changed. */
  edit: ((row: number, column: number, text: string) => void) | null;
}

export class Table {
  readonly root = h("div", { class: "fb-table" });
  private cells: Cells | null = null;
  private body: HTMLTableCellElement[][] = [];
  private typing = false;

  constructor() {
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("dblclick", (event) => this.type(event.target as HTMLElement));
  }

  draw(cells: Cells): void {
    if (this.typing) {
      return;
    }
    const label = cells.label ?? String;
    const focused = this.where(document.activeElement);
    this.cells = cells;
    const [rows, columns] = [placesOf(cells.rows), placesOf(cells.columns)];
    this.body = rows.map((row) =>
      columns.map((column) => {
        const { value, exact } = cells.read(row, column);
        const cell = h("td", { tabindex: -1, "aria-label": `${cells.label ? label(row) : `${row}, ${column}`}: ${exactText(value)}` }, exact ? exactText(value) : "…");
        cell.classList.toggle("fb-bad", exact && !Number.isFinite(value));
        return cell;
      }),
    );
    this.body[0]?.[0]?.setAttribute("tabindex", "0");
    const head = cells.label ? h("tr", {}, h("th", {}, "index"), h("th", {}, "value")) : h("tr", {}, h("th", {}), ...columns.map((each) => h("th", {}, String(each))));
    const lines = this.body.map((line, at) => h("tr", {}, h("th", {}, label(rows[at]!)), ...line));
    const { scrollLeft, scrollTop } = this.root;
    this.root.replaceChildren(h("table", { role: "grid", "aria-label": "numbers" }, head, ...lines));
    this.root.scrollTo(scrollLeft, scrollTop);
    if (focused) {
      this.body[focused.row]?.[focused.column]?.focus({ preventScroll: true });
    }
  }

  private where(element: unknown): { row: number; column: number } | null {
    for (const [row, line] of this.body.entries()) {
      const column = line.indexOf(element as HTMLTableCellElement);
      if (column >= 0) {
        return { row, column };
      }
    }
    return null;
  }

  private key(event: KeyboardEvent): void {
    const from = this.where(event.target);
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
    if (from && (down || right)) {
      this.body[from.row + down!]?.[from.column + right!]?.focus();
      event.preventDefault();
      event.stopPropagation();
    } else if (from && event.key === "Enter") {
      this.type(event.target as HTMLElement);
      event.preventDefault();
      event.stopPropagation();
    }
  }

  private type(cell: HTMLElement): void {
    const at = this.where(cell);
    const { cells } = this;
    if (!at || !cells?.edit || this.typing) {
      return;
    }
    const old = cell.textContent ?? "";
    const field = h("input", { type: "text", value: old.replace("−", "-"), "aria-label": "new value" });
    const end = (keep: boolean): void => {
      if (!this.typing) {
        return;
      }
      this.typing = false;
      const text = field.value.trim();
      cell.replaceChildren(old);
      cell.focus({ preventScroll: true });
      if (keep && text && text !== old.replace("−", "-")) {
        cells.edit!(cells.rows.start + cells.rows.stride * at.row, cells.columns.start + cells.columns.stride * at.column, text);
      }
    };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") {
        end(event.key === "Enter");
        event.preventDefault();
      }
    });
    field.addEventListener("blur", () => end(false));
    this.typing = true;
    cell.replaceChildren(field);
    field.select();
  }
}

/** A float32 with as many digits as tell it from its neighbours. */
function exactText(value: number): string {
  return Number.isNaN(value) ? "nan" : Number.isFinite(value) ? String(Number(value.toPrecision(9))).replace("-", "−") : value > 0 ? "inf" : "−inf";
}

/**
 * The cell and the graph are one: events on the view's root, for whoever has the cells.
 *
 * Out: `flowbook-select` with `{cell, line, name}`, when the reader asks for a node (not while stepping). In:
 * `flowbook-cursor` with `{cell, line}` or `null`, whose nodes light up; `flowbook-command` with `{type}`.
 */

import type { Store } from "../model/store";

export class CellLink {
  constructor(
    private readonly root: HTMLElement,
    private readonly store: Store,
    command: (type: string) => void,
  ) {
    root.addEventListener("flowbook-cursor", (event) => {
      this.light((event as CustomEvent<{ cell: string; line: number } | null>).detail);
      event.stopPropagation();
    });
    root.addEventListener("flowbook-command", (event) => {
      command((event as CustomEvent<{ type: string }>).detail.type);
      event.stopPropagation();
    });
  }

  /** The reader wants to see the cell of a node. */
  visit(node: number): void {
    const { cell, line, name } = this.store.nodes[node]!;
    if (cell !== undefined) {
      this.root.dispatchEvent(new CustomEvent("flowbook-select", { detail: { cell, line, name }, bubbles: true }));
    }
  }

  private light(at: { cell: string; line: number } | null): void {
    const { store } = this;
    const found = at ? store.nodes.flatMap((each, node) => (each.cell === at.cell && each.line === at.line ? [node] : [])) : [];
    store.lit = new Set(found);
    store.tell("lit");
  }
}

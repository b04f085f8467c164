/** What the last commit did to the graph, and what is stale since: a chip until it is dismissed. */

import { grouped, plural } from "../model/format";
import type { Store } from "../model/store";
import { button, h } from "./dom";

const LISTED = 40;

export class Changes {
  readonly root = h("div", { class: "fb-changes fb-over", hidden: true });
  private open = false;

  constructor(
    private readonly store: Store,
    private readonly reveal: (node: number) => void,
    private readonly changed: () => void,
  ) {
    store.on("graph", () => this.draw());
  }

  private draw(): void {
    const { store } = this;
    const groups = this.groups();
    const seen = store.changesSeen || groups.every(([, names]) => names.length === 0);
    this.root.hidden = seen;
    if (seen) {
      return;
    }
    const words = groups.filter(([, names]) => names.length).map(([kind, names]) => `${grouped(names.length)} ${kind}`);
    const toggle = button("What changed", words.join(" · "), () => this.toggle(), { "aria-expanded": String(this.open) });
    const close = button("Dismiss what changed", "✕", () => {
      store.changesSeen = true;
      this.draw();
      this.changed();
    });
    this.root.replaceChildren(h("div", { class: "fb-chip" }, toggle, close), this.open ? this.list(groups) : "");
  }

  private toggle(): void {
    this.open = !this.open;
    this.draw();
    this.root.querySelector("button")?.focus();
  }

  /** Of each kind: names, and the nodes of these names where they are still there. */
  private groups(): [string, [string, number][]][] {
    const { nodes, graph } = this.store;
    const of = (kind: string): [string, number][] => nodes.flatMap((each, at) => (each.change === kind ? [[each.name, at]] : []));
    const stale = nodes.flatMap((each, at): [string, number][] => (each.stale === undefined ? [] : [[each.name, at]]));
    const removed = (graph?.removed ?? []).map((name): [string, number] => [name, -1]);
    return [["added", of("added")], ["changed", of("changed")], ["rewired", of("rewired")], ["removed", removed], ["stale", stale]];
  }

  private list(groups: readonly [string, [string, number][]][]): HTMLElement {
    const rows = groups.flatMap(([kind, names]) => {
      const shown = names.slice(0, LISTED).map(([name, node]) => {
        const mark = h("i", { class: `fb-mark-${kind}` }, MARKS[kind] ?? "");
        return node < 0
          ? h("div", { class: "fb-link" }, mark, h("s", {}, name))
          : button(`${name}, ${kind}`, h("span", {}, mark, name), () => this.reveal(node), { class: "fb-link" });
      });
      const more = names.length > LISTED ? h("div", { class: "fb-note" }, `… and ${plural(names.length - LISTED, "more node")}`) : null;
      return more ? [...shown, more] : shown;
    });
    return h("div", { class: "fb-list" }, ...rows);
  }
}

/** How a change is marked, on a card and in the list. */
export const MARKS: Record<string, string> = { added: "+", changed: "~", rewired: "⇄", removed: "−", stale: "!" };

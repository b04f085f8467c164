/** What lights up: what a search finds, and all that a node depends on or that depends on it. */

import { reach, search } from "../model/search";
import type { Store } from "../model/store";
import type { Marks } from "./paint";

export class Finder {
  marks: Marks = { hits: new Set(), reached: new Set() };
  private hits: number[] = [];
  private hit = -1;

  constructor(
    private readonly store: Store,
    private readonly reveal: (node: number) => void,
    private readonly changed: () => void,
  ) {}

  get active(): boolean {
    return this.marks.hits.size + this.marks.reached.size > 0;
  }

  /** Find a text; with `way`, go to the next (1) or previous (−1) of what was found. Says which of how many. */
  find(text: string, way: number): string {
    const found = search(this.store.nodes, text);
    if (found === null) {
      return "no regex";
    }
    if (way === 0 || found.length !== this.hits.length) {
      this.hits = found;
      this.hit = -1;
    }
    this.mark({ hits: new Set(found) });
    if (way && found.length) {
      this.hit = this.hit < 0 && way < 0 ? found.length - 1 : (this.hit + way + found.length) % found.length;
      this.reveal(found[this.hit]!);
    }
    return text.trim() ? `${this.hit >= 0 ? `${this.hit + 1}/` : ""}${found.length}` : "";
  }

  /** All that the chosen node depends on (`up`), or that depends on it. */
  reach(up: boolean): void {
    const { store } = this;
    if (store.selected !== null) {
      const inputs = (node: number): number[] =>
        store.nodes[node]!.inputs.flatMap((each) => (each !== null && typeof each === "object" ? [each.node] : []));
      this.mark({ reached: reach(store.selected, up ? inputs : (node) => store.readers[node]!) });
    }
  }

  mark(marks: Partial<Marks>): void {
    this.marks = { ...this.marks, ...marks };
    this.changed();
  }
}

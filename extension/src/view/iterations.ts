/** A slider for each loop of the run: which iteration is shown. */

import { plural } from "../model/format";
import type { Store } from "../model/store";
import type { Iteration } from "../protocol";
import { h } from "./dom";

interface Row {
  root: HTMLElement;
  slider: HTMLInputElement;
  text: HTMLElement;
}

export class Iterations {
  readonly root = h("div", { class: "fb-iterations", hidden: true });
  /** Sliders stay the same while there is their loop, so that they can be dragged. */
  private readonly rows = new Map<number, Row>();

  constructor(
    private readonly store: Store,
    private readonly go: (node: number, index: number) => void,
  ) {
    store.on("states", () => this.update());
    store.on("graph", () => this.clear());
  }

  private clear(): void {
    this.rows.clear();
    this.root.replaceChildren();
    this.root.hidden = true;
  }

  private update(): void {
    const { iterations = [] } = this.store.status;
    const rows = iterations.map((each) => this.row(each));
    if (rows.length !== this.root.children.length || rows.some((each, index) => each !== this.root.children[index])) {
      this.root.replaceChildren(...rows);
    }
    this.root.hidden = rows.length === 0;
  }

  private row({ node, index, count }: Iteration): HTMLElement {
    const found = this.rows.get(node) ?? this.make(node);
    found.slider.max = String(count - 1);
    found.slider.value = String(index);
    found.slider.setAttribute("aria-valuetext", `iteration ${index + 1} of ${count}`);
    found.text.textContent = `${index + 1} / ${count}`;
    found.root.title = `${this.store.nodes[node]?.name ?? ""}: ${plural(count, "iteration")}`;
    return found.root;
  }

  private make(node: number): Row {
    const name = this.store.nodes[node]?.name ?? "loop";
    const slider = h("input", { type: "range", min: 0, step: 1, "aria-label": `iteration of ${name}` });
    slider.addEventListener("input", () => this.go(node, Number(slider.value)));
    const text = h("span");
    const root = h("div", { class: "fb-scrub" }, h("span", { class: "fb-mono" }, name), slider, text);
    const row = { root, slider, text };
    this.rows.set(node, row);
    return row;
  }
}

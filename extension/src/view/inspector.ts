/** The inspector at the right: one node, its value, its gradient, where it stands and where it comes from. */

import { bytes, milliseconds, number, plural, spec, specs } from "../model/format";
import type { Store } from "../model/store";
import type { GraphNode, Ref } from "../protocol";
import { button, fit, h } from "./dom";
import { devicesOf } from "./paint";
import { FONTS } from "./style";
import { type Places, valueView } from "./valueview";

const TABS = ["Value", "Gradient", "Node", "Source"] as const;
type Tab = (typeof TABS)[number];
/** Reserve room for the heading so that the tabs stay where they are. */
const MANY = 12;

export class Inspector {
  readonly root = h("aside", { class: "fb-side", "aria-label": "inspector" });
  private tab: Tab = "Value";
  private readonly places = new Map<string, Places>();

  constructor(
    private readonly store: Store,
    private readonly choose: (node: number) => void,
  ) {}

  /** Draw what is chosen. Who had the focus in here keeps it: at the tab, or at the view when there is none. */
  draw(): void {
    const focused = this.root.contains(document.activeElement);
    this.fill();
    if (focused && !this.root.contains(document.activeElement)) {
      const tab = this.root.querySelector<HTMLElement>("[aria-selected=true]");
      (tab ?? this.root.closest<HTMLElement>(".fb-view"))?.focus({ preventScroll: true });
    }
  }

  private fill(): void {
    const selected = this.store.selected ?? this.last();
    const node = selected === null ? undefined : this.store.nodes[selected];
    if (selected === null || !node) {
      this.root.replaceChildren(this.overview());
      return;
    }
    const scroll = this.root.querySelector(".fb-body")?.scrollTop ?? 0;
    const tabs = h("div", { class: "fb-tabs", role: "tablist" }, ...TABS.map((each) => this.tabButton(each)));
    const body = h("div", { class: "fb-body", role: "tabpanel", "aria-label": this.tab }, ...this.content(selected, node));
    this.root.replaceChildren(this.header(selected, node), tabs, body);
    body.scrollTop = scroll;
  }

  /** While nothing is chosen and the run is on its way: the node that has just run. */
  private last(): number | null {
    const { position, count } = this.store.status;
    return position > 0 && position < count ? (this.store.spans[position - 1]?.node ?? null) : null;
  }

  private tabButton(tab: Tab): HTMLElement {
    const show = (): void => {
      this.tab = tab;
      this.draw();
      this.root.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
    };
    return button(tab, tab, show, { role: "tab", "aria-selected": String(tab === this.tab) });
  }

  private overview(): HTMLElement {
    const { store } = this;
    const lines = [plural(store.nodes.length, "node")];
    if (store.run?.total !== undefined) {
      lines.push(`ran in ${milliseconds(store.run.total * 1000)}`);
    }
    const slow = store.nodes.map((_, index) => index).filter((each) => store.time[each]! > 0);
    slow.sort((a, b) => store.time[b]! - store.time[a]!);
    const list = slow.slice(0, 10).map((each) => this.link(each, milliseconds(store.time[each]!)));
    return h(
      "div",
      { class: "fb-body" },
      h("h3", {}, store.graph?.title || "graph"),
      h("div", { class: "fb-sub" }, lines.join(" · ")),
      list.length > 0 && h("h4", {}, "Slowest nodes"),
      h("div", { class: "fb-links" }, ...list),
      h("div", { class: "fb-note" }, "Click a node, or walk with the arrow keys. ? lists all keys."),
    );
  }

  private header(index: number, node: GraphNode): HTMLElement {
    const { store } = this;
    const device = store.device[index];
    const swatch = h("i");
    swatch.style.background = `var(--fb-d${Math.max(0, devicesOf(store).indexOf(device ?? "")) % 4})`;
    const time = store.time[index]!;
    const total = store.run?.total;
    const share = total ? ` (${number((time / 10 / total), 2)} %)` : "";
    const parts: (Node | string)[] = [`${node.op} · ${specs(node) || "no output"}`];
    if (device) {
      parts.push(" · ", swatch, device);
    }
    if (!Number.isNaN(time) && store.produced(index)) {
      parts.push(` · ${milliseconds(time)}${share}`);
    }
    if (node.cell) {
      parts.push(` · ${place(node)}`);
    }
    return h("header", {}, h("h3", {}, node.name), h("div", { class: "fb-sub" }, ...parts));
  }

  private content(index: number, node: GraphNode): (HTMLElement | null)[] {
    switch (this.tab) {
      case "Value":
        return this.value(index, node);
      case "Gradient":
        return this.gradient(index, node);
      case "Node":
        return this.about(index, node);
      case "Source":
        return this.source(node);
    }
  }

  private value(index: number, node: GraphNode): (HTMLElement | null)[] {
    if (!this.store.produced(index)) {
      return [note("It has no value yet: step on (]) until it has run, or press r to run to it.")];
    }
    const shown = node.outputs.flatMap((_, output) => {
      const parts = this.viewer({ node: index, output }, false);
      return node.outputs.length > 1 ? [h("h4", {}, `output ${output}`), ...parts] : parts;
    });
    const gradient = node.gradients?.[0];
    const beside = gradient && this.store.produced(gradient.node) ? this.viewer(gradient, true).slice(0, 3) : [];
    return [...shown, beside.length > 0 ? h("h4", {}, `∂/∂ ${node.name}`) : null, ...beside];
  }

  private viewer(ref: Ref, gradient: boolean): HTMLElement[] {
    const value = this.store.value(ref);
    if (!value) {
      return [note(this.store.nodes[ref.node]?.outputs.length ? "This value was not kept." : "It has no output.")];
    }
    const key = `${ref.node}:${ref.output}`;
    const places = this.places.get(key) ?? new Map<number, number>();
    this.places.set(key, places);
    return valueView(value, places, () => this.draw(), gradient);
  }

  private gradient(index: number, node: GraphNode): (HTMLElement | null)[] {
    const { store } = this;
    const parts: (HTMLElement | null)[] = [];
    const gradient = node.gradients?.[0];
    if (gradient) {
      parts.push(h("h4", {}, `∂/∂ ${node.name}`), h("div", { class: "fb-links" }, this.link(gradient.node, "is it")));
      parts.push(...(store.produced(gradient.node) ? this.viewer(gradient, true) : [note("Not computed yet: step on.")]));
    }
    const rule = store.nodes.flatMap((each, place) => (each.forward === index ? [place] : []));
    if (rule.length) {
      parts.push(h("h4", {}, `Built by the rule of ${node.op}`), this.links(rule));
    }
    if (node.forward !== undefined) {
      parts.push(h("h4", {}, "Made for"), this.links([node.forward]));
    }
    const parents = node.inputs.flatMap((each) => (each !== null && typeof each === "object" ? [each] : []));
    const norms = parents.filter((each) => store.nodes[each.node]?.gradients?.[each.output]);
    if (gradient && norms.length) {
      parts.push(h("h4", {}, "Flows on to"), h("div", { class: "fb-links" }, ...norms.map((each) => {
        const found = store.value(store.nodes[each.node]!.gradients![each.output]);
        return this.link(each.node, `‖∂‖ ${number(found?.statistics.norm, 3)}`);
      })));
    }
    return parts.length ? parts : [note("No gradient of this run goes through it.")];
  }

  private about(index: number, node: GraphNode): (HTMLElement | null)[] {
    const { store } = this;
    const operands = node.inputs.map((each) =>
      each !== null && typeof each === "object"
        ? this.link(each.node, spec(store.nodes[each.node]!.outputs[each.output]!))
        : h("div", { class: "fb-link" }, h("span", {}, each ?? "left out"), h("span", {}, each === null ? "" : "number")),
    );
    const readers = store.readers[index]!;
    const size = store.bytes[index]!;
    return [
      node.stale ? h("div", { class: "fb-quote" }, `Stale: ${node.stale}`) : null,
      node.doc ? h("div", { class: "fb-quote" }, node.doc) : null,
      Number.isNaN(size) ? null : note(`${bytes(size)} of outputs`),
      operands.length ? h("h4", {}, "Inputs") : null,
      operands.length ? h("div", { class: "fb-links" }, ...operands) : null,
      node.controls?.length ? h("h4", {}, "Waits for") : null,
      node.controls?.length ? this.links(node.controls) : null,
      readers.length ? h("h4", {}, `Read by ${plural(readers.length, "node")}`) : null,
      readers.length ? this.links(readers) : null,
    ];
  }

  private source(node: GraphNode): (HTMLElement | null)[] {
    if (!node.cell) {
      return [note("Where it was written is not known.")];
    }
    return [
      h("h4", {}, place(node)),
      node.code ? h("div", { class: "fb-quote fb-code" }, node.code) : note("The text of the line is not known."),
    ];
  }

  private links(nodes: readonly number[]): HTMLElement {
    const more = nodes.length > MANY ? note(`… and ${nodes.length - MANY} more`) : null;
    return h("div", { class: "fb-links" }, ...nodes.slice(0, MANY).map((each) => this.link(each, specs(this.store.nodes[each]!))), more);
  }

  private link(node: number, beside: string): HTMLElement {
    const { name } = this.store.nodes[node]!;
    const text = fit(name, 290 - 6.2 * beside.length, FONTS.link, true);
    const made = button(name, h("span", {}, text), () => this.choose(node), { class: "fb-link" });
    made.append(h("span", {}, beside));
    return made;
  }
}

function place(node: GraphNode): string {
  const line = node.line === undefined ? "" : `line ${node.line}`;
  return /\.py$/.test(node.cell!) ? `${node.cell!.split(/[\\/]/).at(-1)}, ${line}` : `cell ${node.cell}, ${line}`;
}

function note(text: string): HTMLElement {
  return h("div", { class: "fb-note" }, text);
}

/** The inspector at the right: one node, its value, its gradient, where it stands and where it comes from. */

import { bytes, milliseconds, number, plural, spec, specs } from "../model/format";
import { largest } from "../model/largest";
import type { Store } from "../model/store";
import type { GraphNode, Ref, ToKernel } from "../protocol";
import { button, h } from "./dom";
import { gradientTab } from "./gradienttab";
import { links, note } from "./links";
import { devicesOf } from "./paint";
import { ValueView } from "./valueview";

const TABS = ["Value", "Gradient", "Node", "Source"] as const;
type Tab = (typeof TABS)[number];

export interface Requests {
  reveal(node: number): void;
  send(message: ToKernel): void;
  /** Show the cell of a node. */
  visit(node: number): void;
  /** Whether it can be asked why a node's value is not finite. */
  explains(node: number): boolean;
}

export class Inspector {
  readonly root = h("aside", { class: "fb-side", "aria-label": "inspector" });
  private tab: Tab = "Value";
  private readonly body = h("div", { class: "fb-body", role: "tabpanel" });
  /** Viewers of the chosen node's tensors: they stay while it is chosen, so what was set in them stays, too. */
  private viewers = new Map<string, ValueView>();
  private viewed = "";
  private shown = -1;

  constructor(
    private readonly store: Store,
    private readonly asks: Requests,
  ) {}

  /** Draw what is chosen. Who had the focus in here keeps it: at the tab, or at the view when there is none. */
  draw(): void {
    const focused = this.root.contains(document.activeElement) ? (document.activeElement as HTMLElement) : null;
    this.fill();
    if (focused && !this.root.contains(document.activeElement)) {
      const again = this.root.contains(focused) ? focused : this.root.querySelector<HTMLElement>("[aria-selected=true]");
      (again ?? this.root.closest<HTMLElement>(".fb-view"))?.focus({ preventScroll: true });
    }
  }

  private fill(): void {
    const selected = this.store.selected ?? this.last();
    const node = selected === null ? undefined : this.store.nodes[selected];
    if (selected === null || !node) {
      this.root.replaceChildren(this.overview());
      return;
    }
    const tabs = h("div", { class: "fb-tabs", role: "tablist" }, ...TABS.map((each) => this.tabButton(each)));
    const { scrollTop } = this.body;
    const kept = this.body.isConnected ? this.body : null;
    this.body.setAttribute("aria-label", this.tab);
    this.show(this.content(selected, node));
    if (kept && this.root.childElementCount === 3) {
      this.root.firstElementChild!.replaceWith(this.header(selected, node));
      this.root.children[1]!.replaceWith(tabs);
    } else {
      this.root.replaceChildren(this.header(selected, node), tabs, this.body);
    }
    this.body.scrollTop = selected === this.shown ? scrollTop : 0;
    this.shown = selected;
  }

  /** Elements that are there already stay where they are, so that a slider can be dragged while values arrive. */
  private show(content: readonly HTMLElement[]): void {
    const now = [...this.body.children];
    if (now.length !== content.length || content.some((each, index) => each !== now[index])) {
      this.body.replaceChildren(...content);
    }
  }

  /** While nothing is chosen and the run is on its way: the node that has just run. */
  private last(): number | null {
    const { position, count } = this.store.status;
    return position > 0 && position < count ? (this.store.ranBefore(position)?.node ?? null) : null;
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
    const list = largest(store.time, 10).map((each): [number, string] => [each, milliseconds(store.time[each]!)]);
    return h(
      "div",
      { class: "fb-body" },
      h("h3", {}, store.graph?.title || "graph"),
      h("div", { class: "fb-sub" }, lines.join(" · ")),
      list.length > 0 && h("h4", {}, "Slowest nodes"),
      links(store, list, this.asks.reveal),
      note("Click a node, or walk with the arrow keys. ? lists all keys."),
    );
  }

  private header(index: number, node: GraphNode): HTMLElement {
    const { store, asks } = this;
    const device = store.device[index];
    const swatch = h("i");
    swatch.style.background = `var(--fb-d${Math.max(0, devicesOf(store).indexOf(device ?? "")) % 4})`;
    const parts: (Node | string)[] = [`${node.op} · ${specs(node) || "no output"}`];
    if (device) {
      parts.push(" · ", swatch, device);
    }
    parts.push(...this.timing(index));
    if (node.cell) {
      parts.push(" · ", button("Show the cell", place(node), () => asks.visit(index), { class: "fb-inline" }));
    }
    const acts = h("div", { class: "fb-acts" });
    if (store.bad.has(index) && store.produced(index) && asks.explains(index)) {
      acts.append(button("Why is it nan? (W)", "why?", () => asks.send({ type: "why", node: index }), { class: "fb-inline fb-why" }));
    }
    if (store.run && !store.ended) {
      acts.append(button("Run to here (R)", "run to here", () => asks.send({ type: "run_to", node: index }), { class: "fb-inline" }));
    }
    return h("header", {}, h("h3", {}, node.name), h("div", { class: "fb-sub" }, ...parts), acts);
  }

  /** Milliseconds (over several steps: the median, and half the spread) and the share of the run. */
  private timing(index: number): string[] {
    const { store } = this;
    const [time, spread] = [store.time[index]!, store.spread[index]!];
    if (Number.isNaN(time) || !store.produced(index)) {
      return [];
    }
    const median = Number.isNaN(spread) ? "" : ` ± ${milliseconds(spread)}, median of ${plural(store.steps, "step")}`;
    const total = Number.isNaN(spread) ? (store.run?.total ?? 0) * 1000 : store.time.reduce((sum, each) => sum + (each > 0 ? each : 0), 0);
    return [` · ${milliseconds(time)}${median}`, total ? ` (${number((100 * time) / total, 2)} %)` : ""];
  }

  private content(index: number, node: GraphNode): HTMLElement[] {
    switch (this.tab) {
      case "Value":
        return this.value(index, node);
      case "Gradient":
        return gradientTab(this.store, index, this.asks);
      case "Node":
        return this.about(index, node);
      case "Source":
        return this.source(node);
    }
  }

  private value(index: number, node: GraphNode): HTMLElement[] {
    if (!this.store.produced(index)) {
      this.viewed = "";
      const text = this.store.run ? "It has no value yet: step on (]) until it has run, or press r to run to it." : "It has no value yet: it has not run.";
      return [note(text)];
    }
    const gradient = node.gradients?.[0];
    const beside = gradient && this.store.produced(gradient.node) ? gradient : null;
    const viewed = `${this.store.run?.run} ${node.name} ${index} ${beside?.node}`;
    if (viewed !== this.viewed) {
      this.viewed = viewed;
      this.viewers.clear();
      this.headings.clear();
    }
    const shown = node.outputs.flatMap((_, output) => {
      const viewer = this.viewer({ node: index, output }, false);
      return node.outputs.length > 1 ? [this.heading(`output ${output}`), viewer] : [viewer];
    });
    const none = node.outputs.length === 0 ? [note("It has no output.")] : [];
    return [...none, ...shown, ...(beside ? [this.heading(`∂L/∂${node.name}`), this.viewer(beside, true)] : [])];
  }

  private readonly headings = new Map<string, HTMLElement>();

  private heading(text: string): HTMLElement {
    const found = this.headings.get(text) ?? h("h4", {}, text);
    this.headings.set(text, found);
    return found;
  }

  private viewer(ref: Ref, gradient: boolean): HTMLElement {
    const key = `${ref.node}:${ref.output}`;
    const found = this.viewers.get(key) ?? new ValueView(this.store, ref, this.asks.send, { gradient, edit: !gradient });
    this.viewers.set(key, found);
    found.update();
    return found.root;
  }

  private about(index: number, node: GraphNode): HTMLElement[] {
    const { store } = this;
    const operands = node.inputs.map((each) =>
      each !== null && typeof each === "object"
        ? links(store, [[each.node, spec(store.nodes[each.node]!.outputs[each.output]!)]], this.asks.reveal)
        : h("div", { class: "fb-link" }, h("span", {}, each ?? "left out"), h("span", {}, each === null ? "" : "number")),
    );
    const readers = store.readers[index]!.map((each): [number, string] => [each, specs(store.nodes[each]!)]);
    const waits = node.controls?.map((each): [number, string] => [each, specs(store.nodes[each]!)]) ?? [];
    const size = store.bytes[index]!;
    const parts = [
      node.stale ? h("div", { class: "fb-quote fb-stale-reason" }, `Stale: ${node.stale}`) : null,
      node.change ? note(`${node.change} by the last commit`) : null,
      node.formula ? h("div", { class: "fb-quote fb-code" }, node.formula) : null,
      node.doc ? note(node.doc) : null,
      Number.isNaN(size) ? null : note(`${bytes(size)} of outputs`),
      operands.length ? h("h4", {}, "Inputs") : null,
      operands.length ? h("div", { class: "fb-links" }, ...operands) : null,
      waits.length ? h("h4", {}, "Waits for") : null,
      waits.length ? links(store, waits, this.asks.reveal) : null,
      readers.length ? h("h4", {}, `Read by ${plural(readers.length, "node")}`) : null,
      readers.length ? links(store, readers, this.asks.reveal) : null,
    ];
    return parts.filter((each) => each !== null);
  }

  private source(node: GraphNode): HTMLElement[] {
    if (!node.cell) {
      return [note("Where it was written is not known.")];
    }
    const code = node.code ? h("div", { class: "fb-quote fb-code" }, node.code) : note("The text of the line is not known.");
    return [h("h4", {}, place(node)), code];
  }
}

function place(node: GraphNode): string {
  const line = node.line === undefined ? "" : `line ${node.line}`;
  return /\.py$/.test(node.cell!) ? `${node.cell!.split(/[\\/]/).at(-1)}, ${line}` : `cell ${node.cell}, ${line}`;
}

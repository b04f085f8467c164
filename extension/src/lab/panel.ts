/** The panel in the side bar: graphs, variables, breakpoints, watches and devices of the notebook that is in front. */

import type { NotebookPanel } from "@jupyterlab/notebook";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";
import { bytes, plural } from "../model/format";
import type { PanelGraph, PanelMessage } from "../protocol";
import { button, h } from "../view/dom";
import { icon } from "../view/icons";
import { visit } from "./linking";
import type { PanelData } from "./paneldata";

export class SidePanel extends Widget {
  private notebook: NotebookPanel | null = null;
  private data: PanelData | null = null;
  /** Parts that the reader has closed. */
  private readonly closed = new Set<string>();

  constructor() {
    super();
    this.id = "flowbook-panel";
    this.addClass("flowbook-panel");
    this.node.setAttribute("aria-label", "flow graphs");
    this.draw();
  }

  /** Another notebook is in front. */
  showNotebook(notebook: NotebookPanel | null, data: PanelData | null): void {
    this.data?.watch(false);
    this.notebook = notebook;
    this.data = data;
    this.data?.watch(this.isVisible);
    this.draw();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.data?.watch(true);
    void this.data?.connect();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.data?.watch(false);
  }

  draw(): void {
    const { data } = this;
    const typing = this.node.contains(document.activeElement) ? document.activeElement : null;
    if (typing instanceof HTMLInputElement && typing.value !== "") {
      return; // drawn again when it was sent
    }
    const back = this.again(document.activeElement);
    const trouble = data?.trouble ? h("div", { class: "flowbook-trouble", role: "alert" }, data.trouble) : null;
    const state = data?.state;
    this.node.replaceChildren(...[trouble, ...(state ? this.parts(state) : [h("p", { class: "flowbook-empty" }, this.nothing())])].filter((each) => each !== null));
    back?.()?.focus({ preventScroll: true });
  }

  /** How to find an element again after the panel is drawn anew: by what it is, else by where it was. */
  private again(element: Element | null): (() => HTMLElement | undefined) | null {
    const all = (): HTMLElement[] => [...this.node.querySelectorAll<HTMLElement>("summary, button, input")];
    const same = (each: Element): boolean => each.tagName === element?.tagName && nameOf(each) === nameOf(element);
    const before = all();
    const place = before.findIndex((each) => each === element);
    const which = before.filter(same).findIndex((each) => each === element);
    return place < 0 ? null : () => all().filter(same)[which] ?? all().at(Math.min(place, all().length - 1));
  }

  private nothing(): string {
    return this.notebook
      ? "This notebook has not loaded flowbook. Run a cell with %load_ext flowbook, and define a graph with %%flow."
      : "Open a notebook to see its graphs.";
  }

  private parts(state: PanelMessage): HTMLElement[] {
    const several = state.graphs.length > 1;
    const parts = state.graphs.flatMap((graph) => {
      const of = several ? ` of ${graph.name}` : "";
      return [
        this.part(`Cells${of}`, plural(graph.nodes, "node"), this.cells(graph)),
        this.part(`Variables${of}`, total(graph), this.variables(graph)),
        this.part(`Breakpoints${of}`, count(graph.breakpoints), this.breakpoints(graph)),
        this.part(`Watches${of}`, count(graph.watches), this.watches(graph)),
      ];
    });
    const none = h("p", { class: "flowbook-empty" }, "No nodes yet. A %%flow cell defines some.");
    const devices = this.part("Devices", "", state.devices.map((each) =>
      row(h("b", { class: each.usable ? "flowbook-usable" : "flowbook-absent" }, each.name), h("span", { class: "flowbook-why" }, each.reason)),
    ));
    return [...(parts.length ? parts : [none]), devices];
  }

  private part(title: string, note: string, rows: HTMLElement[]): HTMLElement {
    const found = h("details", { open: !this.closed.has(title) }, h("summary", {}, title, h("span", { class: "flowbook-count" }, note)), ...rows);
    found.addEventListener("toggle", () => (found.open ? this.closed.delete(title) : this.closed.add(title)));
    return found;
  }

  private cells(graph: PanelGraph): HTMLElement[] {
    return graph.cells.map((each) => {
      const stale = each.stale > 0 && h("span", { class: "flowbook-stale", title: "They cannot run until their cell is run again." }, `${each.stale} stale`);
      return row(this.place(each.name || "the script", each.name), stale, h("span", { class: "flowbook-note" }, plural(each.nodes, "node")));
    });
  }

  private variables(graph: PanelGraph): HTMLElement[] {
    const rows = graph.variables.map((each) => {
      const shape = each.spec.shape === null ? "…" : each.spec.shape.map((size) => size ?? "?").join(", ");
      const spec = h("span", { class: "flowbook-note" }, `${each.spec.dtype} (${shape})`);
      const value = h("div", { class: "flowbook-value", title: each.text }, each.text);
      const size = each.bytes > 0 && h("span", { class: "flowbook-note" }, bytes(each.bytes));
      return h("div", { class: "flowbook-variable" }, row(this.place(each.name, each.cell, each.line), spec, size), value);
    });
    return rows.length ? rows : [empty("none")];
  }

  private breakpoints(graph: PanelGraph): HTMLElement[] {
    const send = (pattern: string, when: string | null, clear: boolean): void => this.data?.send({ type: "break", graph: graph.id, pattern, when, clear });
    const rows = graph.breakpoints.map(({ pattern, when }) =>
      row(h("code", {}, pattern), when !== null && h("span", { class: "flowbook-note" }, `when ${when}`), remove(`breakpoint ${pattern}`, () => send(pattern, when, true))),
    );
    const add = this.form(`break ${graph.id}`, ["layer1/* or op:log", "nan, inf, or x > 3"], (pattern, when) => send(pattern, when || null, false));
    return [...rows, add];
  }

  private watches(graph: PanelGraph): HTMLElement[] {
    const send = (pattern: string, clear: boolean): void => this.data?.send({ type: "watch_values", graph: graph.id, pattern, clear });
    const rows = graph.watches.map((pattern) => row(h("code", {}, pattern), remove(`watch ${pattern}`, () => send(pattern, true))));
    return [...rows, this.form(`watch ${graph.id}`, ["a name or pattern"], (pattern) => send(pattern, false))];
  }

  /** A line to type something new into; Enter sends it. */
  private form(key: string, hints: string[], done: (first: string, second: string) => void): HTMLElement {
    const fields = hints.map((hint, index) =>
      h("input", { placeholder: hint, "aria-label": hint, spellcheck: "false", "data-key": `${key} ${index}`, class: "jp-mod-styled" }),
    );
    const form = h("form", { class: "flowbook-form" }, ...fields, h("button", { type: "submit", title: "Add", "aria-label": "Add" }, "+"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const [first, second] = fields.map((each) => each.value.trim());
      if (first) {
        fields.forEach((each) => (each.value = ""));
        done(first, second ?? "");
      }
    });
    return form;
  }

  /** A name that leads to its cell. */
  private place(name: string, cell?: string, line?: number): HTMLElement {
    if (!cell) {
      return h("span", { class: "flowbook-name" }, name);
    }
    const found = button(name === cell ? `Show cell ${cell}` : `${name}: show cell ${cell}`, name, () => this.notebook && void visit(this.notebook, line === undefined ? { cell } : { cell, line }));
    found.classList.add("flowbook-name");
    return found;
  }
}

/** What an element is, whatever the panel shows: numbers in it change. */
function nameOf(element: Element): string | null {
  return element.getAttribute("data-key") ?? element.getAttribute("aria-label") ?? (element.firstChild?.textContent || null);
}

function row(...children: (Node | string | false | null)[]): HTMLElement {
  return h("div", { class: "flowbook-row" }, ...children);
}

function empty(text: string): HTMLElement {
  return h("p", { class: "flowbook-empty" }, text);
}

function remove(what: string, act: () => void): HTMLElement {
  return button(`Remove ${what}`, icon("close"), act, { class: "flowbook-remove" });
}

function count(list: readonly unknown[]): string {
  return list.length ? String(list.length) : "";
}

function total(graph: PanelGraph): string {
  const sum = graph.variables.reduce((all, each) => all + each.bytes, 0);
  return sum ? bytes(sum) : "";
}

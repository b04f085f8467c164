/** All breakpoints: to be added by pattern, changed, and taken away. */

import { plural } from "../model/format";
import type { Store } from "../model/store";
import type { Breakpoint, ToKernel } from "../protocol";
import { button, h } from "./dom";
import { icon } from "./icons";
import { Popover } from "./popover";

export class BreakpointList {
  readonly popover: Popover;

  constructor(
    private readonly store: Store,
    private readonly send: (message: ToKernel) => void,
    private readonly reveal: (node: number) => void,
  ) {
    this.popover = new Popover("Breakpoints (P)", icon("breakpoint"), (panel) => this.fill(panel));
    store.on("breakpoints", () => this.popover.open && this.fill(this.popover.panel));
  }

  private fill(panel: HTMLElement): void {
    const { breakpoints } = this.store;
    const inside = panel.contains(document.activeElement);
    panel.replaceChildren(
      h("h4", {}, breakpoints.length ? plural(breakpoints.length, "breakpoint") : "No breakpoints yet"),
      ...breakpoints.map((each) => this.row(each)),
      this.row(null),
      h("div", { class: "fb-note" }, "Names as in a shell (layer1/*), or op:log. With a condition it stops after the node: nan, inf, or an expression such as abs(x).max() > 10."),
    );
    if (inside) {
      panel.querySelector<HTMLElement>("form:last-of-type input")?.focus({ preventScroll: true });
    }
  }

  /** One of them, or the row for a new one. */
  private row(known: Breakpoint | null): HTMLElement {
    const pattern = h("input", { type: "text", value: known?.pattern ?? "", placeholder: "layer1/*", "aria-label": "pattern", spellcheck: "false" });
    const when = h("input", { type: "text", value: known?.when ?? "", placeholder: "always", "aria-label": "condition", spellcheck: "false" });
    const form = h("form", { class: "fb-point" }, pattern, h("span", { class: "fb-note" }, "if"), when);
    const save = (): void => {
      const wanted = { pattern: pattern.value.trim(), when: when.value.trim() || null };
      if (wanted.pattern && (wanted.pattern !== known?.pattern || wanted.when !== known.when)) {
        this.send({ type: "set_breakpoint", ...wanted, ...(known ? { id: known.id } : {}) });
      }
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      save();
    });
    if (known) {
      [pattern, when].forEach((each) => each.addEventListener("change", save));
      const count = button(`Show what ${known.pattern} matches`, String(known.nodes.length), () => known.nodes[0] !== undefined && this.reveal(known.nodes[0]));
      form.append(count, button(`Remove ${known.pattern}`, icon("close"), () => this.send({ type: "clear_breakpoint", id: known.id })));
    } else {
      form.append(h("button", { type: "submit", class: "fb-apply", "aria-label": "add the breakpoint" }, "add"));
    }
    return form;
  }
}

/** Changing a value: by a formula of what it is now, or by one number for all of it; and what that did. */

import { grouped, milliseconds, plural } from "../model/format";
import type { Store } from "../model/store";
import type { Ref, ToKernel } from "../protocol";
import { button, h } from "./dom";

export class Editor {
  readonly root = h("div", { class: "fb-editor" });
  private readonly field = h("input", { type: "text", placeholder: "x * 0.9, or a number", "aria-label": "new value, of x", spellcheck: "false" });
  private readonly apply = h("button", { type: "submit", class: "fb-apply" }, "apply");
  private readonly reason = h("div", { class: "fb-note" });
  private readonly result = h("div", { class: "fb-edited", role: "status", hidden: true });

  constructor(
    private readonly store: Store,
    private readonly ref: Ref,
    private readonly send: (message: ToKernel) => void,
  ) {
    const form = h("form", { class: "fb-edit" }, h("label", {}, "edit"), this.field, this.apply);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.set(this.field.value.trim());
    });
    this.root.append(this.result, form, this.reason);
  }

  /** Why it cannot be changed now; empty when it can. */
  get barred(): string {
    const { store } = this;
    if (!store.live) {
      return store.ended ? "The kernel is gone: nothing can be computed." : "This is a recording: nothing can be computed again. Values can be changed in a notebook (%flow debug).";
    }
    return store.status.mode === "running" ? "Pause first: while it runs nothing can be changed." : "";
  }

  set(expression: string, index?: number[]): void {
    if (expression && !this.barred) {
      this.send({ type: "set_value", ...this.ref, expression, ...(index ? { index } : {}) });
    }
  }

  update(): void {
    const { barred } = this;
    this.field.disabled = this.apply.disabled = barred !== "";
    this.reason.textContent = barred;
    this.reason.hidden = barred === "";
    const { edited } = this.store;
    this.result.hidden = edited === null;
    if (edited) {
      const undo = button("Undo the change", "undo", () => this.send({ type: "undo" }), { class: "fb-inline" });
      this.result.replaceChildren(
        h("b", {}, `${grouped(edited.recomputed)} of ${plural(edited.count, "node")}`),
        ` ran again in ${milliseconds(edited.seconds * 1000)}`,
        ...edited.effects.flatMap((each) => ["; ", h("span", { class: "fb-mono" }, each)]),
        " · ", undo,
      );
    }
  }
}

/** A button that opens a small panel below it. */

import { button, h } from "./dom";

export class Popover {
  readonly button: HTMLButtonElement;
  readonly panel: HTMLElement;
  readonly root: HTMLElement;

  /** `fill` is called whenever it opens. */
  constructor(
    label: string,
    icon: Node,
    private readonly fill: (panel: HTMLElement) => void,
  ) {
    this.button = button(label, icon, () => this.toggle(), { "aria-haspopup": "true", "aria-expanded": "false" });
    this.panel = h("div", { class: "fb-pop", role: "group", "aria-label": label.replace(/ \(.*/, ""), hidden: true });
    this.root = h("div", { class: "fb-popover" }, this.button, this.panel);
    this.root.addEventListener("focusout", (event) => {
      const to = event.relatedTarget as Node | null;
      if (to && !this.root.contains(to)) {
        this.close();
      }
    });
  }

  get open(): boolean {
    return !this.panel.hidden;
  }

  toggle(): void {
    if (this.open) {
      this.close();
    } else {
      this.panel.hidden = false;
      this.button.setAttribute("aria-expanded", "true");
      this.fill(this.panel);
      this.panel.querySelector<HTMLElement>("input,button,select")?.focus({ preventScroll: true });
    }
  }

  /** Whether it was open. */
  close(): boolean {
    const was = this.open;
    this.panel.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    return was;
  }
}

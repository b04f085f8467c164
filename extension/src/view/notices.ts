/** What the kernel has to say, until it is dismissed. */

import type { Store } from "../model/store";
import { button, h } from "./dom";

export class Notices {
  readonly root = h("div", { class: "fb-notices fb-over", role: "alert" });

  constructor(private readonly store: Store) {
    store.on("notice", () => this.draw());
  }

  private draw(): void {
    const { notices } = this.store;
    const drawn = notices.slice(-3).map((each) => {
      const close = button("Dismiss", "✕", () => {
        notices.splice(notices.indexOf(each), 1);
        this.draw();
      });
      return h("div", { class: `fb-notice fb-${each.level}` }, h("span", {}, each.text), close);
    });
    this.root.replaceChildren(...drawn);
  }
}

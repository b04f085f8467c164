/** Why a value is nan: the chapters of the story, from the node that was asked about back to the cause. */

import type { Store } from "../model/store";
import { button, h } from "./dom";
import { icon } from "./icons";

/** Pixels between it and the end of the picture, as its style has it. */
const BELOW = 14;

export class StoryWalk {
  readonly root = h("section", { class: "fb-story fb-over", "aria-label": "why it is nan", hidden: true });
  private at = 0;

  constructor(
    private readonly store: Store,
    private readonly reveal: (node: number) => void,
  ) {
    store.on("story", () => this.begin());
    store.on("run", () => this.begin());
    store.on("graph", () => this.draw());
  }

  /** Pixels of the picture that it covers from below. */
  get covers(): number {
    return this.root.hidden ? 0 : this.root.offsetHeight + 2 * BELOW;
  }

  private begin(): void {
    const { story } = this.store;
    if (story !== this.shown) {
      this.shown = story;
      this.go(0);
    }
  }

  private shown: Store["story"] = null;

  private go(at: number): void {
    this.at = at;
    this.draw();
    const chapter = this.store.story?.chapters[at];
    if (chapter) {
      this.reveal(chapter.node);
    }
  }

  /** Its buttons are made anew; who had the focus on one keeps it, at the other one where that way ends. */
  private draw(): void {
    const label = this.root.contains(document.activeElement) ? document.activeElement!.getAttribute("aria-label") : null;
    this.fill();
    if (label !== null && !this.root.contains(document.activeElement)) {
      const buttons = [...this.root.querySelectorAll<HTMLButtonElement>("button:enabled")];
      const again = buttons.find((each) => each.getAttribute("aria-label") === label) ?? buttons[0];
      (this.root.hidden ? this.root.closest<HTMLElement>(".fb-view") : again)?.focus({ preventScroll: true });
    }
  }

  private fill(): void {
    const { store } = this;
    const { story } = store;
    this.root.hidden = story === null;
    if (!story) {
      return;
    }
    const { chapters } = story;
    const close = button("Close the story", icon("close"), () => {
      store.story = null;
      store.tell("story");
    });
    const chapter = chapters[this.at];
    if (!chapter) {
      this.root.replaceChildren(h("header", {}, h("span", {}, story.text), close));
      return;
    }
    const last = this.at === chapters.length - 1;
    const dots = chapters.map((each, index) => {
      const label = `${index + 1}: ${store.nodes[each.node]?.name ?? ""}`;
      return button(label, "", () => this.go(index), { class: "fb-dot-of", "aria-current": index === this.at ? "step" : null });
    });
    const before = button("Nearer to the result", icon("before"), () => this.go(this.at - 1));
    const after = button("Nearer to the cause", icon("after"), () => this.go(this.at + 1));
    before.disabled = this.at === 0;
    after.disabled = last;
    this.root.classList.toggle("fb-cause", last);
    const whole = h("details", {}, h("summary", {}, "the whole story"), h("pre", {}, story.text));
    whole.addEventListener("toggle", () => whole.open && this.reveal(chapter.node)); // it covers more now
    this.root.replaceChildren(
      h("header", {}, before, h("span", { class: "fb-dots" }, ...dots), after, h("b", { class: "fb-mono" }, store.nodes[chapter.node]?.name ?? ""), close),
      h("p", {}, chapter.text),
      last ? whole : "",
    );
  }
}

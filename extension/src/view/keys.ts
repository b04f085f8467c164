/** The keyboard: every key in one table, from which the help is made, too. */

import { button, h } from "./dom";

export interface Key {
  keys: string[];
  shown: string;
  does: string;
  act: (event: KeyboardEvent) => void;
  /** Whether it does anything now. */
  when?: () => boolean;
}

/** A key as the table writes it: with Shift only where it is not part of the character. */
export function nameOf(event: KeyboardEvent): string {
  const shift = event.shiftKey && event.key.length > 1 ? "Shift+" : "";
  return `${shift}${event.key === " " ? "Space" : event.key}`;
}

export function listen(root: HTMLElement, keys: readonly Key[]): void {
  const table = new Map(keys.flatMap((each) => each.keys.map((key) => [key, each] as const)));
  root.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    const typing = target.matches("input,select,textarea");
    const form = typing && event.key === "Enter" ? (target as HTMLInputElement).form : null;
    if (form) {
      // By hand: JupyterLab 4.6 takes from fields what a browser does at this key, as Enter is a shortcut of its own.
      event.preventDefault();
      form.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape" && !/^F\d/.test(event.key))) {
      return;
    }
    if (target.matches("button,summary,[role=tab]") && (event.key === "Enter" || event.key === " ")) {
      return;
    }
    const found = table.get(nameOf(event));
    if (found && (found.when?.() ?? true)) {
      event.preventDefault();
      event.stopPropagation();
      found.act(event);
    }
  });
}

export function helpOf(keys: readonly Key[], close: () => void): HTMLElement {
  const rows = keys.filter((each) => each.when?.() ?? true).flatMap((each) => [h("dt", {}, ...each.shown.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, each.does)]);
  const box = h("div", { role: "dialog", "aria-label": "keys", tabindex: -1 }, h("h3", {}, "Keys"), h("dl", {}, ...rows));
  const overlay = h("div", { class: "fb-help" }, box);
  overlay.addEventListener("click", (event) => event.target === overlay && close());
  box.append(button("Close (Esc)", "Close", close, { class: "fb-link" }));
  return overlay;
}

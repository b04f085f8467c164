/** Lists of nodes to go to. */

import { plural } from "../model/format";
import type { Store } from "../model/store";
import { button, fit, h } from "./dom";
import { FONTS } from "./style/tokens";

/** As many as fit without scrolling. */
const MANY = 12;

export function note(text: string): HTMLElement {
  return h("div", { class: "fb-note" }, text);
}

/** Nodes with a text beside each: `[node, text, label]`. */
export function links(store: Store, nodes: readonly [node: number, beside: string, label?: string][], choose: (node: number) => void): HTMLElement {
  const more = nodes.length > MANY ? note(`… and ${plural(nodes.length - MANY, "more node")}`) : null;
  const rows = nodes.slice(0, MANY).map(([node, beside, label]) => {
    const { name } = store.nodes[node]!;
    const text = fit(label ?? name, 290 - 6.2 * beside.length, FONTS.link, true);
    const made = button(label ? `${label}: ${name}` : name, h("span", {}, text), () => choose(node), { class: "fb-link" });
    made.append(h("span", {}, beside));
    return made;
  });
  return h("div", { class: "fb-links" }, ...rows, more);
}

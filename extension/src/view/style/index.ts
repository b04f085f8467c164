/** The looks, put where an element is. */

import { FRAME } from "./frame";
import { PICTURE } from "./picture";
import { SIDE } from "./side";

const added = new WeakMap<Document | ShadowRoot, CSSStyleSheet>();

/** Put the looks where an element is, once. A constructed sheet works under every content policy. */
export function addStyle(element: Element): void {
  const root = element.getRootNode();
  const home = root instanceof ShadowRoot ? root : document;
  if (!added.has(home)) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(FRAME + PICTURE + SIDE);
    added.set(home, sheet);
    home.adoptedStyleSheets = [...home.adoptedStyleSheets, sheet];
  }
}

/** Making elements. Strings become text nodes, attributes are set one by one: no text is ever read as markup. */

const SVG = "http://www.w3.org/2000/svg";

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined>;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), attributes, children);
}

export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill<T extends Element>(element: T, attributes: Attributes, children: readonly Child[]): T {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.filter((each): each is Node | string => Boolean(each)));
  return element;
}

export function button(label: string, icon: Node | string, act: () => void, attributes: Attributes = {}): HTMLButtonElement {
  const made = h("button", { type: "button", title: label, "aria-label": label, ...attributes }, icon);
  made.addEventListener("click", act);
  return made;
}

let measuring: CanvasRenderingContext2D | null = null;

/** A text cut to a width in pixels, in the middle when it is a name, as both ends of names tell them apart. */
export function fit(text: string, width: number, font: string, middle = false): string {
  measuring ??= document.createElement("canvas").getContext("2d");
  if (!measuring) {
    return text;
  }
  measuring.font = font;
  if (measuring.measureText(text).width <= width) {
    return text;
  }
  let [low, high] = [0, text.length];
  const cut = (count: number): string =>
    middle
      ? `${text.slice(0, Math.ceil(count / 2))}…${text.slice(text.length - Math.floor(count / 2))}`
      : `${text.slice(0, count)}…`;
  while (low < high) {
    const half = Math.ceil((low + high) / 2);
    if (measuring.measureText(cut(half)).width <= width) {
      low = half;
    } else {
      high = half - 1;
    }
  }
  return cut(low);
}

/** Call at most once a frame, however often it is asked for. */
export function eachFrame(act: () => void): () => void {
  let asked = false;
  return () => {
    if (!asked) {
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        act();
      });
    }
  };
}

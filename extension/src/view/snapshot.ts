/** The picture as a file of its own: a copy of what is seen, with the looks written at each element. */

import type { Canvas } from "./canvas";

const LOOKS = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap", "paint-order", "opacity",
  "font-family", "font-size", "font-weight", "text-anchor",
];

export function asSvg(canvas: Canvas): string {
  const drawn = canvas.svg;
  const { width, height } = canvas.camera;
  const copy = drawn.cloneNode(true) as SVGSVGElement;
  const [from, to] = [drawn.querySelectorAll("*"), copy.querySelectorAll("*")];
  const hidden: Element[] = [];
  from.forEach((element, index) => {
    const look = getComputedStyle(element);
    const made = to[index]!;
    if (look.display === "none") {
      hidden.push(made);
      return;
    }
    if (element.closest("defs") && !element.matches("path")) {
      return;
    }
    const text = LOOKS.map((name) => `${name}:${look.getPropertyValue(name)}`).join(";");
    made.setAttribute("style", text);
    ["class", "role", "tabindex", "aria-label", "aria-expanded", "data-key"].forEach((name) => made.removeAttribute(name));
  });
  hidden.forEach((each) => each.remove());
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("viewBox", `0 0 ${width} ${height}`);
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height));
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  ground.setAttribute("width", "100%");
  ground.setAttribute("height", "100%");
  ground.setAttribute("fill", getComputedStyle(canvas.root).backgroundColor);
  copy.prepend(ground);
  return new XMLSerializer().serializeToString(copy);
}

export async function asPng(canvas: Canvas): Promise<Blob> {
  const { width, height } = canvas.camera;
  const url = URL.createObjectURL(new Blob([asSvg(canvas)], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const paper = document.createElement("canvas");
    [paper.width, paper.height] = [2 * width, 2 * height];
    paper.getContext("2d")!.drawImage(image, 0, 0, paper.width, paper.height);
    return await new Promise((done, failed) =>
      paper.toBlob((made) => (made ? done(made) : failed(new Error("the picture is too large"))), "image/png"),
    );
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** The whole picture, small, and the part that is to be seen; hidden while all is. */

import type { Layout } from "../layout/types";
import type { Outline } from "../model/outline";
import type { Camera } from "./camera";
import { h, s } from "./dom";

export class Minimap {
  private readonly boxes = s("g");
  private readonly here = s("rect", { class: "fb-here" });
  private readonly svg = s("svg", { preserveAspectRatio: "xMidYMid meet" }, this.boxes, this.here);
  readonly root = h("div", { class: "fb-mini", "aria-hidden": "true" }, this.svg);
  private layout: Layout | null = null;

  constructor(private readonly camera: Camera) {
    const go = (event: PointerEvent): void => {
      const matrix = this.svg.getScreenCTM();
      if (matrix && (event.buttons & 1 || event.type === "pointerdown")) {
        const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
        this.camera.centre(point.x, point.y);
      }
    };
    this.root.addEventListener("pointerdown", (event) => {
      this.root.setPointerCapture(event.pointerId);
      go(event);
    });
    this.root.addEventListener("pointermove", go);
  }

  show(outline: Outline, layout: Layout): void {
    this.layout = layout;
    this.svg.setAttribute("viewBox", `-20 -20 ${layout.width + 40} ${layout.height + 40}`);
    const drawn = outline.boxes.flatMap((box) => {
      const place = layout.boxes.get(box.key);
      return place ? [s("rect", { ...place, rx: 8, class: box.backward ? "fb-back" : "" })] : [];
    });
    this.boxes.replaceChildren(...drawn);
  }

  move(): void {
    const { seen } = this.camera;
    const { layout } = this;
    if (layout) {
      const all = seen.x <= 1 && seen.y <= 1 && seen.x + seen.width >= layout.width - 1 && seen.y + seen.height >= layout.height - 1;
      this.root.hidden = all;
      for (const [name, value] of Object.entries(seen)) {
        this.here.setAttribute(name, String(value));
      }
    }
  }
}

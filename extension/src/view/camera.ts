/** What part of the picture is to be seen, and how large: panning, zooming, fitting. */

import type { Rectangle } from "../layout/types";

const SMALLEST = 0.04;
const LARGEST = 3;

export class Camera {
  x = 0;
  y = 0;
  scale = 1;
  /** Free room around all of the picture. */
  margin = 34;
  /** How much of the room is covered from below: nothing is moved there to be seen. */
  covered: () => number = () => 0;
  /** The reader has moved it: it stays where it is when the room changes. */
  touched = false;

  constructor(
    private readonly home: HTMLElement,
    private readonly changed: () => void,
  ) {}

  get width(): number {
    return this.home.clientWidth || 900;
  }

  get height(): number {
    return this.home.clientHeight || 500;
  }

  /** The part of the picture that is to be seen. */
  get seen(): Rectangle {
    const { x, y, scale, width, height } = this;
    return { x: -x / scale, y: -y / scale, width: width / scale, height: height / scale };
  }

  pan(dx: number, dy: number): void {
    this.touched = true;
    this.x += dx;
    this.y += dy;
    this.changed();
  }

  /** Zoom about a point of the screen (default: the middle). */
  zoom(factor: number, x = this.width / 2, y = this.height / 2): void {
    const scale = Math.min(LARGEST, Math.max(SMALLEST, this.scale * factor));
    this.touched = true;
    const ratio = scale / this.scale;
    this.x = x - (x - this.x) * ratio;
    this.y = y - (y - this.y) * ratio;
    this.scale = scale;
    this.changed();
  }

  /** How large a picture of this size would be shown, also in a room of another height. */
  fitting(width: number, height: number, room = this.height): number {
    const [across, down] = [this.width - 2 * this.margin, room - 2 * this.margin];
    return Math.min(1.15, across / Math.max(width, 1), down / Math.max(height, 1));
  }

  /** Show all of a picture. It is not made so small that nothing could be read: then its beginning is shown. */
  fit(width: number, height: number, least = 0.1): void {
    const scale = Math.max(least, this.fitting(width, height));
    this.scale = scale;
    this.x = Math.max(this.margin, (this.width - width * scale) / 2);
    this.y = Math.max(this.margin, (this.height - height * scale) / 2);
    this.touched = false;
    this.changed();
  }

  centre(x: number, y: number): void {
    this.touched = true;
    this.x = this.width / 2 - x * this.scale;
    this.y = (this.height - this.covered()) / 2 - y * this.scale;
    this.changed();
  }

  /** Move as little as shows a box whole, or as much of it as there is room for. */
  reveal(box: Rectangle): void {
    const margin = 48;
    const { scale } = this;
    const left = box.x * scale + this.x - margin;
    const top = box.y * scale + this.y - margin;
    const right = this.width - (left + box.width * scale + 2 * margin);
    const bottom = this.height - this.covered() - (top + box.height * scale + 2 * margin);
    // Of what is too large the beginning is shown.
    const dx = left < 0 ? -left : right < 0 ? Math.max(right, -left) : 0;
    const dy = top < 0 ? -top : bottom < 0 ? Math.max(bottom, -top) : 0;
    if (dx || dy) {
      this.pan(dx, dy);
    }
  }

  /** Let the mouse drag and zoom. `wheel`: whether a turn of the wheel is for the view now, or for the page. */
  listen(wheel: (event: WheelEvent) => boolean): void {
    const { home } = this;
    let from: { x: number; y: number; id: number } | null = null;
    home.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && !(event.target as Element).closest(".fb-card,.fb-mini,.fb-over")) {
        from = { x: event.clientX, y: event.clientY, id: event.pointerId };
      }
    });
    home.addEventListener("pointermove", (event) => {
      if (from && event.pointerId === from.id) {
        if (!home.classList.contains("fb-drag")) {
          if (Math.hypot(event.clientX - from.x, event.clientY - from.y) < 4) {
            return;
          }
          home.classList.add("fb-drag");
          home.setPointerCapture(from.id);
        }
        this.pan(event.clientX - from.x, event.clientY - from.y);
        from = { ...from, x: event.clientX, y: event.clientY };
      }
    });
    const end = (): void => {
      from = null;
      setTimeout(() => home.classList.remove("fb-drag"));
    };
    home.addEventListener("pointerup", end);
    home.addEventListener("pointercancel", end);
    home.addEventListener(
      "wheel",
      (event) => {
        if (wheel(event)) {
          event.preventDefault();
          const area = home.getBoundingClientRect();
          const step = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
          this.zoom(Math.exp(-step / 500), event.clientX - area.left, event.clientY - area.top);
        }
      },
      { passive: false },
    );
  }
}

/** A training that goes on: how far it is, its curves, and a button that ends it. */

import { duration, grouped, number } from "../model/format";
import type { Store } from "../model/store";
import { button, eachFrame, h } from "./dom";
import { icon } from "./icons";

const COLOURS = ["accent", "grad", "variable", "copy"];

export class Training {
  readonly root = h("section", { class: "fb-training", "aria-label": "training", hidden: true });
  private readonly text = h("span");
  private readonly bar = h("i");
  private readonly track = h("div", { class: "fb-track", role: "progressbar", "aria-label": "steps", "aria-valuemin": 0 }, this.bar);
  private readonly stop: HTMLButtonElement;
  private readonly canvas = h("canvas", { class: "fb-curves", role: "img" });
  private readonly names = h("div", { class: "fb-curve-names" });
  readonly redraw = eachFrame(() => this.draw());

  constructor(
    private readonly store: Store,
    interrupt: () => void,
  ) {
    this.stop = button("Interrupt the training", icon("stop"), interrupt);
    this.root.append(h("header", {}, this.text, this.stop), this.track, this.canvas, this.names);
    store.on("progress", this.redraw);
    store.on("graph", this.redraw);
    store.on("notice", this.redraw);
    new ResizeObserver(this.redraw).observe(this.root);
  }

  private draw(): void {
    const { progress, ended } = this.store;
    this.root.hidden = progress === null;
    if (!progress) {
      return;
    }
    const { done, steps, seconds, curves, stopped } = progress;
    const over = done >= steps || stopped || ended;
    const left = done && !over ? ` · ${duration((seconds / done) * (steps - done))} left` : "";
    const speed = seconds > 0 ? ` · ${number(done / seconds, 3)} steps/s` : "";
    const end = stopped ? " · stopped" : left;
    this.text.replaceChildren("step ", h("b", {}, grouped(done)), ` of ${grouped(steps)}${speed}${end}`);
    this.bar.style.width = `${Math.min(100, (100 * done) / Math.max(1, steps))}%`;
    this.track.setAttribute("aria-valuemax", String(steps));
    this.track.setAttribute("aria-valuenow", String(done));
    this.stop.hidden = over;
    const found = Object.entries(curves).slice(0, COLOURS.length);
    this.plot(found);
    this.names.replaceChildren(
      ...found.map(([name, points], index) => {
        const swatch = h("i");
        swatch.style.background = `var(--fb-${COLOURS[index]})`;
        return h("span", {}, swatch, `${name} `, h("b", { class: "fb-mono" }, number(points.at(-1))));
      }),
    );
    this.canvas.setAttribute("aria-label", found.map(([name, points]) => `${name} ${number(points[0])} to ${number(points.at(-1))}`).join(", "));
  }

  /** Each curve over its own range: what counts is how they go. */
  private plot(curves: readonly [string, (number | null)[]][]): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const context = this.canvas.getContext("2d");
    if (!context || !width) {
      return;
    }
    context.scale(ratio, ratio);
    const look = getComputedStyle(this.root);
    curves.forEach(([, points], index) => {
      const finite = points.filter((each) => each !== null);
      const [low, high] = [Math.min(...finite), Math.max(...finite)];
      context.strokeStyle = look.getPropertyValue(`--fb-${COLOURS[index]}`).trim();
      context.lineWidth = 1.5;
      context.lineJoin = "round";
      context.beginPath();
      let up = true;
      points.forEach((value, place) => {
        const x = points.length > 1 ? (place / (points.length - 1)) * (width - 2) + 1 : width / 2;
        const y = height - 3 - (((value ?? 0) - low) / (high - low || 1)) * (height - 6);
        if (value === null) {
          up = true;
        } else if (up) {
          context.moveTo(x, y);
          up = false;
        } else {
          context.lineTo(x, y);
        }
      });
      context.stroke();
    });
  }
}

/** The timeline: a lane for each device and thread, a bar for each execution, and where the run stands. */

import { milliseconds, title } from "../model/format";
import type { Span } from "../model/spans";
import type { Store } from "../model/store";
import { eachFrame, h } from "./dom";
import { devicesOf } from "./paint";
import { SANS } from "./style/tokens";

const LEFT = 92;
const RIGHT = 20;
const TOP = 22;
const LANE = 26;
const BAR = 17;

interface Lane {
  name: string;
  spans: Span[];
}

export class Timeline {
  readonly root = h("div", { class: "fb-time" });
  private readonly slider = h("input", { type: "range", min: 0, max: 0, step: 1, "aria-label": "position in the run" });
  private readonly text = h("span");
  readonly legend = h("div", { class: "fb-legend" });
  private readonly label = h("span", {}, "step");
  private readonly canvas = h("canvas", { class: "fb-lanes", role: "img" });
  private readonly tip = h("div", { class: "fb-tip", hidden: true });
  private lanes: Lane[] = [];
  /** Pixels a second, and where the time at the left edge is; measured once for each drawing. */
  private scale = 1;
  private start = 0;
  private end = 1;
  readonly redraw = eachFrame(() => this.draw());

  constructor(
    private readonly store: Store,
    private readonly choose: (node: number) => void,
    go: (position: number) => void,
  ) {
    const scrub = h("div", { class: "fb-scrub" }, this.label, this.slider, this.text, this.legend);
    this.root.append(scrub, this.canvas, this.tip);
    this.slider.addEventListener("input", () => go(Number(this.slider.value)));
    this.canvas.addEventListener("click", (event) => {
      const found = this.at(event);
      if (found) {
        this.choose(found.node);
      }
    });
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    new ResizeObserver(this.redraw).observe(this.root);
  }

  /** The run is another, or has more events. */
  update(): void {
    const { store } = this;
    const lanes = new Map<string, Lane>();
    const several = (store.run?.threads.length ?? 1) > 1;
    for (const span of store.spans) {
      const node = store.nodes[span.node]!;
      const device = node.kind === "copy" ? "copies" : (store.device[span.node] ?? "cpu:0");
      const name = several && node.kind !== "copy" ? `${device} · ${store.run?.threads[span.thread] ?? span.thread}` : device;
      const lane = lanes.get(name) ?? { name, spans: [] };
      lane.spans.push(span);
      lanes.set(name, lane);
    }
    this.lanes = [...lanes.values()].sort((a, b) => Number(a.name === "copies") - Number(b.name === "copies") || (a.name < b.name ? -1 : 1));
    this.start = 0;
    this.end = Math.max(store.run?.total ?? 0, store.spans.at(-1)?.end ?? 0, 1e-9);
    for (const each of [this.label, this.slider, this.text]) {
      each.hidden = store.run === null;
    }
    this.canvas.hidden = store.spans.length === 0;
    this.redraw();
  }

  /** The position changed. */
  position(): void {
    const { position, count } = this.store.status;
    this.slider.max = String(count);
    this.slider.value = String(position);
    this.slider.setAttribute("aria-valuetext", `${position} of ${count} nodes`);
    this.text.textContent = `${position} / ${count}`;
    this.redraw();
  }

  private at(event: MouseEvent): Span | null {
    const area = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - area.left, event.clientY - area.top];
    const lane = this.lanes[Math.floor((y - TOP) / LANE)];
    const seconds = this.start + (x - LEFT) / this.scale;
    const slack = 3 / this.scale;
    let best: Span | null = null;
    for (const span of lane?.spans ?? []) {
      if (seconds >= span.start - slack && seconds <= span.end + slack) {
        const distance = Math.abs((span.start + span.end) / 2 - seconds);
        if (!best || distance < Math.abs((best.start + best.end) / 2 - seconds)) {
          best = span;
        }
      }
    }
    return best;
  }

  private hover(event: PointerEvent): void {
    const found = this.at(event);
    this.tip.hidden = !found;
    if (found) {
      const node = this.store.nodes[found.node]!;
      const again = found.again ? " · ran again after an edit" : "";
      this.tip.textContent = `${node.name} · ${node.op} · ${milliseconds((found.end - found.start) * 1000)}${again}`;
      const area = this.root.getBoundingClientRect();
      const right = event.clientX - area.left;
      this.tip.style.left = `${Math.max(4, Math.min(right + 12, area.width - this.tip.offsetWidth - 8))}px`;
      this.tip.style.top = `${event.clientY - area.top - 30}px`;
    }
  }

  private draw(): void {
    const width = this.canvas.clientWidth;
    this.scale = (width - LEFT - RIGHT) / (this.end - this.start);
    const height = TOP + Math.max(1, this.lanes.length) * LANE + 8;
    const ratio = devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    this.canvas.style.height = `${height}px`;
    const context = this.canvas.getContext("2d");
    if (!context || width === 0) {
      return;
    }
    context.scale(ratio, ratio);
    const look = getComputedStyle(this.root);
    const color = (name: string): string => look.getPropertyValue(`--fb-${name}`).trim();
    this.drawTicks(context, width, height, color);
    const devices = devicesOf(this.store);
    this.lanes.forEach((lane, index) => this.drawLane(context, lane, TOP + index * LANE, devices, color));
    this.drawHead(context, height, color);
    const again = this.store.spans.filter((span) => span.again).length;
    const edits = again ? `, ${again} of them again after an edit` : "";
    this.canvas.setAttribute("aria-label", `timeline: ${this.store.spans.length} executions in ${milliseconds(this.end * 1000)}${edits}`);
  }

  private drawTicks(context: CanvasRenderingContext2D, width: number, height: number, color: (name: string) => string): void {
    context.font = `10px ${SANS}`;
    context.textAlign = "center";
    const step = niceStep((this.end - this.start) / Math.max(2, (width - LEFT) / 130));
    for (let seconds = 0; seconds <= this.end * 1.0001; seconds += step) {
      const x = LEFT + (seconds - this.start) * this.scale;
      context.fillStyle = color("line");
      context.fillRect(Math.round(x), TOP - 3, 1, height - TOP - 2);
      context.fillStyle = color("ink3");
      context.textAlign = seconds === 0 ? "left" : "center";
      context.fillText(seconds === 0 ? "0" : milliseconds(seconds * 1000), Math.min(x, width - 26), 13);
    }
  }

  private drawLane(
    context: CanvasRenderingContext2D, lane: Lane, top: number, devices: string[], color: (name: string) => string,
  ): void {
    context.textAlign = "left";
    context.fillStyle = color("ink2");
    context.font = `11px ${SANS}`;
    context.fillText(lane.name.length > 13 ? `${lane.name.slice(0, 12)}…` : lane.name, 14, top + 13);
    const device = this.store.device[lane.spans[0]!.node] ?? "";
    const plain = lane.name === "copies" ? color("copy") : color(`d${Math.max(0, devices.indexOf(device)) % 4}`);
    const back = color("grad");
    let last = -1;
    for (const span of lane.spans) {
      const x = LEFT + (span.start - this.start) * this.scale;
      const w = Math.max(1, (span.end - span.start) * this.scale - 0.6);
      if (w <= 1 && Math.floor(x) === last) {
        continue; // another bar has this pixel already
      }
      last = Math.floor(x);
      const node = this.store.nodes[span.node]!;
      context.globalAlpha = (this.store.produced(span.node) ? 0.88 : 0.28) * (span.again ? 0.4 : 1);
      context.fillStyle = context.strokeStyle = node.forward !== undefined ? back : plain;
      context.beginPath();
      context.roundRect(x, top, w, BAR, Math.min(2.5, w / 2));
      context.fill();
      context.globalAlpha = 1;
      if (span.again && w > 4) {
        context.lineWidth = 1;
        context.stroke();
      }
      if (span.node === this.store.selected) {
        context.strokeStyle = color("ink");
        context.lineWidth = 1.5;
        context.stroke();
      }
      if (w > 30) {
        context.fillStyle = span.again ? color("ink") : "#fff";
        context.font = `10px ${SANS}`;
        const text = title(node);
        if (context.measureText(text).width < w - 8) {
          context.fillText(text, x + 5, top + 12);
        }
      }
    }
  }

  private drawHead(context: CanvasRenderingContext2D, height: number, color: (name: string) => string): void {
    const seconds = this.store.ranBefore(this.store.status.position)?.end ?? 0;
    const x = LEFT + (seconds - this.start) * this.scale;
    context.fillStyle = color("accent");
    context.fillRect(x - 0.75, TOP - 6, 1.5, height - TOP);
    context.beginPath();
    context.arc(x, TOP - 6, 3.5, 0, 7);
    context.fill();
  }
}

function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5, 10].find((each) => each * power >= least) ?? 10);
}

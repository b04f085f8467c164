/**
 * How much room the view takes. A graph that has not run is as high as its picture, without the instruments; when a
 * run comes it grows into the whole, and nothing is laid out again.
 */

import type { Store } from "../model/store";
import type { Canvas } from "./canvas";

const STRIP = 31;
const LEAST = 140;
const MOST = 420;
/** So high at least that an inspector can be read. */
const BESIDE = 300;
const READABLE = 0.6;
/** Room above a picture for the chip. */
const BELOW_CHIP = 46;

export class Size {
  constructor(
    private readonly root: HTMLElement,
    private readonly store: Store,
    private readonly canvas: Canvas,
    private readonly alone: boolean,
    private readonly most: number | null,
  ) {}

  get compact(): boolean {
    return !this.alone && this.store.run === null;
  }

  /** How high the picture may become. */
  get room(): number {
    return this.compact ? MOST - STRIP : this.canvas.camera.height;
  }

  /** How many boxes to begin with: what can be read at once. */
  get boxes(): number {
    return this.most ?? (this.compact ? 18 : 40);
  }

  /** There is another graph, a run, a node that is chosen, or another width. */
  changed(): void {
    const { root, store, canvas, compact } = this;
    const grew = root.classList.contains("fb-compact") && !compact;
    root.classList.toggle("fb-compact", compact);
    root.classList.toggle("fb-choosing", compact && store.selected !== null);
    canvas.camera.margin = compact ? (this.tells ? BELOW_CHIP : 16) : 34;
    this.stretch();
    if (grew || !canvas.camera.touched) {
      canvas.fit(compact ? READABLE : 0.72);
    }
  }

  /** Whether something is said above the picture: a notice, or what the last commit changed. */
  private get tells(): boolean {
    const { changesSeen, nodes, graph, notices } = this.store;
    const noted = notices.length > 0;
    return noted || (!changesSeen && (Boolean(graph?.removed?.length) || nodes.some((each) => each.change ?? each.stale)));
  }

  /** Other scopes are open. */
  stretch(): void {
    this.root.style.height = this.compact ? `${this.height()}px` : "";
  }

  private height(): number {
    const { layout, camera } = this.canvas;
    if (!layout || this.store.nodes.length === 0) {
      return layout ? 88 : LEAST;
    }
    const scale = Math.max(READABLE, camera.fitting(layout.width, layout.height, this.room));
    const least = this.store.selected === null ? LEAST : BESIDE;
    return Math.round(Math.min(MOST, Math.max(least, layout.height * Math.min(1, scale) + 2 * camera.margin + STRIP)));
  }
}

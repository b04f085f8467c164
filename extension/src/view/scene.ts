/** What of the graph is open, and where the camera is: it asks for layouts, and brings nodes into sight. */

import type { Layouter } from "../layout/layouter";
import { type Box, outline } from "../model/outline";
import type { Scope } from "../model/scopes";
import type { Store } from "../model/store";
import { type Canvas, within } from "./canvas";
import type { Size } from "./size";
import { nearest } from "./walk";

/** Boxes at most: what can be laid out in no time. */
const MOST = 300;
/** Smaller than this no text can be read. */
const READABLE = 0.62;

export class Scene {
  open = new Set<Scope>();
  private across = true;
  private round = 0;
  private begun = false;

  constructor(
    private readonly store: Store,
    private readonly canvas: Canvas,
    private readonly layouter: Layouter,
    private readonly drawn: () => void,
    private readonly size: Size,
  ) {}

  /** A graph is there: the first, or another state of one that was, of which what was open stays so. */
  async begin(before: ReadonlyMap<string, boolean>): Promise<void> {
    const { tree } = this.store;
    this.open = tree.open(this.size.boxes, this.store.focus, this.size.compact);
    for (const scope of tree.all) {
      const was = before.get(scope.path);
      if (was !== undefined && scope.parent) {
        this.open[was ? "add" : "delete"](scope);
      }
    }
    if (!this.begun) {
      this.across = await this.direction();
      this.begun = true;
    }
    await this.show();
  }

  /** Which scopes are open now, by path. */
  get opened(): Map<string, boolean> {
    return new Map(this.store.tree.all.filter((each) => !each.made).map((each) => [each.path, this.open.has(each)]));
  }

  /** Whether what is drawn is of the graph that there is: a new one is there before its layout. */
  get current(): boolean {
    return this.canvas.outline === null || this.canvas.outline.tree === this.store.tree;
  }

  /** Across, as one reads, unless the picture is so long that it is larger from top to bottom. It stays that way. */
  private async direction(): Promise<boolean> {
    const { camera } = this.canvas;
    const shown = outline(this.store.tree, this.open);
    const across = await this.layouter.layout(shown, true);
    const room = this.size.room;
    const scale = camera.fitting(across.width, across.height, room);
    if (scale > (this.size.compact ? 0.6 : 0.8)) {
      return true;
    }
    const down = await this.layouter.layout(shown, false);
    return scale >= camera.fitting(down.width, down.height, room);
  }

  /** Lay out what is open now. A layout that comes too late is not shown. */
  private async show(): Promise<boolean> {
    const round = (this.round += 1);
    const shown = outline(this.store.tree, this.open);
    const layout = await this.layouter.layout(shown, this.across);
    if (round !== this.round) {
      return false;
    }
    this.canvas.show(shown, layout);
    this.drawn();
    return true;
  }

  // ---------------------------------------------------------------------------------------------- scopes

  /** Open or close a scope; it stays where it is on the screen. */
  async toggle(scope: Scope): Promise<void> {
    const before = this.screen(scope);
    if (this.open.has(scope)) {
      this.open.delete(scope);
    } else {
      this.openAround(scope);
    }
    if (await this.show()) {
      this.size.stretch();
      const after = this.screen(scope);
      if (before && after) {
        this.canvas.camera.pan(before.x - after.x, before.y - after.y);
      }
      const place = this.canvas.layout?.scopes.get(scope.id);
      if (place) {
        this.canvas.camera.reveal(place);
      }
    }
  }

  private openAround(scope: Scope): void {
    for (let each: Scope | null = scope; each; each = each.parent) {
      this.open.delete(each);
      this.open.add(each); // last: what was opened last closes last
    }
    let boxes = outline(this.store.tree, this.open).boxes.length;
    for (const each of [...this.open]) {
      if (boxes <= MOST) {
        break;
      }
      if (each !== this.store.tree.root && !within(scope, each)) {
        this.open.delete(each);
        boxes = outline(this.store.tree, this.open).boxes.length;
      }
    }
  }

  private screen(scope: Scope): { x: number; y: number } | null {
    const { camera, layout } = this.canvas;
    const place = layout?.scopes.get(scope.id) ?? layout?.boxes.get(`s${scope.id}`);
    return place ? { x: place.x * camera.scale + camera.x, y: place.y * camera.scale + camera.y } : null;
  }

  // ---------------------------------------------------------------------------------------------- nodes

  /** Bring a node into sight, opening the scopes it is in. */
  async reveal(node: number): Promise<void> {
    if (this.store.tree.hiding(node, this.open)) {
      this.openAround(this.store.tree.around[node]!);
      await this.show();
    }
    const place = this.canvas.layout?.boxes.get(this.box(node)?.key ?? "");
    const { camera } = this.canvas;
    if (place && camera.scale < READABLE) {
      camera.zoom(1 / camera.scale);
      camera.centre(place.x + place.width / 2, place.y + place.height / 2);
    } else if (place) {
      camera.reveal(place);
    }
  }

  /** Move as little as shows the box of a node, whatever is open. */
  follow(node: number | undefined): void {
    const place = node === undefined ? undefined : this.canvas.layout?.boxes.get(this.box(node)?.key ?? "");
    if (place) {
      this.canvas.camera.reveal(place);
    }
  }

  box(node: number): Box | undefined {
    return this.current ? this.canvas.outline?.place[node] : undefined;
  }

  /** The node that an arrow key leads to from another, or from none. */
  walk(from: number | null, dx: number, dy: number): number | null {
    const { outline: shown, layout } = this.canvas;
    const start = from === null ? undefined : this.box(from);
    const found = shown && layout && (start ? nearest(shown, layout, start, dx, dy) : shown.boxes[0]);
    return found ? nodeOf(found) : null;
  }
}

/** The node that a box stands for, or the first of them. */
export function nodeOf(box: Box): number {
  return box.node >= 0 ? box.node : box.members[0]!;
}

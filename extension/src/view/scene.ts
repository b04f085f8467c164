/** What of the graph is open, and where the camera is: it asks for layouts, and brings nodes into sight. */

import { inColumns } from "../layout/columns";
import type { Layouter } from "../layout/layouter";
import type { Layout } from "../layout/types";
import { type Box, type Outline, outline } from "../model/outline";
import type { Scope, ScopeTree } from "../model/scopes";
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
  private tree: ScopeTree | null = null;
  private across = true;
  private round = 0;
  private begun = false;
  /** What was outlined last, and of what: it takes a look at each node of the graph. */
  private last: { tree: ScopeTree; open: string; shown: Outline } | null = null;

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
    this.tree = tree;
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

  /** Which scopes are open now, by path; `null` while it is not decided: another graph came before this one was shown. */
  get opened(): Map<string, boolean> | null {
    if (this.tree !== this.store.tree) {
      return null;
    }
    return new Map(this.store.tree.all.filter((each) => !each.made).map((each) => [each.path, this.open.has(each)]));
  }

  /** Across, as one reads, unless the picture is so long that it is larger from top to bottom. It stays that way. */
  private async direction(): Promise<boolean> {
    const shown = this.outline();
    const scale = ({ width, height }: Layout): number => this.canvas.camera.fitting(width, height, this.size.room);
    const enough = this.size.compact ? 0.6 : 0.8;
    const across = this.layouter.layout(shown, true);
    if (scale(inColumns(shown)) < enough) {
      void this.layouter.layout(shown, false); // it will be wanted, too: so the worker goes on at once
    }
    const found = scale(await across);
    return found > enough || found >= scale(await this.layouter.layout(shown, false));
  }

  private outline(): Outline {
    const { tree } = this.store;
    const open = [...this.open].map((each) => each.id).join();
    if (this.last?.tree !== tree || this.last.open !== open) {
      this.last = { tree, open, shown: outline(tree, this.open) };
    }
    return this.last.shown;
  }

  /** Lay out what is open now. A layout that comes too late is not shown. */
  private async show(): Promise<boolean> {
    const round = (this.round += 1);
    const { graph } = this.store;
    const shown = this.outline();
    const layout = await this.layouter.layout(shown, this.across);
    if (round !== this.round || graph !== this.store.graph) {
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
    let boxes = this.outline().boxes.length;
    for (const each of [...this.open]) {
      if (boxes <= MOST) {
        break;
      }
      if (each !== this.store.tree.root && !within(scope, each)) {
        this.open.delete(each);
        boxes = this.outline().boxes.length;
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
    return this.canvas.current ? this.canvas.outline?.place[node] : undefined;
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

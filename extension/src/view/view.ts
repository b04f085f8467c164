/** The view: it puts the parts together, and knows neither where it is nor whether the run is live. */

import type { Host } from "../host";
import { type Engine, Layouter } from "../layout/layouter";
import { type Box, outline } from "../model/outline";
import type { Scope } from "../model/scopes";
import { reach, search } from "../model/search";
import { Store } from "../model/store";
import { PROTOCOL, type ToKernel } from "../protocol";
import { Canvas, within } from "./canvas";
import { button, eachFrame, h } from "./dom";
import { Inspector } from "./inspector";
import { type Key, helpOf, listen } from "./keys";
import { legend, type Marks, paint } from "./paint";
import { addStyle } from "./style";
import { followTheme } from "./theme";
import { Timeline } from "./timeline";
import { Toolbar } from "./toolbar";
import { nearest } from "./walk";

/** Boxes to begin with: what can be read at once. And at most: what can be laid out in no time. */
const FIRST = 40;
const MOST = 300;
/** Smaller than this no text can be read. */
const READABLE = 0.62;

export interface Options {
  /** The view has the page for itself: the wheel zooms it, wherever the focus is. */
  alone: boolean;
}

export class View {
  readonly store = new Store();
  readonly canvas: Canvas;
  readonly layouter: Layouter;
  readonly root = h("div", { class: "fb-view", tabindex: 0, role: "application", "aria-label": "flowbook graph" });
  private readonly inspector: Inspector;
  private readonly timeline: Timeline;
  private readonly toolbar: Toolbar;
  private readonly notices = h("div", { class: "fb-notices", role: "alert" });
  private open = new Set<Scope>();
  private marks: Marks = { hits: new Set(), reached: new Set() };
  private hits: number[] = [];
  private hit = -1;
  private across = true;
  private round = 0;
  private help: HTMLElement | null = null;
  private readonly ends: (() => void)[] = [];
  private readonly repaint = eachFrame(() => this.paint());
  private readonly reinspect = eachFrame(() => this.inspector.draw());

  constructor(
    home: HTMLElement,
    private readonly host: Host,
    engine: Engine,
    options: Options,
  ) {
    const { store } = this;
    this.layouter = new Layouter(engine);
    this.canvas = new Canvas(store, {
      choose: (box) => this.choose(box),
      toggle: (scope) => void this.toggle(scope),
      breakpoint: (node) => this.breakpoint(node),
    });
    this.inspector = new Inspector(store, (node) => void this.reveal(node));
    const go = (position: number): void => this.send({ type: "run_to", position });
    this.timeline = new Timeline(store, (node) => void this.reveal(node), go);
    this.toolbar = new Toolbar(store, {
      send: (message) => this.send(message),
      play: () => this.play(),
      find: (text, way) => this.find(text, way),
      fit: () => this.canvas.fit(),
      help: () => this.toggleHelp(),
      look: () => store.tell("look"),
    });
    this.canvas.root.append(this.notices);
    this.root.append(this.toolbar.root, this.canvas.root, this.inspector.root, this.timeline.root);
    home.append(this.root);
    addStyle(this.root);
    this.canvas.camera.listen((event) => options.alone || event.ctrlKey || this.root.contains(document.activeElement));
    listen(this.root, this.keys());
    this.subscribe();
    const redraw = (): void => this.timeline.redraw();
    this.ends.push(followTheme(this.root, redraw), host.onMessage((message) => store.receive(message)));
    this.send({ type: "hello", protocol: PROTOCOL });
  }

  dispose(): void {
    this.ends.forEach((end) => end());
    this.root.remove();
  }

  send(message: ToKernel): void {
    this.host.send(message);
  }

  private subscribe(): void {
    const { store } = this;
    store.on("graph", () => void this.begin());
    for (const topic of ["states", "values", "selection", "look", "breakpoints", "lit", "run"] as const) {
      store.on(topic, this.repaint);
    }
    for (const topic of ["states", "values", "selection", "run", "graph"] as const) {
      store.on(topic, this.reinspect);
    }
    for (const topic of ["graph", "run"] as const) {
      store.on(topic, () => this.timeline.update());
    }
    store.on("states", () => this.follow());
    store.on("selection", () => this.timeline.redraw());
    store.on("notice", () => this.notice());
  }

  // ---------------------------------------------------------------------------------------------- the picture

  private async begin(): Promise<void> {
    this.open = this.store.tree.open(FIRST);
    this.across = await this.direction();
    await this.show();
    this.canvas.fit(0.72);
    this.root.dataset["fbReady"] = "true";
    performance.mark("flowbook ready");
  }

  /** Across, as one reads, unless the picture is so long that it is larger from top to bottom. It stays that way. */
  private async direction(): Promise<boolean> {
    const { camera } = this.canvas;
    const shown = outline(this.store.tree, this.open);
    const across = await this.layouter.layout(shown, true);
    const scale = camera.fitting(across.width, across.height);
    if (scale > 0.8) {
      return true;
    }
    const down = await this.layouter.layout(shown, false);
    return scale >= camera.fitting(down.width, down.height);
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
    this.paint();
    return true;
  }

  private paint(): void {
    paint(this.canvas, this.store, this.marks);
    this.toolbar.update();
    this.timeline.position();
    const entries = legend(this.store).map(([color, text]) => {
      const swatch = h("i");
      swatch.style.background = color;
      return h("span", {}, swatch, text);
    });
    this.timeline.legend.replaceChildren(...entries);
  }

  /** Open or close a scope; it stays where it is on the screen. */
  private async toggle(scope: Scope): Promise<void> {
    const before = this.screen(scope);
    this.root.focus({ preventScroll: true }); // the card that had it is about to go
    if (this.open.has(scope)) {
      this.open.delete(scope);
    } else {
      this.openAround(scope);
    }
    if (await this.show()) {
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

  // ---------------------------------------------------------------------------------------------- choosing

  private choose(box: Box): void {
    this.select(box.node >= 0 ? box.node : box.members[0]!);
    this.root.focus({ preventScroll: true });
  }

  private select(node: number | null): void {
    this.marks = { ...this.marks, reached: new Set() };
    this.store.select(node);
    this.send({ type: "select", node });
    this.repaint();
  }

  /** Choose a node and bring it into sight, opening the scopes it is in. */
  private async reveal(node: number): Promise<void> {
    const hidden = this.store.tree.hiding(node, this.open);
    this.select(node);
    if (hidden) {
      this.openAround(this.store.tree.around[node]!);
      await this.show();
    }
    const place = this.canvas.layout?.boxes.get(this.boxOf(node)?.key ?? "");
    const { camera } = this.canvas;
    if (place && camera.scale < READABLE) {
      camera.zoom(1 / camera.scale);
      camera.centre(place.x + place.width / 2, place.y + place.height / 2);
    } else if (place) {
      camera.reveal(place);
    }
  }

  private boxOf(node: number): Box | undefined {
    return this.canvas.outline?.place[node];
  }

  private walk(dx: number, dy: number): void {
    const { outline: shown, layout } = this.canvas;
    if (!shown || !layout) {
      return;
    }
    const from = this.store.selected === null ? undefined : this.boxOf(this.store.selected);
    const found = from ? nearest(shown, layout, from, dx, dy) : shown.boxes[0];
    if (found) {
      this.select(found.node >= 0 ? found.node : found.members[0]!);
      this.canvas.camera.reveal(layout.boxes.get(found.key)!);
    }
  }

  private enter(): void {
    const box = this.store.selected === null ? undefined : this.boxOf(this.store.selected);
    if (box?.scope) {
      void this.toggle(box.scope);
    }
  }

  private closeScope(): void {
    const box = this.store.selected === null ? undefined : this.boxOf(this.store.selected);
    if (box && box.around !== this.store.tree.root) {
      void this.toggle(box.around);
    }
  }

  private reach(up: boolean): void {
    const { store } = this;
    if (store.selected !== null) {
      const inputs = (node: number): number[] =>
        store.nodes[node]!.inputs.flatMap((each) => (each !== null && typeof each === "object" ? [each.node] : []));
      const next = up ? inputs : (node: number): number[] => store.readers[node]!;
      this.marks = { ...this.marks, reached: reach(store.selected, next) };
      this.repaint();
    }
  }

  private find(text: string, way: number): string {
    const found = search(this.store.nodes, text);
    if (found === null) {
      return "no regex";
    }
    if (way === 0 || found.length !== this.hits.length) {
      this.hits = found;
      this.hit = -1;
    }
    this.marks = { ...this.marks, hits: new Set(found) };
    this.repaint();
    if (way && found.length) {
      this.hit = this.hit < 0 && way < 0 ? found.length - 1 : (this.hit + way + found.length) % found.length;
      void this.reveal(found[this.hit]!);
    }
    return text.trim() ? `${this.hit >= 0 ? `${this.hit + 1}/` : ""}${found.length}` : "";
  }

  // ---------------------------------------------------------------------------------------------- the run

  /** Keep the next node in sight. */
  private follow(): void {
    const { next } = this.store.status;
    const place = next === undefined ? undefined : this.canvas.layout?.boxes.get(this.boxOf(next)?.key ?? "");
    if (place) {
      this.canvas.camera.reveal(place);
    }
  }

  private play(): void {
    this.send({ type: this.store.status.mode === "running" ? "pause" : "continue" });
  }

  private breakpoint(node: number): void {
    const known = this.store.breakpoints.find((each) => each.nodes.length === 1 && each.nodes[0] === node);
    this.send(known ? { type: "clear_breakpoint", id: known.id } : { type: "set_breakpoint", pattern: this.store.nodes[node]!.name, when: null });
  }

  private notice(): void {
    const { notices } = this.store;
    const drawn = notices.slice(-3).map((each) => {
      const close = button("Dismiss", "✕", () => {
        notices.splice(notices.indexOf(each), 1);
        this.notice();
      });
      return h("div", { class: `fb-notice fb-${each.level}` }, h("span", {}, each.text), close);
    });
    this.notices.replaceChildren(...drawn);
  }

  private escape(): void {
    if (this.help) {
      this.toggleHelp();
    } else if (document.activeElement === this.toolbar.search || this.marks.hits.size || this.marks.reached.size) {
      this.toolbar.search.value = "";
      this.find("", 0);
      this.marks = { hits: new Set(), reached: new Set() };
      this.repaint();
      this.root.focus({ preventScroll: true });
    } else {
      this.select(null);
    }
  }

  private toggleHelp(): void {
    if (this.help) {
      this.help.remove();
      this.help = null;
      this.root.focus({ preventScroll: true });
    } else {
      this.help = helpOf(this.keys(), () => this.toggleHelp());
      this.root.append(this.help);
      this.help.querySelector<HTMLElement>("[role=dialog]")?.focus();
    }
  }

  private keys(): Key[] {
    const move = (type: "step" | "back" | "over" | "into" | "out" | "restart" | "stop") => () => this.send({ type });
    const { camera } = this.canvas;
    const selected = (act: (node: number) => void) => () => this.store.selected !== null && act(this.store.selected);
    return [
      { keys: ["ArrowRight"], shown: "→", does: "along an edge, or to the right", act: () => this.walk(1, 0) },
      { keys: ["ArrowLeft"], shown: "←", does: "back along an edge, or to the left", act: () => this.walk(-1, 0) },
      { keys: ["ArrowUp"], shown: "↑", does: "to the node above", act: () => this.walk(0, -1) },
      { keys: ["ArrowDown"], shown: "↓", does: "to the node below", act: () => this.walk(0, 1) },
      { keys: ["Enter"], shown: "Enter", does: "open a closed scope", act: () => this.enter() },
      { keys: ["c", "Backspace"], shown: "c", does: "close the scope around", act: () => this.closeScope() },
      { keys: ["]", "F10"], shown: "] F10", does: "step", act: move("step") },
      { keys: ["[", "Shift+F10"], shown: "[ Shift+F10", does: "step back", act: move("back") },
      { keys: ["o"], shown: "o", does: "step over the scope", act: move("over") },
      { keys: ["F11"], shown: "F11", does: "into the body of a node", act: move("into") },
      { keys: ["Shift+F11"], shown: "Shift+F11", does: "out of the body", act: move("out") },
      { keys: ["Home"], shown: "Home", does: "to the start", act: move("restart") },
      { keys: ["End"], shown: "End", does: "to the end", act: move("stop") },
      { keys: ["Space", "F9"], shown: "Space F9", does: "play, pause", act: () => this.play() },
      { keys: ["r"], shown: "r", does: "run to the chosen node", act: selected((node) => this.send({ type: "run_to", node })) },
      { keys: ["b"], shown: "b", does: "breakpoint on the node", act: selected((node) => this.breakpoint(node)) },
      { keys: ["u"], shown: "u", does: "all it depends on", act: () => this.reach(true) },
      { keys: ["d"], shown: "d", does: "all that depends on it", act: () => this.reach(false) },
      { keys: ["/"], shown: "/", does: "find", act: () => this.toolbar.search.focus() },
      { keys: ["n"], shown: "n", does: "next found", act: () => this.toolbar.next(1) },
      { keys: ["N"], shown: "N", does: "previous found", act: () => this.toolbar.next(-1) },
      { keys: ["+", "="], shown: "+", does: "larger", act: () => camera.zoom(1.25) },
      { keys: ["-"], shown: "-", does: "smaller", act: () => camera.zoom(0.8) },
      { keys: ["0"], shown: "0", does: "fit", act: () => this.canvas.fit() },
      { keys: ["g"], shown: "g", does: "gradient river", act: () => this.toolbar.toggleRiver() },
      { keys: ["?"], shown: "?", does: "these keys", act: () => this.toggleHelp() },
      { keys: ["Escape"], shown: "Esc", does: "close, clear, choose nothing", act: () => this.escape() },
    ];
  }
}

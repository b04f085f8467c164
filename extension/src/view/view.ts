/** The view: it puts the parts together, and knows neither where it is nor whether the run is live. */

import type { Host } from "../host";
import { type Engine, Layouter } from "../layout/layouter";
import type { Box } from "../model/outline";
import type { Scope } from "../model/scopes";
import { type Colour, Store } from "../model/store";
import { PROTOCOL, type ToKernel } from "../protocol";
import { BreakpointList } from "./breakpoints";
import { Canvas } from "./canvas";
import { Changes } from "./changes";
import { eachFrame, h } from "./dom";
import { ExportMenu } from "./exports";
import { Finder } from "./finder";
import { Inspector } from "./inspector";
import { Iterations } from "./iterations";
import { helpOf, listen } from "./keys";
import { keysOf } from "./keymap";
import { CellLink } from "./link";
import { Notices } from "./notices";
import { legend, paint } from "./paint";
import { nodeOf, Scene } from "./scene";
import { Size } from "./size";
import { StoryWalk } from "./storywalk";
import { addStyle } from "./style";
import { followTheme, type Theme } from "./theme";
import { Timeline } from "./timeline";
import { Toolbar } from "./toolbar";
import { Training } from "./training";

/** Milliseconds in which a run that belongs to a graph comes after it: then it is whole from the beginning. */
const RUN_FOLLOWS = 40;

/** How a view looks when it opens; the reader may change it. */
export interface Look {
  colour: Colour;
  river: boolean;
  theme: Theme;
  /** Boxes at most before anything is opened; `null`: what there is room for. */
  boxes: number | null;
}

export interface Options {
  /** The view has the page for itself: the wheel zooms it, wherever the focus is, and it is as high as the page. */
  alone: boolean;
  look?: Look;
}

export class View {
  readonly store = new Store();
  readonly canvas: Canvas;
  readonly layouter: Layouter;
  readonly root = h("div", { class: "fb-view", tabindex: 0, role: "application", "aria-label": "flowbook graph" });
  readonly toolbar: Toolbar;
  readonly finder: Finder;
  private readonly scene: Scene;
  private readonly size: Size;
  private readonly link: CellLink;
  private readonly inspector: Inspector;
  private readonly timeline: Timeline;
  private readonly training: Training;
  private opened = new Map<string, boolean>();
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
    store.colour = options.look?.colour ?? store.colour;
    store.river = options.look?.river ?? store.river;
    const send = (message: ToKernel): void => this.send(message);
    const reveal = (node: number): void => void this.reveal(node);
    this.layouter = new Layouter(engine);
    this.canvas = new Canvas(store, {
      choose: (box) => this.choose(box),
      toggle: (scope) => void this.toggle(scope),
      breakpoint: (node) => this.breakpoint(node),
      resized: () => this.size.changed(),
    });
    this.size = new Size(this.root, store, this.canvas, options.alone, options.look?.boxes ?? null);
    this.scene = new Scene(store, this.canvas, this.layouter, () => this.paint(), this.size);
    this.finder = new Finder(store, reveal, this.repaint);
    this.link = new CellLink(this.root, store, (command) => this.command(command));
    this.inspector = new Inspector(store, { reveal, send, visit: (node) => this.link.visit(node), explains: (node) => this.explains(node) });
    this.timeline = new Timeline(store, (node) => this.visit(node), (position) => send({ type: "run_to", position }));
    this.training = new Training(store, () => send({ type: "interrupt" }));
    const breakpoints = new BreakpointList(store, send, reveal);
    const exports = new ExportMenu(store, this.canvas, send);
    this.toolbar = new Toolbar(store, { send, play: () => this.play(), find: (text, way) => this.finder.find(text, way) }, {
      fit: () => this.canvas.fit(),
      help: () => this.toggleHelp(),
      look: () => store.tell("look"),
    }, breakpoints.popover, exports.popover);
    const notices = new Notices(store);
    const changes = new Changes(store, reveal, this.repaint);
    const story = new StoryWalk(store, reveal);
    this.canvas.camera.covered = () => story.covers;
    this.canvas.root.append(changes.root, notices.root, story.root);
    const iterations = new Iterations(store, (node, index) => send({ type: "run_to_iteration", node, index }));
    this.timeline.root.prepend(iterations.root);
    const below = h("div", { class: "fb-below" }, this.timeline.root, this.training.root);
    this.root.append(this.toolbar.root, this.canvas.root, this.inspector.root, below);
    home.append(this.root);
    addStyle(this.root);
    this.canvas.camera.listen((event) => options.alone || event.ctrlKey || this.root.contains(document.activeElement));
    listen(this.root, keysOf(this));
    this.subscribe();
    // A frame later: JupyterLab hides everything while it changes the theme.
    const redraw = (): void => void requestAnimationFrame(() => [this.timeline, this.training].forEach((each) => each.redraw()));
    this.ends.push(followTheme(this.root, options.look?.theme ?? "follow", redraw), host.onMessage((message) => this.receive(message)), this.watch());
    this.greet();
  }

  private greet(): void {
    this.send({ type: "hello", protocol: PROTOCOL });
  }

  dispose(): void {
    this.send({ type: "bye" });
    this.ends.forEach((end) => end());
    this.root.remove();
  }

  send(message: ToKernel): void {
    if (!this.store.ended) {
      this.host.send(message);
    }
  }

  private receive(message: Parameters<Store["receive"]>[0]): void {
    if (message.type === "graph") {
      this.opened = this.scene.opened ?? this.opened; // of the graph that goes
    }
    this.store.receive(message);
  }

  private subscribe(): void {
    const { store } = this;
    store.on("graph", () => void this.begin());
    for (const topic of ["states", "values", "selection", "look", "breakpoints", "lit", "run", "story"] as const) {
      store.on(topic, this.repaint);
    }
    for (const topic of ["states", "values", "selection", "run", "graph", "story"] as const) {
      store.on(topic, this.reinspect);
    }
    for (const topic of ["graph", "run"] as const) {
      store.on(topic, () => this.timeline.update());
    }
    for (const topic of ["run", "selection", "notice"] as const) {
      store.on(topic, () => this.size.changed());
    }
    store.on("states", () => this.scene.follow(store.status.next));
    store.on("selection", () => this.timeline.redraw());
  }

  /** Tell the kernel when nobody can see the view any more, and when somebody can again. */
  private watch(): () => void {
    let [near, visible] = [true, true];
    const tell = (): void => {
      const now = near && document.visibilityState === "visible";
      if (now !== visible) {
        visible = now;
        this.send({ type: "watch", visible });
      }
    };
    const observer = new IntersectionObserver((entries) => {
      near = entries.at(-1)!.isIntersecting;
      tell();
    });
    observer.observe(this.root);
    document.addEventListener("visibilitychange", tell);
    // A page that goes takes its views with it; one that the browser kept, and that is shown again, is as a new one.
    const gone = (): void => this.send({ type: "bye" });
    const back = ({ persisted }: PageTransitionEvent): void => void (persisted && this.greet());
    window.addEventListener("pagehide", gone);
    window.addEventListener("pageshow", back);
    return () => {
      window.removeEventListener("pagehide", gone);
      window.removeEventListener("pageshow", back);
      observer.disconnect();
      document.removeEventListener("visibilitychange", tell);
    };
  }

  // ---------------------------------------------------------------------------------------------- the picture

  private async begin(): Promise<void> {
    if (this.size.compact && this.root.dataset["fbReady"] === undefined) {
      await new Promise((done) => setTimeout(done, RUN_FOLLOWS));
    }
    this.size.changed();
    await this.scene.begin(this.opened);
    this.size.changed();
    this.root.dataset["fbReady"] = "true";
    performance.mark("flowbook ready");
  }

  private paint(): void {
    if (this.canvas.current) {
      paint(this.canvas, this.store, this.finder.marks);
    } // else it is painted when it is drawn
    this.toolbar.update();
    this.timeline.position();
    const entries = legend(this.store).map(([color, text]) => {
      const swatch = h("i");
      swatch.style.background = color;
      return h("span", {}, swatch, text);
    });
    this.timeline.legend.replaceChildren(...entries);
  }

  private async toggle(scope: Scope): Promise<void> {
    this.root.focus({ preventScroll: true }); // the card that had it is about to go
    await this.scene.toggle(scope);
  }

  // ---------------------------------------------------------------------------------------------- choosing

  private choose(box: Box): void {
    this.visit(nodeOf(box), false);
    this.root.focus({ preventScroll: true });
  }

  /** The reader wants this very node: its cell is shown, too. */
  private visit(node: number, move = true): void {
    this.link.visit(node);
    if (move) {
      void this.reveal(node);
    } else {
      this.select(node);
    }
  }

  select(node: number | null): void {
    this.finder.mark({ reached: new Set() });
    this.store.select(node);
    this.send({ type: "select", node });
  }

  private async reveal(node: number): Promise<void> {
    this.select(node);
    await this.scene.reveal(node);
  }

  walk(dx: number, dy: number): void {
    const found = this.scene.walk(this.store.selected, dx, dy);
    if (found !== null) {
      this.select(found);
      this.scene.follow(found);
    }
  }

  /** Open the chosen scope, or show the cell of the chosen node. */
  enter(): void {
    const { selected } = this.store;
    const box = selected === null ? undefined : this.scene.box(selected);
    if (box?.scope) {
      void this.toggle(box.scope);
    } else if (selected !== null) {
      this.link.visit(selected);
    }
  }

  closeScope(): void {
    const box = this.store.selected === null ? undefined : this.scene.box(this.store.selected);
    if (box && box.around !== this.store.tree.root) {
      void this.toggle(box.around);
    }
  }

  // ---------------------------------------------------------------------------------------------- the run

  /** Whether there is somebody to ask why a value is nan: a kernel, or a recording that tells. */
  private explains(node: number): boolean {
    return this.store.live || this.host.explains?.(node) === true;
  }

  why(node: number): void {
    if (this.explains(node)) {
      this.send({ type: "why", node });
    }
  }

  play(): void {
    this.send({ type: this.store.status.mode === "running" ? "pause" : "continue" });
  }

  breakpoint(node: number): void {
    const known = this.store.breakpoints.find((each) => each.nodes.length === 1 && each.nodes[0] === node);
    this.send(known ? { type: "clear_breakpoint", id: known.id } : { type: "set_breakpoint", pattern: literal(this.store.nodes[node]!.name), when: null });
  }

  /** What a host's menus and palette ask for. */
  private command(type: string): void {
    const moves = ["step", "back", "over", "into", "out", "continue", "pause", "stop", "restart", "undo"] as const;
    const move = moves.find((each) => each === type);
    if (move) {
      this.send({ type: move });
    } else if (type === "fit") {
      this.canvas.fit();
    } else if (type === "find") {
      this.toolbar.search.focus();
    }
  }

  escape(): void {
    if (this.help) {
      this.toggleHelp();
    } else if (this.toolbar.close()) {
      this.root.focus({ preventScroll: true });
    } else if (document.activeElement === this.toolbar.search || this.finder.active) {
      this.toolbar.search.value = "";
      this.finder.find("", 0);
      this.finder.mark({ hits: new Set(), reached: new Set() });
      this.root.focus({ preventScroll: true });
    } else {
      this.select(null);
    }
  }

  toggleHelp(): void {
    if (this.help) {
      this.help.remove();
      this.help = null;
      this.root.focus({ preventScroll: true });
    } else {
      this.help = helpOf(keysOf(this), () => this.toggleHelp());
      this.root.append(this.help);
      this.help.querySelector<HTMLElement>("[role=dialog]")?.focus();
    }
  }
}

/** A name as a pattern that matches nothing else. */
function literal(name: string): string {
  return name.replaceAll(/[*?[]/g, "[$&]");
}

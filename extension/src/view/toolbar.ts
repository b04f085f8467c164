/** The bar at the top: the debugger's buttons, what the run does, colours, search. Without a run it is a quiet strip. */

import { earlierRun, milliseconds, plural } from "../model/format";
import type { Colour, Store } from "../model/store";
import type { ToKernel } from "../protocol";
import { button, h } from "./dom";
import { icon } from "./icons";
import type { Popover } from "./popover";

const COLOURS: Colour[] = ["state", "device", "time", "memory", "gradient"];
const MOVES = ["restart", "back", "step", "over", "into", "out", "stop"] as const;
type Move = (typeof MOVES)[number];

export interface Deeds {
  send(message: ToKernel): void;
  play(): void;
  /** Find a text, or the next (1) or previous (−1) match; the answer says which of how many. */
  find(text: string, way: number): string;
}

export interface Looks {
  fit(): void;
  help(): void;
  look(): void;
}

export class Toolbar {
  readonly search = h("input", { type: "search", placeholder: "find node, op, /regex/", "aria-label": "find nodes", spellcheck: "false" });
  readonly root: HTMLElement;
  private readonly status = h("div", { class: "fb-status", role: "status", "aria-live": "polite" });
  private readonly found = h("span", { class: "fb-found", "aria-live": "polite" });
  private readonly play: HTMLButtonElement;
  private readonly buttons: Record<Move, HTMLButtonElement>;
  private readonly river: HTMLButtonElement;
  private readonly whole: HTMLButtonElement;
  /** The reader has asked for the whole graph around a cell. */
  private showsWhole = false;

  constructor(
    private readonly store: Store,
    private readonly deeds: Deeds,
    private readonly looks: Looks,
    readonly breakpoints: Popover,
    private readonly exports: Popover,
  ) {
    const move = (type: Move, label: string): HTMLButtonElement => button(label, icon(type), () => deeds.send({ type }));
    this.buttons = {
      restart: move("restart", "To the start (Home)"),
      back: move("back", "Step back ([ or Shift+F10)"),
      step: move("step", "Step (] or F10)"),
      over: move("over", "Step over the scope (O)"),
      into: move("into", "Into the body (F11)"),
      out: move("out", "Out of the body (Shift+F11)"),
      stop: move("stop", "To the end (End or Shift+F9)"),
    };
    this.buttons.step.classList.add("fb-main");
    this.play = button("Continue (Space or F9)", icon("continue"), () => deeds.play(), { class: "fb-main" });
    this.river = button("Gradient river (G)", icon("river"), () => this.toggleRiver());
    this.whole = button("Show the whole graph", "whole graph", () => this.toggleWhole(), { class: "fb-quiet-button" });
    const colour = h("select", { "aria-label": "colour by" }, ...COLOURS.map((each) => h("option", { value: each }, `colour: ${each}`)));
    colour.value = store.colour;
    colour.addEventListener("change", () => {
      store.colour = colour.value as Colour;
      looks.look();
    });
    this.search.addEventListener("input", () => (this.found.textContent = deeds.find(this.search.value, 0)));
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        this.next(event.shiftKey ? -1 : 1);
      }
    });
    const { restart, back, step, over, into, out, stop } = this.buttons;
    const gap = (): HTMLElement => h("span", { class: "fb-sep" });
    const run = h("div", { class: "fb-run" }, restart, back, step, over, into, out, gap(), this.play, stop, breakpoints.root, gap());
    this.root = h(
      "div",
      { class: "fb-bar", role: "toolbar", "aria-label": "run" },
      run, this.status, this.whole,
      h("div", { class: "fb-run" }, colour, this.river, gap()),
      this.search, this.found,
      button("Fit (0)", icon("fit"), () => looks.fit()),
      exports.root,
      button("Keys (?)", icon("help"), () => looks.help()),
    );
  }

  next(way: number): void {
    this.found.textContent = this.deeds.find(this.search.value, way);
  }

  toggleRiver(): void {
    this.store.river = !this.store.river;
    this.looks.look();
  }

  /** Close what hangs open; whether anything did. */
  close(): boolean {
    return [this.breakpoints, this.exports].map((each) => each.close()).includes(true);
  }

  private toggleWhole(): void {
    this.showsWhole = !this.showsWhole;
    this.deeds.send({ type: "show", whole: this.showsWhole });
  }

  update(): void {
    const { store } = this;
    const { mode, position, count, next } = store.status;
    const ended = next === undefined || mode === "failed" || store.ended;
    const bodies = store.nodes.some((each) => each.parent !== undefined);
    this.buttons.back.disabled = this.buttons.restart.disabled = position === 0 || store.ended;
    for (const each of ["step", "over", "into", "out", "stop"] as const) {
      this.buttons[each].disabled = ended;
    }
    this.buttons.into.hidden = this.buttons.out.hidden = !bodies;
    this.play.disabled = count === 0 || store.ended;
    const playing = mode === "running";
    this.play.replaceChildren(icon(playing ? "pause" : "continue"));
    this.play.title = playing ? "Pause (Space or F9)" : "Continue (Space or F9)";
    this.play.setAttribute("aria-label", this.play.title);
    this.river.setAttribute("aria-pressed", String(store.river));
    this.river.hidden = !store.nodes.some((each) => each.gradients);
    this.breakpoints.button.classList.toggle("fb-on", store.breakpoints.length > 0);
    const hidden = store.graph?.hidden ?? 0;
    this.showsWhole &&= hidden === 0;
    this.whole.hidden = hidden === 0 && !this.showsWhole;
    this.whole.textContent = hidden ? `+ ${plural(hidden, "node")}` : "only this cell";
    this.whole.title = hidden ? `Show the whole graph: ${plural(hidden, "more node")}` : "Show only this cell";
    this.whole.setAttribute("aria-label", this.whole.title);
    this.status.replaceChildren(...this.words(mode, position, count, next));
  }

  private words(mode: string, position: number, count: number, next: number | undefined): (Node | string)[] {
    const { store } = this;
    const bold = (text: string): HTMLElement => h("b", { class: "fb-mono" }, text);
    if (mode === "idle" || count === 0) {
      const { focus } = store;
      const title = store.graph?.title ?? "";
      const around = focus ? store.nodes.length - focus.size : 0;
      const text = plural(focus?.size ?? store.nodes.length, "node") + (around ? ` · ${around} around` : "");
      return store.run || !title ? [text] : [bold(title), ` · ${text}`];
    }
    const earlier = earlierRun(store.status.missed);
    const tail: (Node | string)[] = [" · ", h("b", {}, String(position)), ` of ${plural(count, "node")}`];
    if (store.run?.step !== undefined) {
      tail.push(" · training step ", h("b", {}, String(store.run.step)));
    }
    const span = store.ranBefore(position);
    if (span) {
      tail.push(` · ${milliseconds(span.end * 1000)}`);
    }
    if (mode === "failed") {
      const failed = store.run?.failed;
      return [earlier && `${earlier} · `, "failed at ", bold(failed ? store.nodes[failed.node]!.name : "?"), `: ${failed?.message ?? ""}`];
    }
    const name = next === undefined ? undefined : store.nodes[next]?.name;
    return name === undefined ? [earlier || "finished", ...tail] : [mode === "running" ? "running " : "next ", bold(name), ...tail];
  }
}

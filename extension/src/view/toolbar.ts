/** The bar at the top: the debugger's buttons, what the run does, colours, search. */

import { milliseconds, plural } from "../model/format";
import type { Colour, Store } from "../model/store";
import type { ToKernel } from "../protocol";
import { button, h, s } from "./dom";

/** Outlines on a grid of 16. */
const ICONS = {
  restart: "M3.5 8a4.5 4.5 0 1 0 1.6-3.4M3 2.5v3h3",
  back: "M12.5 3.5v9l-6.5-4.5zM3.5 3.5v9",
  step: "M3.5 3.5v9l6.5-4.5zM12.5 3.5v9",
  over: "M2.5 9.5a5.5 4.5 0 0 1 11 0M13.5 5.5v4h-4M8 12.5h.01",
  into: "M8 2v7M5 6.2l3 3 3-3M8 13h.01",
  out: "M8 10V2.6M5 5.6l3-3 3 3M8 13h.01",
  continue: "M4 2.8v10.4l8.5-5.2z",
  pause: "M5.5 3v10M10.5 3v10",
  stop: "M4 4h8v8h-8z",
  river: "M1.5 6c3-3 4 3 6.5 0s4-2 6.5 0M1.5 11c3-3 4 3 6.5 0s4-2 6.5 0",
  fit: "M2.5 6v-3.5h3.5M10 2.5h3.5v3.5M13.5 10v3.5h-3.5M6 13.5h-3.5v-3.5",
  help: "M5.8 6a2.2 2.2 0 1 1 3.2 2c-.7.4-1 .8-1 1.6M8 12.5h.01",
};
const COLOURS: Colour[] = ["state", "device", "time", "memory", "gradient"];

export interface Deeds {
  send(message: ToKernel): void;
  play(): void;
  find(text: string, way: number): string;
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
  private readonly buttons: Record<"restart" | "back" | "step" | "over" | "into" | "out" | "stop", HTMLButtonElement>;
  private readonly river: HTMLButtonElement;

  constructor(
    private readonly store: Store,
    private readonly deeds: Deeds,
  ) {
    const move = (type: "restart" | "back" | "step" | "over" | "into" | "out" | "stop", label: string): HTMLButtonElement =>
      button(label, icon(type), () => deeds.send({ type }));
    this.buttons = {
      restart: move("restart", "To the start (Home)"),
      back: move("back", "Step back ([ or Shift+F10)"),
      step: move("step", "Step (] or F10)"),
      over: move("over", "Step over the scope (O)"),
      into: move("into", "Into the body (F11)"),
      out: move("out", "Out of the body (Shift+F11)"),
      stop: move("stop", "To the end (End)"),
    };
    this.buttons.step.classList.add("fb-main");
    this.play = button("Play (Space or F9)", icon("continue"), () => deeds.play(), { class: "fb-main" });
    this.river = button("Gradient river (G)", icon("river"), () => this.toggleRiver());
    const colour = h("select", { "aria-label": "colour by" }, ...COLOURS.map((each) => h("option", { value: each }, `colour: ${each}`)));
    colour.addEventListener("change", () => {
      store.colour = colour.value as Colour;
      deeds.look();
    });
    this.search.addEventListener("input", () => (this.found.textContent = deeds.find(this.search.value, 0)));
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        this.next(event.shiftKey ? -1 : 1);
      }
    });
    this.root = h(
      "div",
      { class: "fb-bar", role: "toolbar", "aria-label": "run" },
      this.buttons.restart, this.buttons.back, this.buttons.step, this.buttons.over, this.buttons.into, this.buttons.out,
      h("span", { class: "fb-sep" }),
      this.play, this.buttons.stop,
      h("span", { class: "fb-sep" }),
      this.status, colour, this.river,
      h("span", { class: "fb-sep" }),
      this.search, this.found,
      button("Fit (0)", icon("fit"), () => deeds.fit()),
      button("Keys (?)", icon("help"), () => deeds.help()),
    );
  }

  next(way: number): void {
    this.found.textContent = this.deeds.find(this.search.value, way);
  }

  toggleRiver(): void {
    this.store.river = !this.store.river;
    this.deeds.look();
  }

  update(): void {
    const { store } = this;
    const { mode, position, count, next } = store.status;
    const ended = next === undefined || mode === "failed";
    const bodies = store.nodes.some((each) => each.parent !== undefined);
    this.buttons.back.disabled = this.buttons.restart.disabled = position === 0;
    for (const each of ["step", "over", "stop"] as const) {
      this.buttons[each].disabled = ended;
    }
    this.buttons.into.hidden = this.buttons.out.hidden = !bodies;
    this.play.disabled = count === 0;
    const playing = mode === "running";
    this.play.replaceChildren(icon(playing ? "pause" : "continue"));
    this.play.title = playing ? "Pause (Space)" : "Play (Space or F9)";
    this.play.setAttribute("aria-label", this.play.title);
    this.river.setAttribute("aria-pressed", String(store.river));
    this.river.hidden = !store.nodes.some((each) => each.gradients);
    this.status.replaceChildren(...this.words(mode, position, count, next));
  }

  private words(mode: string, position: number, count: number, next: number | undefined): (Node | string)[] {
    const { store } = this;
    const bold = (text: string): HTMLElement => h("b", { class: "fb-mono" }, text);
    if (mode === "idle" || count === 0) {
      return [plural(store.nodes.length, "node")];
    }
    const tail: (Node | string)[] = [" · ", h("b", {}, String(position)), ` of ${plural(count, "node")}`];
    if (store.progress) {
      tail.push(" · step ", h("b", {}, String(store.progress.done)), ` of ${store.progress.steps}`);
    }
    const span = position ? store.spans[position - 1] : undefined;
    if (span) {
      tail.push(` · ${milliseconds(span.end * 1000)}`);
    }
    if (mode === "failed") {
      const failed = store.run?.failed;
      return ["failed at ", bold(failed ? store.nodes[failed.node]!.name : "?"), `: ${failed?.message ?? ""}`];
    }
    const name = next === undefined ? undefined : store.nodes[next]?.name;
    return name === undefined ? ["finished", ...tail] : [mode === "running" ? "running " : "next ", bold(name), ...tail];
  }
}

function icon(name: keyof typeof ICONS): SVGSVGElement {
  return s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
}

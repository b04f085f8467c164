/** The run as a file: what the view has it writes itself, the rest it asks the kernel for. */

import { exportJson } from "../model/exportjson";
import type { Store } from "../model/store";
import type { ToKernel } from "../protocol";
import type { Canvas } from "./canvas";
import { button, h } from "./dom";
import { icon } from "./icons";
import { asPng, asSvg } from "./snapshot";
import { Popover } from "./popover";

export class ExportMenu {
  readonly popover: Popover;

  constructor(
    private readonly store: Store,
    private readonly canvas: Canvas,
    private readonly send: (message: ToKernel) => void,
  ) {
    this.popover = new Popover("Save as a file", icon("save"), (panel) => this.fill(panel));
    store.on("file", () => {
      const { file } = store;
      if (file) {
        save(file.name, new Blob([file.data as Uint8Array<ArrayBuffer>], { type: file.mime }));
      }
    });
  }

  private fill(panel: HTMLElement): void {
    const { store, canvas } = this;
    const name = (store.graph?.title || "graph").replaceAll("/", "-");
    const entry = (label: string, about: string, act: () => void): HTMLElement =>
      button(`${label}: ${about}`, h("span", {}, h("b", {}, label), h("i", {}, about)), () => {
        this.popover.close();
        act();
      }, { class: "fb-entry" });
    const text = (extension: string, mime: string, made: () => string) => () => save(`${name}.${extension}`, new Blob([made()], { type: mime }));
    const run = store.run !== null;
    panel.replaceChildren(
      entry("SVG", "the picture as it is seen", text("svg", "image/svg+xml", () => asSvg(canvas))),
      entry("PNG", "the same, twice as fine", () => void asPng(canvas).then((made) => save(`${name}.png`, made))),
      entry("JSON", "the graph, times and values", text("json", "application/json", () => exportJson(store))),
      run ? entry("Perfetto", "the timeline, for ui.perfetto.dev", () => this.send({ type: "export", kind: "perfetto" })) : "",
      run && store.live ? entry("HTML", "one file that plays the run", () => this.send({ type: "export", kind: "html" })) : "",
    );
  }
}

function save(name: string, data: Blob): void {
  const url = URL.createObjectURL(data);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

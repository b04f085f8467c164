/** Outlines on a grid of 16, in the manner of JupyterLab's debugger. */

import { s } from "./dom";

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
  breakpoint: "M8 4.2a3.8 3.8 0 1 1 0 7.6a3.8 3.8 0 1 1 0-7.6M8 7.9h.01",
  save: "M8 2.5v7.5M5 7.2l3 3 3-3M2.8 10.5v3h10.4v-3",
  before: "M10 3.5L5.5 8l4.5 4.5",
  after: "M6 3.5L10.5 8L6 12.5",
  close: "M4 4l8 8M12 4l-8 8",
};

export type Icon = keyof typeof ICONS;

export function icon(name: Icon): SVGSVGElement {
  return s("svg", { viewBox: "0 0 16 16", class: "fb-icon", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
}

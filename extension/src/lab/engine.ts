/** What all views of a page share: the program, and one worker that lays out; both are loaded when there is a view. */

import type { Host } from "../host";
import type { WorkerEngine } from "../layout/layouter";
import type { View } from "../view/view";
import type { Settings } from "./settings";

let engine: WorkerEngine | null = null;

/** How to draw a view, in an element that is in the page. */
export type Draw = (home: HTMLElement, host: Host, settings: Settings, alone?: boolean) => View;

export async function load(): Promise<Draw> {
  const [{ View }, { WorkerEngine }, { default: program }] = await Promise.all([
    import("../view/view"), import("../layout/layouter"), import("flowbook-layout-worker"),
  ]);
  if (!engine) {
    engine = new WorkerEngine(program);
    engine.warm();
  }
  const shared = engine;
  return (home, host, settings, alone = false) => new View(home, host, shared.run, { alone, look: settings.look });
}

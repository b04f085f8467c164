/** What all views of a page share: the program, and one worker that lays out; both are loaded when there is a view. */

import { unzip } from "../codec";
import type { Host } from "../host";
import type { WorkerEngine } from "../layout/layouter";
import type { View } from "../view/view";
import type { Settings } from "./settings";

let engine: WorkerEngine | null = null;

/** How to draw a view, in an element that is in the page. */
export type Draw = (home: HTMLElement, host: Host, settings: Settings, alone?: boolean) => View;

export async function load(): Promise<Draw> {
  const [{ View }, { WorkerEngine }] = await Promise.all([import("../view/view"), import("../layout/layouter")]);
  const shared = (engine ??= new WorkerEngine(async () => unzip((await import("flowbook-layout-worker")).default)));
  return (home, host, settings, alone = false) => new View(home, host, shared.run, { alone, look: settings.look });
}

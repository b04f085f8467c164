/** What the reader has set, in JupyterLab's settings editor; for views that are opened from then on. */

import type { ISettingRegistry } from "@jupyterlab/settingregistry";
import type { Look } from "../view/view";

export const PLUGIN = "flowbook-graph:plugin";

const COLOURS = ["state", "device", "time", "memory", "gradient"] as const;
const THEMES = ["follow", "light", "dark"] as const;

export class Settings {
  look: Look = { colour: "state", river: true, theme: "follow", boxes: null };
  /** Elements of a chosen value that are sent. */
  elements = 4096;
  /** The cursor lights the nodes of its line. */
  follow = true;

  /** Read what is set, now and whenever it changes. What is out of range counts as not set. */
  async load(registry: ISettingRegistry): Promise<void> {
    const loaded = await registry.load(PLUGIN);
    loaded.changed.connect(() => this.read(loaded));
    this.read(loaded);
  }

  private read(loaded: ISettingRegistry.ISettings): void {
    const get = (name: string): unknown => loaded.get(name).composite;
    this.look = {
      colour: one(COLOURS, get("colour")),
      river: get("river") !== false,
      theme: one(THEMES, get("theme")),
      boxes: number(get("boxes"), 10, 300),
    };
    this.elements = number(get("elements"), 64, 65536) ?? 4096;
    this.follow = get("followCursor") !== false;
  }
}

function one<T>(choices: readonly T[], value: unknown): T {
  return choices.find((each) => each === value) ?? choices[0]!;
}

function number(value: unknown, low: number, high: number): number | null {
  return typeof value === "number" && value >= low && value <= high ? Math.round(value) : null;
}

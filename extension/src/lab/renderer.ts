/**
 * What an output shows: the live view while the kernel knows it; else the run that was kept with the notebook, which
 * plays; else the picture that was saved.
 */

import type { ISessionContext } from "@jupyterlab/apputils";
import type { IRenderMime } from "@jupyterlab/rendermime-interfaces";
import { Widget } from "@lumino/widgets";
import { type Packed, unpackBase64, unzip } from "../codec";
import type { Host } from "../host";
import { Player } from "../player";
import type { ToView } from "../protocol";
import { h } from "../view/dom";
import type { View } from "../view/view";
import { after, ENDED, KernelHost, kernelOf, PATIENCE } from "./connection";
import { load } from "./engine";
import type { Settings } from "./settings";

export const MIME = "application/vnd.flowbook-graph.trace+json";

interface Metadata {
  view?: string;
  recording?: string;
}

export class GraphRenderer extends Widget implements IRenderMime.IRenderer {
  private known: Metadata = {};
  private host: KernelHost | null = null;
  private drawn: View | null = null;
  /** Whether the kernel has answered. */
  private alive = false;
  private round = 0;

  constructor(
    private readonly session: ISessionContext | null,
    private readonly settings: Settings,
    private readonly connect: () => Promise<boolean>,
  ) {
    super();
    this.addClass("flowbook-output");
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const told = (model.metadata[MIME] ?? {}) as Metadata;
    const before = this.known;
    this.known = told;
    if (before.view === told.view && (this.host || before.recording === told.recording) && this.node.firstChild) {
      return; // a live view knows more than what is kept of it
    }
    this.clear();
    const round = (this.round += 1);
    this.node.replaceChildren(picture(model));
    // While a kernel takes its time, what was kept is there to look at.
    const live = await Promise.race([this.live(round), after(PATIENCE)]);
    if (live !== true && round === this.round && !this.alive) {
      await this.replay(round);
    }
  }

  override dispose(): void {
    this.round += 1;
    this.clear();
    super.dispose();
  }

  private clear(): void {
    this.drawn?.dispose();
    this.host?.dispose();
    this.drawn = this.host = null;
    this.alive = false;
  }

  /** Show the view of the kernel; `false` when there is none. */
  private async live(round: number): Promise<boolean> {
    const known = this.known.view !== undefined && (await this.connect());
    const kernel = known && this.session ? await kernelOf(this.session) : null;
    if (!kernel || round !== this.round) {
      return false;
    }
    const host = new KernelHost(kernel, this.known.view!, this.settings.elements, () => void this.outlive(round));
    this.host = host;
    if ((await host.opened) && round === this.round) {
      this.alive = true;
      await this.draw(host, round);
      return true;
    }
    host.dispose();
    this.host = this.host === host ? null : this.host;
    return false;
  }

  /** The kernel of a live view is gone: a run that was kept still plays. */
  private async outlive(round: number): Promise<void> {
    if (this.drawn && this.known.recording !== undefined && round === this.round) {
      this.clear();
      const text = `${ENDED} This is the run as it was kept; run the cell again to go on from here.`;
      await this.replay(round, { type: "notice", level: "info", text });
    }
  }

  private async replay(round: number, ...more: ToView[]): Promise<void> {
    const { recording } = this.known;
    if (recording === undefined) {
      return;
    }
    try {
      const packed = JSON.parse(await unzip(recording)) as Packed[];
      const messages = [...packed.map(unpackBase64), ...more];
      await this.draw(new Player(messages), round);
    } catch (error) {
      const text = `The run that was kept with this output cannot be read: ${String(error)}`;
      this.node.append(h("div", { class: "flowbook-note", role: "alert" }, text));
    }
  }

  private async draw(host: Host, round: number): Promise<void> {
    const draw = await load();
    if (round === this.round && this.alive === (host === this.host)) {
      const home = h("div");
      this.drawn?.dispose();
      this.node.replaceChildren(home);
      this.drawn = draw(home, host, this.settings);
    }
  }
}

/** What an output is without a kernel: the saved picture, which runs no scripts and fetches nothing, else its text. */
function picture(model: IRenderMime.IMimeModel): Node {
  const svg = text(model.data["image/svg+xml"]);
  if (svg === null) {
    return h("pre", {}, text(model.data["text/plain"]) ?? "");
  }
  const found = h("img", { class: "flowbook-picture", alt: text(model.data["text/plain"]) ?? "flow graph" });
  found.src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  return found;
}

/** A text of a MIME bundle, which files keep as lines. */
function text(value: unknown): string | null {
  return typeof value === "string" ? value : Array.isArray(value) ? value.join("") : null;
}

/** What the panel shows of the kernel of one notebook: told by the kernel, asked for again while it can be seen. */

import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel } from "@jupyterlab/services";
import type { JSONValue } from "@lumino/coreutils";
import { type FromPanel, PROTOCOL, type PanelMessage, type ToPanel } from "../protocol";
import { kernelOf, Line } from "./connection";

/** Milliseconds between two questions. */
const PERIOD = 2000;

export class PanelData {
  state: PanelMessage | null = null;
  /** Why there is nothing, or what went wrong. */
  trouble = "";
  private line: Line | null = null;
  private kernel: Kernel.IKernelConnection | null = null;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly session: ISessionContext,
    private readonly changed: () => void,
  ) {
    session.kernelChanged.connect(this.forget, this);
    session.statusChanged.connect(this.follow, this);
  }

  /** Ask the kernel, if it has flowbook; it is asked again when a view opens, or a cell is run. */
  async connect(): Promise<void> {
    const kernel = await kernelOf(this.session);
    if (!kernel || kernel === this.kernel) {
      return;
    }
    this.kernel = kernel;
    const received = (message: unknown): void => this.receive(message as ToPanel);
    const ended = (): void => this.forget();
    this.line = await Line.open(kernel, { panel: true }, received, ended).catch(() => null);
  }

  send(message: FromPanel): void {
    this.trouble = "";
    this.line?.send(message as unknown as JSONValue);
  }

  /** Whether anybody sees it. */
  watch(visible: boolean): void {
    clearInterval(this.timer);
    if (visible) {
      const ask = (): void => this.line?.send({ type: "refresh", all: false });
      this.timer = setInterval(ask, PERIOD);
      ask();
    }
  }

  dispose(): void {
    clearInterval(this.timer);
    this.session.kernelChanged.disconnect(this.forget, this);
    this.session.statusChanged.disconnect(this.follow, this);
    this.line?.close();
  }

  private receive(message: ToPanel): void {
    if (message.type === "refused") {
      this.trouble = message.text;
    } else if (message.protocol !== PROTOCOL) {
      this.trouble =
        `The extension speaks version ${PROTOCOL} of the protocol, the kernel version ${message.protocol}. ` +
        "Restart the kernel and reload the page, so that both are of the same flowbook.";
    } else {
      this.state = message;
    }
    this.changed();
  }

  private follow(_: ISessionContext, status: Kernel.Status): void {
    if (status === "restarting" || status === "autorestarting" || status === "dead") {
      this.forget();
    }
  }

  /** The kernel is another one, or has no flowbook. */
  private forget(): void {
    this.kernel = this.line = this.state = null;
    this.trouble = "";
    this.changed();
  }
}

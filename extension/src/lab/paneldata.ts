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
  private known: Promise<boolean> | null = null;
  private answer: (known: boolean) => void = () => undefined;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly session: ISessionContext,
    private readonly changed: () => void,
  ) {
    session.kernelChanged.connect(this.forget, this);
    session.statusChanged.connect(this.follow, this);
  }

  /** Whether the kernel has flowbook. Views ask before they open a comm; a kernel that had none is asked again. */
  connect(): Promise<boolean> {
    return (this.known ??= this.open());
  }

  private async open(): Promise<boolean> {
    const kernel = await kernelOf(this.session);
    if (!kernel) {
      this.known = null;
      return false;
    }
    const answered = new Promise<boolean>((answer) => (this.answer = answer));
    const received = (message: unknown): void => this.receive(message as ToPanel);
    const ended = (): void => this.forget(); // it has no flowbook
    this.line = new Line(kernel, { open: { panel: true } }, received, ended);
    return answered;
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
    this.answer(true);
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
    this.answer(false);
    this.line?.close();
    this.known = this.line = this.state = null;
    this.trouble = "";
    this.changed();
  }
}

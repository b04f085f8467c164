/** The live widget (anywidget): messages of the kernel come over its comm, so it works wherever widgets do. */

import { unpack } from "../codec";
import type { Host } from "../host";
import { layoutProgram } from "./program";
import { WorkerEngine } from "../layout/layouter";
import type { ToKernel, ToView } from "../protocol";
import { View } from "../view/view";

/** What is used of anywidget's model. */
interface Model {
  on(event: "msg:custom", listener: (message: unknown, buffers: readonly DataView[]) => void): void;
  off(event: "msg:custom", listener: (message: unknown, buffers: readonly DataView[]) => void): void;
  on(event: "comm_live_update", listener: () => void): void;
  off(event: "comm_live_update", listener: () => void): void;
  send(content: unknown): void;
}

/** Milliseconds after which a greeting is sent again. */
const PATIENCE = 400;

class WidgetHost implements Host {
  private heard = false;
  private page = "";
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly model: Model) {}

  send(message: ToKernel): void {
    if (message.type === "hello") {
      this.page = `${Date.now()} ${Math.random()}`;
      return this.greet({ ...message, page: this.page });
    }
    this.tell(message.type === "bye" ? { ...message, page: this.page } : message);
  }

  /** A comm of which the kernel is gone, as when a notebook is closed, may refuse to send; nobody would hear it. */
  private tell(message: unknown): void {
    try {
      this.model.send(message);
    } catch {
      this.dispose();
    }
  }

  /**
   * JupyterLab sends the first messages of a widget into the queue behind the cells that run, and later ones past it. So
   * the greeting is sent until it is answered; the kernel answers it once.
   */
  private greet(message: ToKernel): void {
    this.tell(message);
    this.timer = setInterval(() => (this.heard ? this.dispose() : this.tell(message)), PATIENCE);
  }

  dispose(): void {
    clearInterval(this.timer);
  }

  onMessage(listener: (message: ToView) => void): () => void {
    const receive = (message: unknown, buffers: readonly DataView[]): void => {
      if ((message as { type?: unknown }).type === "program") {
        return; // for the loader of another view
      }
      this.heard = true;
      // Another version may pack differently; what cannot be read says so instead of stopping the view.
      try {
        listener(unpack(message, buffers));
      } catch (error) {
        listener({ type: "notice", level: "error", text: `A message of the kernel could not be read: ${String(error)}` });
      }
    };
    // A comm is alive when the view is drawn, so the one change there can be is its end: the kernel is gone.
    const end = (): void => {
      this.dispose();
      listener({ type: "notice", level: "ended", text: "The kernel was restarted or shut down. Run the cell again." });
    };
    this.model.on("msg:custom", receive);
    this.model.on("comm_live_update", end);
    return () => {
      this.model.off("msg:custom", receive);
      this.model.off("comm_live_update", end);
    };
  }
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const engine = new WorkerEngine(layoutProgram);
  engine.warm();
  const host = new WidgetHost(model);
  const view = new View(el, host, engine.run, { alone: false });
  return () => {
    host.send({ type: "watch", visible: false }); // nobody sees it: runs need not be watched
    host.dispose();
    view.dispose();
    engine.dispose();
  };
}

export default { render };

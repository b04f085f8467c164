/** The live widget (anywidget): messages of the kernel come over its comm, so it works wherever widgets do. */

import { unpack } from "../codec";
import type { Host } from "../host";
import { WorkerEngine } from "../layout/layouter";
import type { ToKernel, ToView } from "../protocol";
import { View } from "../view/view";

/** What is used of anywidget's model. */
interface Model {
  on(event: "msg:custom", listener: (message: unknown, buffers: readonly DataView[]) => void): void;
  off(event: "msg:custom", listener: (message: unknown, buffers: readonly DataView[]) => void): void;
  send(content: unknown): void;
}

class WidgetHost implements Host {
  constructor(private readonly model: Model) {}

  send(message: ToKernel): void {
    this.model.send(message);
  }

  onMessage(listener: (message: ToView) => void): () => void {
    const receive = (message: unknown, buffers: readonly DataView[]): void => {
      // Another version may pack differently; what cannot be read says so instead of stopping the view.
      try {
        listener(unpack(message, buffers));
      } catch (error) {
        listener({ type: "notice", level: "error", text: `A message of the kernel could not be read: ${String(error)}` });
      }
    };
    this.model.on("msg:custom", receive);
    return () => this.model.off("msg:custom", receive);
  }
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const engine = new WorkerEngine();
  const view = new View(el, new WidgetHost(model), engine.run, { alone: false });
  return () => {
    view.dispose();
    engine.dispose();
  };
}

export default { render };

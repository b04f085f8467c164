/** A `.flowtrace` file: a run that plays, without a kernel. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { ABCWidgetFactory, type DocumentRegistry, DocumentWidget } from "@jupyterlab/docregistry";
import { Widget } from "@lumino/widgets";
import { Player } from "../player";
import { h } from "../view/dom";
import type { View } from "../view/view";
import { load } from "./engine";
import { graphIcon } from "./icon";
import type { Settings } from "./settings";

const TYPE = "flowtrace";
const FACTORY = "Flow Graph";

export function addTraceFiles(app: JupyterFrontEnd, settings: Settings): void {
  app.docRegistry.addFileType({
    name: TYPE,
    displayName: "Flow trace",
    extensions: [".flowtrace"],
    mimeTypes: ["application/vnd.flowbook-graph.trace"],
    contentType: "file",
    fileFormat: "base64",
    icon: graphIcon,
  });
  const options = { name: FACTORY, label: FACTORY, modelName: "base64", fileTypes: [TYPE], defaultFor: [TYPE], readOnly: true };
  app.docRegistry.addWidgetFactory(new TraceFiles(options, settings));
}

class TraceFiles extends ABCWidgetFactory<DocumentWidget<TraceWidget>> {
  constructor(
    options: DocumentRegistry.IWidgetFactoryOptions,
    private readonly settings: Settings,
  ) {
    super(options);
  }

  protected createNewWidget(context: DocumentRegistry.Context): DocumentWidget<TraceWidget> {
    const content = new TraceWidget(context, this.settings);
    return new DocumentWidget({ content, context });
  }
}

class TraceWidget extends Widget {
  private view: View | null = null;

  constructor(
    private readonly context: DocumentRegistry.Context,
    private readonly settings: Settings,
  ) {
    super();
    this.addClass("flowbook-file");
    void context.ready.then(() => {
      context.model.contentChanged.connect(() => void this.draw());
      void this.draw();
    });
  }

  override dispose(): void {
    this.view?.dispose();
    this.view = null;
    super.dispose();
  }

  private async draw(): Promise<void> {
    try {
      const [draw, { readTrace }] = await Promise.all([load(), import("../trace/read")]);
      const messages = await readTrace(bytesOf(this.context.model.toString()));
      if (this.isDisposed) {
        return;
      }
      this.view?.dispose();
      const home = h("div");
      this.node.replaceChildren(home);
      this.view = draw(home, new Player(messages), this.settings, true);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.node.replaceChildren(h("pre", { class: "flowbook-note", role: "alert" }, `This file cannot be shown: ${text}`));
    }
  }
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
}

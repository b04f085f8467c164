/** What a notebook gets: views in its outputs, their connection with its cells, and its part of the panel. */

import type { DocumentRegistry } from "@jupyterlab/docregistry";
import type { INotebookModel, NotebookPanel } from "@jupyterlab/notebook";
import { DisposableDelegate, type IDisposable } from "@lumino/disposable";
import { link } from "./linking";
import type { SidePanel } from "./panel";
import { PanelData } from "./paneldata";
import { GraphRenderer, MIME } from "./renderer";
import type { Settings } from "./settings";

/** Before the renderer of widgets, which shows the same view where this extension is not installed. */
const RANK = -20;

export class Notebooks implements DocumentRegistry.IWidgetExtension<NotebookPanel, INotebookModel> {
  private readonly data = new WeakMap<NotebookPanel, PanelData>();
  private current: NotebookPanel | null = null;

  constructor(
    private readonly settings: Settings,
    private readonly panel: SidePanel,
  ) {}

  createNew(notebook: NotebookPanel): IDisposable {
    const data = new PanelData(notebook.sessionContext, () => notebook === this.current && this.panel.draw());
    this.data.set(notebook, data);
    const connect = (): Promise<boolean> => data.connect();
    const createRenderer = (): GraphRenderer => new GraphRenderer(notebook.sessionContext, this.settings, connect);
    notebook.content.rendermime.addFactory({ safe: true, mimeTypes: [MIME], createRenderer }, RANK);
    link(notebook, this.settings);
    keepUndone(notebook);
    return new DisposableDelegate(() => data.dispose());
  }

  /** Another notebook is in front, or none. */
  follow(notebook: NotebookPanel | null): void {
    this.current = notebook;
    this.panel.showNotebook(notebook, (notebook && this.data.get(notebook)) ?? null);
  }

  /** A cell was run: perhaps one that loads flowbook. */
  executed(notebook: NotebookPanel | undefined, source: string): void {
    if (notebook && source.includes("flowbook")) {
      void this.data.get(notebook)?.connect();
    }
  }
}

/**
 * JupyterLab tells the kernel with the next cell that runs which cells were deleted, also those that were brought back
 * since, by undo, or cut and pasted. They are there, and keep what they define.
 */
function keepUndone({ content }: NotebookPanel): void {
  const follow = (): void => {
    const { model } = content;
    model?.cells.changed.connect(() => {
      const there = new Set([...model.cells].map((each) => each.id));
      const gone = model.deletedCells.filter((each) => !there.has(each));
      model.deletedCells.splice(0, Infinity, ...gone); // the array itself is what is told
    });
  };
  content.modelChanged.connect(follow);
  follow();
}

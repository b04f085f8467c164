/** JupyterLab's and Notebook's extension; this file only registers. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { INotebookTracker, NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";
import { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { addCommands } from "./commands";
import { graphIcon } from "./icon";
import { Notebooks } from "./notebooks";
import { SidePanel } from "./panel";
import { GraphRenderer, MIME } from "./renderer";
import { PLUGIN, Settings } from "./settings";
import { addStyle } from "./style";
import { addTraceFiles } from "./tracefile";

const plugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN,
  description: "Live dataflow graphs of %%flow cells, recorded runs, and a panel.",
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [INotebookTracker, ICommandPalette, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    tracker: INotebookTracker | null,
    palette: ICommandPalette | null,
    registry: ISettingRegistry | null,
  ) => {
    const settings = new Settings();
    registry && settings.load(registry).catch((error) => console.warn("flowbook: settings:", error));
    addStyle();
    addTraceFiles(app, settings);
    addCommands(app, tracker, palette);
    // Where there is no notebook around it, an output has no kernel: in a console, or a file that is looked at.
    const createRenderer = (): GraphRenderer => new GraphRenderer(null, settings, () => Promise.resolve(false));
    rendermime.addFactory({ safe: true, mimeTypes: [MIME], createRenderer }, 60);
    tracker && addNotebooks(app, tracker, palette, settings);
  },
};

function addNotebooks(app: JupyterFrontEnd, tracker: INotebookTracker, palette: ICommandPalette | null, settings: Settings): void {
  const panel = new SidePanel();
  panel.title.icon = graphIcon;
  panel.title.caption = "Flow graphs";
  const notebooks = new Notebooks(settings, panel);
  app.docRegistry.addWidgetExtension("Notebook", notebooks);
  tracker.currentChanged.connect((_, notebook) => notebooks.follow(notebook));
  NotebookActions.executed.connect((_, { notebook, cell }) => {
    const of = tracker.find((each: NotebookPanel) => each.content === notebook);
    notebooks.executed(of, cell.model.sharedModel.source);
  });
  app.shell.add(panel, "right", { rank: 650 });
  const command = "flowbook:open-panel";
  app.commands.addCommand(command, {
    label: "Flow Graphs",
    caption: "Show the graphs, variables, breakpoints and devices of the notebook",
    describedBy: { args: { type: "object", properties: {} } },
    execute: () => app.shell.activateById(panel.id),
  });
  palette?.addItem({ command, category: "Flow Graph" });
}

export default plugin;

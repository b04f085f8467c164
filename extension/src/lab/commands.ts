/** Commands for the view that the reader was at last; menus (`schema/plugin.json`) and the palette show them. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { ICommandPalette } from "@jupyterlab/apputils";
import type { INotebookTracker } from "@jupyterlab/notebook";

const COMMANDS = {
  step: "Step",
  back: "Step Back",
  over: "Step Over the Scope",
  into: "Step Into the Body",
  out: "Step Out of the Body",
  continue: "Continue",
  pause: "Pause",
  stop: "Run to the End",
  restart: "Back to the Start",
  undo: "Undo the Change of a Value",
  find: "Find a Node",
  fit: "Fit the Graph",
} as const;

export function addCommands(app: JupyterFrontEnd, notebooks: INotebookTracker | null, palette: ICommandPalette | null): void {
  const current = follow(notebooks);
  for (const [type, label] of Object.entries(COMMANDS)) {
    const command = `flowbook:${type}`;
    app.commands.addCommand(command, {
      label,
      describedBy: { args: { type: "object", properties: {} } },
      isEnabled: () => current() !== null,
      execute: () => {
        const view = current();
        view?.scrollIntoView({ block: "nearest" });
        view?.dispatchEvent(new CustomEvent("flowbook-command", { detail: { type } }));
      },
    });
    palette?.addItem({ command, category: "Flow Graph" });
  }
}

/** The view that had the focus last, while it is there; else one of the active cell, else of the notebook, the last. */
function follow(notebooks: INotebookTracker | null): () => HTMLElement | null {
  let last: HTMLElement | null = null;
  document.addEventListener("focusin", ({ target }) => {
    last = (target instanceof Element && target.closest<HTMLElement>(".fb-view")) || last;
  });
  return () => {
    const panel = notebooks?.currentWidget;
    if (last?.isConnected && (!panel || panel.node.contains(last) || !panel.isVisible)) {
      return last;
    }
    const within = [panel?.content.activeCell?.node, panel?.node];
    const found = within.map((each) => [...(each?.querySelectorAll<HTMLElement>(".fb-view") ?? [])].at(-1));
    return found.find((each) => each !== undefined) ?? null;
  };
}

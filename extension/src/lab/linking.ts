/** The cell and the graph are one: a node that is asked for shows its line, and the cursor's line lights its nodes. */

import type { Cell } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import { h } from "../view/dom";
import { cellName, findCell } from "./cells";
import type { Settings } from "./settings";

interface Place {
  cell: string;
  line?: number;
}

/** Milliseconds that the cursor has to rest, and that a line stays marked. */
const REST = 60;
const MARKED = 2400;

/** Connect a notebook with the views in it, until it is closed. */
export function link(panel: NotebookPanel, settings: Settings): void {
  const { content } = panel;
  panel.node.addEventListener("flowbook-select", (event) => void visit(panel, (event as CustomEvent<Place>).detail));
  let timer: ReturnType<typeof setTimeout> | undefined;
  let watched: Cell | null = null;
  const moved = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => settings.follow && light(panel), REST);
  };
  const follow = async (cell: Cell | null): Promise<void> => {
    watched?.editor?.model.selections.changed.disconnect(moved);
    watched = cell;
    await cell?.ready.catch(() => undefined);
    if (watched === cell && cell?.editor) {
      cell.editor.model.selections.changed.connect(moved);
      moved();
    }
  };
  content.activeCellChanged.connect((_, cell) => void follow(cell));
  void follow(content.activeCell);
  panel.disposed.connect(() => clearTimeout(timer));
}

/** Show the cell of this name, and mark the line. */
export async function visit(panel: NotebookPanel, place: Place): Promise<boolean> {
  const { content } = panel;
  const index = findCell(content.widgets.map((each) => each.model.sharedModel), place.cell);
  const cell = content.widgets[index];
  if (!cell) {
    return false; // deleted, or of another notebook
  }
  if (!cell.inViewport) {
    await content.scrollToCell(cell, "smart");
  }
  await cell.ready;
  cell.inputHidden = false;
  mark(cell, place.line ?? 1);
  return true;
}

function mark(cell: Cell, line: number): void {
  const { editor } = cell;
  const at = editor?.getCoordinateForPosition({ line: Math.min(line, editor.lineCount) - 1, column: 0 });
  if (!editor || !at) {
    return;
  }
  const { host } = editor;
  host.querySelectorAll(".flowbook-line").forEach((each) => each.remove());
  const bar = h("div", { class: "flowbook-line" });
  bar.style.top = `${at.top - host.getBoundingClientRect().top}px`;
  bar.style.height = `${at.bottom - at.top}px`;
  host.style.position = "relative";
  host.append(bar);
  bar.scrollIntoView({ block: "nearest" });
  setTimeout(() => bar.remove(), MARKED);
}

/** Tell the views of a notebook where the cursor is. */
function light(panel: NotebookPanel): void {
  const cell = panel.content.activeCell;
  const code = cell?.model.type === "code" && cell.editor;
  const detail = code ? { cell: cellName(cell.model.sharedModel), line: code.getCursorPosition().line + 1 } : null;
  panel.node.querySelectorAll(".fb-view").forEach((each) => each.dispatchEvent(new CustomEvent("flowbook-cursor", { detail })));
}

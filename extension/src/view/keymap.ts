/** What each key does. */

import type { Key } from "./keys";
import type { View } from "./view";

export function keysOf(view: View): Key[] {
  const move = (type: "step" | "back" | "over" | "into" | "out" | "restart" | "stop") => () => view.send({ type });
  const { camera } = view.canvas;
  const chosen = (act: (node: number) => void) => () => view.store.selected !== null && act(view.store.selected);
  const run: Key[] = [
    { keys: ["]", "F10"], shown: "] F10", does: "step", act: move("step") },
    { keys: ["[", "Shift+F10"], shown: "[ Shift+F10", does: "step back", act: move("back") },
    { keys: ["o"], shown: "o", does: "step over the scope", act: move("over") },
    { keys: ["F11"], shown: "F11", does: "into the body of a node", act: move("into") },
    { keys: ["Shift+F11"], shown: "Shift+F11", does: "out of the body", act: move("out") },
    { keys: ["Home"], shown: "Home", does: "to the start", act: move("restart") },
    { keys: ["End", "Shift+F9"], shown: "End Shift+F9", does: "to the end", act: move("stop") },
    { keys: ["Space", "F9"], shown: "Space F9", does: "continue, pause", act: () => view.play() },
    { keys: ["r"], shown: "r", does: "run to the chosen node", act: chosen((node) => view.send({ type: "run_to", node })) },
    { keys: ["b"], shown: "b", does: "breakpoint on the node", act: chosen((node) => view.breakpoint(node)) },
    { keys: ["p"], shown: "p", does: "all breakpoints", act: () => view.toolbar.breakpoints.toggle() },
    { keys: ["w"], shown: "w", does: "why is it nan", act: chosen((node) => view.why(node)) },
    { keys: ["g"], shown: "g", does: "gradient river", act: () => view.toolbar.toggleRiver() },
  ];
  const picture: Key[] = [
    { keys: ["ArrowRight"], shown: "→", does: "along an edge, or to the right", act: () => view.walk(1, 0) },
    { keys: ["ArrowLeft"], shown: "←", does: "back along an edge, or to the left", act: () => view.walk(-1, 0) },
    { keys: ["ArrowUp"], shown: "↑", does: "to the node above", act: () => view.walk(0, -1) },
    { keys: ["ArrowDown"], shown: "↓", does: "to the node below", act: () => view.walk(0, 1) },
    { keys: ["Enter"], shown: "Enter", does: "open a scope; go to the node's cell", act: () => view.enter() },
    { keys: ["c", "Backspace"], shown: "c", does: "close the scope around", act: () => view.closeScope() },
    { keys: ["u"], shown: "u", does: "all it depends on", act: () => view.finder.reach(true) },
    { keys: ["d"], shown: "d", does: "all that depends on it", act: () => view.finder.reach(false) },
    { keys: ["/"], shown: "/", does: "find", act: () => view.toolbar.search.focus() },
    { keys: ["n"], shown: "n", does: "next found", act: () => view.toolbar.next(1) },
    { keys: ["N"], shown: "N", does: "previous found", act: () => view.toolbar.next(-1) },
    { keys: ["+", "="], shown: "+", does: "larger", act: () => camera.zoom(1.25) },
    { keys: ["-"], shown: "-", does: "smaller", act: () => camera.zoom(0.8) },
    { keys: ["0"], shown: "0", does: "fit", act: () => view.canvas.fit() },
    { keys: ["?"], shown: "?", does: "these keys", act: () => view.toggleHelp() },
    { keys: ["Escape"], shown: "Esc", does: "close, clear, choose nothing", act: () => view.escape() },
  ];
  const running = (): boolean => view.store.run !== null;
  return [...run.map((each) => ({ ...each, when: running })), ...picture];
}

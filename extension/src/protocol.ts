// Made from flowbook/notebook/protocol.py by `python -m flowbook.notebook.protocol_types --write`.

export const PROTOCOL = 1;

export const STATES = ["waiting", "ready", "running", "finished", "released"] as const;

/** The ops that write a variable. */
export const WRITES: readonly string[] = ["assign", "assign_add", "assign_sub"];

/**
 * Output `output` of node `node`.
 */
export interface Ref {
  node: number;
  output: number;
}

/**
 * A tensor's dtype and shape: sizes, names, `null` for an unknown size; `null` for an unknown rank.
 */
export interface Spec {
  dtype: string;
  shape: (number | string | null)[] | null;
}

/**
 * One node. What is not there is the usual: no scope, no device asked for, not stale, …
 *
 * `kind`: its look. `scope`: the scopes drawn around it, outermost first. `inputs`: a tensor, the text of a
 * scalar, `null` where an optional one was left out. `controls`: nodes it waits for. `forward`: the node whose
 * gradient rule made this one. `gradients`: for each output the tensor that holds its derivative, where known.
 * `parent`: the control-flow node in whose body it is. `doc`: what its op does. `stale`: why it cannot run.
 * `change`: what the last commit did to it. `formula`: what it computes, as one line of Python.
 */
export interface GraphNode {
  name: string;
  op: string;
  kind: "op" | "placeholder" | "variable" | "constant" | "write" | "copy";
  outputs: Spec[];
  inputs: (Ref | string | null)[];
  scope?: string[];
  controls?: number[];
  forward?: number;
  gradients?: (Ref | null)[];
  parent?: number;
  device?: string;
  cell?: string;
  line?: number;
  code?: string;
  doc?: string;
  stale?: string;
  change?: "added" | "changed" | "rewired";
  formula?: string;
}

/**
 * The graph: replaces all that the view knew. `live`: a kernel answers; else it is a recording.
 *
 * `cell`: it is the part of a graph that this cell made, with its surroundings; `focus`: the cell's own nodes.
 * `hidden`: how many nodes of the graph are left out, that `Show` would bring. `removed`: names of nodes that the
 * last commit took away.
 */
export interface GraphMessage {
  type: "graph";
  protocol: number;
  title: string;
  live: boolean;
  nodes: GraphNode[];
  cell?: string;
  focus?: Int32Array;
  hidden?: number;
  removed?: string[];
}

/**
 * A run begins, or (with `total`, in seconds) has ended. `order`: its nodes in the order of the plan.
 *
 * `devices`: where each node of `order` runs. `threads`: names; `Events` refer to them by place; sent again
 * when there are more. `step`: of a training, from 1. `fetches`: what was asked for.
 */
export interface RunMessage {
  type: "run";
  run: number;
  order: Int32Array;
  devices: string[];
  threads: string[];
  fetches: Ref[];
  total?: number;
  step?: number;
  failed?: Failed;
}

/**
 * Where a run ended early, and why.
 */
export interface Failed {
  node: number;
  message: string;
}

/**
 * The next events of a run, in order: a node entered a state, so many seconds after the run began.
 *
 * `first`: how many came before, so that a gap is noticed. `bytes`: of its outputs when finished. States are
 * places in `STATES`.
 */
export interface Events {
  type: "events";
  run: number;
  first: number;
  node: Int32Array;
  state: Uint8Array;
  seconds: Float64Array;
  bytes: Float64Array;
  thread: Int32Array;
}

/**
 * Where the loop `node` stands: in iteration `index`, from 0, of `count` that are known.
 */
export interface Iteration {
  node: number;
  index: number;
  count: number;
}

/**
 * The states of these nodes now, of a node the last that is told; with `all`, every other node is waiting. Sent
 * for steps both ways.
 *
 * `next`: the node that runs next. `position`: nodes done, `count`: of how many. `mode`: what the run does.
 * `iterations`: of the loops that have begun; an outer one before those in it. `missed`: so many runs came after
 * this one, and were not watched.
 */
export interface States {
  type: "states";
  node: Int32Array;
  state: Uint8Array;
  all: boolean;
  mode: "idle" | "running" | "paused" | "done" | "failed";
  position: number;
  count: number;
  next?: number;
  iterations?: Iteration[];
  missed?: number;
}

/**
 * Times of nodes over several steps of a training, in seconds: median, and half of the spread around it.
 */
export interface Timing {
  type: "timing";
  node: Int32Array;
  median: Float32Array;
  spread: Float32Array;
  steps: number;
}

/**
 * A training goes on: `done` of `steps`, and curves of its scalars, by name; `null` is not finite.
 * `stopped`: it ended before its last step.
 */
export interface Progress {
  type: "progress";
  done: number;
  steps: number;
  seconds: number;
  curves: Record<string, (number | null)[]>;
  stopped?: boolean;
}

/**
 * Of all elements; the first five of the finite ones, `null` when there are none. `norm`: Euclidean.
 */
export interface Statistics {
  min: number | null;
  max: number | null;
  mean: number | null;
  std: number | null;
  norm: number | null;
  nans: number;
  infs: number;
  zeros: number;
  exact: boolean;
}

/**
 * How many finite elements are in each of equally wide bins from `low` to `high`. `sampled`: not of all.
 */
export interface Histogram {
  low: number;
  high: number;
  counts: Int32Array;
  sampled: boolean;
}

/**
 * Elements of a value. `starts`, `strides` and `shape` say which, by axis: `start + stride * i` for each
 * `i` below the size. Where only every n-th element in C order was kept, `every` is n, and `shape` their count.
 *
 * `error`: the largest difference between an element and what a view would show in its place, if it was measured;
 * 0 when all elements are here.
 */
export interface Sample {
  data: Float32Array | Float64Array;
  shape: number[];
  starts: number[];
  strides: number[];
  every?: number;
  error?: number;
}

/**
 * The value of a tensor. `text`: short, for an edge. `change`: its relative change by the last edit.
 */
export interface Value {
  node: number;
  output: number;
  dtype: string;
  shape: number[];
  text: string;
  statistics: Statistics;
  histogram?: Histogram;
  sample?: Sample;
  change?: number;
  set?: boolean;
}

/**
 * New values of tensors; others stay as they are.
 */
export interface Values {
  type: "values";
  values: Value[];
}

/**
 * What `SetValue` did: so many of so many nodes ran again; `effects`: what it meant for the fetches.
 */
export interface Edited {
  type: "edited";
  node: number;
  recomputed: number;
  count: number;
  seconds: number;
  nodes: number[];
  effects: string[];
}

/**
 * A stop before the nodes that match, or right after them when a condition holds (nan, inf, an expression).
 */
export interface Breakpoint {
  id: number;
  pattern: string;
  when: string | null;
  nodes: number[];
}

/**
 * All breakpoints there are.
 */
export interface Breakpoints {
  type: "breakpoints";
  breakpoints: Breakpoint[];
}

/**
 * An answer to `CheckGradient`: the largest differences between the analytic and the numeric derivative; `null`
 * where it is wrong, and `text` says how.
 */
export interface Checked {
  type: "checked";
  node: number;
  passed: boolean;
  absolute: number | null;
  relative: number | null;
  text: string;
}

/**
 * One place of a `Story`, and what to read there.
 */
export interface Chapter {
  node: number;
  text: string;
}

/**
 * An answer to `Why`: from the node that was asked about back to the one where the first nan or infinity was made,
 * which is last. `text`: the whole, as a person would tell it. No chapters: there is nothing to tell.
 */
export interface Story {
  type: "story";
  node: number;
  text: string;
  chapters: Chapter[];
}

/**
 * An answer to `Export`: a file for the reader to keep.
 */
export interface File {
  type: "file";
  name: string;
  mime: string;
  data: Uint8Array;
}

/**
 * The cursor is on a line that made these nodes; none: it is elsewhere.
 */
export interface Cursor {
  type: "cursor";
  nodes: number[];
}

/**
 * Something to tell the reader. `level` `"ended"`: nothing more will come, as the kernel is gone.
 */
export interface Notice {
  type: "notice";
  level: "info" | "warning" | "error" | "ended";
  text: string;
}

/**
 * A view is there, and speaks this version. `page`: a name of its own, when it may say so more than once.
 * `elements`: of the value of a chosen node at most so many are wanted.
 */
export interface Hello {
  type: "hello";
  protocol: number;
  page?: string;
  elements?: number;
}

/**
 * A view goes: its page was closed, its output cleared, its cell run again. `page`: as it said `Hello`, where it
 * knows; without it, one of those that came the same way. A later `Hello` opens it again.
 */
export interface Bye {
  type: "bye";
  page?: string;
}

/**
 * A button: all of them act on the run that is shown. `over`: to the end of the scope; `into`, `out`: of the
 * body of a control-flow node; `continue`: to the next breakpoint; `restart`: to the start of the same run.
 */
export interface Move {
  type: "step" | "back" | "over" | "into" | "out" | "continue" | "pause" | "stop" | "restart" | "undo";
}

/**
 * Go, forward or back, until this node has run (`position` absent), or so many nodes have.
 */
export interface RunTo {
  type: "run_to";
  node?: number;
  position?: number;
}

/**
 * Go, forward or back, to the beginning of an iteration of a loop.
 */
export interface RunToIteration {
  type: "run_to_iteration";
  node: number;
  index: number;
}

/**
 * A new breakpoint, or with `id` another pattern or condition for one.
 */
export interface SetBreakpoint {
  type: "set_breakpoint";
  pattern: string;
  when: string | null;
  id?: number;
}

/**
 * Take a breakpoint away.
 */
export interface ClearBreakpoint {
  type: "clear_breakpoint";
  id: number;
}

/**
 * The reader looks at this node (`null`: at none): show its cell and line, send its value.
 */
export interface Select {
  type: "select";
  node: number | null;
}

/**
 * Send this part of a value, exact: by axis where it begins, ends, and the stride.
 */
export interface Inspect {
  type: "inspect";
  node: number;
  output: number;
  slices: number[][];
}

/**
 * Set a tensor. `expression`: of `x`, the value now, as in `x * 0.9`. `index`: of one element only.
 */
export interface SetValue {
  type: "set_value";
  node: number;
  output: number;
  expression: string;
  index?: number[];
}

/**
 * Compare this node's gradient rule with finite differences at the current values.
 */
export interface CheckGradient {
  type: "check_gradient";
  node: number;
}

/**
 * Ask where the nan or infinity in this node's value comes from.
 */
export interface Why {
  type: "why";
  node: number;
}

/**
 * Ask for the run as a file: a page that plays it, or a trace for ui.perfetto.dev.
 */
export interface Export {
  type: "export";
  kind: "html" | "perfetto";
}

/**
 * Show the whole graph, or only what the cell made.
 */
export interface Show {
  type: "show";
  whole: boolean;
}

/**
 * End a training, or a node that takes long, as the interrupt button of the notebook does.
 */
export interface Interrupt {
  type: "interrupt";
}

/**
 * Whether somebody can see the view; when not, deltas need not be sent.
 */
export interface Watch {
  type: "watch";
  visible: boolean;
}

/**
 * A cell that has nodes; `stale`: so many of them cannot run until a cell is run again.
 */
export interface PanelCell {
  name: string;
  nodes: number;
  stale: number;
}

/**
 * A variable of the session. `text`: its value, or that it has none yet. `bytes`: of the value.
 */
export interface PanelVariable {
  name: string;
  spec: Spec;
  text: string;
  bytes: number;
  cell?: string;
  line?: number;
}

/**
 * What steppers stop at.
 */
export interface PanelBreakpoint {
  pattern: string;
  when: string | null;
}

/**
 * A graph of the notebook; `id` names it in messages to the kernel.
 */
export interface PanelGraph {
  id: number;
  name: string;
  nodes: number;
  cells: PanelCell[];
  variables: PanelVariable[];
  breakpoints: PanelBreakpoint[];
  watches: string[];
}

/**
 * A device; `reason`: why it cannot be used, or what it is.
 */
export interface PanelDevice {
  name: string;
  usable: boolean;
  reason: string;
}

/**
 * All that the panel shows.
 */
export interface PanelMessage {
  type: "panel";
  protocol: number;
  graphs: PanelGraph[];
  devices: PanelDevice[];
}

/**
 * What the reader asked for could not be done, and why.
 */
export interface PanelRefused {
  type: "refused";
  text: string;
}

/**
 * Ask for what is there now; it is sent when it is something else than before, or with `all`.
 */
export interface PanelRefresh {
  type: "refresh";
  all: boolean;
}

/**
 * Set a breakpoint, or with `clear` take it away.
 */
export interface PanelBreak {
  type: "break";
  graph: number;
  pattern: string;
  when: string | null;
  clear: boolean;
}

/**
 * Show the values of matching nodes with each run, or with `clear` no longer.
 */
export interface PanelWatch {
  type: "watch_values";
  graph: number;
  pattern: string;
  clear: boolean;
}

export type ToView =
  | GraphMessage
  | RunMessage
  | Events
  | States
  | Timing
  | Progress
  | Values
  | Edited
  | Breakpoints
  | Checked
  | Story
  | File
  | Cursor
  | Notice;

export type ToKernel =
  | Hello
  | Bye
  | Move
  | RunTo
  | RunToIteration
  | SetBreakpoint
  | ClearBreakpoint
  | Select
  | Inspect
  | SetValue
  | CheckGradient
  | Why
  | Export
  | Show
  | Interrupt
  | Watch;

export type ToPanel =
  | PanelMessage
  | PanelRefused;

export type FromPanel =
  | PanelRefresh
  | PanelBreak
  | PanelWatch;

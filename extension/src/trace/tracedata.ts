/** What a trace's file says, checked: the reader of flowbook/runtime/tracedata.py, which says what has to hold. */

import { STATES } from "../protocol";
import { DTYPES, numbers, type Numbers, type Stored } from "./arrays";
import { hasMembers, isObject, isSize, MAX_RANK, type Container } from "./container";

/** `NodeInfo` of flowbook/runtime/events.py, without what is not shown. */
export interface NodeInfo {
  name: string;
  op: string;
  kind: string;
  device: string;
  inputs: (string | null)[];
  outputs: [string, (number | string | null)[] | null][];
  cell: string | null;
  line: number | null;
  forward: string | null;
  parent: number;
  waits: number[];
}

/** Of all elements; the numbers of the finite ones. */
export interface Measured {
  minimum: number | null;
  maximum: number | null;
  mean: number | null;
  std: number | null;
  nans: number;
  infs: number;
  zeros: number;
}

/** A value: whole where nothing was measured, else some of its elements. */
export interface Kept {
  node: number;
  output: number;
  shape: number[];
  size: number;
  array: Stored;
  measured: Measured | null;
}

export interface TraceData {
  nodes: NodeInfo[];
  events: { state: Uint8Array; node: Int32Array; seconds: Float64Array; bytes: Float64Array; thread: Int32Array };
  values: Kept[];
  threads: string[];
  total: number;
  failed: { node: number; message: string } | null;
}

const COLUMNS = new Map([["state", "uint8"], ["node", "int32"], ["seconds", "float64"], ["bytes", "int64"], ["thread", "int32"]]);
const BUFFERS = ["node", "bytes", "born", "died"];
const KINDS = ["step", "feed", "constant", "variable"];
const LONGEST = 2 ** 53;
const FIELDS = [
  ...["name", "op", "kind", "owner", "device", "requested", "inputs", "outputs", "cell", "line", "forward", "parent"],
  ...["step", "waits"],
];

type Test = (value: unknown) => boolean;

const isText: Test = (value) => typeof value === "string";
const isTextOrNull: Test = (value) => value === null || typeof value === "string";

export function decodeTrace({ document, arrays }: Container): TraceData {
  need(hasMembers(document, ["nodes", "values", "threads", "total", "failed"]), "its members are others");
  const { nodes: infos, threads, total } = document;
  need(Array.isArray(infos), "nodes is not a list");
  const nodes = infos.map((info: unknown, place) => decodeNode(info, place, infos.length));
  need(all(threads, isText), "threads are not names");
  need(isNumber(total) && total >= 0 && total <= LONGEST, "total is not a time");
  const events = decodeEvents(arrays, nodes, (threads as string[]).length);
  checkBuffers(arrays, nodes.length, events.state.length);
  const values = decodeValues(document["values"], arrays, nodes);
  need(arrays.size === COLUMNS.size + BUFFERS.length + values.length, "it has arrays that nothing refers to");
  return { nodes, events, values, threads: threads as string[], total, failed: decodeFailure(document["failed"], nodes) };
}

function decodeNode(info: unknown, place: number, count: number): NodeInfo {
  need(hasMembers(info, FIELDS), "a node has other fields");
  need([info["name"], info["op"], info["device"]].every(isText), "a node's name, op or device is not text");
  const optional = [info["owner"], info["requested"], info["cell"], info["forward"]];
  need(optional.every(isTextOrNull), "a node's cell, device or forward node is not text");
  need(KINDS.some((kind) => kind === info["kind"]), "a node is of no known kind");
  need(info["line"] === null || isInt(info["line"], 0, 2 ** 31), "a node's line is no line");
  need(isInt(info["step"], -1, count) && isInt(info["parent"], -1, place), "a node is in no place");
  need(all(info["inputs"], isTextOrNull), "a node's inputs are not names");
  need(all(info["waits"], (each) => isInt(each, 0, place)), "a node waits for none before it");
  need(all(info["outputs"], isSpec), "a node's outputs are not specs");
  return info as unknown as NodeInfo;
}

function isSpec(value: unknown): boolean {
  const isDim = (dim: unknown) => isTextOrNull(dim) || isInt(dim, 0, 2 ** 63);
  return Array.isArray(value) && value.length === 2 && DTYPES.has(value[0]) && (value[1] === null || all(value[1], isDim));
}

// ------------------------------------------------------------------------------------------------ arrays

function decodeEvents(arrays: Map<string, Stored>, nodes: NodeInfo[], threads: number): TraceData["events"] {
  const columns = [...COLUMNS].map(([name, dtype]) => column(arrays, `events/${name}`, dtype));
  const [state, node, seconds, bytes, thread] = columns as [Uint8Array, Int32Array, Float64Array, Float64Array, Int32Array];
  needSameLength(columns);
  needWithin(state, 0, STATES.length, "state");
  needWithin(node, 0, nodes.length, "node");
  needWithin(thread, 0, threads, "thread");
  need(node.every((each) => nodes[each]!.kind === "step"), "an event is of what was not computed");
  need(seconds.every((each) => each >= 0 && each <= LONGEST), "a time is none");
  need(seconds.every((each, index) => index === 0 || each >= seconds[index - 1]!), "its events are not in order");
  need(bytes.every((each) => each >= 0), "an event has negative bytes");
  return { state, node, seconds, bytes, thread };
}

/** The table of buffers is not shown, but a file in which it makes no sense is none. */
function checkBuffers(arrays: Map<string, Stored>, nodes: number, events: number): void {
  const columns = BUFFERS.map((name) => column(arrays, `buffers/${name}`, "int64"));
  const [node, bytes, born, died] = columns as [Numbers, Numbers, Numbers, Numbers];
  needSameLength(columns);
  needWithin(node, 0, nodes, "node");
  needWithin(bytes, 0, 2 ** 53, "size");
  needWithin(born, 0, events, "event");
  needWithin(died, -1, events, "event");
  for (let index = 0; index < died.length; index += 1) {
    need(died[index]! < 0 || died[index]! >= born[index]!, "a buffer dies before it is born");
  }
}

function decodeValues(entries: unknown, arrays: Map<string, Stored>, nodes: NodeInfo[]): Kept[] {
  need(Array.isArray(entries), "values is not a list");
  const seen = new Set<string>();
  return entries.map((entry: unknown, index) => {
    need(hasMembers(entry, ["node", "output", "shape", "measured"]), "a value has other fields");
    const { node, output, shape } = entry;
    need(isInt(node, 0, nodes.length) && isInt(output, 0, nodes[node]!.outputs.length), "a value is of no node");
    need(!seen.has(`${node}:${output}`), "a node has two values");
    seen.add(`${node}:${output}`);
    need(all(shape, isSize) && (shape as number[]).length <= MAX_RANK, "a value has no shape");
    const sizes = shape as number[];
    const size = sizes.includes(0) ? 0 : sizes.reduce((product, each) => product * each, 1);
    need(Number.isSafeInteger(size), "a value has more elements than there can be");
    const array = arrays.get(`values/${index}`);
    need(array !== undefined, "a value is not there");
    const measured = entry["measured"] === null ? null : decodeMeasured(entry["measured"], size);
    if (measured === null) {
      need(array.shape.length === sizes.length && sizes.every((each, axis) => each === array.shape[axis]), "a value has another shape");
    } else {
      need(array.shape.length === 1 && array.size <= size, "a sample is none");
    }
    return { node, output, shape: sizes, size, array, measured };
  });
}

function decodeMeasured(value: unknown, size: number): Measured {
  need(Array.isArray(value) && value.length === 7, "a sample is none");
  const [minimum, maximum, mean, std, nans, infs, zeros] = value as (number | null)[];
  need([minimum, maximum, mean, std].every((each) => each === null || typeof each === "number"), "a sample is none");
  need([nans, infs, zeros].every(isSize), "a sample is none");
  const measured = { minimum, maximum, mean, std, nans, infs, zeros } as Measured;
  need(measured.nans + measured.infs + measured.zeros <= size, "a value has fewer elements than were counted");
  return measured;
}

function decodeFailure(failed: unknown, nodes: NodeInfo[]): TraceData["failed"] {
  if (failed === null) {
    return null;
  }
  need(isObject(failed) && hasMembers(failed, ["node", "place", "message"]), "its failure has other fields");
  const { node, place, message } = failed;
  need(isInt(place, 0, nodes.length) && typeof message === "string", "its failure is at no node");
  need(node === nodes[place]!.name, "its failure is at another node");
  return { node: place, message };
}

// ------------------------------------------------------------------------------------------------ checks

function column(arrays: Map<string, Stored>, key: string, dtype: string): Numbers {
  const found = arrays.get(key);
  need(found?.dtype === dtype && found.shape.length === 1, `column ${key} is missing, or another`);
  return numbers(found);
}

function needSameLength(columns: readonly Numbers[]): void {
  need(new Set(columns.map((each) => each.length)).size === 1, "its columns have different lengths");
}

function needWithin(column: Numbers, low: number, high: number, what: string): void {
  for (const each of column) {
    need(each >= low && each < high, `there is no such ${what}`);
  }
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function isInt(value: unknown, low: number, high: number): value is number {
  return Number.isInteger(value) && (value as number) >= low && (value as number) < high;
}

function all(values: unknown, test: Test): boolean {
  return Array.isArray(values) && values.every(test);
}

function need(condition: boolean, reason: string): asserts condition {
  if (!condition) {
    throw new Error(`not a sound trace: ${reason}; save it again, or restore the file from a copy`);
  }
}

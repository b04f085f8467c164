/** A trace's file as the messages of a recorded run: `recording(Trace.load(path))` of Python, without the ops' texts. */

import { PROTOCOL, type Events, type GraphMessage, type Ref, type RunMessage, type ToView } from "../protocol";
import { readContainer } from "./container";
import { describeTrace } from "./nodes";
import { decodeTrace } from "./tracedata";
import { valueMessage } from "./values";

/** The messages of the run in the bytes of a file; an `Error` for what is not a whole, sound trace, which says why. */
export async function readTrace(bytes: ArrayBuffer | Uint8Array): Promise<ToView[]> {
  const data = decodeTrace(await readContainer(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes), "trace"));
  const nodes = describeTrace(data.nodes);
  const graph: GraphMessage = { type: "graph", protocol: PROTOCOL, title: "", live: false, nodes };
  const order = data.nodes.flatMap(({ kind }, index) => (kind === "step" ? [index] : []));
  const read = new Set(nodes.flatMap(({ inputs }) => inputs.filter(isRef).map(({ node }) => node)));
  const run: RunMessage = {
    type: "run",
    run: 0,
    order: Int32Array.from(order),
    devices: order.map((index) => data.nodes[index]!.device),
    threads: data.threads,
    fetches: order.filter((node) => !read.has(node)).map((node) => ({ node, output: 0 })),
    total: data.total,
    ...(data.failed ? { failed: data.failed } : {}),
  };
  const events: Events = { type: "events", run: 0, first: 0, ...data.events };
  return [graph, run, events, { type: "values", values: data.values.map(valueMessage) }];
}

function isRef(value: Ref | string | null): value is Ref {
  return typeof value === "object" && value !== null;
}

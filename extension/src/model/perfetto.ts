/** A run as trace events, for ui.perfetto.dev: a device is a process, a thread a thread. */

import type { Store } from "./store";

export function perfetto(store: Store): string {
  const { nodes, spans, device, run } = store;
  const devices = [...new Set(spans.map((each) => device[each.node] ?? "cpu:0"))];
  const lanes = new Map<string, { pid: number; tid: number }>();
  const executions = spans.map((span) => {
    const node = nodes[span.node]!;
    const lane = { pid: devices.indexOf(device[span.node] ?? "cpu:0") + 1, tid: span.thread + 1 };
    lanes.set(`${lane.pid},${lane.tid}`, lane);
    const where = node.cell === undefined ? {} : { where: `${node.cell}:${node.line}` };
    const args = { op: node.op, bytes: span.bytes, ...where };
    return { name: node.name, cat: node.op, ph: "X", ts: span.start * 1e6, dur: (span.end - span.start) * 1e6, ...lane, args };
  });
  const names = [
    ...devices.map((name, index) => ({ name: "process_name", ph: "M", pid: index + 1, tid: 0, args: { name } })),
    ...[...lanes.values()].map((lane) => ({ name: "thread_name", ph: "M", ...lane, args: { name: run?.threads[lane.tid - 1] ?? "" } })),
  ];
  return JSON.stringify({ displayTimeUnit: "ms", traceEvents: [...names, ...executions] });
}

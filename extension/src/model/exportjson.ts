/** What the view knows of a run as plain JSON: the graph, times, and values as far as they are here. */

import type { Store } from "./store";

export function exportJson(store: Store): string {
  const { graph, run } = store;
  return JSON.stringify({
    title: graph?.title,
    nodes: graph?.nodes.map((node, index) => {
      const [time, bytes] = [store.time[index]!, store.bytes[index]!];
      return { ...node, ...(Number.isNaN(time) ? {} : { milliseconds: time }), ...(Number.isNaN(bytes) ? {} : { bytes }) };
    }),
    run: run && { ...run, order: [...run.order] },
    values: [...store.values.values()].map((value) => ({
      ...value,
      histogram: value.histogram && { ...value.histogram, counts: [...value.histogram.counts] },
      sample: value.sample && { ...value.sample, data: [...value.sample.data].map(plain) },
    })),
  });
}

/** JSON has no word for what is not finite. */
function plain(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

/** The worker: Graphviz in WebAssembly. It is inlined into every host as text, so nothing has to be fetched. */

import { instance } from "@viz-js/viz";

export interface Question {
  id: number;
  dot: string;
}

export interface Reply {
  id: number;
  json?: string;
  error?: string;
}

const ready = instance();

self.onmessage = async (event: MessageEvent<Question>): Promise<void> => {
  const { id, dot } = event.data;
  let reply: Reply;
  try {
    reply = { id, json: (await ready).renderString(dot, { engine: "dot", format: "json0" }) };
  } catch (error) {
    reply = { id, error: String(error) };
  }
  self.postMessage(reply);
};

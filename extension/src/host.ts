/** What a view knows of where it is: somewhere to send messages, and where messages come from. */

import type { ToKernel, ToView } from "./protocol";

export interface Host {
  send(message: ToKernel): void;
  /** Of a recording: whether it tells why this node's value is not finite. A kernel finds out when it is asked. */
  explains?(node: number): boolean;
  /** Messages from now on; returns how to stop. */
  onMessage(listener: (message: ToView) => void): () => void;
}

/** What a view knows of where it is: somewhere to send messages, and where messages come from. */

import type { ToKernel, ToView } from "./protocol";

export interface Host {
  send(message: ToKernel): void;
  /** Messages from now on; returns how to stop. */
  onMessage(listener: (message: ToView) => void): () => void;
}

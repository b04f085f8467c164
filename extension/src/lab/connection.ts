/**
 * Comms with a notebook's kernel, one for each view, and one for the side panel that stays open as long as the kernel
 * lives: JupyterLab gives the comms of one target a thread of their own in the kernel (a subshell), so that they are
 * answered while a cell runs, and takes it away when the last one closes, also when another has just been opened.
 */

import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel, KernelMessage } from "@jupyterlab/services";
import type { JSONValue } from "@lumino/coreutils";
import { unpack } from "../codec";
import type { Host } from "../host";
import { PROTOCOL, type ToKernel, type ToView } from "../protocol";

const TARGET = "flowbook-graph";
/** Milliseconds to wait for the thread of the comms, and for a kernel. */
const PATIENCE = 3000;

/** What is said when a kernel is gone. */
export const ENDED = "The kernel was restarted or shut down.";

export type Received = (message: unknown, buffers: readonly DataView[]) => void;

/** What newer versions of JupyterLab's comms have. */
interface OnSubshell {
  subshellStarted?: Promise<void>;
}

/** One comm: what it receives, and when it ends. */
export class Line {
  private constructor(
    private readonly kernel: Kernel.IKernelConnection,
    private readonly comm: Kernel.IComm,
  ) {}

  static async open(kernel: Kernel.IKernelConnection, data: JSONValue, received: Received, ended: () => void): Promise<Line> {
    await kernel.info;
    const comm = kernel.createComm(TARGET);
    comm.onMsg = ({ content, buffers }: KernelMessage.ICommMsgMsg): void =>
      received(content.data, (buffers ?? []).map((each) => (each instanceof DataView ? each : view(each))));
    comm.onClose = (): void => ended();
    if (kernel.supportsSubshells) {
      await within(PATIENCE, (comm as OnSubshell).subshellStarted);
    }
    comm.open(data);
    return new Line(kernel, comm);
  }

  send(message: JSONValue): void {
    if (!this.comm.isDisposed && !this.kernel.isDisposed) {
      this.comm.send(message);
    }
  }

  close(): void {
    if (!this.comm.isDisposed && !this.kernel.isDisposed) {
      this.comm.onClose = (): void => undefined;
      this.comm.close();
    }
  }
}

/** A view's host: `opened` says whether the kernel knows the view. */
export class KernelHost implements Host {
  readonly opened: Promise<boolean>;
  private line: Line | null = null;
  private told: ToView[] = [];
  private listener: ((message: ToView) => void) | null = null;
  private decide!: (known: boolean) => void;
  private greeted = false;
  private over = false;

  constructor(
    private readonly kernel: Kernel.IKernelConnection,
    view: string,
    elements: number,
    private readonly gone: () => void,
  ) {
    this.opened = new Promise((decide) => (this.decide = decide));
    kernel.statusChanged.connect(this.follow, this);
    kernel.disposed.connect(this.end, this);
    const received: Received = (message, buffers) => this.receive(message, buffers);
    Line.open(kernel, { view }, received, () => this.end()).then(
      (line) => {
        this.line = line;
        this.over ? line.close() : line.send({ type: "hello", protocol: PROTOCOL, elements } as JSONValue);
      },
      () => this.end(),
    );
  }

  send(message: ToKernel): void {
    if (message.type === "hello" && !this.greeted) {
      this.greeted = true; // it was said before there was a view
      this.told.splice(0).forEach((each) => this.listener?.(each));
    } else {
      this.line?.send(message as unknown as JSONValue);
    }
  }

  onMessage(listener: (message: ToView) => void): () => void {
    this.listener = listener;
    return () => (this.listener = null);
  }

  dispose(): void {
    this.over = true;
    this.decide(false);
    this.kernel.statusChanged.disconnect(this.follow, this);
    this.kernel.disposed.disconnect(this.end, this);
    this.line?.close();
  }

  private receive(message: unknown, buffers: readonly DataView[]): void {
    this.decide(true);
    // Another version may pack differently; what cannot be read says so instead of stopping the view.
    try {
      this.tell(unpack(message, buffers));
    } catch (error) {
      this.tell({ type: "notice", level: "error", text: `A message of the kernel could not be read: ${String(error)}` });
    }
  }

  private tell(message: ToView): void {
    if (this.listener) {
      this.listener(message);
    } else {
      this.told.push(message);
    }
  }

  private follow(_: Kernel.IKernelConnection, status: Kernel.Status): void {
    if (status === "restarting" || status === "autorestarting" || status === "dead") {
      this.end();
    }
  }

  private end(): void {
    this.decide(false);
    if (!this.over) {
      this.over = true;
      this.tell({ type: "notice", level: "ended", text: `${ENDED} Run the cell again.` });
      this.gone();
    }
  }
}

/** The kernel of a notebook, once it has one; `null` when there is none, or none yet. */
export async function kernelOf(session: ISessionContext): Promise<Kernel.IKernelConnection | null> {
  await within(PATIENCE, session.ready);
  return session.session?.kernel ?? null;
}

async function within(time: number, done: Promise<unknown> | undefined): Promise<void> {
  const late = new Promise((resolve) => setTimeout(resolve, time));
  await Promise.race([late, Promise.resolve(done).catch(() => undefined)]);
}

function view(bytes: ArrayBuffer | ArrayBufferView): DataView {
  return ArrayBuffer.isView(bytes) ? new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new DataView(bytes);
}

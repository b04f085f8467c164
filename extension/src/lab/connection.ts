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
/** Milliseconds to wait for what mostly takes none: the thread of the comms, a kernel's first answer. */
export const PATIENCE = 3000;
/** Milliseconds until a kernel that has not answered is asked again; twice as many each time. */
const AGAIN = 5000;

/** What is said when a kernel is gone. */
export const ENDED = "The kernel was restarted or shut down.";

export type Received = (message: unknown, buffers: readonly DataView[]) => void;

/** What newer versions of JupyterLab's comms have. */
interface OnSubshell {
  subshellStarted?: Promise<void>;
}

/** What is said when a line is opened: what it is for, and what comes first, if anything. */
export interface Greeting {
  open: JSONValue;
  first?: JSONValue;
}

/**
 * A way to the kernel: a comm, and another one in its place while the kernel says nothing, as on a busy machine what
 * is sent may be lost. The kernel says something to whatever is opened: a message, or that it is closed.
 */
export class Line {
  private comm: Kernel.IComm | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private answered = false;
  private over = false;

  constructor(
    private readonly kernel: Kernel.IKernelConnection,
    private readonly greeting: Greeting,
    private readonly received: Received,
    private readonly ended: () => void,
  ) {
    this.open(AGAIN);
  }

  send(message: JSONValue): void {
    if (this.comm && !this.comm.isDisposed && !this.kernel.isDisposed) {
      this.comm.send(message);
    }
  }

  close(): void {
    this.over = true;
    clearTimeout(this.timer);
    this.drop(this.comm);
    this.comm = null;
  }

  private open(patience: number): void {
    this.reach(patience).catch(() => this.end());
  }

  private async reach(patience: number): Promise<void> {
    await this.known();
    if (this.over) {
      return;
    }
    const comm = this.kernel.createComm(TARGET);
    if (this.kernel.supportsSubshells) {
      const started = Promise.resolve((comm as OnSubshell).subshellStarted);
      await Promise.race([after(PATIENCE), started.catch(() => undefined)]);
    }
    if (this.over) {
      comm.dispose();
      return;
    }
    comm.onMsg = ({ content, buffers }: KernelMessage.ICommMsgMsg): void => {
      this.answered = true;
      this.received(content.data, (buffers ?? []).map((each) => (each instanceof DataView ? each : view(each))));
    };
    comm.onClose = (): void => {
      // JupyterLab disposes of it; a second time would count against the thread that all comms share.
      this.comm = null;
      this.end();
    };
    comm.open(this.greeting.open);
    this.drop(this.comm); // only now, so that there is always one of them
    this.comm = comm;
    this.greeting.first === undefined || comm.send(this.greeting.first);
    this.wait(patience);
  }

  /** JupyterLab asks a kernel once what it is, and where that is lost on the way, as on a busy machine, never knows. */
  private async known(): Promise<void> {
    let asked: Promise<unknown> = this.kernel.info;
    for (let patience = PATIENCE; !(await Promise.race([asked.then(() => true, () => after(patience)), after(patience)])); patience *= 2) {
      if (this.over || this.kernel.isDisposed) {
        return;
      }
      asked = Promise.race([this.kernel.info, this.kernel.requestKernelInfo()]);
    }
  }

  private wait(patience: number): void {
    this.timer = setTimeout(() => {
      if (this.answered || this.over || this.kernel.isDisposed) {
        return;
      }
      const { connectionStatus, status, supportsSubshells } = this.kernel;
      // A kernel without a thread for comms answers when its cell is done.
      const able = connectionStatus === "connected" && (status !== "busy" || supportsSubshells);
      able ? this.open(2 * patience) : this.wait(patience);
    }, patience);
  }

  private drop(comm: Kernel.IComm | null): void {
    if (comm && !comm.isDisposed && !this.kernel.isDisposed) {
      comm.onClose = (): void => undefined;
      comm.onMsg = (): void => undefined;
      comm.close();
    }
  }

  private end(): void {
    if (!this.over) {
      this.close();
      this.ended();
    }
  }
}

/** A view's host: `opened` says whether the kernel knows the view. */
export class KernelHost implements Host {
  readonly opened: Promise<boolean>;
  private readonly line: Line;
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
    const first = { type: "hello", protocol: PROTOCOL, elements } as JSONValue;
    this.line = new Line(kernel, { open: { view }, first }, received, () => this.end());
  }

  send(message: ToKernel): void {
    if (message.type === "hello" && !this.greeted) {
      this.greeted = true; // it was said before there was a view
      this.told.splice(0).forEach((each) => this.listener?.(each));
    } else {
      this.line.send(message as unknown as JSONValue);
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
    this.line.close();
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

/** The kernel of a notebook, once it is decided which one that is; `null` when it has none. */
export async function kernelOf(session: ISessionContext): Promise<Kernel.IKernelConnection | null> {
  await session.ready;
  return session.session?.kernel ?? null;
}

/** Some milliseconds later. */
export function after(time: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, time));
}

function view(bytes: ArrayBuffer | ArrayBufferView): DataView {
  return ArrayBuffer.isView(bytes) ? new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new DataView(bytes);
}

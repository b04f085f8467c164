import type { Kernel } from "@jupyterlab/services";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Line } from "../src/lab/connection";

/** A kernel that notes what it is sent; a test answers, or does not. */
class Kernels {
  readonly comms: Comm[] = [];
  info: Promise<unknown> = Promise.resolve();
  asked = 0;
  readonly isDisposed = false;
  connectionStatus = "connected";
  status = "idle";
  supportsSubshells = true;

  requestKernelInfo(): Promise<unknown> {
    this.asked += 1;
    return this.asked < 2 ? new Promise(() => undefined) : Promise.resolve();
  }

  createComm(): Comm {
    const made = new Comm();
    this.comms.push(made);
    return made;
  }
}

class Comm {
  readonly sent: unknown[] = [];
  isDisposed = false;
  onMsg: (message: unknown) => void = () => undefined;
  onClose: () => void = () => undefined;
  subshellStarted = Promise.resolve();

  open(data: unknown): void {
    this.sent.push(data);
  }

  send(data: unknown): void {
    this.sent.push(data);
  }

  close(): void {
    this.dispose();
  }

  dispose(): void {
    this.isDisposed = true;
  }

  answer(data: unknown): void {
    this.onMsg({ content: { data }, buffers: [] });
  }
}

describe("a line to the kernel", () => {
  let kernel: Kernels;
  let told: unknown[];
  let ended: number;

  const line = (): Line =>
    new Line(
      kernel as unknown as Kernel.IKernelConnection,
      { open: "open", first: "hello" },
      (message) => told.push(message),
      () => (ended += 1),
    );
  const pass = (seconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(1000 * seconds);

  beforeEach(() => {
    vi.useFakeTimers();
    kernel = new Kernels();
    told = [];
    ended = 0;
  });
  afterEach(() => vi.useRealTimers());

  it("greets, and is left alone once it is answered", async () => {
    line();
    await pass(0);
    expect(kernel.comms.map((each) => each.sent)).toEqual([["open", "hello"]]);
    kernel.comms[0]!.answer("graph");
    await pass(600);
    expect(told).toEqual(["graph"]);
    expect(kernel.comms.length).toBe(1);
  });

  it("is opened again while nothing comes back, less and less often", async () => {
    line();
    await pass(0);
    const counts: number[] = [];
    for (const seconds of [5, 10, 20]) {
      await pass(seconds - 0.5);
      counts.push(kernel.comms.length);
      await pass(0.5);
      counts.push(kernel.comms.length);
    }
    expect(counts).toEqual([1, 2, 2, 3, 3, 4]);
    expect(kernel.comms.map((each) => each.isDisposed)).toEqual([true, true, true, false]);
    expect(kernel.comms[3]!.sent).toEqual(["open", "hello"]);
    kernel.comms[3]!.answer("graph");
    await pass(600);
    expect([told, kernel.comms.length, ended]).toEqual([["graph"], 4, 0]);
  });

  it.each([
    ["a kernel that answers after its cell", { status: "busy", supportsSubshells: false }],
    ["a kernel that is not connected", { connectionStatus: "connecting" }],
  ])("waits for %s", async (_, state) => {
    Object.assign(kernel, state);
    line();
    await pass(100);
    expect(kernel.comms.length).toBe(1);
    Object.assign(kernel, { status: "idle", connectionStatus: "connected" });
    await pass(5);
    expect(kernel.comms.length).toBe(2);
  });

  it("asks a kernel what it is when nobody knows, until it says so", async () => {
    kernel.info = new Promise(() => undefined);
    line();
    await pass(8);
    expect([kernel.asked, kernel.comms.length]).toEqual([1, 0]);
    await pass(2);
    expect([kernel.asked, kernel.comms.length]).toEqual([2, 1]);
  });

  it("does not wait for ever for a thread of the comms", async () => {
    kernel.createComm = () => {
      const made = new Comm();
      made.subshellStarted = new Promise(() => undefined);
      kernel.comms.push(made);
      return made;
    };
    line();
    await pass(2);
    expect(kernel.comms[0]!.sent).toEqual([]);
    await pass(2);
    expect(kernel.comms[0]!.sent).toEqual(["open", "hello"]);
  });

  it("ends when the kernel closes it, once, and asks no more", async () => {
    line();
    await pass(0);
    kernel.comms[0]!.onClose();
    await pass(600);
    // JupyterLab disposes of it then, and counts how often that is done.
    expect([ended, kernel.comms.length, kernel.comms[0]!.isDisposed]).toEqual([1, 1, false]);
  });

  it("says nothing after it was closed", async () => {
    const opened = line();
    await pass(0);
    opened.close();
    await pass(600);
    expect([ended, kernel.comms.length, kernel.comms[0]!.isDisposed]).toEqual([0, 1, true]);
  });
});

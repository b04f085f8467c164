import type { ToView } from "../protocol";
export async function readTrace(bytes: Uint8Array): Promise<ToView[]> {
  throw new Error(`not built yet (${bytes.length} bytes)`);
}

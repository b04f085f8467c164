/** A value as Python, for the clipboard. */

import { shape as shapeText } from "../model/format";
import type { Sample, Value } from "../protocol";

/** Python that makes the array; of a sample: of what was kept, and it says so. */
export function asNumpy(value: Value, sample: Sample): string {
  const text = [...sample.data].map((each) => (Number.isNaN(each) ? "np.nan" : Number.isFinite(each) ? String(each) : each > 0 ? "np.inf" : "-np.inf"));
  const made = `np.array([${text.join(", ")}], dtype="${value.dtype}").reshape(${shapeText(sample.shape)})`;
  const size = value.shape.reduce((a, b) => a * b, 1);
  return sample.data.length < size ? `${made}  # ${sample.data.length} elements of an array of shape ${shapeText(value.shape)}` : made;
}

/** To the clipboard; where pages may not, by the way that is older than that rule. */
export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

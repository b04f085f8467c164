/** A plane of a value as a picture: a heat map, or the image that it is. */

import type { Statistics, Value } from "../protocol";
import { type Axes, type Range, type Reader, placesOf } from "./array";
import { h } from "./dom";

export class HeatMap {
  readonly root = h("canvas", { class: "fb-heat", role: "img" });

  /** Draw it; whether every element was the very one. */
  draw(value: Value, axes: Axes, rows: Range, columns: Range, base: readonly number[], read: Reader): boolean {
    const canvas = this.root;
    const channels = axes.channel < 0 ? 0 : value.shape[axes.channel]!;
    canvas.width = columns.count;
    canvas.height = rows.count;
    canvas.setAttribute("aria-label", `${channels ? "image" : "heat map"}, ${rows.count} by ${columns.count}`);
    canvas.style.height = `${Math.round(Math.min(230, Math.max(rows.count === 1 ? 22 : 60, (308 * rows.count) / columns.count)))}px`;
    canvas.style.width = channels ? `${Math.min(308, (Number.parseInt(canvas.style.height) * columns.count) / rows.count)}px` : "";
    const context = canvas.getContext("2d")!;
    const image = context.createImageData(columns.count, rows.count);
    const paint = channels ? imageColour(value.statistics, channels) : heatColour(value.statistics);
    const index = [...base];
    let exact = true;
    let place = 0;
    const pixel: number[] = [];
    for (const row of placesOf(rows)) {
      for (const column of placesOf(columns)) {
        if (axes.rows >= 0) {
          index[axes.rows] = row;
        }
        if (axes.columns >= 0) {
          index[axes.columns] = column;
        }
        for (let channel = 0; channel < Math.max(1, channels); channel += 1) {
          if (channels) {
            index[axes.channel] = channel;
          }
          const found = read(index);
          exact &&= found.exact;
          pixel[channel] = found.value;
        }
        image.data.set(paint(pixel), place);
        place += 4;
      }
    }
    context.putImageData(image, 0, 0);
    return exact;
  }
}

type Paint = (pixel: readonly number[]) => [number, number, number, number];

/** Blue below zero, orange above, white at zero; red is nan, violet infinite. */
function heatColour(found: Statistics): Paint {
  const span = Math.max(Math.abs(found.min ?? 0), Math.abs(found.max ?? 0)) || 1;
  return ([value = NaN]) => {
    if (Number.isFinite(value)) {
      return [...diverging(value / span), 255];
    }
    return Number.isNaN(value) ? [207, 34, 46, 255] : [130, 80, 223, 255];
  };
}

/** From black to full over the usual ranges of images, 0 to 1 or to 255, or else over its own. */
function imageColour({ min, max }: Statistics, channels: number): Paint {
  const usual = (min ?? 0) >= 0 && (max ?? 1) <= 255;
  const [low, high] = usual ? [0, (max ?? 1) <= 1 ? 1 : 255] : [min ?? 0, max ?? 1];
  const level = (value: number | undefined): number => Math.round((255 * ((value ?? 0) - low)) / (high - low || 1));
  return (pixel) => {
    if (pixel.some((each) => Number.isNaN(each))) {
      return [207, 34, 46, 255];
    }
    const [r, g, b, a] = pixel.map(level);
    return channels === 1 ? [r!, r!, r!, 255] : [r!, g!, b!, channels === 4 ? a! : 255];
  };
}

const STOPS: [number, number, number][] = [
  [33, 102, 172],
  [103, 169, 207],
  [247, 247, 247],
  [244, 165, 92],
  [201, 90, 30],
];

/** A colour for −1 … 1. */
export function diverging(value: number): [number, number, number] {
  const place = Math.min(1, Math.max(-1, value)) * 2 + 2;
  const low = Math.min(3, Math.floor(place));
  const [from, to, share] = [STOPS[low]!, STOPS[low + 1]!, place - low];
  return from.map((each, index) => Math.round(each + (to[index]! - each) * share)) as [number, number, number];
}

/** Where the largest of many numbers stand. */

/** Places of those above zero, the largest first. Nothing is sorted: there may be 50,000, and it is asked at each step. */
export function largest(all: Float64Array, count: number): number[] {
  const found: number[] = [];
  all.forEach((value, index) => {
    if (value > (all[found[count - 1] ?? -1] ?? 0)) {
      const place = found.findIndex((each) => all[each]! < value);
      found.splice(place < 0 ? found.length : place, 0, index);
      found.length = Math.min(found.length, count);
    }
  });
  return found;
}

/** Numbers as Python writes them. */

const EXACT = 100; // digits: enough to tell any float64 from a tie between two numbers of a few digits

/** `f"{value:.{digits}g}"`: so many significant digits, ties to even. */
export function general(value: number, digits: number): string {
  if (!Number.isFinite(value)) {
    return value !== value ? "nan" : value > 0 ? "inf" : "-inf";
  }
  if (value === 0) {
    return "0"; // no minus before zero
  }
  const [all, power] = Math.abs(value).toExponential(EXACT).split("e") as [string, string];
  let exponent = Number(power);
  const exact = all.replace(".", "");
  let kept = BigInt(exact.slice(0, digits));
  const half = "5".padEnd(exact.length - digits, "0");
  const rest = exact.slice(digits);
  if (rest > half || (rest === half && kept % 2n === 1n)) {
    kept += 1n;
  }
  let text = kept.toString();
  if (text.length > digits) {
    text = text.slice(0, digits);
    exponent += 1;
  }
  const sign = value < 0 ? "-" : "";
  if (exponent < -4 || exponent >= digits) {
    const size = Math.abs(exponent).toString().padStart(2, "0");
    return `${sign}${trimmed(text, 1)}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  return sign + (exponent < 0 ? trimmed(text.padStart(digits - exponent, "0"), 1) : trimmed(text, exponent + 1));
}

/** Digits with a point after the first few, and no zeros at their end. */
function trimmed(digits: string, whole: number): string {
  const fraction = digits.slice(whole).replace(/0+$/, "");
  return fraction ? `${digits.slice(0, whole)}.${fraction}` : digits.slice(0, whole);
}

/** Formulas as MathML: what a book would print, and a screen reader reads. */

import { type Expression, spoken } from "../model/expression";

const MATHML = "http://www.w3.org/1998/Math/MathML";

export function math(...lines: (Expression | string)[]): HTMLElement {
  const root = made("math", lines.map((each) => (typeof each === "string" ? operator(each) : draw(each, 0))));
  root.setAttribute("display", "block");
  root.setAttribute("aria-label", lines.map((each) => (typeof each === "string" ? each : spoken(each))).join(" "));
  return root as unknown as HTMLElement;
}

function made(tag: string, children: readonly (Element | string)[]): Element {
  const element = document.createElementNS(MATHML, tag);
  element.append(...children);
  return element;
}

const row = (...children: Element[]): Element => made("mrow", children);
const operator = (text: string): Element => made("mo", [text]);
const number = (text: string): Element => made("mn", [text.replaceAll("-", "−")]);

/** A name of one letter is slanted, as in books; longer ones are words. */
function name(text: string): Element {
  const [, base = text, index] = /^(.+?)_(\d+)$/.exec(text) ?? [];
  const word = [...base].length === 1 ? made("mi", [base]) : made("mtext", [base]);
  return index === undefined ? word : made("msub", [word, made("mn", [index])]);
}

function derivative(of: string): Element {
  return made("mfrac", [row(operator("∂"), made("mi", ["L"])), row(operator("∂"), name(of))]);
}

/** How tightly an operator binds; what binds less tightly than what is around it gets parentheses. */
const SUM = 1;
const PRODUCT = 2;
const POWER = 3;
const INFIX: Record<string, [string, number]> = {
  add: ["+", SUM],
  subtract: ["−", SUM],
  multiply: ["·", PRODUCT],
  matmul: ["", PRODUCT],
  greater: [">", 0],
  greater_equal: ["≥", 0],
  less: ["<", 0],
  less_equal: ["≤", 0],
  equal: ["=", 0],
  not_equal: ["≠", 0],
};
/** They change the form, not the numbers that a reader thinks of. */
const SILENT = new Set(["identity", "astype", "broadcast_like", "reshape_like"]);

function draw(expression: Expression, around: number): Element {
  switch (expression.kind) {
    case "name":
      return name(expression.text);
    case "number":
      return expression.text.startsWith("-") || expression.text.startsWith("−") ? inside(number(expression.text), SUM, around) : number(expression.text);
    case "derivative":
      return derivative(expression.of);
    case "call":
      return drawCall(expression, around);
  }
}

function drawCall(expression: Expression & { kind: "call" }, around: number): Element {
  const { op, operands, attributes } = expression;
  const [a, b] = operands;
  if (a && SILENT.has(op)) {
    return draw(a, around);
  }
  if (a && b && op in INFIX) {
    const [sign, binds] = INFIX[op]!;
    if (op === "multiply" && spoken(a) === spoken(b)) {
      return made("msup", [draw(a, POWER), number("2")]);
    }
    const right = draw(b, op === "subtract" ? binds + 1 : binds);
    const both = sign ? row(draw(a, binds), operator(sign), right) : row(draw(a, binds), made("mspace", []), right);
    return binds ? inside(both, binds, around) : row(operator("["), both, operator("]"));
  }
  if (a && b && op === "divide") {
    return made("mfrac", [draw(a, 0), draw(b, 0)]);
  }
  if (a && b && op === "power") {
    return made("msup", [draw(a, POWER), draw(b, 0)]);
  }
  if (a && operands.length === 1) {
    switch (op) {
      case "square":
        return made("msup", [draw(a, POWER), number("2")]);
      case "matrix_transpose":
      case "transpose":
        return made("msup", [draw(a, POWER), made("mi", ["⊤"])]);
      case "sqrt":
        return made("msqrt", [draw(a, 0)]);
      case "exp":
        return made("msup", [made("mi", ["e"]), draw(a, 0)]);
      case "reciprocal":
        return made("mfrac", [number("1"), draw(a, 0)]);
      case "abs":
      case "absolute":
        return row(operator("|"), draw(a, 0), operator("|"));
      case "negative":
        return inside(row(operator("−"), draw(a, PRODUCT)), SUM, around);
      case "sigmoid":
        return row(made("mi", ["σ"]), operator("("), draw(a, 0), operator(")"));
    }
  }
  if (a && (op === "sum" || op === "unbroadcast")) {
    const axis = attributes.find((each) => each.startsWith("axis="))?.slice(5);
    const sign = axis === undefined ? operator("∑") : made("munder", [operator("∑"), made("mtext", [`axis ${axis}`])]);
    return inside(row(sign, draw(a, PRODUCT)), PRODUCT, around);
  }
  const parts = [...operands.map((each) => draw(each, 0)), ...attributes.map((each) => made("mtext", [each.replace("=", " = ")]))];
  const listed = parts.flatMap((each, index) => (index ? [operator(","), each] : [each]));
  return row(made("mtext", [op]), operator("("), ...listed, operator(")"));
}

function inside(element: Element, binds: number, around: number): Element {
  return binds < around ? row(operator("("), element, operator(")")) : element;
}

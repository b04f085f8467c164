/** Where things are; y grows downwards. */

export interface Point {
  x: number;
  y: number;
}

export interface Rectangle extends Point {
  width: number;
  height: number;
}

export interface Layout {
  /** The graph flows from left to right; else from top to bottom. */
  across: boolean;
  width: number;
  height: number;
  /** Of each box, by key. */
  boxes: Map<string, Rectangle>;
  /** Of each open scope, by id. */
  scopes: Map<number, Rectangle>;
  /** Control points of cubic Bézier curves, from source to target, by key of the edge. */
  edges: Map<string, Point[]>;
}

export const CARD = { width: 148, height: 46 };
export const TITLE = 20;

/** The layout worker's program; it stands in front of a bundle (`flowbook/notebook/assets.py`). */

declare const FLOWBOOK_LAYOUT: string;

export const layoutProgram = FLOWBOOK_LAYOUT;

/** The layout worker's program, gzip and Base64; it stands in front of a bundle (`flowbook/notebook/assets.py`). */

import { unzip } from "../codec";

declare const FLOWBOOK_LAYOUT: string;

export const packedProgram = (): Promise<string> => unzip(FLOWBOOK_LAYOUT);

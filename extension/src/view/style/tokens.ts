/** Fonts and colours. Colours are JupyterLab's where there are any, and mean something: quiet greys for all the rest. */

export const MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace";
export const SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif";
export const FONTS = { name: `600 11.5px ${MONO}`, text: `10.5px ${SANS}`, small: `10px ${SANS}`, number: `9.5px ${MONO}`, link: `11.5px ${MONO}` };

export const LIGHT = `
--fb-bg:var(--jp-layout-color1,#fff);--fb-bg1:#fafbfc;--fb-bg2:#f1f3f5;--fb-line:#e1e4e8;--fb-line2:#c5cbd3;
--fb-ink:#1f2328;--fb-ink2:#57606a;--fb-ink3:#7d8590;--fb-accent:#1f6feb;--fb-on-accent:#fff;
--fb-done:#1a7f37;--fb-done-bg:#eff8f1;--fb-done-line:#b9dcc2;--fb-run-bg:#e4efff;--fb-ready-bg:#f3f8ff;
--fb-bad:#cf222e;--fb-warn:#9a6700;--fb-grad:#d9730d;--fb-grad-bg:#fdf5ec;--fb-glow:#f2c01d;--fb-edge:#c3c9d1;
--fb-edge2:#8d96a1;--fb-placeholder:#4c78a8;--fb-variable:#2f9e8f;--fb-constant:#9aa3af;--fb-copy:#b279a2;
--fb-write:#54a24b;--fb-heat:#e5484d;--fb-mem:#8250df;--fb-neg:#2b7bc0;--fb-pos:#d9602b;--fb-zero:#f7f7f7;
--fb-d0:#4c78a8;--fb-d1:#72b7b2;--fb-d2:#76b900;--fb-d3:#e0a030;--fb-shadow:0 1px 2px #1f232814;`;
export const DARK = `
--fb-bg:var(--jp-layout-color1,#111418);--fb-bg1:#161a20;--fb-bg2:#1f252d;--fb-line:#2a3038;--fb-line2:#414a56;
--fb-ink:#e6edf3;--fb-ink2:#a5aeb9;--fb-ink3:#848d97;--fb-accent:#58a6ff;--fb-on-accent:#0d1117;
--fb-done:#56d364;--fb-done-bg:#14231a;--fb-done-line:#2b4a34;--fb-run-bg:#12294a;--fb-ready-bg:#151d29;
--fb-bad:#ff7b72;--fb-warn:#d8a22d;--fb-grad:#f0883e;--fb-grad-bg:#241b13;--fb-glow:#d4a72c;--fb-edge:#3d4551;
--fb-edge2:#707a86;--fb-placeholder:#5b8cc0;--fb-variable:#3bb3a2;--fb-constant:#7d8590;--fb-copy:#c18ab2;
--fb-write:#5fb356;--fb-heat:#ff6369;--fb-mem:#a371f7;--fb-neg:#5aa9e6;--fb-pos:#f08a4b;--fb-zero:#1f252d;
--fb-d0:#5b8cc0;--fb-d1:#79c0bb;--fb-d2:#86c91b;--fb-d3:#e0ad4a;--fb-shadow:none;`;

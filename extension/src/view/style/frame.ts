/** The frame: bars, buttons, fields, notices, the timeline, what lies over it. */

import { DARK, LIGHT, MONO, SANS } from "./tokens";

export const FRAME = `
.fb-view{${LIGHT}position:relative;display:grid;grid-template:auto minmax(0,1fr) auto/minmax(0,1fr) min(336px,42%);height:640px;
overflow:hidden;box-sizing:border-box;background:var(--fb-bg);color:var(--fb-ink);border:1px solid var(--fb-line);
border-radius:8px;font:12px/1.4 ${SANS};text-align:left;outline:none;-webkit-font-smoothing:antialiased}
.fb-view[data-fb-theme=dark]{${DARK}color-scheme:dark}
.fb-view:focus-visible{border-color:var(--fb-accent)}
.fb-view *{box-sizing:border-box}.fb-view code,.fb-mono{font-family:${MONO}}.fb-view [hidden]{display:none!important}
.fb-view button{all:unset;cursor:pointer;box-sizing:border-box}
.fb-view button:focus-visible,.fb-view select:focus-visible,.fb-view input:focus-visible,.fb-view summary:focus-visible
{outline:2px solid var(--fb-accent);outline-offset:1px}
.fb-view ::selection{background:color-mix(in srgb,var(--fb-accent) 30%,transparent)}
.fb-view.fb-compact{grid-template:31px minmax(0,1fr)/minmax(0,1fr) 0;transition:none}
.fb-view.fb-compact.fb-choosing{grid-template-columns:minmax(0,1fr) min(308px,42%)}.fb-view.fb-compact:not(.fb-choosing) .fb-side,
.fb-view.fb-compact .fb-below,.fb-view.fb-compact .fb-run{display:none}
.fb-view.fb-compact .fb-mini{width:104px;height:60px;right:8px;bottom:8px}
.fb-view.fb-compact .fb-bar{background:var(--fb-bg);border-color:transparent;padding:0 6px 0 4px}
.fb-view.fb-compact input[type=search]{height:22px;width:138px;border-color:transparent;background:var(--fb-bg2)}
.fb-view.fb-compact input[type=search]:focus{width:172px}.fb-view.fb-compact .fb-status{font-size:11.5px}
.fb-view.fb-compact .fb-canvas{background-image:none}
.fb-run{display:flex;align-items:center;gap:2px;flex:none}
.fb-view .fb-bar .fb-quiet-button{width:auto;padding:0 9px;font-size:11px;color:var(--fb-ink2);border:1px solid var(--fb-line);
height:22px;margin-right:6px;white-space:nowrap}
.fb-bar{grid-column:1/3;display:flex;align-items:center;gap:2px;padding:0 10px;border-bottom:1px solid var(--fb-line);
background:var(--fb-bg1);min-width:0}
.fb-view:not(.fb-compact) .fb-bar{flex-wrap:wrap;min-height:38px;row-gap:2px;padding-block:3px}
.fb-bar button{width:26px;height:26px;border-radius:5px;display:grid;place-items:center;color:var(--fb-ink2);flex:none}
.fb-bar button:hover{background:var(--fb-bg2);color:var(--fb-ink)}.fb-bar button[disabled]{opacity:.35;pointer-events:none}
.fb-bar button.fb-main{color:var(--fb-accent)}.fb-bar button[aria-pressed=true]{background:var(--fb-bg2);color:var(--fb-grad)}
.fb-view .fb-icon{width:16px;height:16px;fill:none;stroke:currentColor;stroke-width:1.5;stroke-linejoin:round;stroke-linecap:round}
.fb-bar button.fb-on{color:var(--fb-bad)}
.fb-popover{position:relative;flex:none}.fb-pop{position:absolute;top:31px;right:0;z-index:6;background:var(--fb-bg);
border:1px solid var(--fb-line2);border-radius:8px;box-shadow:0 10px 30px #0003;padding:10px 12px;width:max-content;
max-width:380px;display:grid;grid-template-columns:minmax(0,1fr);gap:6px}.fb-run .fb-pop{left:0;right:auto;width:360px}.fb-pop h4{margin:0}
.fb-view .fb-pop .fb-entry{width:auto;height:auto;display:block;padding:5px 10px;margin:0 -6px;color:var(--fb-ink);border-radius:5px}
.fb-entry span{display:flex;gap:12px;justify-content:space-between}.fb-entry i{font-style:normal;color:var(--fb-ink3)}
.fb-entry b{font-weight:600}.fb-point{display:flex;gap:6px;align-items:center}.fb-view .fb-point input[type=text]{flex:1 1 0;min-width:0;
font:11.5px ${MONO}}.fb-view .fb-point button{width:24px;height:22px;font:11px ${MONO}}
.fb-view .fb-apply{background:var(--fb-accent);color:var(--fb-on-accent);border-radius:5px;padding:0 10px;height:25px;
display:grid;place-items:center;width:auto}.fb-view .fb-point .fb-apply{width:auto;height:24px;color:var(--fb-on-accent);font:12px ${SANS}}
.fb-view .fb-apply:disabled{opacity:.4}.fb-view .fb-inline{color:var(--fb-accent);border-radius:3px}
.fb-view .fb-inline:hover{text-decoration:underline}.fb-view .fb-inline:disabled{color:var(--fb-ink3);cursor:default;text-decoration:none}
.fb-changes{position:absolute;left:12px;top:12px;z-index:3;font-size:11.5px}.fb-chip{display:inline-flex;gap:8px;padding:4px 10px;
border-radius:13px;background:var(--fb-bg);border:1px solid var(--fb-glow);box-shadow:0 2px 8px #0001}
.fb-chip button{color:var(--fb-ink)}.fb-chip button:last-child{color:var(--fb-ink3)}
.fb-list{margin-top:6px;padding:6px 12px;background:var(--fb-bg);border:1px solid var(--fb-line2);border-radius:8px;max-height:300px;
overflow:auto;box-shadow:0 6px 20px #0002}.fb-list .fb-link{justify-content:flex-start!important}
.fb-view .fb-list .fb-link span{color:var(--fb-ink);font:11.5px ${MONO}}.fb-list i{display:inline-block;width:15px;font-style:normal;font-weight:700}.fb-list s{color:var(--fb-ink3)}
.fb-mark-added{color:var(--fb-done)}.fb-mark-changed,.fb-mark-rewired,.fb-mark-stale{color:var(--fb-warn)}.fb-mark-removed{color:var(--fb-bad)}
.fb-story{position:absolute;left:50%;bottom:14px;transform:translateX(-50%);z-index:3;width:min(560px,calc(100% - 24px));background:var(--fb-bg);
border:1px solid var(--fb-bad);border-radius:9px;box-shadow:0 10px 30px #0003;padding:9px 14px 10px}
.fb-story header{display:flex;align-items:center;gap:8px}.fb-story header>:last-child{margin-left:auto}.fb-story p{margin:6px 0 2px;white-space:pre-line}
.fb-story.fb-cause{border-width:2px;padding:8px 13px 9px}.fb-story pre{font:11px/1.5 ${MONO};margin:4px 0 0;white-space:pre-wrap;max-height:180px;overflow:auto}
.fb-story button:disabled{opacity:.3;pointer-events:none}.fb-story .fb-icon{display:block;color:var(--fb-ink2)}
.fb-dots{display:flex;gap:5px}.fb-view .fb-dot-of{width:8px;height:8px;border-radius:50%;background:var(--fb-line2)}
.fb-view .fb-dot-of[aria-current]{background:var(--fb-bad)}
.fb-below{grid-column:1/3;display:flex;border-top:1px solid var(--fb-line);background:var(--fb-bg1);min-width:0}
.fb-below>.fb-time{flex:1 1 0}.fb-training{flex:none;width:min(336px,42%);border-left:1px solid var(--fb-line);padding:7px 14px 9px;display:flex;
flex-direction:column;gap:5px;min-height:96px}.fb-training header{display:flex;gap:8px;align-items:center;color:var(--fb-ink2);font-size:11px;
font-variant-numeric:tabular-nums}.fb-training header b{color:var(--fb-ink)}.fb-training header button{margin-left:auto;color:var(--fb-bad)}
.fb-training header .fb-icon{display:block}.fb-track{height:4px;border-radius:2px;background:var(--fb-line);overflow:hidden;flex:none}
.fb-track i{display:block;height:100%;background:var(--fb-accent);border-radius:2px}.fb-curves{flex:none;height:52px;width:100%;display:block}
.fb-curve-names{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:11px;color:var(--fb-ink2)}.fb-curve-names i{display:inline-block;width:9px;
height:3px;border-radius:2px;margin-right:5px;vertical-align:2.5px}.fb-curve-names b{color:var(--fb-ink);font-weight:500}
.fb-sep{width:1px;height:18px;background:var(--fb-line);margin:0 6px;flex:none}
.fb-status{margin:0 10px;color:var(--fb-ink2);white-space:nowrap;overflow:hidden;text-overflow:ellipsis;flex:1 1 110px;
min-width:0}.fb-status b{color:var(--fb-ink);font-weight:600}
.fb-view select,.fb-view input[type=search],.fb-view input[type=text],.fb-view input[type=number]{font:inherit;color:var(--fb-ink);
background:var(--fb-bg);border:1px solid var(--fb-line2);border-radius:5px;height:25px;padding:0 7px;margin:0;flex:none}
.fb-bar select{margin-right:4px}.fb-bar input[type=search]{width:172px}
.fb-view ::placeholder{color:var(--fb-ink3);opacity:1}
.fb-found{color:var(--fb-ink3);min-width:44px;text-align:right;padding:0 4px;font-variant-numeric:tabular-nums}
.fb-notices{position:absolute;left:50%;top:12px;transform:translateX(-50%);display:grid;gap:6px;z-index:3;max-width:80%}
.fb-notice{display:flex;gap:10px;padding:7px 12px;border-radius:6px;background:var(--fb-bg1);border:1px solid var(--fb-line2);
box-shadow:0 4px 14px #0002}.fb-notice.fb-error,.fb-notice.fb-ended{border-color:var(--fb-bad)}
.fb-notice.fb-warning{border-color:var(--fb-warn)}.fb-notice button{color:var(--fb-ink3)}
.fb-view details summary{cursor:pointer;color:var(--fb-ink2)}.fb-view details[open] summary{margin-bottom:6px}
.fb-time{position:relative;min-width:0}
.fb-scrub{display:flex;align-items:center;gap:10px;padding:6px 14px 1px;min-height:26px;color:var(--fb-ink2);font-size:11px}
.fb-view input[type=range]{appearance:none;background:none;height:14px;margin:0;min-width:0;flex:1;cursor:pointer}
.fb-view input[type=range]::-webkit-slider-runnable-track{height:3px;border-radius:2px;background:var(--fb-line2)}
.fb-view input[type=range]::-moz-range-track{height:3px;border-radius:2px;background:var(--fb-line2)}
.fb-view input[type=range]::-webkit-slider-thumb{appearance:none;width:12px;height:12px;border-radius:50%;border:0;
background:var(--fb-accent);margin-top:-4.5px}
.fb-view input[type=range]::-moz-range-thumb{width:12px;height:12px;border-radius:50%;border:0;background:var(--fb-accent)}
.fb-scrub span{
font-variant-numeric:tabular-nums;white-space:nowrap}
.fb-lanes{display:block;width:100%;cursor:pointer}
.fb-help{position:absolute;inset:0;background:color-mix(in srgb,var(--fb-bg) 60%,transparent);display:grid;place-items:center;
z-index:5}.fb-help>div{background:var(--fb-bg);border:1px solid var(--fb-line2);border-radius:8px;padding:16px 22px 20px;
box-shadow:0 12px 40px #0004;max-height:92%;overflow:auto;outline:none}.fb-help h3{margin:0 0 10px;font-size:14px}
.fb-help dl{display:grid;grid-template-columns:auto auto auto auto;gap:5px 14px;margin:0}.fb-help dt{text-align:right}
.fb-help dd{margin:0 12px 0 0;color:var(--fb-ink2)}.fb-view kbd{font:11px ${MONO};border:1px solid var(--fb-line2);
border-bottom-width:2px;border-radius:4px;padding:0 5px;background:var(--fb-bg1)}
.fb-tip{position:absolute;pointer-events:none;background:var(--fb-bg);border:1px solid var(--fb-line2);border-radius:5px;
padding:4px 8px;box-shadow:0 4px 14px #0002;z-index:4;white-space:nowrap;font-size:11px}
@media (prefers-reduced-motion:reduce){.fb-view *{transition:none!important}}
`;

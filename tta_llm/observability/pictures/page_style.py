"""How the page of a run looks."""

from __future__ import annotations

__all__ = ["PAGE_STYLE"]

PAGE_STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1f2328;--muted:#59636e;--border:#d1d9e0;
--fill:#f6f8fa;--done:#1a7f37;--failed:#cf222e;--cancelled:#8a5a00;--link:#0969da}
@media (prefers-color-scheme:dark){:root{--back:#0d1117;--text:#e6edf3;--muted:#9198a1;
--border:#3d444d;--fill:#151b23;--done:#3fb950;--failed:#ff7b72;--cancelled:#d29922;
--link:#58a6ff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem clamp(.75rem,2vw,2rem);max-width:90rem;background:var(--back);
color:var(--text);font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
h1{font-size:1.5rem;margin:.2rem 0 .6rem;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:1.6rem 0 .5rem}h4{margin:.5rem 0 .2rem;color:var(--muted)}
.muted,dt,.notes,.head{color:var(--muted)}
.error{border-left:4px solid var(--failed);padding:.4rem .7rem;margin:0 0 .8rem;
background:var(--fill);overflow-wrap:anywhere}
header dl{display:flex;flex-wrap:wrap;gap:.5rem 1.75rem;margin:0}
dt{font-size:.85em}dd{margin:0;overflow-wrap:anywhere}header dd{font-weight:600}
.scroll{overflow:auto;max-height:90vh;
border:1px solid var(--border);border-radius:6px;margin-bottom:.7rem}
.scroll svg{display:block;margin:auto}
.row{display:grid;grid-template-columns:minmax(14rem,2fr) 3fr 6rem 5rem 7rem;gap:0 .75rem;
border-top:1px solid var(--border);padding:.25rem .4rem;align-items:start}
.row:hover{background:var(--fill)}
.head{border:0;font-size:.85em;position:sticky;top:0;background:var(--back);z-index:1}
.step{padding-left:calc(var(--depth,0)*1rem);min-width:0;overflow-wrap:anywhere}
.name{font-weight:600}.sign{color:var(--done)}.notes{font-size:.9em}
.took,.tokens,.cost{text-align:right;font-variant-numeric:tabular-nums}
.when{position:relative;min-height:1.3em}
.tick{position:absolute;border-left:1px solid var(--border);padding-left:.25rem;white-space:nowrap}
.track{position:absolute;inset:.2em 0 auto;height:.9em;background:var(--fill);border-radius:3px}
.bar{position:absolute;top:0;bottom:0;min-width:2px;background:var(--done);border-radius:3px}
.mark{position:absolute;top:-.15em;bottom:-.15em;width:3px;margin-left:-1px;background:var(--text)}
.is-failed .sign,.is-failed .notes{color:var(--failed)}.is-failed .bar{background:var(--failed)}
.is-cancelled .sign,.is-unfinished .sign{color:var(--cancelled)}
.is-cancelled .bar,.is-unfinished .bar{background:var(--cancelled)}
summary{cursor:pointer;width:fit-content}summary::marker{color:var(--muted);font-size:.8em}
pre{margin:0;padding:.5rem;background:var(--fill);border:1px solid var(--border);
border-radius:4px;white-space:pre-wrap;overflow-wrap:anywhere;max-height:24rem;overflow:auto}
.step dl{font-size:.9em;margin:.3rem 0;display:grid;grid-template-columns:auto 1fr;gap:.1rem .75rem}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
@media (min-width:50rem){
.row:has([open])>*{grid-row:1}.row:has([open])>.step{grid-column:1/-1}
.row:has([open])>.when{grid-column:2}.row:has([open])>.took{grid-column:3}
.row:has([open])>.tokens{grid-column:4}.row:has([open])>.cost{grid-column:5}
.row:has([open]) summary{max-width:28%}}
@media (max-width:49.99rem){
.row{grid-template-columns:auto auto 1fr;
grid-template-areas:"step step step" "when when when" "took tokens cost"}
.step{grid-area:step}.when{grid-area:when;margin:.2rem 0}
.took{grid-area:took}.tokens{grid-area:tokens}.cost{grid-area:cost;text-align:left}
.tokens:not(:empty)::after{content:" tokens"}
.head>:not(.when){position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.step dl{grid-template-columns:1fr}}
@media print{.head{position:static}.scroll{max-height:none}}
"""

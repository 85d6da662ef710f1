"""The style of the HTML report: light, one column, printable, no outside fonts or files."""

STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #e3e7ec; --paper: #ffffff; --ground: #f6f7f9;
  --model: #0072b2; --baseline: #56a0cf; --floor: #b6bcc4; --below: #c62828; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.55;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "PingFang SC",
  "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; font-size: 16px; }
main { max-width: 940px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 1.9rem; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 1.25rem; margin: 0 0 12px; }
h3 { font-size: 1.02rem; margin: 24px 0 8px; }
h3:first-of-type { margin-top: 0; }
p { margin: 0 0 12px; }
.soft, caption, .note { color: var(--soft); font-size: .9rem; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 22px 24px; margin-top: 20px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr));
  gap: 14px; margin-top: 20px; }
.card { background: var(--paper); border: 1px solid var(--line); border-top: 4px solid var(--model);
  border-radius: 10px; padding: 14px 18px; overflow-wrap: anywhere; }
.card b { display: block; font-size: 2rem; line-height: 1.2; color: var(--model); }
.warning { border-top: 4px solid var(--below); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 0; }
dt { color: var(--soft); } dd { grid-column: 2; margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; margin: 4px 0 10px; }
caption { text-align: left; padding-bottom: 6px; }
th, td { text-align: left; padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; }
tbody th { font-weight: 400; } tr.model th, tr.model td { font-weight: 650; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
td .interval { display: block; color: var(--soft); font-weight: 400; font-size: .85em; }
.below, tr.model td.below { color: var(--below); }
.tag { color: var(--soft); font-size: .8em; border: 1px solid var(--line); border-radius: 4px;
  padding: 0 5px; }
td.below .tag { color: var(--below); border-color: var(--below); }
.scroll { overflow-x: auto; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(360px, 1fr)); gap: 18px; }
figure { margin: 0; } figcaption { font-weight: 600; font-size: .95rem; margin-bottom: 4px; }
svg { width: 100%; height: auto; display: block; }
svg text { font-size: 12.5px; fill: var(--ink); } svg .tick { fill: var(--soft); font-size: 11.5px; }
svg .grid { stroke: var(--line); } svg .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .whisker { fill: none; stroke: var(--ink); stroke-width: 1.2; }
rect.model { fill: var(--model); } rect.baseline { fill: var(--baseline); }
rect.floor { fill: var(--floor); } rect.below { fill: var(--below); }
svg text.model { font-weight: 650; } svg text.below { font-weight: 650; fill: var(--below); }
svg .value { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
circle { fill-opacity: .75; }
.map { display: grid; grid-template-columns: minmax(0, 1fr) 190px; gap: 20px; align-items: start; }
.legend { list-style: none; margin: 0; padding: 0; font-size: .9rem; }
.legend li { display: flex; gap: 8px; align-items: baseline; overflow-wrap: anywhere; }
.dot { flex: none; width: 11px; height: 11px; border-radius: 50%; }
.query { font-weight: 600; margin: 20px 0 4px; overflow-wrap: anywhere; }
.similarity { color: var(--soft); font-variant-numeric: tabular-nums; padding-right: 8px; }
td ol { margin: 0; padding: 0; list-style: none; } td li { overflow-wrap: anywhere; margin-bottom: 4px; }
td.half { width: 50%; padding-right: 18px; }
table.changes { table-layout: fixed; min-width: 620px; } .changes td { overflow-wrap: anywhere; }
.changes th.number { width: 92px; } .changes th.number, .changes td.number { padding-right: 14px; }
details { margin-top: 8px; } summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
@media (max-width: 640px) { .map { grid-template-columns: 1fr; } .pair { grid-template-columns: 1fr; } }
@media print { body { background: #fff; font-size: 12px; } main { max-width: none; padding: 0; }
  figure, tr, dl, .card, .map { break-inside: avoid; } h2, h3, .query { break-after: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
"""

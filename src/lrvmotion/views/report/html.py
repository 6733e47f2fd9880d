"""A run's report as one HTML file: its plots are in it, and it asks nobody for anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from lrvmotion.journal.audit_log import Entry
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.report.run_history import RunHistory
from lrvmotion.views.report import plots
from lrvmotion.views.report import wording as say
from lrvmotion.views.text import units, words

WHOLE = 32  # a cell of so many characters is not broken: a name, an option, "restored" and a time
MOST_ENTRIES = 5000  # of the audit log in one page
STYLE = """
:root{color-scheme:light}
body{margin:0;background:#f4f6f8;color:#1f2733;font:14px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1040px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0 0 2px}h2{font-size:17px;margin:0 0 10px}
.sub{color:#66707d;margin:0 0 20px}
section{background:#fff;border:1px solid #e3e7ec;border-radius:8px;padding:18px 20px;margin:0 0 16px}
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin:0 0 16px}
.tile{flex:1 1 120px;background:#fff;border:1px solid #e3e7ec;border-radius:8px;padding:12px 16px}
.tile b{display:block;font-size:21px;font-weight:600}.tile span{color:#66707d}
.bad b{color:#b3402a}.note{border-left:4px solid #e0a83c;background:#fdf7e8}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px}
th{text-align:left;color:#66707d;font-weight:500;border-bottom:1px solid #cdd4dc;padding:5px 10px 5px 0}
td{border-bottom:1px solid #eef1f4;padding:5px 10px 5px 0;vertical-align:top;overflow-wrap:anywhere}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.w{white-space:nowrap}
.audit td{font-size:12px}
svg{width:100%;height:auto;display:block}.small svg{max-width:520px}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;margin:6px 0 0;color:#66707d;font-size:12.5px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px;vertical-align:-1px}
.moved{color:#2f7d50}.failed,.no{color:#b3402a}.held,.cancelled{color:#9a6d0c}
details summary{cursor:pointer;color:#3b6fb6}footer{color:#66707d;font-size:12.5px}
@media print{body{background:#fff}.w{white-space:normal}section,.tile{break-inside:avoid}}
"""


def report(history: RunHistory, entries: Sequence[Entry]) -> str:
    """Return the report of *history* with its audit log."""
    parts = [f"<h1>{escape(say.title(history))}</h1>"]
    ended = f" to {say.when(history.ended)}" if history.ended else ""
    parts.append(f'<p class="sub">{escape(say.when(history.began) + ended)} UTC, by {escape(history.who or "-")}</p>')
    parts.append(_tiles(history))
    parts += [f'<section class="note">{escape(note)}</section>' for note in history.notes]
    parts += _plots(history)
    parts.append(_section("VMs", _table(say.VM_HEAD, [say.vm_row(vm) for vm in history.vms], right=say.VM_RIGHT)))
    if rows := say.troubles(history):
        parts.append(_section("What failed", _table(("VM", "when", "cause", "what helps"), rows)))
    found = say.found_rows(history)
    after = _table(say.FOUND_HEAD, found) if found else ""
    parts.append(_section("Guests", f"<p>{escape(say.IMPACT)}</p>{after}"))
    carried = say.carried_rows(history)
    text = _table(say.CARRIED_HEAD, carried) if carried else "<p>None of it was looked at.</p>"
    parts.append(_section("Tags, permissions and policies", text))
    settings = [say.setting_row(setting, history.run) for setting in history.settings]
    text = _table(say.SETTING_HEAD, settings) if settings else "<p>None was changed.</p>"
    if history.left:
        text += f"<p>Not restored when the run tried to:</p>{_table(say.LEFT_HEAD, say.left_rows(history))}"
    parts.append(_section("Settings before, during and now", text))
    if history.moments:
        parts.append(_section("What else happened", _table(("after", "what"), say.diary(history), right={"after"})))
    parts.append(_section("The run", _table(("", ""), say.facts(history))))
    parts.append(_section("Every write", _audit(entries)))
    return _page(say.title(history), parts)


def audit(entries: Sequence[Entry], run: str) -> str:
    """Return the audit log alone."""
    title = f"Every write of run {run}"
    return _page(title, [f"<h1>{escape(title)}</h1>", _section("", _audit(entries, whole=True))])


def _tiles(history: RunHistory) -> str:
    bad = history.count(MigrationState.ERROR)
    still = sum(setting.now == "not restored" for setting in history.settings)
    rate = say.mean_bps(history)
    forecast = "no forecast" if history.forecast_s is None else f"forecast {units.duration(history.forecast_s)}"
    tiles = [
        (f"{history.count('success')} / {len(history.vms)}", "VMs moved", False),
        (str(bad), "failed", bad > 0),
        (units.size(history.bytes), "moved", False),
        ("-" if history.seconds is None else units.duration(history.seconds), forecast, False),
        ("-" if rate is None else units.rate(rate), "mean rate", False),
        (str(still), f"of {len(history.settings)} settings not restored", still > 0),
    ]
    return f'<div class="tiles">{"".join(_tile(*one) for one in tiles)}</div>'


def _tile(value: str, name: str, bad: bool) -> str:
    return f'<div class="tile{" bad" if bad else ""}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def _plots(history: RunHistory) -> list[str]:
    made = [
        (f"Rate over time, {history.mode} mode", plots.rates(history), ""),
        ("The queue", plots.waterfall(history), ""),
        ("Data moved, forecast and actual", plots.amounts(history), ""),
        ("Time of each VM, forecast and actual", plots.times(history), ' class="small"'),
    ]
    return [
        _section(title, f"<div{style}>{one[0]}</div>{_legend(one[1])}") for title, one, style in made if one is not None
    ]


def _legend(legend: plots.Legend) -> str:
    items = "".join(f'<span><i style="background:{color}"></i>{escape(name)}</span>' for name, color in legend)
    return f'<div class="legend">{items}</div>'


def _audit(entries: Sequence[Entry], *, whole: bool = False) -> str:
    shown = [say.audit_row(entry) for entry in entries[:MOST_ENTRIES]]
    made = f'<div class="audit">{_table(say.AUDIT_HEAD, shown, right={"no."})}</div>'
    if len(entries) > MOST_ENTRIES:
        made += f"<p>and {len(entries) - MOST_ENTRIES} more: lrvmotion report --audit --format csv has them all</p>"
    return (
        made
        if whole
        else f"<details><summary>{words.count(len(entries), 'record')} of the journal</summary>{made}</details>"
    )


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, right: set[str] | frozenset[str] = frozenset()
) -> str:
    def cell(kind: str, name: str, text: str) -> str:
        whole = "w" if len(text) <= WHOLE else ""
        style = "n" if name in right else text if name in {"result", "carried"} and text.isalpha() else whole
        return f"<{kind}{f' class={style}' if style else ''}>{escape(text)}</{kind}>"

    top = "".join(cell("th", name, name) for name in head)
    body = "".join(
        f"<tr>{''.join(cell('td', name, text) for name, text in zip(head, row, strict=True))}</tr>" for row in rows
    )
    top = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    return f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'


def _section(title: str, content: str) -> str:
    return f"<section>{f'<h2>{escape(title)}</h2>' if title else ''}{content}</section>"


def _page(title: str, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n{body}\n"
        "<footer>lrvmotion; times in UTC, rates in decimal bit/s, sizes in binary units</footer>\n"
        "</main></body></html>\n"
    )

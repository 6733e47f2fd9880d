"""Plots as SVG text: a frame with axes and ticks, and the few shapes that a report needs; no script, no library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

INK, SOFT, GRID = "#1f2733", "#66707d", "#e3e7ec"
LEFT, RIGHT, TOP, BOTTOM = 78.0, 16.0, 14.0, 34.0


@dataclass(slots=True)
class Plot:
    """A frame *width* by *height*, x from 0 to *x_end*, y from 0 to *y_end*; shapes are added in data units.

    *label* is what a screen reader says.
    """

    label: str
    x_end: float
    y_end: float
    width: float = 960.0
    height: float = 300.0
    left: float = LEFT
    parts: list[str] = field(default_factory=list)

    def x(self, value: float) -> float:
        """Return the place of *value* across."""
        return self.left + value / self.x_end * (self.width - self.left - RIGHT)

    def y(self, value: float) -> float:
        """Return the place of *value* up and down."""
        return self.height - BOTTOM - value / self.y_end * (self.height - TOP - BOTTOM)

    def axis_x(self, ticks: Iterable[float], words: Callable[[float], str], name: str) -> None:
        """Draw the axis across, with a light line at each of *ticks*."""
        for tick in ticks:
            at = self.x(tick)
            self.parts.append(_line(at, TOP, at, self.height - BOTTOM, GRID))
            self.parts.append(_text(at, self.height - BOTTOM + 15, words(tick), SOFT, "middle"))
        self.parts.append(_line(self.left, self.height - BOTTOM, self.width - RIGHT, self.height - BOTTOM, "#9aa4b1"))
        self.parts.append(_text(self.width - RIGHT, self.height - 4, name, SOFT, "end"))

    def axis_y(self, ticks: Iterable[float], words: Callable[[float], str]) -> None:
        """Draw the axis up, with a light line at each of *ticks*."""
        for tick in ticks:
            at = self.y(tick)
            self.parts.append(_line(self.left, at, self.width - RIGHT, at, GRID))
            self.parts.append(_text(self.left - 8, at + 4, words(tick), SOFT, "end"))

    def area(self, above: Sequence[tuple[float, float]], below: Sequence[tuple[float, float]], fill: str) -> None:
        """Fill what lies between two lines."""
        points = " ".join(self._point(one) for one in [*above, *reversed(below)])
        self.parts.append(f'<polygon points="{points}" fill="{fill}" fill-opacity="0.85"/>')

    def line(self, points: Sequence[tuple[float, float]], stroke: str, *, dashed: bool = False) -> None:
        """Draw a line through *points*."""
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        joined = " ".join(self._point(one) for one in points)
        self.parts.append(f'<polyline points="{joined}" fill="none" stroke="{stroke}" stroke-width="1.6"{dash}/>')

    def mark(self, value: float, words: str) -> None:
        """Draw an upright dashed line at *value* with its name, beside it where there is room."""
        at = self.x(value)
        self.parts.append(
            f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{self.height - BOTTOM:.1f}" stroke="{INK}" '
            'stroke-width="1.2" stroke-dasharray="5 4"/>'
        )
        left = at > self.width * 0.7
        self.parts.append(_text(at + (-6 if left else 6), TOP + 10, words, INK, "end" if left else "start"))

    def bar(self, begin: float, end: float, top: float, height: float, fill: str, tip: str) -> None:
        """Draw a bar from *begin* to *end* across, *top* and *height* in pixels; *tip* shows under the pointer."""
        wide = max(1.5, self.x(end) - self.x(begin))
        radius = min(2.0, height / 3)
        self.parts.append(
            f'<rect x="{self.x(begin):.1f}" y="{top:.1f}" width="{wide:.1f}" height="{height:.1f}" rx="{radius:.1f}" '
            f'fill="{fill}"><title>{escape(tip)}</title></rect>'
        )

    def dot(self, x: float, y: float, fill: str, tip: str) -> None:
        """Draw a dot; *tip* shows under the pointer."""
        self.parts.append(
            f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="4" fill="{fill}" fill-opacity="0.8" '
            f'stroke="#ffffff"><title>{escape(tip)}</title></circle>'
        )

    def word(self, at: float, top: float, words: str, *, anchor: str = "start", color: str = INK) -> None:
        """Write *words* at a place in pixels."""
        self.parts.append(_text(at, top, words, color, anchor))

    def text(self) -> str:
        """Return the SVG element."""
        return (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{escape(self.label)}" '
            'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="11.5">'
            f"{''.join(self.parts)}</svg>"
        )

    def _point(self, one: tuple[float, float]) -> str:
        return f"{self.x(one[0]):.1f},{self.y(one[1]):.1f}"


def ticks(end: float, about: int = 6) -> list[float]:
    """Return round numbers from 0 to *end*, about so many."""
    rough = end / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 2.5, 5, 10) if power * one >= rough)
    return [step * number for number in range(int(end / step) + 1)]


def size_ticks(end: float, about: int = 4) -> list[float]:
    """Return round numbers of bytes from 0 to *end* in binary units, about so many."""
    unit = 1024.0 ** max(0, math.floor(math.log(max(end, 1.0), 1024)))
    return [tick * unit for tick in ticks(end / unit, about)]


def time_ticks(end_s: float, about: int = 8) -> list[float]:
    """Return round times from 0 to *end_s* seconds, about so many."""
    steps = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
    step = next((one for one in steps if end_s / one <= about), 86400.0 * math.ceil(end_s / 86400 / about))
    return [step * number for number in range(int(end_s / step) + 1)]


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"/>'


def _text(x: float, y: float, words: str, fill: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}">{escape(words)}</text>'

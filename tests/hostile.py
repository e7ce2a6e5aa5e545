"""Archives in which every text that a model, a program or a mailed idea
can write is an attack on whoever reads it.

`poisoned` copies a real archive and puts a payload into each of its texts, behind a label of its
own, so that a test can find the text again on the page. Kept as they are: the words that the
harness itself chooses between (events, statuses, arms), and paths.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.archive.paths import Archive

# What no payload may ever bring about; a dialog beside it is seen too.
TRAP = "window.__pwned=document.title='pwned'"
RUN = f"{TRAP};alert(1)"
PAYLOADS = {
    "script": f"<script>{RUN}</script>",
    "script closed first": f"</script><script>{RUN}</script>",
    "script in capitals": f"<ScRiPt/x>{RUN}</sCrIpT >",
    "script from elsewhere": "<script src='http://evil.example/x.js'></script>",
    "image": f"<img src=x onerror={TRAP.replace(' ', '')}>",
    "image from elsewhere": (
        "<img src='http://evil.example/x.png'>"
        "<picture><source srcset='http://evil.example/y.png'></picture>"
    ),
    "handlers": (
        f"<details open ontoggle={TRAP}><input autofocus onfocus={TRAP}></details>"
        f"<body onload={TRAP}>"
    ),
    "out of an attribute": f'" autofocus onfocus="{TRAP}" onmouseover="{TRAP}" x="',
    "out of a single quote": f"' onmouseover='{TRAP}' onclick='{TRAP}' x='",
    "svg": (
        f"<svg onload={TRAP}><animate onbegin={TRAP} attributeName=x dur=1s></svg>"
        f"<svg><script>{RUN}</script></svg>"
    ),
    "math": (
        "<math><mtext><table><mglyph><style><!--</style>"
        f"<img title='--&gt;&lt;img src=1 onerror={TRAP}&gt;'>"
    ),
    "frames": (
        f"<iframe srcdoc='<script>parent.{TRAP[7:]}</script>'></iframe>"
        "<object data='data:text/html,x'></object><embed src=x>"
    ),
    "out of a textarea": (
        f"</textarea></title></style></pre></template></noscript></select><script>{RUN}</script>"
    ),
    "comment": f"<!--><script>{RUN}</script--><!-- <plaintext>",
    "cdata": f"<![CDATA[ x ]]><script>{RUN}</script>]]>",
    "template": (
        "{{ 7*7 }}{% raw %}{{ self.__init__.__globals__ }}{% endraw %}{# x #}${7*7}<%= 7*7 %>"
    ),
    "style": (
        "</style><style>@import url(http://evil.example/a.css);"
        "*{background:url(http://evil.example/b);display:none}</style>"
    ),
    "style in an attribute": '" style="position:fixed;inset:0;background:url(http://evil.example/c)',
    "refresh": (
        '<meta http-equiv="refresh" content="0;url=http://evil.example/">'
        '<base href="http://evil.example/">'
    ),
    "form": (
        f"<form action=javascript:{TRAP}>"
        f"<button formaction=javascript:{TRAP}>x</button></form><isindex>"
    ),
    "link": (
        f"[a](javascript:{TRAP}) [b](JaVaScRiPt:{TRAP}) [c](java&#10;script:{TRAP}) "
        f"<javascript:{TRAP}> [d](vbscript:x)"
    ),
    "link with data": (
        f"[a](data:text/html,<script>{TRAP}</script>) [b](file:///etc/passwd) [c](//evil.example) "
        "[d](\\\\evil\\x)"
    ),
    "images of Markdown": (
        "![a](http://evil.example/a.png) ![b](data:image/svg+xml,x) ![c](file:///etc/passwd) "
        "![d][e]"
    ),
    "entities": (
        "&lt;script&gt; &amp;amp; &#60;b&#62; &#x3c;img src=x onerror=x&#x3e; &nbsp &bogus;"
    ),
    "terminal": (
        "\x1b[31mred\x1b[2J\x1b]0;title\x07\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\ "
        "\x9b31m \x1bc over"
    ),
    "bidi": "if access != 'user\u202e \u2066# admin\u2069 \u2066' \u202dx\u200f\u200e y",
    "invisible": "a\u200bb\u200cc\u200dd\ufeffe\u00adf\u2060g\u180eh\u2028i\u2029j",
    "control": "a\x00b\x01c\x08d\x0be\x0cf\x7fg\x85h",
    "surrogates": "a\ud800b\udfffc",
    "rich": "[bold red]x[/] [link=http://evil.example]y[/link] [/nothing] \\[z]",
    "quotes of ids": "m0--1 \" ' ` -- --> # ? % & = / \\ ../../x",
    "spreadsheet": '=HYPERLINK("http://evil.example","x") | a | b\n|---|---|\n| c | d |',
}
# What the harness reads as one of its own words, and where things lie.
_OWN_WORDS = {
    "event",
    "folder",
    "status",
    "arm",
    "verdict",
    "direction",
    "key",
    "schema",
    "stopped",
    "control",
    "correct",
    "run",
}
TEXTS = (
    "main.py",
    "requirements.txt",
    "prompt.md",
    "reply.md",
    "chat.md",
    "stdout.log",
    "stderr.log",
    "diff.patch",
)
_PLACES = itertools.count()


def slim(source: Archive, folder: Path) -> Archive:
    """A copy without the working folders, and with what
    only a judged and reproduced experiment has.
    """
    shutil.copytree(
        source.folder,
        folder,
        symlinks=True,
        ignore=shutil.ignore_patterns(
            "work", "predict", "workspace", "idea", "control", "report.html", "report.md"
        ),
    )
    for judgement in folder.glob("run_*/gate/judgement.json"):
        finding = {
            "id": "C1",
            "text": "It is there.",
            "votes": [True, False],
            "passed": True,
            "quote": "x = 1",
            "reason": "It says so.",
        }
        stored = json.loads(judgement.read_text()) | {
            "findings": [finding, finding | {"id": "C2", "passed": False}],
            "model": "a judge",
        }
        judgement.write_text(json.dumps(stored))
        report = judgement.with_name("report.json")
        stored = json.loads(report.read_text())
        stored["facts"]["recipe"] = {"batch_size": ["64", "64", "32"]}
        report.write_text(json.dumps(stored))
        shutil.copy(judgement.parent.parent / "stderr.log", judgement.parent.parent / "stdout.log")
    (folder / "reading.json").write_text(
        '{"text": "It was seen to rise.", "model": "a model", "refused": "", "absent": ""}'
    )
    # Pictures take long to draw: one run and one column are enough.
    for metrics in folder.rglob("metrics.csv"):
        if metrics.parent.name == "run_1":
            rows = [line.split(",") for line in metrics.read_text().splitlines()]
            metrics.write_text("".join(f"{row[0]},{row[1]}\n" for row in rows))
        else:
            metrics.unlink()
    (folder / "reproductions.jsonl").write_text(
        '{"arm": "idea", "exact": true, "note": "the same"}\n'
    )
    return Archive(folder)


def poisoned(archive: Archive, payload: str) -> set[str]:
    """Put the payload into every text of the archive; the labels that stand before each."""
    labels = set[str]()

    def marked(text: str = "") -> str:
        label = f"§{next(_PLACES)}§"
        labels.add(label)
        return f"{text}{label}{payload}"

    for path in sorted(archive.folder.rglob("*")):
        if path.suffix == ".json":
            path.write_bytes(_dumped(_replaced(json.loads(path.read_bytes()), marked)))
        elif path.suffix == ".jsonl":
            lines = [_replaced(json.loads(line), marked) for line in path.read_bytes().splitlines()]
            path.write_bytes(b"".join(_dumped(line) + b"\n" for line in lines))
        elif path.is_file() and path.name in TEXTS:
            text = path.read_text()
            path.write_bytes(_bytes(f"{marked('# ')}\n{text}\n{marked('# ')}\n"))
    archive.idea.write_bytes(_bytes(f"# {payload}\n\n{payload}\n\n```html\n{marked()}\n```\n"))
    for metrics in archive.folder.rglob("metrics.csv"):
        metrics.write_bytes(_bytes(_with_column(metrics.read_text(), payload)))
    return labels


def _replaced(value: Any, marked: Callable[..., str], key: str = "") -> Any:
    """Every text in it, but for the harness's own words; and one
    more field in each object that may have any.
    """
    if isinstance(value, dict):
        fields = {name: _replaced(inner, marked, name) for name, inner in value.items()}
        anything = (
            key in ("operators", "packages", "metrics", "variables", "asked", "provenance")
            or "event" in value
        )
        return fields | ({marked(): 1} if anything else {})
    if isinstance(value, list):
        return [_replaced(inner, marked, key) for inner in value]
    return marked(f"{value} ") if isinstance(value, str) and key not in _OWN_WORDS else value


def _with_column(rows: str, payload: str) -> str:
    """metrics.csv with a column that changes and is named like the payload."""
    head, *lines = rows.splitlines()
    quoted = '"' + payload.replace('"', '""') + '"'
    return (
        "\n".join([f"{head},{quoted}", *(f"{line},{number}" for number, line in enumerate(lines))])
        + "\n"
    )


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _bytes(text: str) -> bytes:
    """Lone surrogates as the invalid UTF-8 that a program would write for them."""
    return text.encode("utf-8", "surrogatepass") + b"\xff\xfe\xc0\n"

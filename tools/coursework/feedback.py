"""The feedback page of a student: points, what failed and why, and the notebooks as they ran."""

from html import escape

import bleach
import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearHiddenTests
from nbgrader.utils import is_grade

# What students wrote is shown, never run: the exporter cleans it, and the browser is told to run and fetch nothing.
HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{student}</title><style>
body {{ font: 16px/1.5 sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #111 }}
table {{ border-collapse: collapse; width: 100% }} .points {{ table-layout: fixed }}
td, th {{ padding: .2rem .6rem .2rem 0; text-align: left; vertical-align: top }}
.points th:nth-child(1) {{ width: 30% }} .points th:nth-child(2) {{ width: 6rem }}
.points td {{ overflow-wrap: anywhere }}
tr {{ border-bottom: 1px solid #ccc }} pre {{ overflow-x: auto; background: #f6f6f6; padding: .5rem }}
section.doubts {{ border-left: .3rem solid #b35900; padding-left: .8rem }} h2 {{ font-size: 1.1rem }}
tr.exercise th {{ padding-top: 1rem }} details :is(h1, h2) {{ font-size: 1.2rem }}
img {{ max-width: 100% }} summary {{ cursor: pointer; font-weight: bold; margin-top: 1rem }}
</style></head><body><main>"""
# What the text of an exercise is made of, beyond what bleach allows by itself: nothing that runs or fetches.
TAGS = {*bleach.ALLOWED_TAGS, *"br code div h1 h2 h3 h4 hr p pre span table tbody td th thead tr".split()}


def page(report) -> str:
    """One HTML page, complete in itself, from a `grade.Report`.

    Hidden tests are left out; of a failed one its last line is shown, which is written to help.
    """
    student = escape(report.student)
    parts = [HEAD.format(student=student), f"<h1>{student}: {report.points:g} of {report.out_of:g} points</h1>"]
    for title, by_hand in ("Look by hand: a person should check this", True), ("Notes", False):
        if texts := report.says(by_hand):
            items = "".join(f"<li>{escape(text)}</li>" for text in texts)
            kind = "doubts" if by_hand else "notes"
            parts.append(f'<section class="{kind}"><h2>{title}</h2><ul>{items}</ul></section>')
    parts.append('<table class="points"><tr><th>test</th><th>points</th><th>why not all</th></tr>')
    for result in report.results:
        title = f"{result.exercise}: {result.points:g} of {result.out_of:g}" + (result.absent and f", {result.absent}")
        parts.append(f'<tr class="exercise"><th colspan="3">{escape(title)}</th></tr>')
        for mark in [] if result.absent else result.marks:
            cells = mark.test, f"{mark.points:g} of {mark.out_of:g}", mark.why or ("" if mark.points else "failed")
            parts.append("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in cells) + "</tr>")
    parts.append("</table>")
    for result in report.results:
        if result.notebook is not None:
            parts.append(f"<details><summary>{escape(result.exercise)}, as it ran</summary>")
            parts += [f"<h3>{escape(name)}</h3><pre>{escape(text)}</pre>" for name, text in result.beside.items()]
            parts += [_html(result.notebook), "</details>"]
    return "\n".join([*parts, "</main></body></html>\n"])


def _html(notebook: NotebookNode) -> str:
    shown = nbformat.from_dict(notebook)
    for cell in filter(is_grade, shown.cells):
        ClearHiddenTests().preprocess_cell(cell, {}, 0)
        for output in cell.outputs:
            if output.output_type == "error":  # a traceback would print the hidden test
                output.traceback = [f"{output.ename}: {output.evalue}"]
    try:
        exporter = HTMLExporter(template_name="basic", sanitize_html=True, exclude_anchor_links=True)
        exporter.register_filter("clean_html", _clean)
        return exporter.from_notebook_node(shown)[0]
    except Exception:  # outputs can hold anything
        return "<p>The outputs of this notebook cannot be shown.</p>"


def _clean(element: object) -> str:
    # nbconvert's own would show the tags of paragraphs and headings.
    attributes = bleach.ALLOWED_ATTRIBUTES | {"*": ["class", "id"]}
    return bleach.clean(str(element), tags=TAGS, attributes=attributes)

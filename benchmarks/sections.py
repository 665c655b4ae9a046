"""Pages of the documentation that several commands write, a section each."""

import re
from pathlib import Path


def replace_section(page: Path, name: str, text: str) -> None:
    """Put ``text`` between the marks of a section; at the end of the page where there are none yet."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    block = f"{begin}\n{text}{end}\n"
    content = page.read_text(encoding="utf-8") if page.is_file() else ""
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end) + "\n", re.DOTALL)
    found = pattern.sub(lambda _: block, content) if pattern.search(content) else f"{content}\n{block}"
    page.write_text(found, encoding="utf-8")

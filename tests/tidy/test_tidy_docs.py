"""Pages that are made from code say what the code says, and links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def test_the_page_of_event_types_is_what_the_table_gives():
    printed = subprocess.run(
        [sys.executable, ROOT / "scripts" / "event-types"], capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "docs" / "event-types.md").read_text(encoding="utf-8") == printed


def test_every_relative_link_in_the_docs_leads_to_a_file():
    folders = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *folders]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken

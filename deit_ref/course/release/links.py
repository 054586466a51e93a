"""Links of what is handed out, which lies in no copy of the repository: to the site, or to nothing."""

import re

# In the sources, which stand two folders below the repository's own: [the text](../../docs/chapters/losses.md#anchor)
_LINK = re.compile(r"\[(?P<text>[^\]]+)\]\(\.\./\.\./docs/(?P<page>[\w/]+)\.md(?P<anchor>#[\w-]+)?\)")


def relinked(markdown: str, site: str | None) -> str:
    """The same text with links that work for students.

    Args:
        markdown: text of an assignment.
        site: where the built pages are, such as "https://example.org/deit/"; None makes plain text of links.
    """
    if site is None:
        return _LINK.sub(r"\g<text>", markdown)
    return _LINK.sub(lambda found: f"[{found['text']}]({page_address(site, found['page'], found['anchor'])})", markdown)


def page_address(site: str, page: str, anchor: str | None = None) -> str:
    """Of a page of the site, "chapters/losses": each is a folder there."""
    return f"{site.rstrip('/')}/{page}/{anchor or ''}"


def setup_code(repository: str, *, assignment: str | None = None) -> str:
    """A cell that makes a notebook run where nothing is installed yet, as in Colab or Binder.

    Args:
        repository: the project's address, for git.
        assignment: whose given.py is made, if it is not there.
    """
    lines = [
        "# For Colab, Binder and the like, where nothing is installed yet; elsewhere this cell does nothing.",
        "import importlib.util",
        "",
        'if importlib.util.find_spec("deit_ref") is None:',
        f"    %pip install -q 'deit_ref[plots] @ git+{repository}'",
    ]
    if assignment is not None:
        lines += ["", "from deit_ref.course.release.build import write_given", "", f'write_given("{assignment}")']
    return "\n".join(lines)

"""What builds the site: read by docs/hooks.py, in the order sources, directives, terms, pages, notebooks, mathjax."""

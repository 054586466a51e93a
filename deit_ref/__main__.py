"""python -m deit_ref: the same as the command deit-ref."""

import sys

from deit_ref.commands import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m xtremedistil`: the command line."""

import sys

from xtremedistil.cli import main

sys.exit(main())

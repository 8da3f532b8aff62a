"""`python -m xtremedistil.quickstart`."""

import sys

from xtremedistil.quickstart.run import main

sys.exit(main())

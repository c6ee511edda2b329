"""A Python interpreter that has loaded what every function needs and forks for each environment.

It runs with the jail's rights, so nothing of the user's is loaded or even looked at here: the
user's code, layers and variables come into play in the fork, behind the jail's doors.
"""

import gc
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import _lambent
import bootstrap


def adopt(variables):
    """Becomes what it would be had it been started with these."""
    environ = os.environ
    for name in list(environ):
        del environ[name]
    for variable in variables:
        name, _, value = os.fsdecode(variable).partition("=")
        environ[name] = value


def main():
    # What is alive now stays; counting it again in every fork would copy its pages.
    gc.collect()
    gc.freeze()
    variables = _lambent.serve(int(sys.argv[1]))
    if variables is None:
        os._exit(0)
    sys.argv = [bootstrap.__file__]
    adopt(variables)
    bootstrap.main()


main()

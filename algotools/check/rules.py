"""The catalogue of rules: what each means, what would happen without it, and the usual way out."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """One class of faults; ``docs/check.md`` has a row for each, in these words."""

    meaning: str
    """What is wrong, as a sentence."""
    consequence: str
    """What would happen in the build or at the node."""
    way_out: str
    """What to do, where a finding does not know better."""


RULES: dict[str, Rule] = {
    # The project.
    "no-pyproject": Rule(
        "`pyproject.toml` is missing, or is not TOML.",
        "Nothing tells which module the algorithm is: every run ends with AlgorithmNotFound.",
        "Write one, or mend the line that is named; `algotools new` makes a project that has all it needs.",
    ),
    "no-entry-point": Rule(
        'There is not exactly one entry point in `[project.entry-points."algotools.algorithms"]`.',
        "Nothing tells which module the algorithm is: every run ends with AlgorithmNotFound.",
        'Write one line there: name = "module".',
    ),
    "module-not-found": Rule(
        "The entry point names a module that is not there.",
        "Every run ends with AlgorithmNotFound.",
        'Name the package under `src` (or beside `pyproject.toml`), without ":function" behind it.',
    ),
    "import-fails": Rule(
        "The algorithm's module cannot be imported: it does not parse, raises, exits, or never ends.",
        "Every run ends with AlgorithmImportError, or hangs.",
        "Mend the line that is named; leave work that can fail or lasts to the functions.",
    ),
    "missing-dependency": Rule(
        "The algorithm imports a module that is not installed here.",
        "The functions cannot be checked here; an image without it ends every run with AlgorithmImportError.",
        "Install it in this environment, or mend its name.",
    ),
    "shadows-module": Rule(
        "The algorithm's package is called like a module of Python's or one that algotools needs.",
        "One of them is imported in place of the other, and what needs it breaks.",
        "Give the package another name, in its folder and in `pyproject.toml`.",
    ),
    "no-functions": Rule(
        "The package has no function that is decorated with `@rpc` or `@master`.",
        "There is nothing that a task can call: every run ends with AlgorithmNotFound.",
        "Decorate the functions that a task may call.",
    ),
    "not-registered": Rule(
        "A function is decorated, but nothing imports its module when the algorithm is loaded.",
        "Tasks that call it end with UnknownMethod.",
        "Import its module in the package's `__init__.py`.",
    ),
    "requires-python": Rule(
        "`requires-python` cannot be read, or excludes the Python of the base image.",
        "pip refuses to install the project in its image.",
        "Allow for the base image's Python, or leave the upper limit out.",
    ),
    "image-name": Rule(
        "`[tool.algotools] image` is not the name of an image, or has a tag or digest.",
        "The image cannot be built or pushed under it; the tag comes from the project's version.",
        "Write registry, project and name alone: registry.example.org/demo/average.",
    ),
    # Functions.
    "no-annotation": Rule(
        "A parameter has no annotation.",
        "The import ends with DeclarationError: nothing says what the parameter takes.",
        "Write what it is, for instance `int`.",
    ),
    "star-arguments": Rule(
        "A function takes `*args` or `**kwargs`.",
        "The import ends with DeclarationError: a task's arguments could not be checked.",
        "Name and annotate each argument.",
    ),
    "no-json-form": Rule(
        "An argument's type has no JSON form.",
        "The function ends with DeclarationError: no task can give such an argument.",
        "Use numbers, texts, lists, dicts, dataclasses or enums.",
    ),
    "table-source": Rule(
        "A function that makes a table (`step=`) does not take just one source.",
        "The algorithm ends with DeclarationError: a v5 node gives such a function one database, or one table.",
        "Take `source: Database`, or one DataFrame.",
    ),
    "table-result": Rule(
        "A function that makes a table (`step=`) returns something else.",
        "The run ends with NotSerializable, after all its work.",
        "Return a table: of pandas, Polars, Arrow, DuckDB or Ibis.",
    ),
    "wrong-default": Rule(
        "A default is not what its own annotation says.",
        "The function ends with DeclarationError.",
        "Mend the default, or widen the annotation (`| None`).",
    ),
    "hidden-annotation": Rule(
        "An annotation cannot be resolved, most often because it is imported under `if TYPE_CHECKING:`.",
        "The function ends with DeclarationError: annotations are read when it runs.",
        "Import it at the top of the module.",
    ),
    "rpc-with-client": Rule(
        "An rpc asks for an AlgorithmClient.",
        "The import ends with DeclarationError: an rpc works on one node's data.",
        "Make it a @master, or drop the parameter.",
    ),
    "same-name": Rule(
        "Two functions have the same method name.",
        "The import ends with DeclarationError: a task could not say which it means.",
        "Name one of them otherwise, or give it another method name with `name=`.",
    ),
    "not-plain": Rule(
        "What is decorated is no plain function: it is async, a generator, a class, or decorated already.",
        "The import ends with DeclarationError.",
        "Decorate a plain function, once, that returns its result.",
    ),
    "declaration": Rule(
        "A function is declared in another way that cannot work.",
        "The function ends with DeclarationError.",
        "Do as the reason says.",
    ),
    "result-not-serializable": Rule(
        "A function returns what has no form in an answer: a set, a generator, a mapping with tuples as keys.",
        "The run ends with NotSerializable, after all its work.",
        "Return numbers, texts, lists, dicts, arrays or tables.",
    ),
    "function-fails": Rule(
        "An rpc uses a name that is not there, or imports what is not there, when it is called.",
        "The run ends with FunctionRaised.",
        "Define or import the name; mind the spelling.",
    ),
    # Masters.
    "unknown-function": Rule(
        "A master runs what is no rpc of this algorithm.",
        "The run ends with WrongRole at the master, or with UnknownMethod at every node that it asks.",
        "Name an rpc; decorate the function with @rpc if it is to be one.",
    ),
    "wrong-arguments": Rule(
        "A master calls an rpc with arguments that it does not take, or without some that it needs.",
        "The run ends with ArgumentsError at every node that the master asks.",
        "Give the arguments of the rpc's signature, by name.",
    ),
    "unknown-client-call": Rule(
        "A master uses something that an AlgorithmClient does not have.",
        "The run ends with FunctionRaised (AttributeError).",
        "Use client.run(function, argument=…), client.organizations, or what it has of v4's calls.",
    ),
    # Dependencies.
    "undeclared-dependency": Rule(
        "The algorithm imports what `pyproject.toml` does not list under `dependencies`.",
        "It is not installed in the image: the run ends with AlgorithmImportError, or FunctionRaised.",
        "Add it to `dependencies` in `pyproject.toml`.",
    ),
    "dynamic-dependencies": Rule(
        "`pyproject.toml` leaves its dependencies to the build backend.",
        "`python -m algotools.packaging install` fails, and the build with it.",
        "List them under `[project]`, or install the project in its Dockerfile: RUN pip install .",
    ),
    "bad-requirement": Rule(
        "A dependency is not written as pip can read it.",
        "pip fails, and the build of the image with it.",
        'Write name and versions: "pandas>=2.3".',
    ),
    "foreign-algotools": Rule(
        "The project depends on `algotools`, which is another project on the package index.",
        "A foreign package is installed into the image.",
        "Write federated-algotools, or leave it out: the base image has it.",
    ),
    "other-algotools": Rule(
        "The project asks for another version of federated-algotools than the one that is here.",
        "The base image is made from the version that is here; pip refuses, and the build fails.",
        "Allow for this version, or install the one that the project asks for.",
    ),
    # The image.
    "no-dockerfile": Rule(
        "There is no Dockerfile, or it cannot be read.",
        "`algotools build` has nothing to build from.",
        "Copy one from a project that `algotools new` makes.",
    ),
    "dockerfile-syntax": Rule(
        "The Dockerfile cannot be parsed, or uses what only BuildKit knows.",
        "`algotools build` fails: it uses the classic builder, which every engine has.",
        "Mend the line; do without mounts, heredocs, --chmod and --link.",
    ),
    "other-base": Rule(
        "The image is not built on the base that `algotools build` gives as BASE_IMAGE.",
        "Python, algotools or the user for the algorithm's code are missing, or of another version.",
        "Begin with the lines ARG BASE_IMAGE and FROM ${BASE_IMAGE}.",
    ),
    "other-entry-point": Rule(
        "The image starts something else than our entry point.",
        "The node starts the image, and no output is written.",
        'Leave CMD and ENTRYPOINT out: the base has CMD ["python", "-m", "algotools"].',
    ),
    "user": Rule(
        "The image has a USER line.",
        "At v3 and v4 nodes the output file belongs to root: the run ends with a PermissionError.",
        "Leave it out: the base runs the algorithm's code as an unprivileged user anyway.",
    ),
    "no-algorithm": Rule(
        "The image does not say which algorithm it holds, or names something else than this project.",
        "Every run ends with AlgorithmNotFound.",
        "Write ENV ALGOTOOLS_ALGORITHM= and the folder that the project is copied to.",
    ),
    "not-copied": Rule(
        "A part of the project is not copied to where it is needed in the image.",
        "The build fails, or every run ends with AlgorithmNotFound.",
        "Copy pyproject.toml and the sources to the folder that ALGOTOOLS_ALGORITHM names.",
    ),
    "copies-nothing": Rule(
        "The Dockerfile copies what is not there, or what `.dockerignore` leaves out.",
        "The build fails.",
        "Mend the path, or let the file in with a line in .dockerignore that begins with !.",
    ),
    "dependencies-not-installed": Rule(
        "The project has dependencies, and no step of the Dockerfile installs them.",
        "The run ends with AlgorithmImportError, or works with other versions than the project asks for.",
        "Write RUN python -m algotools.packaging install behind the line that copies pyproject.toml.",
    ),
    "data-in-image": Rule(
        "The Dockerfile copies a file that looks like data, and `.dockerignore` does not leave it out.",
        "`docker build` ships it to everybody who gets the image; `algotools build` leaves it out.",
        "Leave it out with a line in .dockerignore; if it is meant to be in the image, name it there behind a !.",
    ),
    # The federation on this machine.
    "federation-file": Rule(
        "`federation.yaml` cannot be read as a description of a collaboration.",
        "`algotools run` ends with FederationError.",
        "Do as the reason says.",
    ),
    "missing-data": Rule(
        "`federation.yaml` names a file that is not there.",
        "Local runs at that organization end with DatabaseUnreadable.",
        "Put the data there, or mend the path, which is relative to the file.",
    ),
}
"""The rules by name."""

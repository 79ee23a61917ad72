"""The catalogue of rules."""

from __future__ import annotations

from typing import NamedTuple


class CheckRule(NamedTuple):
    """One class of faults. ``docs/check.md`` has a row with the same texts for each rule; a test compares them."""

    meaning: str
    """The fault, as a sentence."""
    consequence: str
    """The failure in the build or at the node."""
    way_out: str
    """The default advice; a finding with better advice replaces it."""
    is_warning: bool = False
    """Whether a finding is a warning, which does not fail the check."""


RULES: dict[str, CheckRule] = {
    # The project.
    "no-pyproject": CheckRule(
        "`pyproject.toml` is missing, or is not TOML.",
        "The algorithm's module is unknown: every run fails with AlgorithmNotFound.",
        "Write the file, or fix the reported line; `algotools new` creates a complete project.",
    ),
    "no-entry-point": CheckRule(
        '`[project.entry-points."algotools.algorithms"]` must have exactly one entry point.',
        "The algorithm's module is unknown: every run fails with AlgorithmNotFound.",
        'Write one line in that table: name = "module".',
    ),
    "module-not-found": CheckRule(
        "The entry point names a module that does not exist.",
        "Every run fails with AlgorithmNotFound.",
        'Name the package under `src` (or beside `pyproject.toml`), without ":function" after the name.',
    ),
    "import-fails": CheckRule(
        "The algorithm's module cannot be imported: it has a syntax error, raises, exits or never finishes.",
        "Every run fails with AlgorithmImportError, or hangs.",
        "Fix the reported line; move slow code and code that can fail into the functions.",
    ),
    "missing-dependency": CheckRule(
        "The algorithm imports a module that is not installed here.",
        "The functions cannot be checked; in an image without the module every run fails with AlgorithmImportError.",
        "Install the module in this environment, or correct its name.",
    ),
    "shadows-module": CheckRule(
        "The algorithm's package has the name of a standard library module or of a module that algotools needs.",
        "Python imports one of the two instead of the other, and the code that needs the other fails.",
        "Give the package another name, in its folder and in `pyproject.toml`.",
    ),
    "no-functions": CheckRule(
        "The package has no function that is decorated with `@federated`, `@rpc` or `@master`.",
        "A task cannot call anything: every run fails with AlgorithmNotFound.",
        "Decorate the functions that a task may call.",
    ),
    "not-registered": CheckRule(
        "A function is decorated, but its module is not imported when the algorithm is loaded.",
        "Tasks that call the function fail with UnknownMethod.",
        "Import the module in the package's `__init__.py`.",
    ),
    "requires-python": CheckRule(
        "`requires-python` cannot be read, or excludes the Python of the base image.",
        "pip refuses to install the project in its image.",
        "Allow the Python version of the base image, or remove the upper limit.",
    ),
    "node-variable": CheckRule(
        "An organization in `federation.yaml` lacks a node variable that a function needs, or its value is malformed.",
        "The function fails with NodeVariableError at this node of the local federation, and cannot be tried.",
        "Set the variable under `algorithm_env` of the organization, or give the parameter a default.",
    ),
    "trial-arguments": CheckRule(
        "`[tool.algotools.trial]` names an unknown method or argument, or has a wrong value.",
        "`algotools check` cannot call the function, and `algotools describe` shows a wrong example.",
        'Write the arguments of a method in one line of that table: master = { column_name = "age" }.',
    ),
    "image-name": CheckRule(
        "`[tool.algotools] image` is not the name of an image, or has a tag or digest.",
        "The image cannot be built or pushed with this name; the tag is the project's version.",
        "Write only registry, project and name: registry.example.org/demo/average.",
    ),
    # Functions.
    "no-annotation": CheckRule(
        "A parameter has no annotation.",
        "The import fails with DeclarationError: the parameter's type is unknown.",
        "Annotate the parameter with its type, for example `int`.",
    ),
    "star-arguments": CheckRule(
        "A function takes `*args` or `**kwargs`.",
        "The import fails with DeclarationError: a task's arguments could not be checked.",
        "Name and annotate each argument.",
    ),
    "no-json-form": CheckRule(
        "An argument's type has no JSON form.",
        "The function fails with DeclarationError: a task cannot contain such an argument.",
        "Use numbers, texts, lists, dicts, dataclasses, enums or arrays; for a table `Argument[pd.DataFrame]`.",
    ),
    "unchecked-bounds": CheckRule(
        "The bounds of an argument cannot be checked, or an argument is a model of pydantic.",
        "The function fails with DeclarationError: it would get values outside the bounds.",
        "Use `msgspec.Meta` and dataclasses, or check the value in the function.",
    ),
    "table-source": CheckRule(
        "A function that makes a table (`step=`) must have exactly one data parameter.",
        "The algorithm fails with DeclarationError: a v5 node passes one database or one table to such a function.",
        "Declare `source: Database`, or one DataFrame.",
    ),
    "table-group": CheckRule(
        "A function takes two dicts of tables, or a dict of tables with a label.",
        "The function fails with DeclarationError: a dict receives all databases that no other parameter takes.",
        "Declare one dict, and parameters with labels for the other databases.",
    ),
    "table-result": CheckRule(
        "A function that makes a table (`step=`) returns a value of another type.",
        "The run fails with NotSerializable, after its computation.",
        "Return a table of pandas, Polars, Arrow, DuckDB or Ibis.",
    ),
    "wrong-default": CheckRule(
        "A default value does not match its annotation.",
        "The function fails with DeclarationError.",
        "Correct the default, or widen the annotation (`| None`).",
    ),
    "hidden-annotation": CheckRule(
        "An annotation cannot be resolved, most often because it is imported under `if TYPE_CHECKING:`.",
        "The function fails with DeclarationError: annotations are evaluated at run time.",
        "Import the annotation's type at the top of the module.",
    ),
    "rpc-with-client": CheckRule(
        "An rpc has a parameter of the type AlgorithmClient.",
        "The import fails with DeclarationError: an rpc works on one node's data.",
        "Decorate the function with @master, or remove the parameter.",
    ),
    "same-name": CheckRule(
        "Two functions have the same method name.",
        "The import fails with DeclarationError: the method name of a task would be ambiguous.",
        "Rename one of the functions, or give one another method name with `name=`.",
    ),
    "not-plain": CheckRule(
        "A decorator is applied to an async function, a generator, a class, or a function that is already registered.",
        "The import fails with DeclarationError.",
        "Apply one decorator to a plain function that returns its result.",
    ),
    "declaration": CheckRule(
        "A function has another fault in its declaration.",
        "The function fails with DeclarationError.",
        "Follow the advice in the reason.",
    ),
    "result-not-serializable": CheckRule(
        "A function returns a value that cannot be encoded: a set, a generator, a group of pandas.",
        "The run fails with NotSerializable, after its computation.",
        "Return numbers, texts, lists, dicts, arrays or tables.",
    ),
    "result-annotation": CheckRule(
        "The result of a function does not fit its annotation, most often because a `return` is missing.",
        "The researcher gets `null`, or a value of another kind; a master that computes with it fails.",
        "Return the result, or correct the annotation (`| None`).",
    ),
    "no-totals": CheckRule(
        "A pooled function requests no total.",
        "The run fails with NodesDisagree: each node has another result.",
        "Request totals, for example `total.sum(values)`, or decorate the function with @rpc.",
    ),
    "local-result": CheckRule(
        "A pooled function returns the number of rows of one node.",
        "The run fails with NodesDisagree: each node has another result.",
        "Return a total: `total.count(values)`, or `total.add(len(data))`.",
    ),
    "depends-on-split": CheckRule(
        "A pooled function does not give the same result for every split of the project's rows over nodes.",
        "The run fails with NodesDisagree, RoundsDisagree or TotalRefused, or its result is wrong.",
        "Compute the result only from totals and arguments; see `Federation.prove`.",
    ),
    "function-fails": CheckRule(
        "A function uses an undefined name, or a column that it does not request, imports a module or name that does "
        "not exist, or raises with the arguments in `[tool.algotools.trial]`.",
        "The run fails with FunctionRaised.",
        "Define or import the name; check its spelling. Correct the function or the arguments.",
    ),
    "never-finishes": CheckRule(
        "A function does not finish on the first organization's data within the time limit of the check.",
        "The run hangs, or fails with TimedOut.",
        "Correct the loop, use less data in `federation.yaml`, or raise the limit with `--timeout`.",
    ),
    "ends-process": CheckRule(
        "A function ends its process, or crashes it, instead of returning.",
        "The run fails with FunctionExited or WorkerKilled.",
        "Return a result; raise a `UserError` to explain why there is no result.",
    ),
    "withheld": CheckRule(
        "The policy of the node's owner withholds the result of a function on the first organization's data.",
        "The run fails with Withheld, after its computation.",
        "Return numbers that represent many records, such as sums and counts.",
    ),
    # Masters.
    "unknown-function": CheckRule(
        "A master calls something that is not an rpc of this algorithm.",
        "The run fails with WrongRole at the master, or with UnknownMethod at every node of the subtask.",
        "Name an rpc, or decorate the function with @rpc.",
    ),
    "wrong-arguments": CheckRule(
        "A master calls an rpc with unknown or invalid arguments, or without required arguments.",
        "The run fails with ArgumentsError at every node of the subtask.",
        "Pass the arguments of the rpc's signature by name.",
    ),
    "unknown-client-call": CheckRule(
        "A master uses an attribute that an AlgorithmClient does not have.",
        "The run fails with FunctionRaised (AttributeError).",
        "Use client.run(function, argument=…), client.organizations, or one of the supported v4 calls.",
    ),
    # Dependencies.
    "undeclared-dependency": CheckRule(
        "The algorithm imports a package that `pyproject.toml` does not list under `dependencies`.",
        "The package is not installed in the image: the run fails with AlgorithmImportError or FunctionRaised.",
        "Add the package to `dependencies` in `pyproject.toml`.",
    ),
    "dynamic-dependencies": CheckRule(
        "`pyproject.toml` declares its dependencies as dynamic.",
        "`python -m algotools.packaging install` fails, and the image is not built.",
        "List the dependencies under `[project]`, or install the project in its Dockerfile: RUN pip install .",
    ),
    "bad-requirement": CheckRule(
        "pip cannot parse a dependency.",
        "pip fails, and the image is not built.",
        'Write the name and the versions: "pandas>=2.3".',
    ),
    "requirement-source": CheckRule(
        "The base image cannot fetch a dependency: its source is a repository (`git+https:`), or a path that is not in "
        "the image.",
        "pip fails (`Cannot find command 'git'`), and the image is not built.",
        "Name a version on a package index, or a wheel or archive by https.",
    ),
    "foreign-algotools": CheckRule(
        "The project depends on `algotools`, which is another project on the package index.",
        "An unrelated package is installed in the image.",
        "Write federated-algotools, or remove the line: the base image contains it.",
    ),
    "other-algotools": CheckRule(
        "The project requires a version of federated-algotools other than the installed version.",
        "The base image contains the installed version: pip refuses the requirement, and the build fails.",
        "Allow the installed version, or install the required version.",
    ),
    # The image.
    "no-dockerfile": CheckRule(
        "The Dockerfile is missing, or cannot be read.",
        "`algotools build` fails.",
        "Copy the Dockerfile of a project that `algotools new` creates.",
    ),
    "dockerfile-syntax": CheckRule(
        "The Dockerfile cannot be parsed, or uses a feature that only BuildKit supports.",
        "`algotools build` fails: it uses the classic builder, which every engine supports.",
        "Fix the line; do not use mounts, heredocs, --chmod or --link.",
    ),
    "other-base": CheckRule(
        "The image is not built from the base image that `algotools build` passes as BASE_IMAGE.",
        "Python, algotools or the user for the algorithm's code is missing, or has another version.",
        "Begin the Dockerfile with the lines ARG BASE_IMAGE and FROM ${BASE_IMAGE}.",
    ),
    "other-entry-point": CheckRule(
        "The image does not start the entry point of algotools.",
        "The container starts, and writes no output.",
        'Remove CMD and ENTRYPOINT: the base image has CMD ["python", "-m", "algotools"].',
    ),
    "user": CheckRule(
        "The image has a USER line.",
        "At v3 and v4 nodes the output file belongs to root: the run fails with a PermissionError.",
        "Remove the line: the base image always runs the algorithm's code as an unprivileged user.",
    ),
    "policy-in-image": CheckRule(
        "The image sets a variable `ALGOTOOLS_POLICY…` or `ALGOTOOLS_RULES…`.",
        "`algotools build` fails: only the owner of a node sets the policy, and a v3 node cannot tell the two apart.",
        "Remove the variable; to make the policy stricter for a function, write `@rpc(minimum_rows=…)`.",
    ),
    "no-algorithm": CheckRule(
        "The image does not name its algorithm, or names something other than this project.",
        "Every run fails with AlgorithmNotFound.",
        "Write ENV ALGOTOOLS_ALGORITHM= and the folder that the project is copied to.",
    ),
    "not-copied": CheckRule(
        "A part of the project is not copied to the folder in the image that needs it.",
        "The build fails, or every run fails with AlgorithmNotFound.",
        "Copy pyproject.toml and the sources to the folder that ALGOTOOLS_ALGORITHM names.",
    ),
    "copies-nothing": CheckRule(
        "The Dockerfile copies a path that does not exist, or that `.dockerignore` excludes.",
        "The build fails.",
        "Correct the path, or include the file with a line in .dockerignore that begins with !.",
    ),
    "dependencies-not-installed": CheckRule(
        "The project has dependencies, but the Dockerfile does not install them.",
        "The run fails with AlgorithmImportError, or uses other versions than the project requires.",
        "Write RUN python -m algotools.packaging install after the line that copies pyproject.toml.",
    ),
    "data-in-image": CheckRule(
        "The Dockerfile copies a file that looks like data, and `.dockerignore` does not exclude it.",
        "`docker build` gives the file to everyone who gets the image; `algotools build` leaves the file out.",
        "Exclude the file with a line in .dockerignore; to keep the file in the image, write ! before its name there.",
    ),
    # The federation on this machine.
    "federation-file": CheckRule(
        "`federation.yaml` cannot be read as a description of a collaboration.",
        "`algotools run` fails with FederationError.",
        "Follow the advice in the reason.",
    ),
    "missing-data": CheckRule(
        "`federation.yaml` names a data file that does not exist.",
        "Local runs at that organization fail with DatabaseUnreadable.",
        "Create the data file, or correct its path, which is relative to `federation.yaml`.",
    ),
    # What may leave a node. The source is only a hint, so these are warnings.
    "returns-rows": CheckRule(
        "A function returns rows of the table, a column, or another list with an entry for each record.",
        "A node withholds such a result (exit code 54).",
        "Return sums and counts, or a histogram with bins that are arguments.",
        is_warning=True,
    ),
    "returns-records": CheckRule(
        "A function returns single records, or a statistic of a few of them (`head`, `sample`, `iloc[0]`, `nlargest`).",
        "A node withholds the result if a value is that of fewer than 3 records (exit code 54).",
        "Return sums and counts of many records.",
        is_warning=True,
    ),
    "returns-extremes": CheckRule(
        "A function returns a minimum, a maximum, a median or a quantile of the rows, or the row in which it is.",
        "A node withholds the result if fewer than 3 records have the value (exit code 54).",
        "Count the rows in bins that are arguments; in a pooled function use `total.quantile` with `edges=`.",
        is_warning=True,
    ),
    "withheld-with-chosen-arguments": CheckRule(
        "The policy of the node's owner withholds the result of a call whose arguments the check has chosen.",
        "The run fails with Withheld if a researcher chooses such arguments.",
        "Add sensible arguments to `[tool.algotools.trial]`; no number may represent few records.",
        is_warning=True,
    ),
    "depends-on-few-records": CheckRule(
        "A value of a result changes only without a few groups of records, or with the order of rows.",
        "A node with `ALGOTOOLS_POLICY_UNDECLARED=probe` withholds the result (exit code 54).",
        "Return statistics of many records, or use `algotools.aggregate`.",
        is_warning=True,
    ),
    "data-in-message": CheckRule(
        "A call of `log` or `progress`, or a field of a `UserError`, contains data of single records.",
        "A node replaces the text, because everybody may read it.",
        "Write only constants, arguments, and sums and counts of many records.",
        is_warning=True,
    ),
}
"""The rules by name."""


TRIAL_RULES = (
    "result-not-serializable", "function-fails", "never-finishes", "ends-process", "withheld", "depends-on-split",
    "withheld-with-chosen-arguments", "depends-on-few-records",
)  # fmt: skip
"""The rules that a trial call checks. The source alone shows only some faults of the first."""

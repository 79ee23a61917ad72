"""The examination of an algorithm's functions, in the child process: the module is imported, then looked at."""

from __future__ import annotations

import inspect
import linecache
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from algotools import functions, locate
from algotools.check import calls, results, source, trial
from algotools.check.declaration import in_words, rule_of
from algotools.check.finding import Finding, found, relative
from algotools.check.telling import Tell, Told
from algotools.errors import AlgorithmImportError, AlgorithmNotFound, AlgotoolsError, DeclarationError, FederationError
from algotools.federation.configuration import read_file
from algotools.functions import Algorithm, RegisteredFunction, registered_in
from algotools.locate import Place
from algotools.task import Role, Step


class Refused(NamedTuple):
    """A function whose declaration was refused."""

    function: Callable[..., Any]
    role: Role
    error: DeclarationError
    place: tuple[str, int]
    name: str | None
    """Its method's name, if it was given one."""


class Examination:
    """One algorithm under examination."""

    def __init__(self, place: Place, project: Path | None, tell: Tell) -> None:
        self._place = place
        self._tell = tell
        self._package = place.module.partition(".")[0]
        self._source = place.root
        self._project = project
        self._refused: list[Refused] = []
        self.importing = True

    @property
    def root(self) -> Path:
        """The folder that places in findings are relative to."""
        return self._project or self._source or Path.cwd()

    def run(self) -> None:
        """Import the algorithm, then look at its functions one after the other."""
        with self._refusals():
            problem = self._import()
        self.importing = False
        self._source = self._source or self._folder_of_installed()
        for refused in self._refused:
            reason, way_out = in_words(refused.error)
            self._found(rule_of(refused.function, refused.role), refused.place, reason, way_out)
        if problem is not None:
            self._tell(Told(finding=problem))
            return
        registered = registered_in(self._place.module)
        files = source.files(self._source, self._package) if self._source else []
        self._tell(Told(functions=len(registered), files=len(files)))
        fine = {name: function for name, function in registered.items() if self._is_specified(function)}
        self._not_registered(files, registered)
        self._calls(files, registered)
        doubtful = {name for name, function in fine.items() if self._result(function, files)}
        self._trials({name: function for name, function in fine.items() if name not in doubtful})

    def _import(self) -> Finding | None:
        """Why the algorithm cannot be imported, if it cannot."""
        try:
            locate.load(self._place)
        except AlgorithmNotFound as error:
            if self._place.module in sys.modules:
                return None  # it has no functions; `_not_registered` says which there could be
            way_out = 'Name the module alone: leave out what stands behind ":".' if ":" in self._place.module else ""
            return found("module-not-found", self._named_in, None, error.message.partition(" under ")[0], way_out)
        except AlgorithmImportError as error:
            return self._unimportable(error.__context__ or error)
        except DeclarationError as error:
            if self._place.module in sys.modules:
                return None  # an annotation, which `_is_specified` comes to
            reason, way_out = in_words(error)
            return found("declaration", *self._at(error), reason, way_out)
        except AlgotoolsError as error:
            return self._unimportable(error)
        return None

    @property
    def _named_in(self) -> str:
        return "pyproject.toml" if self._project else self._place.module

    def _unimportable(self, error: BaseException) -> Finding:
        if isinstance(error, ModuleNotFoundError) and error.name:
            top = error.name.partition(".")[0]
            reason = f"{error.name!r} is imported, and is not installed here"
            if self._source and ((self._source / top).exists() or (self._source / f"{top}.py").exists()):
                return found("import-fails", *self._at(error), f"there is no module {error.name!r} in this project")
            return found("missing-dependency", *self._at(error), reason, f"Install what has {top!r}, or mend its name.")
        if isinstance(error, SyntaxError) and error.filename:
            file = relative(error.filename, self.root)
            return found("import-fails", file, error.lineno, source.in_words(error))
        if isinstance(error, SystemExit):
            return found("import-fails", *self._at(error), "it ends the process when it is imported (SystemExit)")
        told = " ".join(str(error).replace(f"{self.root}{os.sep}", "").split())
        reason = f"it raises {type(error).__name__} when it is imported{f': {told}' if told else ''}"
        return found("import-fails", *self._at(error), reason)

    def _at(self, error: BaseException) -> tuple[str, int | None]:
        """The innermost line of the author's that an exception passed; the entry point if it passed none."""
        frames = traceback.extract_tb(error.__traceback__)
        if error.__context__ is not None and not any(self._is_own(frame.filename) for frame in frames):
            frames = traceback.extract_tb(error.__context__.__traceback__)
        own = [frame for frame in frames if self._is_own(frame.filename)]
        return (relative(own[-1].filename, self.root), own[-1].lineno) if own else (self._named_in, None)

    def _is_own(self, filename: str) -> bool:
        if "site-packages" in Path(filename).parts and self._project:
            return False
        if self._source is not None:
            return Path(filename).is_relative_to(self._source)
        return self._package in Path(filename).parts or Path(filename).stem == self._package

    def _found(self, rule: str, place: tuple[str, int], reason: str, way_out: str = "") -> None:
        file, line = place
        self._tell(Told(finding=found(rule, relative(file, self.root), line or None, reason, way_out)))

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """A declaration that is refused does not end the import: so all that are refused are told at once."""
        register = functions.register

        def recording(function: Callable[..., Any], role: Role, name: str | None = None, step: Step = "compute") -> Any:
            try:
                return register(function, role, name, step)
            except DeclarationError as error:
                self._refused.append(Refused(function, role, error, _place_of(function) or _caller(), name))
                return function

        functions.register = recording
        try:
            yield
        finally:
            functions.register = register

    def _is_specified(self, function: RegisteredFunction) -> bool:
        try:
            return function.specification is not None
        except DeclarationError as error:
            reason, way_out = in_words(error)
            place = _place_of(function) or ("", 0)
            self._found(rule_of(function.__wrapped__, function.role, function.step), place, reason, way_out)
            return False

    def _not_registered(self, files: list[source.File], registered: dict[str, RegisteredFunction]) -> None:
        absent = [
            (file, function)
            for file in files
            if file.module not in sys.modules and not file.is_test
            for function in source.decorated(file)
        ]
        for file, function in absent:
            self._found(
                "not-registered",
                (str(file.path), function.line),
                f"nothing imports {file.module}, so no task can call {function.name}",
                f"Import {file.module} in the package's __init__.py.",
            )
        if not registered and not absent and not self._refused:
            self._found("no-functions", self._at_package(), f"{self._place.module!r} has no decorated function")

    def _at_package(self) -> tuple[str, int]:
        module = sys.modules[self._place.module]
        return (module.__file__ or str(self.root / self._package), 0)

    def _calls(self, files: list[source.File], registered: dict[str, RegisteredFunction]) -> None:
        refused = {
            name for one in self._refused for name in (one.name, getattr(one.function, "__name__", None)) if name
        }
        known = calls.Known(registered, frozenset(refused))
        for file in files:
            module = sys.modules.get(file.module)
            if module is not None:
                for problem in calls.check(file.tree, vars(module), known):
                    self._found(problem.rule, (str(file.path), problem.line), problem.reason, problem.way_out)

    def _result(self, function: RegisteredFunction, files: list[source.File]) -> bool:
        """Whether something is wrong with what a function returns, as far as its source tells."""
        bare = function.__wrapped__
        place = _place_of(function)
        if place is None or results.is_wrapped(bare):
            return False
        if function.step != "compute":
            if trouble := results.no_table(bare):
                self._found("table-result", place, f"{function.method}: {trouble}")
            return bool(trouble)
        problems: list[results.Unfit] = []
        file = next((file for file in files if str(file.path) == place[0]), None)
        for node in source.functions(file.tree) if file else ():
            if node.lineno == place[1]:
                problems = list(results.in_returns(node, function.role, bare.__globals__))
        if not problems and (promised := results.in_annotation(bare, function.role, place[1])):
            problems = [promised]
        for problem in problems:
            self._found("result-not-serializable", (place[0], problem.line), f"{function.method}: {problem.what}")
        return bool(problems)

    def _trials(self, fine: dict[str, RegisteredFunction]) -> None:
        description = self._project / "federation.yaml" if self._project else None
        if description is None or not description.is_file():
            return
        try:
            member = read_file(description).members[0]
        except FederationError:  # it has its own finding
            return
        file = sys.modules[self._place.module].__file__
        algorithm = Algorithm(self._place.module, fine, str(Path(file).parent) if file else None)
        for function in fine.values():
            if (
                function.step == "compute"
                and function.role == "rpc"
                and (trouble := trial.try_out(algorithm, function, member)) is not None
            ):
                place = trouble.place or _place_of(function) or ("", 0)
                self._found(trouble.rule, place, f"{function.method}: {trouble.reason}")

    def _folder_of_installed(self) -> Path | None:
        """Where an installed package is imported from."""
        file = getattr(sys.modules.get(self._package), "__file__", None)
        if not file:
            return None
        return Path(file).parents[1] if Path(file).name == "__init__.py" else Path(file).parent

    def overdue(self, seconds: float) -> None:
        """The time is up: say where the import hangs. Of a trial that lasts nothing is said."""
        if not self.importing:
            return
        frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001  # there is no public way to it
        own = (
            [(f.filename, f.lineno) for f in traceback.extract_stack(frame) if self._is_own(f.filename)]
            if frame
            else []
        )
        reason = f"its import has not ended after {seconds:g} s"
        if own:
            self._found("import-fails", (own[-1][0], own[-1][1] or 0), reason)
        else:
            self._tell(Told(finding=found("import-fails", self._named_in, None, reason)))


def _place_of(function: Any) -> tuple[str, int] | None:
    """File and line of a function's ``def``, below its decorators."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return None
    line = code.co_firstlineno
    while (text := linecache.getline(code.co_filename, line)) and not text.lstrip().startswith(("def ", "async def ")):
        line += 1
    return code.co_filename, line if text else code.co_firstlineno


def _caller() -> tuple[str, int]:
    """The line outside of algotools that called us."""
    frames = traceback.extract_stack()
    outside = [f for f in frames if not Path(f.filename).is_relative_to(Path(locate.__file__).parent)]
    return (outside[-1].filename, outside[-1].lineno or 0) if outside else ("", 0)

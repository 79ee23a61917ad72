"""The ways to fail, each a function of the values that it holds."""

import asyncio
import atexit
import collections
import concurrent.futures
import ctypes
import dataclasses
import datetime
import decimal
import enum
import faulthandler
import gc
import importlib
import json
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import unicodedata
import urllib.request
import warnings
import xml.etree.ElementTree
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from algotools import Column, UserError, errors


class Sample(NamedTuple):
    """What a function has read: a cell, the name of a column, a number, and the data."""

    value: str
    name: str
    number: int
    data: object


WAYS = {}


def way(function):
    WAYS[function.__name__] = function
    return function


def raises(name, make):
    """Register the way to raise an exception."""

    def fail(sample):
        raise make(sample)

    WAYS[name] = fail


def gives(name, make):
    """Register the way to return a value that cannot be encoded, or that is encoded with a note."""
    WAYS[name] = make


class Unprintable(Exception):
    def __str__(self):
        raise ValueError(self.args[0])

    __repr__ = __str__


class Speaking(Exception):
    def __str__(self):
        return f"I say {self.args[0]}"


class Named(type):
    def __getattribute__(cls, name):
        return type.__getattribute__(cls, "shown" if name in ("__name__", "__qualname__", "__module__") else name)


class Text(UserError):
    text = "the value is {value}"
    value: str


class Wanted(UserError):
    text = "{column} is not {kind}"
    column: Column
    kind: Literal["a", "b"]


class Sly(str):
    def __eq__(self, other):
        return True

    def __hash__(self):
        return hash("pandas")


def made(sample, **members):
    return type(sample.value.replace("-", "_"), (Exception,), members)


raises("value", lambda h: ValueError(f"cannot deal with {h.value}"))
raises("key", lambda h: KeyError(h.name))
raises("index", lambda h: IndexError(h.number))
raises("attribute", lambda h: AttributeError(h.value, name=h.value, obj=h.value))
raises("name_error", lambda h: NameError(h.value, name=h.value))
raises("import_error", lambda h: ImportError(h.value, name=h.value, path=h.value))
raises("not_found", lambda h: FileNotFoundError(2, h.value, f"/data/{h.value}.csv"))
raises("os_error", lambda h: OSError(5, h.value, h.value, None, h.name))
raises("syntax", lambda h: SyntaxError(h.value, (f"/data/{h.value}.py", h.number, 1, h.value)))
raises("indentation", lambda h: IndentationError(h.value, (f"{h.name}.py", 3, 1, h.value)))
raises("unicode", lambda h: UnicodeDecodeError("utf-8", h.value.encode(), 0, 1, h.value))
raises("unprintable", lambda h: Unprintable(h.value))
raises("speaking", lambda h: Speaking(h.value))
raises("made_class", lambda h: made(h)())
raises("made_module", lambda h: type("Error", (Exception,), {"__module__": h.value, "__qualname__": h.name})())
raises("made_qualname", lambda h: type("Error", (Exception,), {"__module__": __name__, "__qualname__": h.value})())
raises("made_metaclass", lambda h: Named("Error", (Exception,), {"shown": h.value})())
raises("made_builtin", lambda h: type(h.value, (OSError,), {"__module__": "builtins"})())
raises("stop_iteration", lambda h: StopIteration(h.value))
raises("generator_exit", lambda h: GeneratorExit(h.value))
raises("keyboard_interrupt", lambda h: KeyboardInterrupt(h.value))
raises("base", lambda h: type("Base", (BaseException,), {})(h.value))
raises("memory", lambda h: MemoryError(h.value))
raises("system_exit", lambda h: SystemExit(h.value))
raises("system_exit_dict", lambda h: SystemExit({h.name: h.value}))
raises("warning", lambda h: UserWarning(h.value))
raises("timeout", lambda h: TimeoutError(h.value))
raises("broken_pipe", lambda h: BrokenPipeError(h.value))
raises("eof", lambda h: EOFError(h.value))
raises("called_process", lambda h: subprocess.CalledProcessError(3, [h.value], h.value, h.value))
raises("user_text", lambda h: Text(value=h.value))
raises("user_column", lambda h: Wanted(column=h.name, kind="a"))
raises("user_kind", lambda h: Wanted(column="age", kind=h.value))
raises("user_sly", lambda h: Text(value=Sly(h.value)))
raises("user_missing", lambda h: Wanted(**{h.value: 1}))
raises("user_base", lambda h: UserError(**{h.value: 1}))
for code, kind in sorted(errors.CODES.items()):
    if kind is not UserError:
        raises(f"ours_{code}", lambda h, kind=kind: kind(h.value))
        raises(f"ours_derived_{code}", lambda h, kind=kind: derive(kind)(h.value))


def derive(kind):
    return types.new_class("Derived", (kind,), {"exit_code": 900 + kind.exit_code})


@way
def cause(sample):
    try:
        int(sample.value)
    except ValueError as error:
        raise KeyError(sample.name) from error


@way
def context(sample):
    try:
        raise ValueError(sample.value)
    except ValueError:
        {}[sample.name]


@way
def notes(sample):
    error = ValueError("x")
    error.__notes__ = [sample.value, sample.name]
    raise error


@way
def broken_notes(sample):
    error = ValueError(sample.value)
    error.__notes__ = sample.number
    raise error


@way
def cyclic_cause(sample):
    first, second = ValueError(sample.value), KeyError(sample.name)
    first.__cause__, second.__cause__ = second, first
    raise first


@way
def group(sample):
    kind = getattr(__import__("builtins"), "ExceptionGroup", None)
    errors_ = [ValueError(sample.value), KeyError(sample.name)]
    raise kind(sample.value, errors_) if kind else Speaking(errors_)


@way
def nested_group(sample):
    kind = getattr(__import__("builtins"), "BaseExceptionGroup", None)
    raise kind(sample.name, [kind(sample.value, [KeyboardInterrupt(sample.value)])]) if kind else Speaking(sample.value)


@way
def user_changed(sample):
    error = Text(value="pandas")
    error.value = error.message = error.detail = sample.value
    error.args = (sample.value,)
    raise error


@way
def user_made(sample):
    raise type("Made", (UserError,), {"text": f"the name is {sample.value}"})


@way
def user_reassigned(sample):
    class Later(UserError):
        text = "constant"

    Later.text = sample.value
    raise Later


@way
def user_annotated(sample):
    raise type("Made", (UserError,), {"text": "{kind}", "__annotations__": {"kind": Literal[sample.value]}})(
        kind=sample.value
    )


@way
def user_enum(sample):
    kind = enum.Enum("Kind", {"a": sample.value})
    raise type("Made", (UserError,), {"text": "{kind}", "__annotations__": {"kind": kind}})(kind=kind.a)


@way
def user_field_name(sample):
    raise type("Made", (UserError,), {"text": "constant", "__annotations__": {sample.value: int}})(
        **{sample.value: "x"}
    )


@way
def user_group(sample):
    try:
        raise ValueError(sample.value)
    except ValueError as error:
        raise Text(value=str(error)) from error


@way
def reraised_of_ours(sample):
    try:
        raise errors.UnknownColumn(sample.value)
    except errors.UnknownColumn as error:
        raise errors.DatabaseUnreadable(str(error)) from None


@way
def ours_through_our_frames(sample):
    from algotools.errors import AlgotoolsError

    error = AlgotoolsError.__new__(errors.DatabaseUnreadable)
    AlgotoolsError.__init__(error, sample.value)
    generator = (item for item in [1])
    generator.throw(error)


@way
def ours_changed(sample):
    from algotools.data import load
    from algotools.task import Database

    try:
        load(Database("default", "/nothing/there.csv", "csv"), "pandas", None)
    except errors.AlgotoolsError as error:
        error.message = sample.value
        error.args = (sample.value,)
        raise


@way
def ours_by_own_call(sample):
    from algotools.data import load
    from algotools.task import Database

    load(Database(sample.value, f"/nothing/{sample.value}.csv", "csv"), "pandas", None)


@way
def ours_by_own_query(sample):
    from algotools.data import load
    from algotools.task import Database

    load(Database("default", f"sqlite:////nothing/{sample.value}", "sql", query=sample.value), "pandas", None)


@way
def ours_by_own_option(sample):
    from algotools.data import load
    from algotools.task import Database

    load(Database("default", "/nothing", sample.value, {sample.value.upper(): sample.value}), "pandas", None)


@way
def ours_by_encoding(sample):
    from algotools.payload import encode_plain

    encode_plain({sample.value: {sample.value}})


@way
def ours_by_decoding(sample):
    from algotools.payload import decode_rich

    decode_rich(sample.value.encode())


@way
def ours_by_columns(sample):
    from algotools import Columns

    Columns.of(sample.value, sample.number)


@way
def ours_by_declaring(sample):
    from algotools import rpc

    rpc(type(sample.value, (), {}))


@way
def ours_by_registering(sample):
    from algotools import rpc

    namespace = {}
    exec("def function(data, *args): pass", namespace)
    function = namespace["function"]
    function.__name__ = function.__qualname__ = sample.value
    rpc(function)


@way
def compile_file(sample):
    compile("(", f"/data/{sample.value}.xml", "exec")


@way
def run_file(sample):
    exec(compile("1 / 0", str(Path(__file__).with_name(f"{sample.value}.py")), "exec"))


@way
def run_named_function(sample):
    name = "".join(c if c.isalnum() else "_" for c in sample.value)
    namespace = {}
    exec(f"def {name}():\n    raise {name}Error\nclass {name}Error(Exception): pass", namespace)
    namespace[name]()


@way
def imported_file(sample):
    with tempfile.TemporaryDirectory() as folder:
        name = "".join(c if c.isalnum() else "_" for c in sample.value)
        Path(folder, f"{name}.py").write_text("class E(Exception): pass\ndef f(): raise E\n")
        sys.path.insert(0, folder)
        try:
            importlib.import_module(name).f()
        finally:
            sys.path.remove(folder)


@way
def parse_xml(sample):
    xml.etree.ElementTree.fromstring(f"<{sample.value}>")


@way
def parse_xml_file(sample):
    xml.etree.ElementTree.parse(f"/nothing/{sample.value}.xml")


@way
def parse_json(sample):
    json.loads(sample.value)


@way
def parse_date(sample):
    datetime.date.fromisoformat(sample.value)


@way
def parse_number(sample):
    decimal.Decimal(sample.value)


@way
def evaluate(sample):
    eval(sample.value + " +")


@way
def decode_ascii(sample):
    (sample.value + "é").encode("ascii")


@way
def import_name(sample):
    importlib.import_module(sample.value)


@way
def find_zone(sample):
    zoneinfo.ZoneInfo(sample.value)


@way
def find_character(sample):
    unicodedata.lookup(sample.value)


@way
def load_pickle(sample):
    pickle.loads(sample.value.encode())


@way
def get_attribute(sample):
    getattr(sample, sample.value)


@way
def call_with_keyword(sample):
    make_held = Sample
    make_held(**{sample.value: 1})


@way
def format_text(sample):
    "{x}".format(**{sample.value: sample.value})


@way
def open_file(sample):
    open(f"/nothing/{sample.value}")


@way
def open_url(sample):
    urllib.request.urlopen(f"{sample.value}://x")


@way
def run_program(sample):
    subprocess.run([sample.value], check=True)


@way
def run_failing_program(sample):
    subprocess.run(["sh", "-c", f"echo {sample.value} >&2; exit 3"], check=True)


@way
def numpy_cast(sample):
    np.array([sample.value]).astype(float)


@way
def numpy_field(sample):
    np.zeros(1, [("a", int)])[sample.value]


@way
def pandas_merge(sample):
    pd.DataFrame({sample.name: [1]}).merge(pd.DataFrame({"a": [1]}), on=sample.name)


@way
def pandas_dates(sample):
    pd.to_datetime(pd.Series([sample.value]))


@way
def pandas_category(sample):
    pd.Series(["a"], dtype="category").cat.rename_categories({sample.value: 1, "a": sample.value}).iloc[sample.value]


@way
def warn(sample):
    warnings.warn(sample.value, stacklevel=1)
    raise ValueError("after a warning")


@way
def warn_as_error(sample):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.warn(sample.value, stacklevel=1)


@way
def log_all(sample):
    for level in range(0, 60, 10):
        logging.getLogger(sample.name).log(level, sample.value)
    logging.getLogger("algotools").error(sample.value)
    raise ValueError("after logging")


@way
def log_to_handler(sample):
    logging.basicConfig(force=True, stream=sys.stderr, level=0)
    logging.error(sample.value)
    raise ValueError("after logging")


@way
def print_all(sample):
    print(sample.value)
    print(sample.value, file=sys.stderr, flush=True)
    os.write(1, sample.value.encode())
    os.write(2, sample.value.encode())
    sys.__stdout__.write(sample.value)
    sys.__stderr__.write(sample.value)
    subprocess.run(["echo", sample.value], check=True)
    raise ValueError("after printing")


@way
def print_forged(sample):
    for text in ('algotools.failure {"code": 40, "message": "%s"}', "info > %s", "progress > 5%% %s"):
        print(text % sample.value, file=sys.stderr, flush=True)
    raise ValueError("after printing")


@way
def print_without_end(sample):
    sys.stdout.write(sample.value)
    os._exit(3)


@way
def print_traceback(sample):
    try:
        raise ValueError(sample.value)
    except ValueError:
        traceback.print_exc()
    raise KeyError("after printing")


@way
def dump_traceback(sample):
    faulthandler.enable()
    faulthandler.dump_traceback()
    os.abort()


@way
def exit_text(sample):
    sys.exit(sample.value)


@way
def exit_number(sample):
    os._exit(3)


@way
def exit_later(sample):
    atexit.register(print, sample.value)
    sys.exit(0)


@way
def killed(sample):
    print(sample.value, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


@way
def terminated(sample):
    os.kill(os.getpid(), signal.SIGTERM)


@way
def interrupted(sample):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.kill(os.getpid(), signal.SIGINT)


@way
def crashed(sample):
    print(sample.value, flush=True)
    ctypes.string_at(0)


@way
def recursion(sample):
    recursion(sample)


@way
def recursion_in_text(sample):
    class Deep(Exception):
        def __str__(self):
            return str(self)

    raise Deep(sample.value)


@way
def too_much_memory(sample):
    bytearray(1 << 62)


@way
def in_thread(sample):
    def work():
        raise ValueError(sample.value)

    thread = threading.Thread(target=work, name=sample.value)
    thread.start()
    thread.join()
    raise KeyError("after a thread")


@way
def in_executor(sample):
    with concurrent.futures.ThreadPoolExecutor(thread_name_prefix=sample.value) as executor:
        executor.submit(int, sample.value).result()


@way
def in_process(sample):
    process = multiprocessing.get_context("fork").Process(target=int, args=(sample.value,), name=sample.value)
    process.start()
    process.join()
    raise KeyError("after a process")


@way
def in_loop(sample):
    async def work():
        asyncio.get_running_loop().create_task(asyncio.sleep(9, sample.value), name=sample.value)
        raise ValueError(sample.value)

    asyncio.run(work())


@way
def in_finalizer(sample):
    class Finalized:
        def __del__(self):
            raise ValueError(sample.value)

    Finalized()
    gc.collect()
    raise KeyError("after a finalizer")


@way
def in_hook(sample):
    sys.excepthook = sys.unraisablehook = threading.excepthook = lambda *_: print(sample.value, file=sys.stderr)
    raise ValueError(sample.value)


@way
def in_trace(sample):
    def trace(*_):
        raise ValueError(sample.value)

    sys.settrace(trace)
    try:
        (lambda: None)()
    finally:
        sys.settrace(None)


@way
def in_generator(sample):
    def items():
        yield 1
        raise ValueError(sample.value)

    list(items())


@way
def in_descriptor(sample):
    class Broken(Exception):
        @property
        def __class__(self):
            raise KeyError(sample.value)

        @property
        def args(self):
            raise KeyError(sample.value)

        @property
        def __traceback__(self):
            raise KeyError(sample.value)

    raise Broken(sample.value)


@way
def replaces_module_name(sample):
    globals_ = types.FunctionType(
        in_generator.__code__, {**globals(), "__name__": sample.value, "__file__": sample.value}
    )
    globals_(sample)


@way
def replaces_file_name(sample):
    code = in_generator.__code__.replace(co_filename=str(Path(__file__).with_name(sample.value)), co_name=sample.value)
    types.FunctionType(code, globals())(sample)


@way
def closes_everything(sample):
    os.closerange(0, 256)
    raise ValueError(sample.value)


@way
def replaces_streams(sample):
    sys.stdout = sys.stderr = None
    raise ValueError(sample.value)


class BrokenMapping(Mapping):
    """A mapping that raises in one of its methods."""

    def __init__(self, method, sample):
        self.method, self.sample = method, sample

    def check(self, method):
        if method == self.method:
            raise KeyError(self.sample.value)

    def __getitem__(self, key):
        self.check("getitem")
        return {self.sample.value}

    def __iter__(self):
        self.check("iter")
        return iter([self.sample.name])

    def __len__(self):
        self.check("len")
        return 1

    def items(self):
        self.check("items")
        return [(self.sample.value, {self.sample.value})]

    def keys(self):
        self.check("keys")
        return [self.sample.value]


for method in ("getitem", "iter", "len", "items", "keys", "nothing"):
    gives(f"mapping_{method}", lambda h, method=method: BrokenMapping(method, h))


class Loud:
    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text

    __str__ = __repr__


class LoudText(str):
    def __str__(self):
        raise ValueError(str.__str__(self))

    __repr__ = encode = __str__


class LoudNumber(float):
    def __float__(self):
        raise ValueError(self.text)

    __repr__ = __str__ = __float__


class LoudList(list):
    def __iter__(self):
        raise ValueError(self[0])


@dataclasses.dataclass
class Record:
    value: object


def loud_number(sample):
    number = LoudNumber(1)
    number.text = sample.value
    return number


def loud_array(sample):
    array = np.empty(2, object)
    array[:] = [{sample.value}, Loud(sample.value)]
    return array


def cyclic(sample):
    value = {sample.value: [sample.value]}
    value[sample.name] = value
    return value


def deep(sample):
    value = sample.value
    for _ in range(100_000):
        value = {sample.value: value}
    return value


gives("gives_set", lambda h: {h.name: [1, {h.value}]})
gives("gives_set_under_key", lambda h: {h.value: {h.value: {h.name: {1}}}})
gives("gives_object", lambda h: [Loud(h.value)])
gives("gives_made_object", lambda h: type(h.value, (), {})())
gives("gives_class", lambda h: type(h.value, (), {}))
gives("gives_function", lambda h: types.FunctionType((lambda: 1).__code__, {}, h.value))
gives("gives_module", lambda h: types.ModuleType(h.value))
gives("gives_generator", lambda h: (1 / 0 for _ in [h.value]))
gives("gives_generator_under_key", lambda h: {h.value: (x for x in h.value)})
gives("gives_exception", lambda h: {h.name: ValueError(h.value)})
gives("gives_error_of_ours", lambda h: errors.UnknownColumn(h.value))
gives("gives_tuple_key", lambda h: {(h.value, h.name): 1})
gives("gives_none_key", lambda h: {None: h.value, h.name: {None: {h.value}}})
gives("gives_object_key", lambda h: {Loud(h.value): 1})
gives("gives_frozen_key", lambda h: {frozenset([h.value]): 1})
gives("gives_bytes_key", lambda h: {h.value.encode(): 1})
gives("gives_same_keys", lambda h: {h.number: h.value, str(h.number): h.name})
gives("gives_surrogate", lambda h: {h.value + "\ud800": h.value + "\ud800"})
gives("gives_surrogate_key", lambda h: {h.name: {h.value + "\udc80": 1}})
gives("gives_complex", lambda h: {h.value: complex(1, 2)})
gives("gives_nan_under_key", lambda h: {h.value: float("nan"), h.name: [float("inf")]})
gives("gives_nan_in_frame", lambda h: pd.DataFrame({h.value: [float("nan")]}, index=[h.name]))
gives("gives_nan_in_array", lambda h: {h.value: np.array([np.nan])})
gives("gives_object_array", loud_array)
gives("gives_record_array", lambda h: np.array([(h.value, 1)], [(h.name, object), ("b", int)]))
gives("gives_void", lambda h: {h.value: np.void(h.value.encode())})
gives("gives_frame_of_sets", lambda h: pd.DataFrame({h.name: [{h.value}]}, index=[h.value]))
gives("gives_frame_of_objects", lambda h: pd.DataFrame({h.value: [Loud(h.value)]}))
gives("gives_same_columns", lambda h: pd.DataFrame([[1, 2]], columns=[h.value, h.value]))
gives("gives_mixed_columns", lambda h: pd.DataFrame([[1, 2]], columns=[h.number, str(h.number)]))
gives("gives_levels", lambda h: pd.DataFrame({(h.value, h.name): [{1}]}))
gives("gives_series_of_sets", lambda h: pd.Series([{h.value}], index=[h.name], name=h.value))
gives("gives_named_index", lambda h: pd.Index([{h.value}], name=h.name))
gives(
    "gives_zone",
    lambda h: datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1), h.value)),
)
gives("gives_loud_text", lambda h: {h.name: LoudText(h.value)})
gives("gives_loud_number", loud_number)
gives("gives_loud_list", lambda h: LoudList([h.value]))
gives("gives_dataclass", lambda h: Record({h.value: {h.value}}))
gives("gives_named_tuple", lambda h: collections.namedtuple("T", ["a"])({h.value}))
gives("gives_slice", lambda h: slice(h.value))
gives("gives_path", lambda h: {h.value: open(os.devnull)})
gives("gives_lock", lambda h: {h.value: threading.Lock()})
gives("gives_data_under_key", lambda h: {h.value: h.data, h.name: {h.data if isinstance(h.data, str) else h.value}})
gives("gives_enum", lambda h: enum.Enum("E", {"a": h.value}).a)
gives("gives_cyclic", cyclic)
gives("gives_deep", deep)
gives("gives_huge_number", lambda h: {h.value: 10**5000})
gives("gives_coroutine", lambda h: {h.value: asyncio.sleep(0, h.value)})

OWN_OF_FORM = ("cast", "column", "group", "sort", "query")

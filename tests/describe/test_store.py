"""What an algorithm store is told: from signatures, docstrings and the project."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import subprocess
import textwrap
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional

import msgspec
import pandas as pd
import pytest

from algotools import AlgorithmClient, Column, Columns, Database, Organization, RunInfo, locate, master, rpc
from algotools.cli import main
from algotools.errors import MetadataError
from algotools.functions import Algorithm
from algotools.image.project import default_tag
from algotools.store import Facts, facts, metadata
from algotools.store.project import browsable, words

from .signatures import NOTHING, function_taking

FACTS = Facts(name="Demo", image="registry.example.org/demo/demo:1", code_url="https://git.example.org/demo")


class Unit(enum.Enum):
    PERSONS = "persons"
    VISITS = "visits"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Group:
    column: Column
    values: list[str]


class Chain(NamedTuple):
    value: int
    rest: Optional[Chain] = None


def only_function(*functions: Callable[..., object], generation: Literal[4, 5] = 4) -> dict[str, Any]:
    (told,) = metadata(Algorithm.of(functions), FACTS, generation)["functions"]
    return told


def argument(annotation: Any, default: Any = NOTHING, generation: Literal[4, 5] = 4) -> dict[str, Any]:
    told = only_function(rpc(function_taking({"one": (annotation, default)})), generation=generation)
    (found,) = told["arguments"]
    assert {found.pop("name"), found.pop("display_name")} == {"one", "One"}
    return found


class TestAnAnnotationBecomesAType:
    @pytest.mark.parametrize(
        ("annotation", "kind"),
        [
            (Column, "column"),
            (list[Column], "column_list"),
            (set[Column], "column_list"),
            (Organization, "organization"),
            (tuple[Organization, ...], "organization_list"),
            (str, "string"),
            (list[str], "string_list"),
            (frozenset[str], "string_list"),
            (int, "integer"),
            (Sequence[int], "integer_list"),
            (tuple[int, int], "integer_list"),
            (Annotated[int, msgspec.Meta(ge=1)], "integer"),
            (float, "float"),
            (list[float], "float_list"),
            (tuple[int, float], "float_list"),
            (int | float, "float"),
            (bool, "boolean"),
            (datetime.date, "string"),
            (datetime.datetime, "string"),
            (datetime.timedelta, "string"),
            (decimal.Decimal, "string"),
            (uuid.UUID, "string"),
            (bytes, "string"),
            (list[datetime.date], "string_list"),
            (list[Unit], "string_list"),
            (list[Level], "integer_list"),
        ],
    )
    def test_that_the_store_has(self, annotation, kind):
        assert argument(annotation) == {"type": kind}
        assert argument(annotation | None if kind != "column" else Optional[annotation]) == {"type": kind}

    @pytest.mark.parametrize(
        "annotation",
        [
            Any,
            None,
            list,
            list[Any],
            list[bool],
            list[int | None],
            list[list[int]],
            list[int | str],
            tuple[int, str],
            tuple[()],
            dict[str, int],
            Group,
            list[Group],
            Chain,
            int | str,
            bool | int,
            Literal["a", 1],
            Optional[Column | list[Column]],
        ],
    )
    def test_or_json_for_all_others(self, annotation):
        assert argument(annotation) == {"type": "json"}

    @pytest.mark.parametrize(
        ("annotation", "kind", "allowed"),
        [
            (Unit, "string", ["persons", "visits"]),
            (Unit | None, "string", ["persons", "visits"]),
            (Literal["a"], "string", ["a"]),
            (Literal["a", "b"] | None, "string", ["a", "b"]),
            (Literal["a", "b", None], "string", ["a", "b"]),  # noqa: PYI061 - another schema than the line above
            (Literal[1, 2], "integer", ["1", "2"]),
            (Level, "integer", ["1", "2"]),
        ],
    )
    @pytest.mark.parametrize("generation", [4, 5])
    def test_an_enumeration_lists_its_values_as_the_store_keeps_them(self, annotation, kind, allowed, generation):
        told = argument(annotation, generation=generation)
        assert told["type"] == kind
        assert sorted(told["allowed_values"]) == allowed

    def test_where_anything_else_is_possible_nothing_is_listed(self):
        assert argument(Level | float) == {"type": "float"}

    def test_what_is_injected_is_no_argument(self):
        told = only_function(
            master(
                function_taking(
                    {
                        "client": (AlgorithmClient, NOTHING),
                        "info": (RunInfo, NOTHING),
                        "data": (pd.DataFrame, NOTHING),
                        "limit": (int, NOTHING),
                    }
                )
            )
        )
        assert [item["name"] for item in told["arguments"]] == ["limit"]


class TestDefaults:
    @pytest.mark.parametrize(
        ("annotation", "default", "text", "native"),
        [
            (bool, False, "false", False),
            (int, 3, "3", 3),
            (int, 0, "0", 0),
            (float, 0.1, "0.1", 0.1),
            (float, 1, "1", 1),
            (float, 1e-5, "0.00001", "0.00001"),
            (str, "", "", ""),
            (str, "µ", "µ", "µ"),
            (Column, "age", "age", "age"),
            (Organization, 2, "2", 2),
            (list[str], ["a"], '["a"]', ["a"]),
            (tuple[int, int], (1, 2), "[1, 2]", [1, 2]),
            (frozenset[str], frozenset({"c", "a", "b"}), '["a", "b", "c"]', ["a", "b", "c"]),
            (dict[str, int], {"a": 1}, '{"a": 1}', {"a": 1}),
            (Group, Group("sex", ["m"]), '{"column": "sex", "values": ["m"]}', {"column": "sex", "values": ["m"]}),
            (int | str, "all", '"all"', '"all"'),
            (int | str, 3, "3", 3),
            (Unit, Unit.VISITS, "visits", "visits"),
            (Level, Level.HIGH, "2", 2),
            (datetime.date, datetime.date(2024, 2, 29), "2024-02-29", "2024-02-29"),
        ],
    )
    def test_are_text_in_v4_and_values_in_v5(self, annotation, default, text, native):
        for generation, expected in ((4, text), (5, native)):
            told = argument(annotation, default, generation)
            assert told["has_default_value"] is True
            written = json.loads(json.dumps(told["default_value"]))
            assert written == expected
            assert type(written) is type(expected)

    @pytest.mark.parametrize(
        ("annotation", "default"), [(int | None, None), (list[str] | None, None), (float, math.inf), (float, math.nan)]
    )
    @pytest.mark.parametrize("generation", [4, 5])
    def test_that_json_does_not_have_are_null_so_that_the_functions_own_holds(self, annotation, default, generation):
        told = argument(annotation, default, generation)
        assert (told["has_default_value"], told["default_value"]) == (True, None)

    def test_a_required_argument_has_none(self):
        assert argument(int | None) == {"type": "integer"}


class TestAFunction:
    def test_is_called_by_its_method_and_told_by_its_docstring(self):
        @master(name="all_together")
        def combine(client: AlgorithmClient, column_name: Column, limit: Annotated[int, msgspec.Meta(description="d")]):
            """Put it together.

            Over all nodes.

            Args:
                column_name: which column,
                    by name.
            """

        assert only_function(combine) == {
            "name": "all_together",
            "display_name": "All together",
            "description": "Put it together.\n\nOver all nodes.",
            "type": "central",
            "standalone": True,
            "databases": [],
            "arguments": [
                {
                    "name": "column_name",
                    "display_name": "Column name",
                    "description": "which column, by name.",
                    "type": "column",
                },
                {"name": "limit", "display_name": "Limit", "description": "d", "type": "integer"},
            ],
        }

    def test_words_in_an_annotation_are_found_beside_none_too(self):
        annotated = Annotated[int, msgspec.Meta(description="at most")]
        assert argument(Optional[annotated], None)["description"] == "at most"

    @pytest.mark.parametrize(
        ("generation", "key", "steps"),
        [(4, "type", ["federated", "central"]), (5, "step_type", ["federated_compute", "central_compute"])],
    )
    def test_its_role_has_another_key_in_each_generation(self, generation, key, steps):
        functions = [rpc(function_taking({}, "one")), master(function_taking({}, "two"))]
        told = metadata(Algorithm.of(functions), FACTS, generation)["functions"]
        assert [function[key] for function in told] == steps

    def test_databases_are_named_by_label_or_parameter(self):
        @rpc
        def count(
            data: pd.DataFrame,
            visits_2024: Annotated[pd.DataFrame, Columns.all()],
            deaths: Annotated[pd.DataFrame, Database("death_registry")],
            raw: Database,
        ) -> int:
            """Count.

            Args:
                data: one row
                    a person.
                deaths: one row a death.
            """
            return 0

        expected = [
            {"name": "Data", "description": "one row a person."},
            {"name": "Visits 2024"},
            {"name": "death_registry", "description": "one row a death."},
            {"name": "Raw"},
        ]
        assert only_function(count)["databases"] == expected
        told = only_function(count, generation=5)["databases"]
        assert told == [{**database, "multiple": False} for database in expected]

    def test_two_databases_never_have_one_name(self):
        parameters = {"data": (pd.DataFrame, NOTHING), "more": (Annotated[pd.DataFrame, Database("Data")], NOTHING)}
        told = only_function(rpc(function_taking(parameters)))
        assert [database["name"] for database in told["databases"]] == ["Data", "Data (2)"]


Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Writes a project; no git repository around it is seen."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.resolve()))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "no-gitconfig"))
    folder = tmp_path / "the-project"
    folder.mkdir()

    def write(pyproject: str = "", source: str = "", modules: dict[str, str] | None = None) -> Path:
        entry = '\n[project.entry-points."algotools.algorithms"]\ndemo = "demo"\n'
        (folder / "pyproject.toml").write_text(textwrap.dedent(pyproject) + entry, encoding="utf-8")
        (folder / "demo").mkdir(exist_ok=True)
        simplest = "from algotools import rpc\n\n\n@rpc\ndef one() -> int:\n    return 1\n"
        for name, text in {"__init__": source or simplest, **(modules or {})}.items():
            (folder / "demo" / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        return folder

    return write


COMPLETE = """\
    [project]
    name = "v6-demo_algorithm"
    version = "1.2.0+local"
    description = "What it does"
    urls = {"Source Code" = "https://git.example.org/demo", Docs = "https://docs.example.org"}

    [tool.algotools]
    image = "registry.example.org/demo/demo"
    """


def gathered(folder: Path | str, **options: str) -> Facts:
    return facts(folder, locate.locate(folder), **options)


def refusal(folder: Path | str, **options: str) -> str:
    with pytest.raises(MetadataError) as refused:
        gathered(folder, **options)
    return str(refused.value)


class TestMastersAndTheRpcsTheyAsk:
    SOURCE = """\
        import pandas as pd
        from algotools import AlgorithmClient, master, rpc, Database
        from typing import Annotated
        from demo import more

        @rpc
        def asked(data: pd.DataFrame, visits: Annotated[pd.DataFrame, Database("visits")]) -> int:
            return 1

        @rpc
        def alone(data: pd.DataFrame, second: pd.DataFrame) -> int:
            return 1

        @master
        def by_name(client: AlgorithmClient) -> int:
            return sum(sum(client.run(function)) for function in [asked])

        @master
        def by_module(client: AlgorithmClient) -> int:
            return sum(client.run(more.elsewhere))

        @master
        def by_text(client: AlgorithmClient) -> int:
            return sum(client.run("asked"))

        @master
        def by_itself(data: pd.DataFrame) -> int:
            return 1
        """
    MORE = """\
        from algotools import rpc
        import pandas as pd

        @rpc
        def elsewhere(table: pd.DataFrame) -> int:
            return 1
        """

    @pytest.fixture
    def told(self, project: Project) -> dict[str, dict[str, Any]]:
        folder = project(COMPLETE, self.SOURCE, {"more": self.MORE})
        algorithm = locate.load(locate.locate(folder))
        return {function["name"]: function for function in metadata(algorithm, FACTS, 4)["functions"]}

    def test_an_rpc_that_a_master_asks_does_not_stand_alone(self, told):
        assert {name: function["standalone"] for name, function in told.items()} == {
            "asked": False,
            "elsewhere": False,
            "alone": True,
            "by_name": True,
            "by_module": True,
            "by_text": True,
            "by_itself": True,
        }

    @pytest.mark.parametrize(
        ("name", "databases"),
        [
            ("by_name", ["Data", "visits"]),
            ("by_module", ["Table"]),
            ("by_text", ["Table", "visits", "Second"]),  # which it asks is not to be seen: what any of them needs
            ("by_itself", ["Data"]),
        ],
    )
    def test_a_masters_task_names_the_databases_that_its_subtasks_inherit(self, told, name, databases):
        assert [database["name"] for database in told[name]["databases"]] == databases


class TestTheProject:
    def test_says_what_it_is(self, project):
        folder = project(COMPLETE)
        known = gathered(folder)
        assert known == Facts(
            name="V6 demo algorithm",
            description="What it does",
            image="registry.example.org/demo/demo:1.2.0-local",
            partitioning="horizontal",
            code_url="https://git.example.org/demo",
            documentation_url="https://docs.example.org",
        )
        told = metadata(locate.load(locate.locate(folder)), known, 5)
        assert list(told) == [
            "name", "description", "image", "partitioning", "vantage6_version", "code_url", "documentation_url",
            "functions",
        ]  # fmt: skip
        assert told["vantage6_version"] == "5.0"

    def test_what_it_does_not_say_and_need_not_is_left_out(self):
        told = metadata(Algorithm.of([]), FACTS, 4)
        assert told == {
            "name": "Demo",
            "image": FACTS.image,
            "partitioning": "horizontal",
            "vantage6_version": "4.15",
            "code_url": FACTS.code_url,
            "functions": [],
        }

    def test_options_go_before_it(self, project):
        digest = f"registry.example.org/demo/demo@sha256:{'0' * 64}"
        known = gathered(project(COMPLETE), image=digest, code_url="https://elsewhere.example.org")
        assert (known.image, known.code_url) == (digest, "https://elsewhere.example.org")

    def test_the_image_is_what_build_calls_it(self, project):
        folder = project(COMPLETE)
        assert gathered(folder).image == default_tag(folder)

    def test_title_and_partitioning_can_be_given(self, project):
        known = gathered(project(COMPLETE + 'title = "The Kaplan-Meier curve"\n    partitioning = "vertical"\n'))
        assert (known.name, known.partitioning) == ("The Kaplan-Meier curve", "vertical")

    @pytest.mark.parametrize("label", ["Repository", "SOURCE", "Source-Code", "code", "GitHub", "Home page"])
    def test_labels_of_urls_are_compared_as_packaging_does(self, project, label):
        folder = project(f'[project]\nurls = {{"{label}" = "https://git.example.org/demo"}}')
        assert gathered(folder, image="demo").code_url == "https://git.example.org/demo"

    def test_a_repository_goes_before_a_homepage(self, project):
        folder = project('[project]\nurls = {Homepage = "https://a.example.org", Repository = "https://b.example.org"}')
        assert gathered(folder, image="demo").code_url == "https://b.example.org"

    def test_all_that_is_missing_is_told_at_once(self, project):
        message = refusal(project())
        assert "image: " in message
        assert "--image" in message
        assert "code_url: " in message
        assert "[project.urls]" in message
        assert "--code-url" in message

    @pytest.mark.parametrize(
        ("addition", "why"),
        [
            ('image = "demo/demo:1"', "leave the tag off demo/demo:1"),
            (f'image = "demo/demo@sha256:{"0" * 64}"', "leave the tag off"),
            ('image = "Demo"', "lower case"),
            ("image = 3", "image under [tool.algotools] must be a text"),
            ('image = "demo"\npartitioning = "diagonal"', "'diagonal' is neither 'horizontal' nor 'vertical'"),
            ('image = "demo"\npartitioning = 3', "partitioning under [tool.algotools] must be a text"),
        ],
    )
    def test_what_cannot_be_is_refused(self, project, addition, why):
        folder = project(f'[project]\nname = "demo"\nversion = "1"\n[tool.algotools]\n{addition}\n')
        assert why in refusal(folder, code_url="https://git.example.org")

    def test_without_a_version_the_image_has_no_tag(self, project):
        folder = project('[project]\nname = "demo"\ndynamic = ["version"]\n[tool.algotools]\nimage = "demo"\n')
        assert "version: the tag of the image" in refusal(folder, code_url="https://git.example.org")
        assert gathered(folder, image="demo:1", code_url="https://git.example.org").image == "demo:1"

    def test_an_image_that_cannot_be_is_refused(self, project):
        assert "'Demo' is not a name of an image" in refusal(project(COMPLETE), image="Demo")

    def test_the_git_remote_is_the_last_resort(self, project):
        folder = project('[project]\nname = "demo"\nversion = "1"\n[tool.algotools]\nimage = "demo"\n')
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
        assert "code_url" in refusal(folder)
        remote = ["remote", "add", "origin", "git@git.example.org:demo/demo.git"]
        subprocess.run(["git", "-C", str(folder), *remote], check=True)
        assert gathered(folder).code_url == "https://git.example.org/demo/demo"

    def test_without_git_there_is_no_remote(self, project, monkeypatch):
        monkeypatch.setenv("PATH", "")
        assert "code_url" in refusal(project(), image="demo")

    @pytest.mark.parametrize("homepage", ["Project-URL: repository, https://x.org", "Home-page: https://x.org"])
    def test_an_installed_algorithm_says_it_in_its_packages_metadata(self, project, monkeypatch, homepage):
        folder = project()
        told = folder / "v6_demo-1.0.dist-info"
        told.mkdir()
        lines = f"Metadata-Version: 2.1\nName: v6-demo\nVersion: 1.0\nSummary: What it does\n{homepage}\n"
        (told / "METADATA").write_text(lines)
        (told / "entry_points.txt").write_text(f"[{locate.GROUP}]\nnamed = demo\n")
        monkeypatch.syspath_prepend(folder)
        for what in ("named", "demo"):
            assert "--image" in refusal(what)
            assert "pyproject" not in refusal(what)
            assert gathered(what, image="demo:1") == Facts(
                name="V6 demo", description="What it does", image="demo:1", code_url="https://x.org"
            )

    def test_of_a_module_without_a_package_only_the_name_is_known(self, project, monkeypatch):
        monkeypatch.syspath_prepend(project())
        message = refusal("demo")
        assert "give --image; code_url: where its source is; give --code-url" in message
        known = gathered("demo", image="demo:1", code_url="https://git.example.org")
        assert known == Facts(name="Demo", image="demo:1", code_url="https://git.example.org")


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("git@git.example.org:demo/average.git", "https://git.example.org/demo/average"),
        ("git.example.org:demo/average", "https://git.example.org/demo/average"),
        ("ssh://git@git.example.org:2222/demo/average.git", "https://git.example.org/demo/average"),
        ("https://me:secret@git.example.org/demo/average.git", "https://git.example.org/demo/average"),
        ("https://git.example.org:8443/demo/average/", "https://git.example.org:8443/demo/average"),
        ("http://git.example.org/average", "http://git.example.org/average"),
        ("git://git.example.org/average.git", "https://git.example.org/average"),
        ("/srv/git/average.git", None),
        ("../average", None),
        ("file:///srv/git/average.git", None),
        ("alias:demo/average", None),
        ("", None),
    ],
)
def test_a_git_remote_as_a_page(remote, page):
    assert browsable(remote) == page


@pytest.mark.parametrize(
    ("name", "told"), [("average_partial", "Average partial"), ("v6-demo.a", "V6 demo a"), ("_", "_"), ("", "")]
)
def test_a_name_in_words(name, told):
    assert words(name) == told


class TestTheCommand:
    @pytest.fixture
    def command(self, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
        def run(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.setattr("sys.argv", ["algotools", "describe", *map(str, arguments)])
            monkeypatch.setenv("COLUMNS", "200")
            with pytest.raises(SystemExit) as ended:
                main()
            out, err = capsys.readouterr()
            return int(ended.value.code or 0), out, err

        return run

    @pytest.mark.parametrize("more", [[], ["--json"]])
    def test_standard_output_is_the_file(self, command, project, more):
        folder = project(COMPLETE, 'from algotools import rpc\nprint("hello")\n@rpc\ndef one() -> int:\n    "µ"\n')
        code, out, err = command(folder, "--store", "4", *more)
        assert code == 0
        assert json.loads(out)["functions"][0]["description"] == "µ"
        assert "µ" in out
        assert out.startswith('{\n  "name"')
        assert err == "hello\n"

    def test_options_give_what_the_project_does_not_say(self, command, average):
        options = ["--image", "registry.example.org/demo/average:1", "--code-url", "https://git.example.org"]
        code, out, _ = command(average, "--store", "5", *options)
        assert code == 0
        assert [function["name"] for function in json.loads(out)["functions"]] == ["average_partial", "master"]

    def test_what_is_missing_ends_with_its_code(self, command, project):
        code, out, err = command(project(), "--store", "4")
        assert (code, out) == (68, "")
        assert "error (68)" in err
        assert "Traceback" not in err

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["--store", "3"], "there is no algorithm store in v3"),
            (["--store", "6"], "4 or 5"),
            (["--image", "demo"], "--store"),
            (["--code-url", "https://git.example.org"], "--store"),
        ],
    )
    def test_what_is_asked_wrongly_is_a_usage_error(self, command, average, arguments, why):
        code, out, err = command(average, *arguments)
        assert (code, out) == (2, "")
        assert why in err

"""The metadata for an algorithm store, from signatures, docstrings and the project."""

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

from algotools import (
    AlgorithmClient,
    CategoryColumn,
    Column,
    Columns,
    Database,
    NodeVariable,
    NumericColumn,
    Organization,
    RunInfo,
    master,
    rpc,
)
from algotools.declare import locate, projects
from algotools.declare.functions import Algorithm
from algotools.errors import MetadataError
from algotools.image.build import get_default_tag
from algotools.project.metadata import Metadata, _convert_remote, collect_metadata, humanize
from algotools.project.store import build_metadata

from ...conftest import COMMAND, environment
from .signatures import NOTHING, function_taking

METADATA = Metadata(name="Demo", image="registry.example.org/demo/demo:1", code_url="https://git.example.org/demo")


class Counted(enum.Enum):
    PERSONS = "persons"
    VISITS = "visits"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class ValueGroup:
    column: Column
    values: list[str]


class Chain(NamedTuple):
    value: int
    successor: Optional[Chain] = None


def only_function(*functions: Callable[..., object], generation: Literal[4, 5] = 4) -> dict[str, Any]:
    (described,) = build_metadata(Algorithm.from_functions(functions), METADATA, generation)["functions"]
    return described


def argument(annotation: Any, default: Any = NOTHING, generation: Literal[4, 5] = 4) -> dict[str, Any]:
    described = only_function(rpc(function_taking({"one": (annotation, default)})), generation=generation)
    (item,) = described["arguments"]
    assert {item.pop("name"), item.pop("display_name")} == {"one", "One"}
    return item


class TestAnAnnotationBecomesAStoreType:
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
            (list[Counted], "string_list"),
            (list[Level], "integer_list"),
        ],
    )
    def test_of_the_store(self, annotation, kind):
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
            ValueGroup,
            list[ValueGroup],
            Chain,
            int | str,
            bool | int,
            Literal["a", 1],
            Optional[Column | list[Column]],
        ],
    )
    def test_json_for_all_other_annotations(self, annotation):
        assert argument(annotation) == {"type": "json"}

    @pytest.mark.parametrize(
        ("annotation", "kind", "allowed"),
        [
            (Counted, "string", ["persons", "visits"]),
            (Counted | None, "string", ["persons", "visits"]),
            (Literal["a"], "string", ["a"]),
            (Literal["a", "b"] | None, "string", ["a", "b"]),
            (Literal["a", "b", None], "string", ["a", "b"]),  # noqa: PYI061 - another schema than the line above
            (Literal[1, 2], "integer", ["1", "2"]),
            (Level, "integer", ["1", "2"]),
        ],
    )
    @pytest.mark.parametrize("generation", [4, 5])
    def test_an_enumeration_lists_its_values_as_text(self, annotation, kind, allowed, generation):
        described = argument(annotation, generation=generation)
        assert described["type"] == kind
        assert sorted(described["allowed_values"]) == allowed

    def test_a_union_with_an_enumeration_lists_no_values(self):
        assert argument(Level | float) == {"type": "float"}

    def test_an_injected_parameter_is_not_an_argument(self):
        described = only_function(
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
        assert [item["name"] for item in described["arguments"]] == ["limit"]


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
            (
                ValueGroup,
                ValueGroup("sex", ["m"]),
                '{"column": "sex", "values": ["m"]}',
                {"column": "sex", "values": ["m"]},
            ),
            (int | str, "all", '"all"', '"all"'),
            (int | str, 3, "3", 3),
            (Counted, Counted.VISITS, "visits", "visits"),
            (Level, Level.HIGH, "2", 2),
            (datetime.date, datetime.date(2024, 2, 29), "2024-02-29", "2024-02-29"),
        ],
    )
    def test_are_text_in_v4_and_values_in_v5(self, annotation, default, text, native):
        for generation, expected in ((4, text), (5, native)):
            described = argument(annotation, default, generation)
            assert described["has_default_value"] is True
            written = json.loads(json.dumps(described["default_value"]))
            assert written == expected
            assert type(written) is type(expected)

    @pytest.mark.parametrize(
        ("annotation", "default"), [(int | None, None), (list[str] | None, None), (float, math.inf), (float, math.nan)]
    )
    @pytest.mark.parametrize("generation", [4, 5])
    def test_without_a_json_form_are_null(self, annotation, default, generation):
        described = argument(annotation, default, generation)
        assert (described["has_default_value"], described["default_value"]) == (True, None)

    def test_are_absent_for_a_required_argument(self):
        assert argument(int | None) == {"type": "integer"}


class TestAFunction:
    def test_has_the_name_of_its_method_and_the_description_of_its_docstring(self):
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

    def test_a_description_in_an_optional_annotation_is_used(self):
        annotated = Annotated[int, msgspec.Meta(description="at most")]
        assert argument(Optional[annotated], None)["description"] == "at most"

    @pytest.mark.parametrize(
        ("generation", "key", "steps"),
        [(4, "type", ["federated", "central"]), (5, "step_type", ["federated_compute", "central_compute"])],
    )
    def test_has_its_role_under_a_different_key_in_each_generation(self, generation, key, steps):
        functions = [rpc(function_taking({}, "one")), master(function_taking({}, "two"))]
        described = build_metadata(Algorithm.from_functions(functions), METADATA, generation)["functions"]
        assert [function[key] for function in described] == steps

    def test_names_databases_by_label_or_parameter(self):
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
        described = only_function(count, generation=5)["databases"]
        assert described == [{**database, "multiple": False} for database in expected]

    def test_a_dict_of_tables_takes_several_databases_on_v5(self):
        @rpc
        def count(
            tables: dict[str, pd.DataFrame], extra: Annotated[pd.DataFrame | None, Database("deaths")] = None
        ) -> int:
            """Count.

            Args:
                tables: a table for each year.
                extra: the deaths.
            """
            return 0

        expected = [
            {"name": "Tables", "description": "a table for each year. Any number of databases, by label."},
            {"name": "deaths", "description": "the deaths. Optional."},
        ]
        assert only_function(count)["databases"] == expected
        described = only_function(count, generation=5)["databases"]
        assert described == [{**expected[0], "multiple": True}, {**expected[1], "multiple": False}]

    def test_names_the_kind_of_a_column_in_its_description(self):
        @rpc
        def fit(
            data: pd.DataFrame, outcome: NumericColumn, by: list[CategoryColumn] | None = None, other: Column = "x"
        ) -> float:
            """Fit.

            Args:
                outcome: the outcome
            """
            return 0.0

        arguments = {argument["name"]: argument for argument in only_function(fit)["arguments"]}
        assert {name: argument["type"] for name, argument in arguments.items()} == {
            "outcome": "column", "by": "column_list", "other": "column",
        }  # fmt: skip
        assert arguments["outcome"]["description"] == "the outcome. Needs a column of numbers."
        assert arguments["by"]["description"] == ("Needs a column of categories (texts, booleans or whole numbers).")
        assert "description" not in arguments["other"]

    def test_never_has_two_databases_with_the_same_name(self):
        parameters = {"data": (pd.DataFrame, NOTHING), "more": (Annotated[pd.DataFrame, Database("Data")], NOTHING)}
        described = only_function(rpc(function_taking(parameters)))
        assert [database["name"] for database in described["databases"]] == ["Data", "Data (2)"]


Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a function that writes a project. git ignores repositories in the folders above the project."""
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


def collect_project_metadata(folder: Path | str, **options: str) -> Metadata:
    return collect_metadata(folder, locate.locate(folder), **options)


def refusal_message(folder: Path | str, **options: str) -> str:
    with pytest.raises(MetadataError) as raised:
        collect_project_metadata(folder, **options)
    return str(raised.value)


class TestMastersAndTheRpcsThatTheyCall:
    @pytest.mark.parametrize("generation", [4, 5])
    def test_the_description_names_the_node_variables_of_a_function_and_of_its_master(self, generation):
        @rpc
        def count(
            data: pd.DataFrame, column: Column, minimum: Annotated[int, NodeVariable("MINIMUM_ROWS")] = 10
        ) -> int:
            """Count rows.

            Args:
                data: the rows.
                column: the column.
                minimum: The fewest rows.
            """
            return 1

        @master
        def count_all(client: AlgorithmClient, column: Column, site: Annotated[str, NodeVariable("SITE")]) -> int:
            return sum(client.run(count, column=column))

        algorithm = Algorithm.from_functions([count, count_all])
        described, described_master = build_metadata(algorithm, METADATA, generation)["functions"]
        variable = "MINIMUM_ROWS (int, default 10): The fewest rows"
        assert described["description"] == f"Count rows.\n\nVariables that the node's owner sets: {variable}."
        assert described_master["description"] == (
            f"Variables that the node's owner sets: SITE (str, required); {variable}."
        )
        assert [argument["name"] for argument in described["arguments"]] == ["column"]

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

        @rpc(standalone=False)
        def elsewhere(table: pd.DataFrame) -> int:
            return 1
        """

    @pytest.fixture
    def described(self, project: Project) -> dict[str, dict[str, Any]]:
        folder = project(COMPLETE, self.SOURCE, {"more": self.MORE})
        algorithm = locate.load(locate.locate(folder))
        return {function["name"]: function for function in build_metadata(algorithm, METADATA, 4)["functions"]}

    def test_the_decorator_says_which_rpc_is_standalone(self, described):
        assert {name: function["standalone"] for name, function in described.items()} == {
            "asked": True,
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
            ("by_text", ["Table", "visits", "Second"]),  # the called rpc is unknown: the databases of all rpcs
            ("by_itself", ["Data"]),
        ],
    )
    def test_a_masters_task_names_the_databases_that_its_subtasks_inherit(self, described, name, databases):
        assert [database["name"] for database in described[name]["databases"]] == databases


class TestTheFactsOfAProject:
    def test_come_from_its_metadata(self, project):
        folder = project(COMPLETE)
        metadata = collect_project_metadata(folder)
        assert metadata == Metadata(
            name="V6 demo algorithm",
            description="What it does",
            image="registry.example.org/demo/demo:1.2.0-local",
            partitioning="horizontal",
            code_url="https://git.example.org/demo",
            documentation_url="https://docs.example.org",
        )
        described = build_metadata(locate.load(locate.locate(folder)), metadata, 5)
        assert list(described) == [
            "name", "description", "image", "partitioning", "vantage6_version", "code_url", "documentation_url",
            "functions",
        ]  # fmt: skip
        assert described["vantage6_version"] == "5.0"
        sentence = "By default, no number of fewer than 3 records leaves a node."
        assert described["description"] == f"What it does. {sentence}"
        again = build_metadata(
            Algorithm.from_functions([]), msgspec.structs.replace(metadata, description=described["description"]), 5
        )
        assert again["description"] == described["description"]

    def test_optional_facts_without_a_value_are_omitted(self):
        described = build_metadata(Algorithm.from_functions([]), METADATA, 4)
        assert described == {
            "name": "Demo",
            "description": "By default, no number of fewer than 3 records leaves a node.",
            "image": METADATA.image,
            "partitioning": "horizontal",
            "vantage6_version": "4.15",
            "code_url": METADATA.code_url,
            "functions": [],
        }

    def test_options_take_precedence(self, project):
        digest = f"registry.example.org/demo/demo@sha256:{'0' * 64}"
        metadata = collect_project_metadata(project(COMPLETE), image=digest, code_url="https://elsewhere.example.org")
        assert (metadata.image, metadata.code_url) == (digest, "https://elsewhere.example.org")

    def test_the_image_has_the_tag_that_build_uses(self, project):
        folder = project(COMPLETE)
        assert collect_project_metadata(folder).image == get_default_tag(folder)

    def test_title_and_partitioning_can_be_set(self, project):
        metadata = collect_project_metadata(
            project(COMPLETE + 'title = "The Kaplan-Meier curve"\n    partitioning = "vertical"\n')
        )
        assert (metadata.name, metadata.partitioning) == ("The Kaplan-Meier curve", "vertical")

    @pytest.mark.parametrize("label", ["Repository", "SOURCE", "Source-Code", "code", "GitHub", "Home page"])
    def test_labels_of_urls_are_normalized(self, project, label):
        folder = project(f'[project]\nurls = {{"{label}" = "https://git.example.org/demo"}}')
        assert collect_project_metadata(folder, image="demo").code_url == "https://git.example.org/demo"

    def test_a_repository_takes_precedence_over_a_homepage(self, project):
        folder = project('[project]\nurls = {Homepage = "https://a.example.org", Repository = "https://b.example.org"}')
        assert collect_project_metadata(folder, image="demo").code_url == "https://b.example.org"

    def test_all_missing_facts_are_reported_together(self, project):
        message = refusal_message(project())
        assert "image: " in message
        assert "--image" in message
        assert "code_url: " in message
        assert "[project.urls]" in message
        assert "--code-url" in message

    @pytest.mark.parametrize(
        ("addition", "reason"),
        [
            ('image = "demo/demo:1"', "remove the tag of demo/demo:1"),
            (f'image = "demo/demo@sha256:{"0" * 64}"', "remove the tag of"),
            ('image = "Demo"', "lower case"),
            ("image = 3", "image: the value under [tool.algotools] must be a string"),
            (
                'image = "demo"\npartitioning = "diagonal"',
                "unknown value 'diagonal' (choose from horizontal, vertical)",
            ),
            ('image = "demo"\npartitioning = 3', "partitioning: the value under [tool.algotools] must be a string"),
        ],
    )
    def test_an_invalid_option_is_refused(self, project, addition, reason):
        folder = project(f'[project]\nname = "demo"\nversion = "1"\n[tool.algotools]\n{addition}\n')
        assert reason in refusal_message(folder, code_url="https://git.example.org")

    def test_a_missing_version_leaves_the_image_without_a_tag(self, project):
        folder = project('[project]\nname = "demo"\ndynamic = ["version"]\n[tool.algotools]\nimage = "demo"\n')
        assert "version: the image's tag is missing" in refusal_message(folder, code_url="https://git.example.org")
        assert collect_project_metadata(folder, image="demo:1", code_url="https://git.example.org").image == "demo:1"

    def test_an_invalid_image_name_is_refused(self, project):
        assert "'Demo' is not the name of an image" in refusal_message(project(COMPLETE), image="Demo")

    def test_the_git_remote_is_the_last_resort(self, project):
        folder = project('[project]\nname = "demo"\nversion = "1"\n[tool.algotools]\nimage = "demo"\n')
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
        assert "code_url" in refusal_message(folder)
        remote = ["remote", "add", "origin", "git@git.example.org:demo/demo.git"]
        subprocess.run(["git", "-C", str(folder), *remote], check=True)
        assert collect_project_metadata(folder).code_url == "https://git.example.org/demo/demo"

    def test_a_missing_git_command_means_no_remote(self, project, monkeypatch):
        monkeypatch.setenv("PATH", "")
        assert "code_url" in refusal_message(project(), image="demo")

    @pytest.mark.parametrize("homepage", ["Project-URL: repository, https://x.org", "Home-page: https://x.org"])
    def test_an_installed_algorithm_uses_the_metadata_of_its_package(self, project, monkeypatch, homepage):
        folder = project()
        metadata_folder = folder / "v6_demo-1.0.dist-info"
        metadata_folder.mkdir()
        lines = f"Metadata-Version: 2.1\nName: v6-demo\nVersion: 1.0\nSummary: What it does\n{homepage}\n"
        (metadata_folder / "METADATA").write_text(lines)
        (metadata_folder / "entry_points.txt").write_text(f"[{projects.GROUP}]\nnamed = demo\n")
        monkeypatch.syspath_prepend(folder)
        for name in ("named", "demo"):
            assert "--image" in refusal_message(name)
            assert "pyproject" not in refusal_message(name)
            assert collect_project_metadata(name, image="demo:1") == Metadata(
                name="V6 demo", description="What it does", image="demo:1", code_url="https://x.org"
            )

    def test_a_module_without_a_distribution_has_only_a_name(self, project, monkeypatch):
        monkeypatch.syspath_prepend(project())
        message = refusal_message("demo")
        assert "image: the reference is missing; pass --image" in message
        assert "code_url: the source's address is missing; pass --code-url" in message
        metadata = collect_project_metadata("demo", image="demo:1", code_url="https://git.example.org")
        assert metadata == Metadata(name="Demo", image="demo:1", code_url="https://git.example.org")


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
def test_a_git_remote_becomes_a_web_page(remote, page):
    assert _convert_remote(remote) == page


@pytest.mark.parametrize(
    ("name", "phrase"), [("average_partial", "Average partial"), ("v6-demo.a", "V6 demo a"), ("_", "_"), ("", "")]
)
def test_a_name_becomes_a_phrase(name, phrase):
    assert humanize(name) == phrase


class TestTheCommand:
    @pytest.fixture
    def command(self) -> Callable[..., tuple[int, str, str]]:
        def run(*arguments: str) -> tuple[int, str, str]:
            command = [*COMMAND, "describe", *map(str, arguments)]
            completed = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
            return completed.returncode, completed.stdout, completed.stderr

        return run

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_standard_output_contains_only_the_metadata(self, command, project, options):
        folder = project(COMPLETE, 'from algotools import rpc\nprint("hello")\n@rpc\ndef one() -> int:\n    "µ"\n')
        code, out, err = command(folder, "--store", "4", *options)
        assert code == 0
        assert json.loads(out)["functions"][0]["description"] == "µ"
        assert "µ" in out
        assert out.startswith('{\n  "name"')
        assert err == "hello\n"

    def test_options_replace_missing_facts_of_the_project(self, command, average):
        options = ["--image", "registry.example.org/demo/average:1", "--code-url", "https://git.example.org"]
        code, out, _ = command(average, "--store", "5", *options)
        assert code == 0
        assert [function["name"] for function in json.loads(out)["functions"]] == ["average_partial", "master"]

    def test_missing_facts_have_their_exit_code(self, command, project):
        code, out, err = command(project(), "--store", "4")
        assert (code, out) == (68, "")
        assert "error (68)" in err
        assert "Traceback" not in err

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--store", "3"], "'3' is not one of '4', '5'"),
            (["--store", "6"], "'6' is not one of '4', '5'"),
            (["--image", "demo"], "--store"),
            (["--code-url", "https://git.example.org"], "--store"),
        ],
    )
    def test_an_invalid_option_is_a_usage_error(self, command, average, arguments, reason):
        code, out, err = command(average, *arguments)
        assert (code, out) == (2, "")
        assert reason in err

"""What a runner does with the `run:` steps of a job, as far as our workflow needs it.

Each step is a script for bash with the variables and the GITHUB_* files of a real job. Steps that
are `uses:` run nothing; a test may put what they would have done in their place.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

BIN = Path(sys.executable).parent
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_TOKEN = re.compile(r"'[^']*'|&&|\|\||!=|==|!|\(|\)|[A-Za-z_][\w.-]*(?:\(\))?|\s+|.", re.DOTALL)
_OPERATORS = {"&&": " and ", "||": " or ", "!": " not ", "true": "True", "false": "False"}


def evaluate(expression: str, contexts: Mapping[str, Any]) -> Any:
    """An expression of a workflow; what is not there is the empty text."""

    def get(path: str) -> Any:
        value: Any = contexts
        for name in path.split("."):
            value = value.get(name, "") if isinstance(value, Mapping) else ""
        return value

    parts = []
    for token in _TOKEN.findall(expression):
        if token in _OPERATORS:
            parts.append(_OPERATORS[token])
        elif re.fullmatch(r"[A-Za-z_][\w.-]*", token):
            parts.append(f"get({token!r})")
        elif token == "always()":
            parts.append("True")
        else:
            parts.append(token)
    return eval("".join(parts).strip(), {"get": get, "__builtins__": {}})


def filled(value: Any, contexts: Mapping[str, Any]) -> str:
    """A value of the workflow with its expressions replaced, as a runner writes them."""

    def shown(match: re.Match[str]) -> str:
        found = evaluate(match[1], contexts)
        return str(found).lower() if isinstance(found, bool) else str(found)

    return EXPRESSION.sub(shown, str(value))


@dataclass
class Done:
    """How a job ended."""

    succeeded: bool
    outputs: dict[str, str]
    summary: str
    log: str
    steps: list[str] = field(default_factory=list)
    """The names of those that ran."""


@dataclass
class Runner:
    """A machine for one run of a workflow: a checkout, and what GitHub tells the job."""

    workflow: dict[str, Any]
    checkout: Path
    temporary: Path
    environment: dict[str, str]
    event: dict[str, Any]
    ref_type: str
    ref_name: str
    variables: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    id_token: dict[str, str] = field(default_factory=dict)
    """The variables of a job that may ask for an identity token; a fork's is given none."""
    actions: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    """What stands in for `uses:`, by the name of the action."""
    jobs: dict[str, Done] = field(default_factory=dict)

    def run(self, name: str) -> Done | None:
        """Run the job ``name``; ``None`` where its condition does not hold."""
        job = self.workflow["jobs"][name]
        needs = job.get("needs", [])
        needed = [needs] if isinstance(needs, str) else needs
        contexts = self._contexts({one: self.jobs[one] for one in needed})
        if not all(self.jobs[one].succeeded for one in needed):
            return None
        if not evaluate(job.get("if", "true"), contexts):
            return None
        self.jobs[name] = done = self._steps(job, contexts)
        return done

    def _contexts(self, needs: dict[str, Done]) -> dict[str, Any]:
        github = {
            "event": self.event,
            "ref_type": self.ref_type,
            "ref": f"refs/{'tags' if self.ref_type == 'tag' else 'heads'}/{self.ref_name}",
        }
        outputs = {name: {"outputs": done.outputs} for name, done in needs.items()}
        contexts = {"github": github, "vars": self.variables, "inputs": self.inputs}
        contexts |= {"needs": outputs, "steps": {}, "env": {}}
        for variable, value in self.workflow.get("env", {}).items():
            contexts["env"][variable] = filled(value, contexts)
        return contexts

    def _steps(self, job: dict[str, Any], contexts: dict[str, Any]) -> Done:
        self.temporary.mkdir(parents=True, exist_ok=True)
        files = {name: self.temporary / name for name in ("OUTPUT", "STEP_SUMMARY", "ENV")}
        for path in files.values():
            path.write_text("")
        told = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.temporary),
            "RUNNER_TEMP": str(self.temporary),
            "GITHUB_ACTIONS": "true",
            "GITHUB_REF_TYPE": self.ref_type,
            "GITHUB_REF_NAME": self.ref_name,
            "GITHUB_EVENT_PATH": str(self.temporary / "event.json"),
            **{f"GITHUB_{name}": str(path) for name, path in files.items()},
            **self.environment,
        }
        if job["permissions"].get("id-token") == "write":
            told |= self.id_token
        (self.temporary / "event.json").write_text(json.dumps(self.event))
        done = Done(True, {}, "", "")
        for step in job["steps"]:
            condition = str(step.get("if", "true"))
            may_run = done.succeeded or "always()" in condition
            if not (may_run and evaluate(condition, contexts)):
                continue
            done.steps.append(step.get("name", step.get("uses", "")))
            if "uses" in step:
                self.actions.get(step["uses"].partition("@")[0], lambda _: None)(self.checkout)
                continue
            files["OUTPUT"].write_text("")
            variables = {**contexts["env"], **step.get("env", {})}
            variables = {name: filled(value, contexts) for name, value in variables.items()}
            script = self.temporary / "step.sh"
            script.write_text(filled(step["run"], contexts))
            ended = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
                cwd=self.checkout,
                env={**told, **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=120,
            )
            done.log += f"--- {step['name']}\n{ended.stdout}"
            done.succeeded = done.succeeded and ended.returncode == 0
            outputs = _assignments(files["OUTPUT"].read_text())
            told |= _assignments(files["ENV"].read_text())
            if "id" in step:
                contexts["steps"][step["id"]] = {"outputs": outputs}
        done.summary = files["STEP_SUMMARY"].read_text()
        done.outputs = {
            name: filled(value, contexts) for name, value in job.get("outputs", {}).items()
        }
        return done


def _assignments(text: str) -> dict[str, str]:
    """``name=value`` and ``name<<mark … mark``, as in GITHUB_OUTPUT."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if long := re.fullmatch(r"([\w-]+)<<(.+)", line):
            value = []
            for following in lines:
                if following == long[2]:
                    break
                value.append(following)
            else:
                raise AssertionError(f"{long[1]} does not end")
            found[long[1]] = "\n".join(value)
        else:
            name, _, value_of_one_line = line.partition("=")
            found[name] = value_of_one_line
    return found


def read_workflow(path: Path) -> dict[str, Any]:
    """The workflow; `on` is a word of YAML 1.1 for true, and stays a name here."""
    text = re.sub(r"^on:", "'on':", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: dict[str, Any] = yaml.safe_load(text)
    return found

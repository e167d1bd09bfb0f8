"""Ansible inventories as Host documents: whatever Ansible reads, its hosts and groups come out."""

import json
import time
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.policy.conversion import Converted, Machine, yaml_of
from reconciler.policy.from_inventory import MOST_HOSTS, convert
from reconciler.policy.load import PolicyFile, Revision, load
from reconciler.policy.problems import Problem

MACHINE = Machine("", "", "", "UTC", date(2026, 11, 29))
INI = """\
# ours
mail.example.org ansible_host=10.0.0.9   # the old one
bare:2222

[web]
web[01:05] http_port=80 note="a b # c"
web-[a:c].example.org:2201

[db]   # of the shop
db-[1:9:4] env=prod

[prod:children]
web
db

[prod:vars]
env=prod
become_pass = hunter2

[empty]

[shop:children]
prod

[steps]
n[2:3]-x[1:2]
"""
YAML = """\
all:
  hosts:
    mail.example.org: {ansible_host: 10.0.0.9}
    "bare:2222":
  children:
    shop:
      children:
        prod:
          vars: {env: prod, become_pass: hunter2}
          children:
            web:
              hosts:
                "web[01:05]": {http_port: 80, note: "a b # c"}
                "web-[a:c].example.org:2201":
            db:
              hosts:
                "db-[1:9:4]": {env: prod}
    empty:
    steps:
      hosts: "n[2:3]-x[1:2]"
"""
GROUPS = {
    "mail.example.org": (),
    "bare": (),
    **dict.fromkeys(("web01", "web02", "web03", "web04", "web05"), ("prod", "shop", "web")),
    **{f"web-{letter}.example.org": ("prod", "shop", "web") for letter in "abc"},
    **{f"db-{number}": ("db", "prod", "shop") for number in (1, 5, 9)},
    **{f"n{one}-x{two}": ("steps",) for one in (2, 3) for two in (1, 2)},
}


def converted(*texts: str, name: str = "hosts") -> Converted:
    found = convert([(f"{name}", text) for text in texts], MACHINE)
    assert isinstance(found, Converted), found
    return found


def groups(found: Converted) -> dict[str, tuple[str, ...]]:
    """Return the groups of each host that has a document."""
    hosts = [one for one in found.documents.values() if one["kind"] == "Host"]
    labels = {str(one["name"]): one.get("labels", {}) for one in hosts}
    assert all(isinstance(each, dict) and set(each.values()) <= {"member"} for each in labels.values())
    return {
        name: tuple(key.removeprefix("group/") for key in each)
        for name, each in labels.items()
        if isinstance(each, dict)
    }


def left(found: Converted) -> str:
    return "\n".join(map(str, found.left))


def problem(text: str, name: str = "hosts") -> Problem:
    found = convert([(name, text)], MACHINE)
    assert isinstance(found, Problem), found
    return found


@pytest.mark.parametrize(("text", "name"), [(INI, "hosts"), (YAML, "hosts"), (YAML, "hosts.yml")])
def test_hosts_and_groups_come_out_and_values_of_variables_do_not(text: str, name: str) -> None:
    found = converted(text, name=name)
    assert groups(found) == GROUPS
    assert "hunter2" not in left(found) + "".join(map(yaml_of, found.documents.values()))
    for variable in ("ansible_host", "http_port", "note", "env", "become_pass"):
        assert f'the variable "{variable}" is no label' in left(found)
    assert len(found.left) == 5


def test_what_comes_out_is_a_good_policy() -> None:
    documents = converted(INI).documents
    files = [PolicyFile(path, "100644", yaml_of(one).encode()) for path, one in documents.items()]
    revision = load(files)
    assert isinstance(revision, Revision)
    assert list(documents)[:2] == ["policies/base.yaml", "hosts/bare.yaml"]
    assert documents["policies/base.yaml"]["action"] == "plan"


def test_several_files_are_one_inventory_whichever_form_each_has() -> None:
    found = converted(
        "[web]\nweb-1\n", "web:\n  hosts: {web-2: }\nall: {children: {shop: {children: {web: }}}}\n"
    )
    assert groups(found) == {"web-1": ("shop", "web"), "web-2": ("shop", "web")}


def test_a_json_file_is_read_as_well() -> None:
    told: object = {"all": {"children": {"web": {"hosts": {"web-1": {}, "web-2": {}}}}}}
    assert groups(converted(json.dumps(told), name="hosts.json")) == {"web-1": ("web",), "web-2": ("web",)}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Web01", "Web01"),
        ('"two words"', "two words"),
        ("[2001:db8::1]:22", "[2001:db8::1]"),
        ("under_score", "under_score"),
        ("a" * 64, "a" * 64),
        ("dots..many", "dots..many"),
        ("of.lock", "of.lock"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("-rf", "-rf"),
        ("web[x]", "web[x]"),
        ("bösartig", "bösartig"),
        ("\x1b[2Jx", "\\u{1b}[2Jx"),
        ("a\u202eb", "a\\u{202e}b"),
    ],
)
def test_a_name_that_is_no_host_id_is_told_and_has_no_document(name: str, shown: str) -> None:
    found = converted(f"[web]\n{name}\nweb-1\n")
    assert groups(found) == {"web-1": ("web",)}
    assert f'hosts:2: "{shown}" is no host id, and has no document' in left(found)


@pytest.mark.parametrize("group", ["x_", "größe", "a" * 60, "a$b", "a\x1bb"])
def test_a_group_that_can_be_no_label_is_told(group: str) -> None:
    found = converted(f"[{group}]\nweb-1\n[web]\nweb-1\n")
    assert groups(found) == {"web-1": ("web",)}
    assert "is no label's name" in left(found)


def test_the_groups_that_every_host_is_in_are_no_labels() -> None:
    found = converted("[all]\nweb-1\n[ungrouped]\nweb-2\n[all:children]\nungrouped\n[all:vars]\nx=1\n")
    assert groups(found) == {"web-1": (), "web-2": ()}


def test_groups_that_are_in_each_other_end() -> None:
    found = converted("[a]\nweb-1\n[b]\n[a:children]\nb\n[b:children]\na\n")
    assert groups(found) == {"web-1": ("a", "b")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[web:children]\nnowhere\n", 'hosts:2: there is no group "nowhere" (define it)'),
        ("[nowhere:vars]\nx=1\n", 'hosts:1: there is no group "nowhere" (define it)'),
        ("[web:kids]\n", 'hosts:1: there is no section "[web:kids]"'),
        ("[web] ; of the shop\n", 'hosts:1: "[web] ; of the shop" is no section'),
        ("[web\n", 'hosts:1: "[web" is no section'),
        ("web-1 note='x\n", "hosts:1: no closing quotation"),
        ("web[01:5]\n", "hosts:1: the range [01:5] is none"),
        ("web[1:9:0]\n", "hosts:1: the range [1:9] is none"),
        ("web[1:c]\n", "hosts:1: the range [1:c] is of a number and a letter"),
        ("web[1:999999999]\n", "is of more than 10,000 hosts"),
        ("web[1:200][1:200]\n", "is of more than 10,000 hosts"),
        ("web[1:10000]\n" * 7, "there are more than 10,000 hosts"),
        ("#!/usr/bin/python3\nprint()\n", "hosts:1: is a program and no inventory"),
        ("".join(f"[g{number}]\n" for number in range(1001)), "hosts:1001: there are more than 1,000 groups"),
        ("---\n- web\n", "hosts:1: is not one mapping of groups"),
        ("all: {hosts: [web-1]}\n", "hosts:1: all.hosts: is not a mapping of names"),
        ("all: {hosts: {web-1: 5}}\n", "all.hosts.web-1: is not a mapping of names"),
        ("all: &x {hosts: {web-1: }}\n", "hosts:1: anchor &x is not allowed"),
        ("all: {hosts: {web-1: }\n", "hosts:"),
        ("all: " + "{children: {a: " * 50, "hosts:"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, message: str) -> None:
    name = "hosts.yaml" if text.startswith(("all:", "---")) else "hosts"
    assert message.replace("hosts:", f"{name}:", 1) in str(problem(text, name)) or message in str(
        problem(text, name)
    )


def test_what_the_strict_reader_steps_over_is_told() -> None:
    text = (
        "web:\n  hosts:\n    web-1:\n      secret: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n"
        "    101:\n  other: 1\n"
    )
    found = converted(text, name="hosts.yaml")
    assert groups(found) == {"web-1": ("web",)}
    said = left(found)
    assert 'tag "!vault" is not allowed' in said
    assert "key 101 is not a text" in said
    assert 'hosts.yaml:7: other: is unknown to Ansible in group "web"' in said


def test_as_many_hosts_as_a_policy_may_hold_are_converted_in_time() -> None:
    text = "[all]\n" + "".join(f"web-{number} ansible_host=10.0.0.1\n" for number in range(MOST_HOSTS - 1))
    begun = time.process_time()
    assert len(groups(converted(text + "[web]\nweb-[0:9]\n"))) == MOST_HOSTS - 1
    assert time.process_time() - begun < 5


def test_more_memberships_than_a_policy_may_hold_are_refused() -> None:
    chain = "".join(f"[g{number}:children]\ng{number + 1}\n" for number in range(900))
    assert "more than 60,000 memberships" in str(problem(f"{chain}[g900]\nweb-[1:100]\n"))


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from([*INI.splitlines(), "[", "[:]", "=", "x[:"])).map("\n".join)
)
def test_no_text_breaks_it(text: str) -> None:
    for name in ("hosts", "hosts.yaml"):
        found = convert([(name, text)], MACHINE)
        assert isinstance(found, Converted | Problem)
        if isinstance(found, Converted):
            assert all("\n" not in str(one) for one in found.left)

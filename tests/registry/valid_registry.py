"""A small registry without mistakes, for tests to spoil."""

VALID = """\
version: 1
family: Owls
suites:
  science:
    - {name: mlm, type: mlm, data: {dev: dev.jsonl}}
    - {name: find, type: retrieval, data: {dev: dev.jsonl}, metrics: [recall@1, mrr]}
    - {name: sort, type: classification, data: {train: t.jsonl, dev: dev.jsonl}}
policies:
  science:
    primary: find/recall@1
    guardrails: [{metric: mlm/loss, margin: 0.02}]
    reference: base
variants:
  base: {repo: owls/base}
  child:
    repo: owls/child
    parents: [{variant: base, relation: fine-tuning}]
    suite: science
    policy: science
aliases: {production: child}
"""

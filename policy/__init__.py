"""The policy pack: what must be true of every stack, checked at each preview and `up`.

values     property values: unknown ones, secrets, paths                        (pure)
rule       what a rule is, what a resource and a stack are to it                (pure)
checks/    the rules, by subject                                                (pure)
rules      all of them
settings   config.yaml, typed and checked
secrecy    keeps the marks of secrets, which the SDK takes off
pack       rules as policies of the SDK
document   docs/policy.md out of the rules
__main__   the only place that builds a PolicyPack (which never returns)
"""

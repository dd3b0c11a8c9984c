"""`make preview`: the real `pulumi preview`, with the policy pack, without any cloud account.

    config     a stack's configuration, made fit for it                     (pure)
    workspace  a run's folder: preview-only plugins, a throw-away backend
    engine     runs pulumi in it
    rehearsal  which stack has to be there first; the state before a change
    summary    what pulumi reported, as values                              (pure)
    report     that as text, JSON and Markdown                              (pure)

Stack references are answered by the stack that they name, recorded into the throw-away backend as if
it existed (tools/offline/preview). With `--against REF` the previewed stack itself is recorded first,
from the program and configuration of that commit, so the preview shows what the change does.
"""

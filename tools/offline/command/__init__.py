"""Stand-in for Pulumi's command provider (local:Command, remote:Command, remote:CopyToRemote).

It behaves like the vendor's plugin 1.2 for what this project uses, and refuses the rest in so many
words. Set-up installs it only where the vendor's plugin can't be fetched, and says so.

    inputs   the resources' inputs as types; their validation            (pure)
    report   texts of failures                                           (pure)
    process  runs a command, here or over SSH
    ssh      connections, one per host, redialled as asked
    copying  CopyToRemote over SFTP
    resources  create, update and delete of the three resources
    provider the gRPC edge to the engine
"""
